import type { OverviewView } from '../../../protocol/console-api.ts';
import { applyChange, grownOlder } from '../site-changes.ts';
import type { LiveEvent, Me } from '../wire.ts';
import {
  type DetailEvent,
  type MachineDetailState,
  noDetail,
  noReport,
  type ReportEvent,
  type ReportState,
  reduceDetail,
  reduceReport,
} from './detail.ts';
import { initialOverview, type OverviewEvent, type OverviewUi, reduceOverview } from './overview-state.ts';
import type { Route } from './router.ts';
import { initialTalk, reduceTalk, type TalkEvent, type TalkState } from './talk.ts';

/** Whether what is shown is so now. Unknown is never green: everything but `live` draws all states grey. */
export type Freshness =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live'; readonly atMs: number }
  | { readonly kind: 'stale'; readonly sinceMs: number | null; readonly why: string };

export type SignInState = {
  readonly phase: 'asking' | 'busy';
  readonly refusal: { readonly message: string; readonly nextStep: string | null } | undefined;
  /** A link that was opened where somebody is signed in: a person says whether it may be used. `name`: who is, when it is known. */
  readonly pending?: { readonly code: string; readonly name: string | undefined };
};

export type ThemeChoice = 'system' | 'light' | 'dark';

export type PageState = {
  readonly route: Route;
  readonly me: Me | undefined;
  readonly site: OverviewView | undefined;
  readonly freshness: Freshness;
  /** The engine's clock minus the browser's. */
  readonly clockSkewMs: number;
  readonly theme: ThemeChoice;
  readonly overview: OverviewUi;
  readonly detail: MachineDetailState;
  readonly report: ReportState;
  readonly talk: TalkState;
  readonly signIn: SignInState;
};

/**
 * All that can happen. Kinds of P2's events begin with `talk-`, of the machine's page with `detail-`, of the report with `report-`,
 * of the overview with `overview-`.
 */
export type PageEvent =
  | { readonly kind: 'went'; readonly route: Route; readonly query: URLSearchParams }
  /** `browserMs` is the browser's clock when it came. */
  | { readonly kind: 'live'; readonly event: LiveEvent; readonly browserMs: number }
  /** The stream broke, or is silent for too long. */
  | { readonly kind: 'lost'; readonly why: string }
  | { readonly kind: 'theme'; readonly theme: ThemeChoice }
  | { readonly kind: 'sign-in'; readonly signIn: SignInState }
  | { readonly kind: 'signed-out' }
  | OverviewEvent
  | TalkEvent
  | DetailEvent
  | ReportEvent;

export function initialState(start: { route: Route; query: URLSearchParams; theme: ThemeChoice }): PageState {
  return {
    route: start.route,
    me: undefined,
    site: undefined,
    freshness: { kind: 'connecting' },
    clockSkewMs: 0,
    theme: start.theme,
    overview: initialOverview(start.route.kind === 'overview' ? start.query : new URLSearchParams()),
    detail: noDetail,
    report: noReport,
    talk: initialTalk,
    signIn: { phase: 'asking', refusal: undefined },
  };
}

/** The one place where the page's state changes. Pure. */
export function reduce(state: PageState, event: PageEvent): PageState {
  if (isOf(event, 'talk-')) return { ...state, talk: reduceTalk(state.talk, event) };
  if (isOf(event, 'detail-')) return { ...state, detail: reduceDetail(state.detail, event) };
  if (isOf(event, 'report-')) return { ...state, report: reduceReport(state.report, event) };
  if (isOf(event, 'overview-')) return { ...state, overview: reduceOverview(state.overview, event) };
  switch (event.kind) {
    case 'went': {
      const isBack = event.route.kind === 'overview';
      return {
        ...state,
        route: event.route,
        overview: isBack ? initialOverview(event.query, state.overview) : state.overview,
      };
    }
    case 'live':
      return live(state, event.event, event.browserMs);
    case 'lost':
      return { ...state, freshness: lost(state.freshness, event.why) };
    case 'theme':
      return { ...state, theme: event.theme };
    case 'sign-in':
      return { ...state, signIn: event.signIn };
    case 'signed-out':
      return forgotten(state);
    default:
      return event satisfies never;
  }
}

type OfPrefix<Prefix extends string> = Extract<PageEvent, { kind: `${Prefix}${string}` }>;

function isOf<Prefix extends string>(event: PageEvent, prefix: Prefix): event is OfPrefix<Prefix> {
  return event.kind.startsWith(prefix);
}

function live(state: PageState, event: LiveEvent, browserMs: number): PageState {
  switch (event.kind) {
    case 'snapshot':
      return arrived(state, event, browserMs);
    case 'change': {
      // A change of nothing that we know: the snapshot comes with the next stream.
      if (state.site === undefined) return state;
      return { ...onTime(state, event.atMs, browserMs), site: applyChange(state.site, event) };
    }
    case 'beat': {
      // A beat says that the server is there, not that the engine answers again: only a look at the site ends a stale time.
      if (state.site === undefined || state.freshness.kind !== 'live') return state;
      return { ...onTime(state, event.atMs, browserMs), site: grownOlder(state.site, event.atMs) };
    }
    case 'stale':
      return { ...state, freshness: { kind: 'stale', sinceMs: event.sinceMs, why: event.why } };
    case 'signed-out':
      return forgotten(state);
    default:
      return event satisfies never;
  }
}

type Snapshot = Extract<LiveEvent, { kind: 'snapshot' }>;

/**
 * All of the site. It may be an old look, when the engine does not answer just now; the server says so before it. One that is no newer than what is
 * stale already stays stale, and never turns the clock back.
 */
function arrived(state: PageState, { me, site }: Snapshot, browserMs: number): PageState {
  const { freshness } = state;
  const isOld = freshness.kind === 'stale' && freshness.sinceMs !== null && site.atMs <= freshness.sinceMs;
  const skewMs = site.atMs - browserMs;
  if (isOld) return { ...state, me, site, clockSkewMs: Math.max(state.clockSkewMs, skewMs) };
  // Nothing is known of the clocks before the first one: also a browser that is ahead is corrected by it.
  const clockSkewMs = state.site === undefined ? skewMs : nearestSkew(state, skewMs);
  return { ...state, me, site, freshness: { kind: 'live', atMs: site.atMs }, clockSkewMs };
}

function onTime(state: PageState, atMs: number, browserMs: number): PageState {
  return { ...state, freshness: { kind: 'live', atMs }, clockSkewMs: nearestSkew(state, atMs - browserMs) };
}

const clockMovedMs = 5000;

/** Every message is a little late, so the largest difference is the nearest to the truth, until one of the clocks was set anew. */
function nearestSkew({ clockSkewMs }: PageState, skewMs: number): number {
  return skewMs > clockSkewMs || skewMs < clockSkewMs - clockMovedMs ? skewMs : clockSkewMs;
}

function lost(freshness: Freshness, why: string): Freshness {
  if (freshness.kind === 'live') return { kind: 'stale', sinceMs: freshness.atMs, why };
  return freshness.kind === 'stale' ? { ...freshness, why } : { kind: 'stale', sinceMs: null, why };
}

/** Who signed out leaves nothing on the screen. */
function forgotten(state: PageState): PageState {
  const { route, theme, clockSkewMs } = state;
  return { ...initialState({ route, theme, query: new URLSearchParams() }), clockSkewMs, signIn: state.signIn };
}

import { setTimeout as wait } from 'node:timers/promises';
import { OutageError } from '../../domain/outage.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import type { BotClient } from '../engine-client.ts';
import { outageWords } from './outage-words.ts';
import { siteForWeb } from './picture-address.ts';
import { changeBetween, grownOlder } from './site-changes.ts';
import type { LiveEvent } from './wire.ts';

/** What is new of the site, for everybody who looks. */
export type SiteNews = Extract<LiveEvent, { kind: 'change' | 'beat' | 'stale' }>;
/**
 * The site as last seen, for who has just come: to be sent before any news. `stale` goes first: a page that has the site before it knows that the
 * site is old shows it as well for a moment.
 */
export type Sight = {
  readonly stale: Extract<SiteNews, { kind: 'stale' }> | undefined;
  readonly site: OverviewView | undefined;
};
/** `first`: there is a site now where there was none; whoever looks needs all of it. */
export type Viewer = { readonly first: (site: OverviewView) => void; readonly news: (news: SiteNews) => void };

export type SiteWatch = {
  /** Looks as long as somebody does, and a little longer. Returns what ends this viewer's look. */
  readonly join: (viewer: Viewer) => () => void;
  /** Begins to look: somebody who has been in before loads the page, and joins in a moment. */
  readonly expect: () => void;
  readonly sight: () => Sight;
  readonly close: () => Promise<void>;
};

export const watchPauses = {
  /** Between two looks, when there are many events. */
  lookGapMs: 300,
  /** Without any event. */
  lookEveryMs: 2000,
  /** The engine answers within this, or the look has failed. */
  lookLimitMs: 10_000,
  retryMs: 1000,
  beatEveryMs: 5000,
  /** A site that was seen longer ago is not known any more. */
  staleAfterMs: 8000,
  /** How long it is looked on after the last viewer has gone: pages are loaded anew. */
  lingerMs: 30_000,
  tickMs: 500,
};

export type WatchDeps = {
  readonly engine: Pick<BotClient, 'events' | 'overview'>;
  /** Monotonic. */
  readonly clockMs: () => number;
  readonly log: { readonly warn: (message: string, error?: unknown) => void };
  readonly pauses?: Partial<typeof watchPauses>;
};

type State = {
  readonly viewers: Set<Viewer>;
  seen: { readonly site: OverviewView; readonly atMs: number } | undefined;
  /** Why the last look failed; undefined after one that did not. */
  trouble: string | undefined;
  stale: Sight['stale'];
  startedAtMs: number;
  saidAtMs: number;
  emptySinceMs: number;
};
type At = { readonly deps: WatchDeps; readonly pauses: typeof watchPauses; readonly state: State };

/** One watcher for all pages: the engine is asked once, however many look. */
export function createSiteWatch(deps: WatchDeps): SiteWatch {
  const pauses = { ...watchPauses, ...deps.pauses };
  const state: State = { ...blank(deps.clockMs()), viewers: new Set(), saidAtMs: 0, emptySinceMs: 0 };
  const at: At = { deps, pauses, state };
  let isClosed = false;
  let running: { readonly stopping: AbortController; readonly ended: Promise<void> } | undefined;
  const start = () => {
    const stopping = new AbortController();
    Object.assign(state, blank(deps.clockMs()));
    const ended = watch(at, stopping).finally(() => {
      running = undefined;
      // Somebody came in the moment in which it ended.
      if (state.viewers.size > 0 && !isClosed) start();
    });
    running = { stopping, ended };
  };
  return {
    join(viewer) {
      state.viewers.add(viewer);
      if (running === undefined && !isClosed) start();
      return () => {
        state.viewers.delete(viewer);
        state.emptySinceMs = deps.clockMs();
      };
    },
    expect() {
      state.emptySinceMs = deps.clockMs();
      if (running === undefined && !isClosed) start();
    },
    sight: () => sightOf(at),
    async close() {
      isClosed = true;
      running?.stopping.abort();
      await running?.ended;
    },
  };
}

function blank(nowMs: number): Pick<State, 'seen' | 'trouble' | 'stale' | 'startedAtMs'> {
  return { seen: undefined, trouble: undefined, stale: undefined, startedAtMs: nowMs };
}

/** While nobody looked, nobody was told that the site is old: who comes now is told all the same. */
function sightOf(at: At): Sight {
  const { seen, stale } = at.state;
  if (seen === undefined) return { stale, site: undefined };
  const nowMs = at.deps.clockMs();
  if (stale === undefined && !isOld(at, nowMs)) {
    return { stale: undefined, site: grownOlder(seen.site, databaseNowMs(seen, nowMs)) };
  }
  return { stale: stale ?? staleNews(at.state), site: seen.site };
}

function isOld({ pauses, state }: At, nowMs: number): boolean {
  return nowMs - (state.seen?.atMs ?? state.startedAtMs) >= pauses.staleAfterMs;
}

function staleNews({ trouble, seen }: State): NonNullable<Sight['stale']> {
  return { kind: 'stale', sinceMs: seen?.site.atMs ?? null, why: trouble ?? 'The engine does not answer.' };
}

/** The database's clock now, as far as the newest look tells it. */
function databaseNowMs(seen: NonNullable<State['seen']>, nowMs: number): number {
  return seen.site.atMs + Math.round(nowMs - seen.atMs);
}

async function watch(at: At, stopping: AbortController): Promise<void> {
  const ticker = setInterval(() => tick(at, stopping), at.pauses.tickMs);
  try {
    while (!stopping.signal.aborted) {
      const tookMs = await lookOnce(at, stopping.signal);
      const pauseMs = tookMs === undefined ? at.pauses.retryMs : Math.max(at.pauses.lookGapMs, 2 * tookMs);
      // A large site takes long to tell: the engine has other things to do as well.
      await rest(pauseMs, stopping.signal);
      if (tookMs !== undefined) await untilEvent(at, stopping.signal);
    }
  } finally {
    clearInterval(ticker);
  }
}

/** How long the look took; undefined when it failed. */
async function lookOnce(at: At, stop: AbortSignal): Promise<number | undefined> {
  const { deps, pauses, state } = at;
  const beganAtMs = deps.clockMs();
  try {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(pauses.lookLimitMs)]);
    const site = siteForWeb(await deps.engine.overview({ signal }));
    saw(at, site);
    return deps.clockMs() - beganAtMs;
  } catch (error) {
    if (stop.aborted) return undefined;
    failed(at, wordsOf(error, deps));
    if (state.seen === undefined) sayStale(at);
    return undefined;
  }
}

/** A bug of ours is written down as one; the stream goes on either way, and says that nothing is known. */
function wordsOf(error: unknown, deps: WatchDeps): string {
  const isLate = error instanceof Error && error.name === 'TimeoutError';
  if (isLate) return 'The engine does not answer in time.';
  if (!(error instanceof OutageError)) deps.log.warn('looking at the site failed', error);
  return error instanceof OutageError ? outageWords(error) : 'The console could not look at the site.';
}

function failed({ deps, state }: At, why: string): void {
  if (state.trouble === undefined) deps.log.warn(`the console cannot see the site: ${why}`);
  state.trouble = why;
}

function saw(at: At, site: OverviewView): void {
  const { deps, state } = at;
  const before = state.seen?.site;
  const wasStale = state.stale !== undefined;
  state.seen = { site, atMs: deps.clockMs() };
  state.trouble = undefined;
  state.stale = undefined;
  if (before === undefined) for (const viewer of state.viewers) viewer.first(site);
  else tell(at, changeBetween(before, site));
  if (before === undefined || wasStale) beat(at);
}

async function untilEvent(at: At, stop: AbortSignal): Promise<void> {
  const { deps, pauses, state } = at;
  if (state.seen === undefined) return;
  const query = { after: state.seen.site.eventNumber, waitMs: pauses.lookEveryMs };
  try {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(pauses.lookEveryMs + pauses.lookLimitMs)]);
    await deps.engine.events(query, { signal });
  } catch (error) {
    if (stop.aborted) return;
    failed(at, wordsOf(error, deps));
    await rest(pauses.retryMs, stop);
  }
}

/** Says that it is alive, or that nothing is known; ends the watch when nobody has looked for a while. */
function tick(at: At, stopping: AbortController): void {
  const { deps, pauses, state } = at;
  const nowMs = deps.clockMs();
  if (state.viewers.size === 0) {
    if (nowMs - state.emptySinceMs >= pauses.lingerMs) stopping.abort();
    return;
  }
  const isDue = nowMs - state.saidAtMs >= pauses.beatEveryMs;
  if (isOld(at, nowMs)) {
    if (isDue || state.stale === undefined) sayStale(at);
  } else if (state.seen !== undefined && isDue) beat(at);
}

function beat(at: At): void {
  const { deps, state } = at;
  if (state.seen === undefined) return;
  state.saidAtMs = deps.clockMs();
  tell(at, { kind: 'beat', atMs: databaseNowMs(state.seen, deps.clockMs()) });
}

function sayStale(at: At): void {
  const { deps, state } = at;
  state.stale = staleNews(state);
  state.saidAtMs = deps.clockMs();
  tell(at, state.stale);
}

function tell({ state }: At, news: SiteNews): void {
  for (const viewer of state.viewers) viewer.news(news);
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

import type { Grant } from '../../domain/access.ts';
import type { LagSeries } from '../../protocol/chat-api.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import type { HostView, MachineView, PointView, RunView } from '../../protocol/control-api.ts';
import type { AuditAnswer } from '../../protocol/people-api.ts';
import type { Card } from '../card.ts';
import type { Form, FormAnswers } from '../form.ts';

/**
 * What the page in the browser and the web server of the bot say to each other. Types only: the server is the page's own, and made with it.
 * Every call but `signIn` needs the session's cookie; every POST is JSON and comes from our own origin.
 */
export const webPaths = {
  signIn: '/api/sign-in',
  signOut: '/api/sign-out',
  live: '/api/live',
  line: '/api/line',
  form: '/api/form',
  /** `/api/machines/<name>`: MachineDetail. */
  machine: '/api/machines/',
  /** `/api/cards/<topic>`, e.g. `run:run_…`: CardAnswer. */
  card: '/api/cards/',
  /** `/api/pictures/<run id>`: PNG. */
  picture: '/api/pictures/',
  /** `/api/report?machine=&fromMs=&toMs=`: ReportView. */
  report: '/api/report',
  /** Who is signed in: Me. */
  me: '/api/me',
} as const;
/** With the value `1` on a GET that a person began; those that an open page sends by itself keep no session alive. */
export const begunByPersonHeader = 'x-lifeboat-begun-by-person';

export type Me = {
  readonly name: string;
  readonly roles: readonly string[];
  /** The roles with the machines for which they count; left out when they are not known. Only for hints: the engine decides. */
  readonly grants?: readonly Grant[];
  readonly hasAuthenticator: boolean;
  readonly isOnCall: boolean;
};

/** Server-sent events, each `data:` one of these. `beat` comes every 5 s: without one for 12 s the page calls itself stale. */
export type LiveEvent =
  | { readonly kind: 'snapshot'; readonly me: Me; readonly site: OverviewView }
  /** At every look: what has changed since the event before; lists that are left out did not change. `applyChange` of site-changes.ts. */
  | ({ readonly kind: 'change'; readonly atMs: number } & ListChanges & SiteParts)
  | { readonly kind: 'beat'; readonly atMs: number }
  /** The engine does not answer: what is shown is as old as `sinceMs`, and nothing of it is known to be so now. */
  | { readonly kind: 'stale'; readonly sinceMs: number | null; readonly why: string }
  | { readonly kind: 'signed-out'; readonly why: string };
export type SiteParts = Partial<Omit<OverviewView, 'atMs' | 'machines' | 'hosts' | 'eventNumber'>>;
/** The long lists: only what is new or otherwise in them. */
export type ListChanges = { readonly machines?: ChangesOf<MachineView>; readonly hosts?: ChangesOf<HostView> };
/** `removed`: keys of what is gone: `machineKey` of site-changes.ts, a host's name; `applyChange` there makes the new site of the old. */
export type ChangesOf<Item> = { readonly changed: readonly Item[]; readonly removed: readonly string[] };

export type SignInRequest = { readonly code: string };
export type SignInReply = { readonly kind: 'signed-in'; readonly name: string } | Problem;
export type SignOutRequest = { readonly isEverywhere: boolean };

/** `key` is made by the page, anew for each deed of a person: the same one sent twice is done once. */
export type LineRequest = { readonly line: string; readonly key: string };
export type FormRequest = {
  readonly form: Pick<Form, 'kind' | 'context'>;
  readonly answers: FormAnswers;
  readonly key: string;
};
export type LineReply = {
  readonly kind: 'reply';
  readonly cards: readonly Card[];
  readonly form?: Form;
  /** What the line started, e.g. `run:run_…`: its card is at `/api/cards/<topic>`, and changes. */
  readonly topic?: string;
  readonly files: readonly { readonly name: string; readonly type: string; readonly base64: string }[];
};
export type CardAnswer = { readonly kind: 'card'; readonly card: Card; readonly isFinal: boolean };

export type MachineDetail = {
  readonly kind: 'machine';
  readonly machine: MachineView;
  /** Newest first. */
  readonly points: readonly PointView[];
  readonly runs: readonly RunView[];
  readonly lag: LagSeries | null;
  readonly audit: AuditAnswer;
};

/** HTTP status 4xx or 5xx: what is wrong and what to do next, for a person. `signed-out`: sign in again. */
export type Problem = {
  readonly kind: 'problem';
  readonly why: 'signed-out' | 'refused' | 'bad-request' | 'not-found' | 'too-many' | 'outage';
  readonly message: string;
  readonly nextStep: string | null;
};

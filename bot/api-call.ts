import type { z } from 'zod';
import type {
  AlertView,
  ApprovalView,
  alertBody,
  approveBody,
  authenticatorBody,
  LagSeries,
  linkBody,
  onCallBody,
  PersonView,
  personBody,
  plannedFailoverBody,
  rejectBody,
  reviewBody,
  roleBody,
  SurfaceView,
  snoozeBody,
  subscribeBody,
  tagBody,
  thresholdBody,
  withdrawBody,
} from '../protocol/chat-api.ts';
import type { SignInLinkAnswer, signOutBody } from '../protocol/console-api.ts';
import type {
  bookmarkBody,
  CommandAnswer,
  cleanupBody,
  enableBody,
  HostView,
  MachineView,
  PointView,
  pauseBody,
  RefusalBody,
  RunView,
  resumeBody,
  resyncBody,
  testFailoverBody,
  versionView,
  whoamiView,
} from '../protocol/control-api.ts';
import type { AuditAnswer, AuthenticatorAnswer, LinkAnswer } from '../protocol/people-api.ts';

export type WhoamiView = z.infer<typeof whoamiView>;
export type VersionView = z.infer<typeof versionView>;

/** A question to the engine; nothing changes, so it may be asked again. */
export type ApiQuery =
  | { readonly kind: 'whoami' }
  | { readonly kind: 'version' }
  | { readonly kind: 'machines' }
  | { readonly kind: 'machine'; readonly name: string }
  | { readonly kind: 'points'; readonly machine: string }
  | { readonly kind: 'hosts' }
  /** The newest ones, of one machine or of all. */
  | { readonly kind: 'runs'; readonly machine?: string }
  | { readonly kind: 'run'; readonly id: string }
  | { readonly kind: 'people' }
  | { readonly kind: 'approvals' }
  | { readonly kind: 'approval'; readonly id: string }
  | { readonly kind: 'alerts' }
  | { readonly kind: 'alert'; readonly id: string }
  /** The lag of a machine over the last `sinceMs` milliseconds. */
  | { readonly kind: 'lagSeries'; readonly machine: string; readonly sinceMs: number }
  /** `about`: an id, a machine's or a person's name. `isUnchecked`: the entries alone; the chain is not followed. */
  | { readonly kind: 'audit'; readonly about: string; readonly isUnchecked?: true }
  | { readonly kind: 'surfaces' };

type Order<Kind extends string, Body extends z.ZodType> = { readonly kind: Kind; readonly body: z.input<Body> };

/** An order to the engine; it is sent with an idempotency key, so that sending it again does it once. */
export type ApiOrder =
  | Order<'enable', typeof enableBody>
  | Order<'pause', typeof pauseBody>
  | Order<'resume', typeof resumeBody>
  | Order<'resync', typeof resyncBody>
  | Order<'bookmark', typeof bookmarkBody>
  | Order<'testFailover', typeof testFailoverBody>
  | Order<'cleanup', typeof cleanupBody>
  | Order<'plannedFailover', typeof plannedFailoverBody>
  | Order<'approve', typeof approveBody>
  | Order<'reject', typeof rejectBody>
  | Order<'withdraw', typeof withdrawBody>
  | Order<'review', typeof reviewBody>
  | Order<'ack' | 'unack' | 'unsnooze' | 'escalate' | 'mute', typeof alertBody>
  | Order<'snooze', typeof snoozeBody>
  | Order<'threshold', typeof thresholdBody>
  | Order<'subscribe', typeof subscribeBody>
  | Order<'onCall', typeof onCallBody>
  | Order<'link', typeof linkBody>
  | Order<'authenticator', typeof authenticatorBody>
  | Order<'person', typeof personBody>
  | Order<'role', typeof roleBody>
  | Order<'tag', typeof tagBody>
  /** A one-time link to the web console. */
  | { readonly kind: 'signInLink'; readonly body: Record<string, never> }
  | Order<'signOut', typeof signOutBody>;

export type ApiCall = ApiQuery | ApiOrder;

/** What the engine said to a call. A refusal is an answer; an engine that cannot be asked is an OutageError. */
export type ApiAnswer =
  | { readonly kind: 'whoami'; readonly whoami: WhoamiView }
  | { readonly kind: 'version'; readonly version: VersionView }
  | { readonly kind: 'machines'; readonly machines: readonly MachineView[] }
  | { readonly kind: 'machine'; readonly machine: MachineView }
  | { readonly kind: 'points'; readonly points: readonly PointView[] }
  | { readonly kind: 'hosts'; readonly hosts: readonly HostView[] }
  | { readonly kind: 'runs'; readonly runs: readonly RunView[] }
  | { readonly kind: 'run'; readonly run: RunView }
  | { readonly kind: 'people'; readonly people: readonly PersonView[] }
  | { readonly kind: 'approvals'; readonly approvals: readonly ApprovalView[] }
  | { readonly kind: 'approval'; readonly approval: ApprovalView }
  | { readonly kind: 'alerts'; readonly alerts: readonly AlertView[] }
  | { readonly kind: 'alert'; readonly alert: AlertView }
  | { readonly kind: 'lagSeries'; readonly series: LagSeries }
  | { readonly kind: 'audit'; readonly audit: AuditAnswer }
  | { readonly kind: 'surfaces'; readonly surfaces: readonly SurfaceView[] }
  | { readonly kind: 'link'; readonly link: LinkAnswer }
  | { readonly kind: 'authenticator'; readonly authenticator: AuthenticatorAnswer }
  | { readonly kind: 'signInLink'; readonly link: SignInLinkAnswer }
  | { readonly kind: 'order'; readonly answer: CommandAnswer }
  | { readonly kind: 'refusal'; readonly refusal: RefusalBody };

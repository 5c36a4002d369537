import { z } from 'zod';
import { alertRules } from '../domain/alert.ts';
import type { AlertId, ApprovalId, MessageId, RunId } from '../domain/ids.ts';
import { id, machineName } from './api-fields.ts';

/**
 * What chat adds to the control API: who speaks, approvals, alerts, and the messages that the engine wants to be seen.
 * Times are epoch milliseconds by the database's clock. Source: CHAT 5, RELIABILITY 2b
 */
const shortText = z.string().max(500);
export const personName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a person is 1 to 63 small letters, digits, dots, dashes');

// ── who speaks ─────────────────────────────────────────────────────────────────────────────────────────────
export const chatSurfaceName = z.enum(['slack', 'teams']);
/**
 * Whom a bot speaks for; header `lifeboat-actor`, as encodeURIComponent(JSON). The bot's own certificate vouches for it.
 * Identity is (surface, tenant, user); `displayName` is for showing only. Source: CHAT 2.2, 5.2 (3)
 */
export const chatActor = z.object({
  surface: chatSurfaceName,
  /** Slack's enterprise or team id; Teams' tenant id. */
  tenant: z.string().min(1).max(100),
  /** Slack's user id; Teams' aadObjectId. */
  user: z.string().min(1).max(100),
  displayName: z.string().max(100).default(''),
  kind: z.enum(['member', 'guest', 'external', 'bot']),
  /** The platform's number of the event, for the audit trail. */
  envelope: z.string().max(300).default(''),
});
export const actorHeader = 'lifeboat-actor';

export const grantView = z.object({
  role: z.enum(['viewer', 'operator', 'approver', 'admin']),
  scope: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('everything') }),
    z.object({ kind: z.literal('machine'), name: z.string() }),
    z.object({ kind: z.literal('tag'), tag: z.string() }),
  ]),
});
export const personView = z.object({
  name: personName,
  grants: z.array(grantView),
  links: z.array(z.object({ surface: chatSurfaceName, tenant: z.string(), user: z.string(), linkedAtMs: z.number() })),
  hasAuthenticator: z.boolean(),
  isOnCall: z.boolean(),
  /** 0 is asked first; null for who is not on call. */
  onCallPosition: z.number().int().nullable().default(null),
  disabledAtMs: z.number().nullable(),
});

// ── approvals ──────────────────────────────────────────────────────────────────────────────────────────────
export const approvalState = z.enum([
  'pending',
  'approved',
  'rejected',
  'expired',
  'withdrawn',
  'superseded',
  'executing',
  'succeeded',
  'failed',
  'cancelled',
]);
export const checkView = z.object({
  name: z.string(),
  state: z.enum(['ok', 'warning', 'failed']),
  detail: shortText,
});
export const voteView = z.object({
  person: personName,
  decision: z.enum(['approve', 'reject']),
  atMs: z.number(),
  /** E.g. `slack`, `teams`, `certificate`. */
  via: z.string(),
  reason: z.string(),
  stepUp: z.enum(['totp', 'none']),
});
export const approvalView = z.object({
  id: id<ApprovalId>('approval'),
  /** Goes up with every change; buttons carry it, so that a stale one is noticed. */
  revision: z.number().int().min(1),
  /** SHA-256 over everything that will be done, hex. */
  digest: z.string(),
  operation: z.enum(['planned-failover', 'raise-threshold', 'change-approvers']),
  /** None when it is about a person. */
  machineNames: z.array(z.string()),
  /** Whose rights it changes, and how: `operator → approver for vm-7`. */
  subject: z.object({ person: personName, change: z.string() }).optional(),
  /** How the tags of the machine change: `web → web, tier:0`; only of what is about tags. */
  tagChange: z.string().optional(),
  state: approvalState,
  requestedBy: personName,
  requestedVia: z.string(),
  reason: z.string(),
  requestedAtMs: z.number(),
  expiresAtMs: z.number(),
  neededCount: z.number().int().min(1),
  votes: z.array(voteView),
  /** Who may decide now, or review what was done alone: approvers in scope, without the one who asks. */
  eligible: z.array(personName),
  /** One sentence each, for a person with ten seconds: what will happen, what stops, what is lost. */
  impact: z.array(z.string()),
  checks: z.array(checkView),
  facts: z.array(z.object({ label: z.string(), value: z.string() })),
  isBreakGlass: z.boolean(),
  /** After a break-glass: who has to look at it until when, and who did. */
  review: z
    .object({
      dueAtMs: z.number(),
      reviewedBy: z.string().nullable(),
      note: z.string().nullable(),
      reviewedAtMs: z.number().nullable().optional(),
    })
    .nullable(),
  /** Who ended it and why: a rejection's reason, what superseded it. */
  decidedBy: z.string().nullable(),
  decidedAtMs: z.number().nullable(),
  decisionReason: z.string().nullable(),
  runId: id<RunId>('run').nullable(),
  /** Measured when the run has ended. */
  measured: z.object({ rpoMs: z.number(), rtoMs: z.number() }).nullable(),
});

// ── alerts ─────────────────────────────────────────────────────────────────────────────────────────────────
export const alertView = z.object({
  id: id<AlertId>('alert'),
  revision: z.number().int().min(1),
  rule: z.enum(alertRules),
  /** What it is about: a machine's name, a host, a process server, or the installation. */
  scope: z.string(),
  severity: z.enum(['warning', 'critical']),
  state: z.enum(['open', 'acknowledged', 'snoozed', 'muted', 'recovered']),
  title: z.string(),
  text: z.string(),
  nextStep: z.string(),
  /** More than one when a common cause groups them. */
  machineNames: z.array(z.string()),
  /** Each member of a group with its own words. */
  members: z.array(z.object({ scope: z.string(), text: z.string() })),
  occurrences: z.number().int().min(1),
  openedAtMs: z.number(),
  changedAtMs: z.number(),
  recoveredAtMs: z.number().nullable(),
  owner: z.string().nullable(),
  snoozedUntilMs: z.number().nullable(),
  /** 0: channel; 1: on-call; 2: secondary; 3: pager webhook. */
  escalationLevel: z.number().int().min(0).max(3),
});

// ── the newest points of a machine as a curve, for the lag plot ────────────────────────────────────────────
export const lagSeries = z.object({
  machineName: z.string(),
  thresholdMs: z.number(),
  /** From which lag on it is critical; three times the threshold when left out. */
  criticalMs: z.number().optional(),
  fromMs: z.number(),
  toMs: z.number(),
  /** Oldest first; between two samples the lag grows by the time that passes. */
  samples: z.array(z.object({ atMs: z.number(), lagMs: z.number() })).max(2000),
});

// ── messages: what the engine wants people to see, and where ───────────────────────────────────────────────
/** Where a message stands, in the platform's own words (Slack: channel and ts; Teams: reference and activity id). */
export const messageRef = z.record(z.string(), z.unknown());
export const chatPlace = z.object({
  surface: chatSurfaceName,
  tenant: z.string(),
  /** A channel's id, or `user:<id>` for a direct message. */
  place: z.string().max(300),
});
/** Lines of a thread, direct notes and digests: words only. */
export const noteView = z.object({
  title: z.string().max(150),
  tone: z.enum(['neutral', 'working', 'good', 'warning', 'bad']),
  text: z.array(z.string().max(3000)).max(20),
  /** A command to copy. */
  copyLine: z.string().max(500).nullable(),
});
export const deliverySubject = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('approval'), approval: approvalView }),
  z.object({ kind: z.literal('alert'), alert: alertView }),
  z.object({ kind: z.literal('run'), runId: id<RunId>('run') }),
  z.object({ kind: z.literal('note'), note: noteView }),
  /** The console picture of a run, or an alert's lag plot, as a file in the thread. */
  z.object({ kind: z.literal('picture'), apiPath: z.string(), fileName: z.string(), altText: z.string() }),
]);
export const deliveryView = z.object({
  id: id<MessageId>('message'),
  place: chatPlace,
  /** What a delivery shows is always newer or equal to this; report it back. */
  revision: z.number().int().min(1),
  subject: deliverySubject,
  /** The message to edit; null: post a new one. */
  ref: messageRef.nullable(),
  /** The message in whose thread it belongs. */
  parentRef: messageRef.nullable(),
  /** Post it so that phones ring (Slack: broadcast of the thread reply, mentions). */
  isNotifying: z.boolean(),
  /** Chat users to mention, of this place's surface and tenant. */
  mentions: z.array(z.string()),
  severity: z.enum(['critical', 'warning', 'info']),
});
export const claimBody = z.object({
  surface: chatSurfaceName,
  tenant: z.string(),
  countMax: z.number().int().min(1).max(100).default(20),
  /** Waits so long for the first one. */
  waitMs: z.number().int().min(0).max(20_000).default(0),
});
export const deliveryOutcomeBody = z.object({
  revision: z.number().int().min(1),
  outcome: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('delivered'), ref: messageRef }),
    z.object({ kind: z.literal('later'), retryAfterMs: z.number().int().min(0).max(3_600_000), error: shortText }),
    z.object({ kind: z.literal('undeliverable'), error: shortText }),
  ]),
});
/** Stands for the tenant of a platform that never answered: only it says whose it is. */
export const unknownTenant = 'unknown';
/** Every minute: whether the platform answers. Source: CHAT 5.2 (7) */
export const surfaceReportBody = z.object({
  surface: chatSurfaceName,
  tenant: z.string(),
  isHealthy: z.boolean(),
  detail: shortText.default(''),
});
export const surfaceView = surfaceReportBody.extend({ reportedAtMs: z.number() });
/** Shows a topic (`run:run_…`, `approval:apr_…`, `alert:alr_…`) in one more place, and keeps it true there. */
export const followBody = z.object({
  topic: z.string().max(100),
  place: chatPlace,
  /** The copy that is there already, when there is one. */
  ref: messageRef.nullable().default(null),
});
/** Teams: the conversation reference by which a place can be written to first. */
export const placeBody = chatPlace.extend({ reference: messageRef });
export const placeView = placeBody.extend({ isSubscribed: z.boolean().default(false) });

// ── commands ───────────────────────────────────────────────────────────────────────────────────────────────
export const plannedFailoverBody = z.object({
  machine: z.string(),
  reason: z.string().min(1).max(500),
  dryRun: z.boolean().default(false),
  /** Not before this time. */
  atMs: z.number().int().optional(),
  breakGlass: z.object({ typedName: z.string().max(200) }).optional(),
  /** The six-digit code; a break-glass needs it. */
  code: z.string().max(20).optional(),
});
const decisionTarget = {
  approval: z.string().max(100),
  /** What the person saw; left out on the command line, where the newest is meant. */
  revision: z.number().int().optional(),
  digest8: z
    .string()
    .regex(/^[0-9a-f]{8}$/)
    .optional(),
};
export const approveBody = z.object({
  ...decisionTarget,
  code: z.string().max(20).optional(),
  reason: shortText.default(''),
});
export const rejectBody = z.object({ ...decisionTarget, reason: z.string().min(1).max(500) });
export const withdrawBody = z.object(decisionTarget);
export const reviewBody = z.object({ approval: z.string().max(100), note: z.string().min(1).max(500) });
export const alertBody = z.object({ alert: z.string().max(100), reason: shortText.default('') });
export const snoozeBody = z.object({
  alert: z.string().max(100),
  forMs: z
    .number()
    .int()
    .min(60_000)
    .max(7 * 86_400_000),
});
export const thresholdBody = z.object({
  machine: z.string(),
  warnMs: z
    .number()
    .int()
    .min(1000)
    .max(7 * 86_400_000),
  criticalMs: z
    .number()
    .int()
    .min(1000)
    .max(30 * 86_400_000),
  reason: shortText.default(''),
});
export const subscribeBody = z
  .object({
    place: chatPlace,
    severityMin: z.enum(['info', 'warning', 'critical']).default('info'),
    /** Only of this host, or of all hosts of this site; everything if both are left out. */
    host: z.string().optional(),
    site: machineName.optional(),
    isOn: z.boolean().default(true),
  })
  .refine(({ host, site }) => host === undefined || site === undefined, 'a host or a site, not both');
/** Primary first; `users` are chat users of the caller's tenant, or persons. */
export const onCallBody = z.object({ persons: z.array(z.string().max(100)).max(10) });
export const linkBody = z.object({ code: z.string().max(40).optional() });
/** Without a code: begins to set up the six-digit codes. With one: proves that it works. */
export const authenticatorBody = z.object({ code: z.string().max(20).optional() });
/** Where a role that is given counts. Names are checked: who approves reads them in a sentence. */
const scopeBody = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('everything') }),
  z.object({ kind: z.literal('machine'), name: machineName }),
  z.object({ kind: z.literal('tag'), tag: z.string().regex(/^[a-z0-9][a-z0-9:._-]{0,59}$/) }),
]);
export const personBody = z.object({
  name: personName,
  /** Replaces all that the person may do. */
  grants: z
    .array(z.object({ role: grantView.shape.role, scope: scopeBody }))
    .max(20)
    .optional(),
  isDisabled: z.boolean().optional(),
  /** Takes the person's chat users of these surfaces away. */
  unlink: z.array(chatSurfaceName).max(2).optional(),
  /** A lost telephone: the person sets up six-digit codes anew. */
  resetAuthenticator: z.boolean().optional(),
  reason: shortText.default(''),
});
/** One role of a person who is there, in place of the one that they have for the same scope. */
export const roleBody = z.object({
  /** A person, or a chat user of the caller's tenant. */
  person: z.string().min(1).max(100),
  role: z.enum([...grantView.shape.role.options, 'none']),
  scope: scopeBody,
  reason: shortText.default(''),
});
export const tagBody = z.object({
  machine: z.string(),
  add: z.array(z.string().max(60)).default([]),
  remove: z.array(z.string().max(60)).default([]),
  /** Shown to whoever must approve it. */
  reason: z.string().max(500).default(''),
});

export const chatRoutes = {
  people: '/v1/people',
  approvals: '/v1/approvals',
  approval: '/v1/approvals/:id',
  alerts: '/v1/alerts',
  alert: '/v1/alerts/:id',
  lagSeries: '/v1/machines/:name/lag',
  audit: '/v1/audit',
  surfaces: '/v1/surfaces',
  claim: '/v1/bot/deliveries/claim',
  deliveryOutcome: '/v1/bot/deliveries/:id/outcome',
  surfaceReport: '/v1/bot/surface',
  credentials: '/v1/bot/credentials',
  follow: '/v1/bot/follow',
  places: '/v1/bot/places',
  plannedFailover: '/v1/commands/planned-failover',
  approve: '/v1/commands/approve',
  reject: '/v1/commands/reject',
  withdraw: '/v1/commands/withdraw',
  review: '/v1/commands/review',
  ack: '/v1/commands/ack',
  unack: '/v1/commands/unack',
  snooze: '/v1/commands/snooze',
  unsnooze: '/v1/commands/unsnooze',
  escalate: '/v1/commands/escalate',
  mute: '/v1/commands/mute',
  threshold: '/v1/commands/threshold',
  subscribe: '/v1/commands/subscribe',
  onCall: '/v1/commands/on-call',
  link: '/v1/commands/link',
  authenticator: '/v1/commands/authenticator',
  person: '/v1/commands/person',
  role: '/v1/commands/role',
  tag: '/v1/commands/tag',
} as const;

export type ChatActor = z.infer<typeof chatActor>;
export type GrantView = z.infer<typeof grantView>;
export type PersonView = z.infer<typeof personView>;
export type ApprovalView = z.infer<typeof approvalView>;
export type CheckView = z.infer<typeof checkView>;
export type VoteView = z.infer<typeof voteView>;
export type AlertView = z.infer<typeof alertView>;
export type AlertRule = AlertView['rule'];
export type LagSeries = z.infer<typeof lagSeries>;
export type MessageRef = z.infer<typeof messageRef>;
export type ChatPlace = z.infer<typeof chatPlace>;
export type NoteView = z.infer<typeof noteView>;
export type DeliveryView = z.infer<typeof deliveryView>;
export type DeliveryOutcome = z.infer<typeof deliveryOutcomeBody>['outcome'];
export type SurfaceView = z.infer<typeof surfaceView>;

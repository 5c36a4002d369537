import { z } from 'zod';
import type { MachineId, RecoveryPointId } from '../domain/ids.ts';
import { byteCount, id, machineName } from './api-fields.ts';
import { approvalView, checkView, grantView } from './chat-api.ts';

/**
 * What agents, process servers, bots and `dr` say to the engine over HTTPS (443 in production), and what it answers.
 * Sizes are bytes, times epoch milliseconds by the engine's clock unless the name says otherwise. Source: B2
 */

// ── people: queries ────────────────────────────────────────────────────────────────────────────────────────
export const protectionView = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('not-protected') }),
  z.object({
    kind: z.literal('initial-replication'),
    doneBytes: byteCount,
    totalBytes: byteCount,
    bytesPerSecond: z.number(),
  }),
  z.object({ kind: z.literal('protected') }),
  /** It runs at the target; the source is stopped and fenced. `commit` and `reprotect` come next. Source: A10 */
  z.object({
    kind: z.literal('failed-over'),
    runId: id<string>('run'),
    target: z.string(),
    vmName: z.string(),
    atMs: z.number(),
    /** `hydrating`: blocks still come from the vault while it runs. */
    disks: z.enum(['hydrating', 'local']),
  }),
]);
export const pointView = z.object({
  id: id<RecoveryPointId>('recoveryPoint'),
  kind: z.enum(['crash-consistent', 'application-consistent']),
  state: z.enum(['receiving', 'sealed', 'verified', 'available', 'damaged', 'expiring']),
  takenAtMs: z.number(),
  reason: z.string(),
  /** What the guest changed since the point before; only where the points of one machine are listed. */
  changedBytes: byteCount.optional(),
});
export const drillView = z.object({
  id: id<string>('drill'),
  runId: id<string>('run'),
  state: z.enum(['starting', 'open', 'cleaning', 'closed']),
  point: pointView,
  vmName: z.string(),
  startedAtMs: z.number(),
  expiresAtMs: z.number(),
});
export const machineView = z.object({
  id: id<MachineId>('machine').nullable(),
  name: machineName,
  hostName: machineName,
  kind: z.enum(['qemu-guest', 'disk-image']),
  tracking: z.string(),
  unsupported: z.string().nullable(),
  protection: protectionView,
  replication: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('running') }),
    z.object({ kind: z.literal('paused'), untilMs: z.number(), reason: z.string() }),
  ]),
  /** What replication is doing or why it is not; unknown when the agent is silent. */
  health: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('healthy') }),
    // `isExpected`: it follows from what people asked for, as a first copy does; nobody has to look.
    z.object({ kind: z.literal('warning'), message: z.string(), isExpected: z.boolean().optional() }),
    z.object({ kind: z.literal('critical'), message: z.string(), isExpected: z.boolean().optional() }),
    z.object({ kind: z.literal('unknown'), message: z.string(), isExpected: z.boolean().optional() }),
  ]),
  policy: z
    .object({
      name: z.string(),
      crashConsistentEveryMs: z.number(),
      rpoThresholdMs: z.number(),
      retentionMs: z.number(),
      drillLimitMs: z.number(),
    })
    .nullable(),
  /** The lags above which people are told of it: its own figures, or those of its policy. Null while it is not protected. */
  thresholds: z.object({ warnMs: z.number(), criticalMs: z.number() }).nullable(),
  disks: z.array(z.object({ key: z.string(), sizeBytes: byteCount })),
  lagMs: z.number().nullable(),
  newestPoint: pointView.nullable(),
  availablePointCount: z.number().int(),
  sentBytesTotal: byteCount,
  drill: drillView.nullable(),
  tags: z.array(z.string()),
  /** The newest test failover that ended, whatever its end; null when there was none. */
  lastDrill: z
    .object({
      runId: id<string>('run'),
      atMs: z.number(),
      isVerified: z.boolean(),
      secondsToGuestUp: z.number().nullable(),
    })
    .nullable(),
});
export const hostView = z.object({
  name: machineName,
  /** Where the host stands, as its agent's configuration says. Source: A4 */
  siteName: machineName,
  agentVersion: z.string(),
  lastSeenMs: z.number().nullable(),
  certificateExpiresAtMs: z.number().nullable(),
  guestNames: z.array(machineName),
});
export const stepView = z.object({
  name: z.string(),
  state: z.enum(['pending', 'running', 'done', 'failed', 'undone']),
  startedAtMs: z.number().nullable(),
  finishedAtMs: z.number().nullable(),
});
export const runView = z.object({
  id: id<string>('run'),
  kind: z.enum(['test-failover', 'cleanup', 'planned-failover']),
  machineName: machineName,
  state: z.enum(['active', 'succeeded', 'failed']),
  requestedBy: z.string(),
  startedAtMs: z.number(),
  finishedAtMs: z.number().nullable(),
  steps: z.array(stepView),
  /** Why it failed, for a person. */
  failure: z.string().nullable(),
  /** Filled when a test failover succeeded. */
  result: z
    .object({
      point: pointView,
      /** The point's age when the run began: the data that a real failover would have lost. */
      pointAgeMs: z.number(),
      secondsToGuestUp: z.number(),
      marker: z.string().nullable(),
      verified: z.boolean(),
      verification: z.string(),
      /** False for a drill from an older point than the newest that could be started then; left out where nobody noted it. */
      isNewestPoint: z.boolean().optional(),
      /** Path of the console picture on the engine's host; also at /v1/runs/<id>/console.png. */
      consolePicture: z.string().nullable(),
      vmName: z.string(),
      accelerator: z.string(),
      /** Planned failovers only: what was measured, and the proof that nothing was lost. Source: A10 */
      failover: z
        .object({
          rpoMs: z.number(),
          /** From the order to stop the source until the guest was up at the target. */
          rtoMs: z.number(),
          proof: z.string(),
          disksComparedCount: z.number().int(),
        })
        .optional(),
    })
    .nullable(),
  approvalId: id<string>('approval').nullable().default(null),
});
export const eventView = z.object({
  number: z.number().int(),
  atMs: z.number(),
  machineName: z.string().nullable(),
  runId: z.string().nullable(),
  kind: z.string(),
  text: z.string(),
});
export const whoamiView = z.object({
  name: z.string(),
  roles: z.array(z.string()),
  /** The roles with the machines for which they count. */
  grants: z.array(grantView).default([]),
  via: z.string(),
  /** False for somebody in chat who is linked to no person. */
  isLinked: z.boolean().default(true),
  hasAuthenticator: z.boolean().default(false),
  isOnCall: z.boolean().default(false),
});
export const versionView = z.object({
  engine: z.string(),
  node: z.string(),
  postgres: z.string(),
  vault: z.string(),
  accelerator: z.string(),
});

// ── people: commands. Each POST carries the header `idempotency-key`; the same key gives the same answer. ──
export const enableBody = z.object({
  machine: z.string(),
  policy: z.string().default('default'),
  host: z.string().optional(),
});
export const pauseBody = z.object({
  machine: z.string(),
  forMs: z
    .number()
    .int()
    .min(1000)
    .max(7 * 86_400_000),
  reason: z.string().min(1).max(500),
});
export const resumeBody = z.object({ machine: z.string() });
export const resyncBody = z.object({ machine: z.string(), reason: z.string().max(500).default('') });
export const bookmarkBody = z.object({
  machine: z.string(),
  reason: z.string().min(1).max(500),
  applicationConsistent: z.boolean().default(false),
});
export const testFailoverBody = z.object({
  machine: z.string(),
  /** `latest`, or a recovery point's id. */
  point: z.string().default('latest'),
  dryRun: z.boolean().default(false),
});
export const cleanupBody = z.object({ machine: z.string(), note: z.string().max(500).default('') });

/** How long it took, measured in the newest ten runs of this kind and machine that succeeded. Milliseconds from the order to the guest being up. */
export const measuredTimes = z.object({
  medianMs: z.number(),
  slowestMs: z.number(),
  runCount: z.number().int().min(1),
});

/** What a test failover would do, decided before anything runs; `digest` is the SHA-256 of the plan. */
export const planView = z.object({
  digest: z.string(),
  machineName: machineName,
  point: pointView,
  pointAgeMs: z.number(),
  target: z.string(),
  vmName: z.string(),
  network: z.string(),
  accelerator: z.string(),
  expiresAfterMs: z.number(),
  steps: z.array(z.string()),
  measured: measuredTimes.nullable(),
  /** What was looked at for this plan; a failed one refuses the drill when it is asked for now. */
  checks: z.array(checkView).default([]),
});
/** What a planned failover would do, with its checks made now. */
export const plannedFailoverPlanView = z.object({
  digest: z.string(),
  machineName: machineName,
  newestPoint: pointView.nullable(),
  lagMs: z.number().nullable(),
  target: z.string(),
  vmName: z.string(),
  network: z.string(),
  accelerator: z.string(),
  shutdownLimitMs: z.number(),
  neededCount: z.number().int(),
  eligible: z.array(z.string()),
  impact: z.array(z.string()),
  checks: z.array(checkView),
  steps: z.array(z.string()),
  measured: measuredTimes.nullable(),
  /** The same of the machine's test failovers: what is known of a machine that was never failed over. */
  measuredDrills: measuredTimes.nullable().optional(),
});

/** Every refusal of the API has this body; HTTP status 401, 403, 404, 409, 422 or 503. */
export const refusalBody = z.object({
  kind: z.enum([
    'unknown-target',
    'ambiguous-target',
    'refused',
    'bad-request',
    'unauthenticated',
    'forbidden',
    'outage',
    /** The caller is known in chat and is no person here yet: `link`. */
    'not-linked',
    /** The order is right, and a six-digit code is missing or wrong. */
    'step-up',
  ]),
  message: z.string(),
  /** For unknown or ambiguous targets: what the person may have meant, nearest first. */
  candidates: z.array(z.string()).default([]),
  nextStep: z.string().nullable().default(null),
});

export const commandAnswer = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('done'), message: z.string() }),
  z.object({ kind: z.literal('run-started'), runId: id<string>('run') }),
  z.object({ kind: z.literal('plan'), plan: planView }),
  z.object({ kind: z.literal('failover-plan'), plan: plannedFailoverPlanView }),
  /** Asked for, decided, or withdrawn: the approval as it is now. */
  z.object({ kind: z.literal('approval'), approval: approvalView, message: z.string() }),
]);

/** Where each thing is asked for; `:x` are path parameters. GET answers are arrays or one view. */
export const routes = {
  enrol: '/v1/enrol',
  renew: '/v1/agent/renew',
  heartbeat: '/v1/agent/heartbeat',
  announcePoint: '/v1/agent/points',
  whoami: '/v1/whoami',
  version: '/v1/version',
  machines: '/v1/machines',
  machine: '/v1/machines/:name',
  points: '/v1/machines/:name/points',
  hosts: '/v1/hosts',
  runs: '/v1/runs',
  run: '/v1/runs/:id',
  consolePicture: '/v1/runs/:id/console.png',
  /** `?after=<number>&waitMs=<n>`: events after that number; waits up to 20 s for the first. */
  events: '/v1/events',
  enable: '/v1/commands/enable',
  pause: '/v1/commands/pause',
  resume: '/v1/commands/resume',
  resync: '/v1/commands/resync',
  bookmark: '/v1/commands/bookmark',
  testFailover: '/v1/commands/test-failover',
  cleanup: '/v1/commands/cleanup',
} as const;

export type PointView = z.infer<typeof pointView>;
export type DrillView = z.infer<typeof drillView>;
export type MachineView = z.infer<typeof machineView>;
export type HostView = z.infer<typeof hostView>;
export type MeasuredTimes = z.infer<typeof measuredTimes>;
export type RunView = z.infer<typeof runView>;
export type EventView = z.infer<typeof eventView>;
export type PlannedFailoverPlanView = z.infer<typeof plannedFailoverPlanView>;
export type PlanView = z.infer<typeof planView>;
export type RefusalBody = z.infer<typeof refusalBody>;
export type CommandAnswer = z.infer<typeof commandAnswer>;

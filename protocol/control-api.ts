import { z } from 'zod';
import {
  type AgentId,
  type DiskId,
  type IdKind,
  idPattern,
  type MachineId,
  type RecoveryPointId,
} from '../domain/ids.ts';
import { machineHardware, positionSchema } from './point-manifest.ts';

/**
 * What agents, process servers, bots and `dr` say to the engine over HTTPS (443 in production), and what it answers.
 * Sizes are bytes, times epoch milliseconds by the engine's clock unless the name says otherwise. Source: B2
 */
function id<T extends string>(kind: IdKind) {
  return z.custom<T>((value) => typeof value === 'string' && idPattern(kind).test(value), `expected a ${kind} id`);
}
export const machineName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is 1 to 63 letters, digits, dots, dashes');
const byteCount = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

// ── enrolment ──────────────────────────────────────────────────────────────────────────────────────────────
export const enrolRequest = z.object({
  token: z.string().max(2000),
  hostName: machineName,
  /** PEM of a PKCS#10 request; the key that signed it never leaves the host. */
  certificateRequest: z.string().max(8000),
});
export const certificateAnswer = z.object({
  agentId: id<AgentId>('agent'),
  /** PEM chain, leaf first. */
  certificate: z.string(),
  certificateAuthority: z.string(),
});
export const renewRequest = z.object({ certificateRequest: z.string().max(8000) });

// ── agent heartbeat: what is, against what should be ───────────────────────────────────────────────────────
export const guestReport = z.object({
  name: machineName,
  kind: z.enum(['qemu-guest', 'disk-image']),
  /** How changes of this guest are found, in words. */
  tracking: z.string().max(300),
  /** In boot order. */
  disks: z.array(z.object({ key: z.string().min(1).max(200), sizeBytes: byteCount })).max(64),
  hardware: machineHardware,
  /** Set when the guest cannot be protected; the reason is shown to people (A4). */
  unsupported: z.string().max(500).optional(),
});
export const replicationReport = z.object({
  machineId: id<MachineId>('machine'),
  /** What the agent does with the machine now. */
  activity: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('idle') }),
    /** Comparing the source with the vault, block by block: initial replication or resynchronisation. */
    z.object({
      kind: z.literal('scanning'),
      doneBytes: byteCount,
      totalBytes: byteCount,
      sentBytes: byteCount,
      bytesPerSecond: z.number().min(0),
      why: z.string().max(300),
    }),
    z.object({ kind: z.literal('sending'), queuedBytes: byteCount }),
    z.object({ kind: z.literal('failing'), message: z.string().max(1000), sinceMs: z.number() }),
  ]),
  resyncRequired: z.string().max(300).optional(),
  spoolBytes: byteCount,
  /** Bytes of changes sent since the agent started. */
  sentBytesTotal: byteCount,
});
export const heartbeatRequest = z.object({
  /** Made anew at each start of the agent: two agents with one certificate are noticed by it. */
  instanceId: z.string().uuid(),
  agentVersion: z.string().max(40),
  hostName: machineName,
  guests: z.array(guestReport).max(1000),
  machines: z.array(replicationReport).max(1000),
  /** Ids of requests that the agent has carried out. */
  doneRequests: z.array(id<string>('request')).max(1000),
});
export const assignment = z.object({
  machineId: id<MachineId>('machine'),
  name: machineName,
  epoch: z.number().int().min(1),
  crashConsistentEveryMs: z.number().int().min(1000),
  paused: z.boolean(),
  /** The machine's disks by the source's key; a disk that the agent reports and the engine does not list is not protected. */
  disks: z.array(z.object({ diskId: id<DiskId>('disk'), key: z.string(), sizeBytes: byteCount })),
  /** Signed permission to write these disks at a process server; see replication-grant.ts. */
  grant: z.string(),
  /** One-off requests of people, each to be carried out once. */
  requests: z.array(
    z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('bookmark'), requestId: id<string>('request'), reason: z.string().max(500) }),
      z.object({ kind: z.literal('resync'), requestId: id<string>('request') }),
    ]),
  ),
});
export const heartbeatAnswer = z.object({
  engineNowMs: z.number(),
  nextHeartbeatMs: z.number().int().min(100),
  processServers: z.array(z.string().url()).min(0),
  assignments: z.array(assignment),
});

// ── recovery points, as the agent announces them ───────────────────────────────────────────────────────────
export const announcePointRequest = z.object({
  machineId: id<MachineId>('machine'),
  epoch: z.number().int().min(1),
  /** The agent's own number of the capture: announcing it twice makes one point. */
  captureId: z.string().uuid(),
  kind: z.enum(['crash-consistent', 'application-consistent']),
  /** By the engine's clock as the agent knows it, never later than the true instant. */
  takenAtMs: z.number().int(),
  pauseMs: z.number().min(0),
  changedBytes: byteCount,
  requestId: id<string>('request').optional(),
  reason: z.string().max(500),
  disks: z
    .array(z.object({ diskId: id<DiskId>('disk'), position: positionSchema }))
    .min(1)
    .max(64),
});
export const announcePointAnswer = z.object({ pointId: id<RecoveryPointId>('recoveryPoint') });

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
]);
export const pointView = z.object({
  id: id<RecoveryPointId>('recoveryPoint'),
  kind: z.enum(['crash-consistent', 'application-consistent']),
  state: z.enum(['receiving', 'sealed', 'verified', 'available', 'damaged', 'expiring']),
  takenAtMs: z.number(),
  reason: z.string(),
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
    z.object({ kind: z.literal('warning'), message: z.string() }),
    z.object({ kind: z.literal('critical'), message: z.string() }),
    z.object({ kind: z.literal('unknown'), message: z.string() }),
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
  disks: z.array(z.object({ key: z.string(), sizeBytes: byteCount })),
  lagMs: z.number().nullable(),
  newestPoint: pointView.nullable(),
  availablePointCount: z.number().int(),
  sentBytesTotal: byteCount,
  drill: drillView.nullable(),
});
export const hostView = z.object({
  name: machineName,
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
  kind: z.enum(['test-failover', 'cleanup']),
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
      /** Path of the console picture on the engine's host; also at /v1/runs/<id>/console.png. */
      consolePicture: z.string().nullable(),
      vmName: z.string(),
      accelerator: z.string(),
    })
    .nullable(),
});
export const eventView = z.object({
  number: z.number().int(),
  atMs: z.number(),
  machineName: z.string().nullable(),
  runId: z.string().nullable(),
  kind: z.string(),
  text: z.string(),
});
export const whoamiView = z.object({ name: z.string(), roles: z.array(z.string()), via: z.string() });
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

export type EnrolRequest = z.infer<typeof enrolRequest>;
export type CertificateAnswer = z.infer<typeof certificateAnswer>;
export type GuestReport = z.infer<typeof guestReport>;
export type ReplicationReport = z.infer<typeof replicationReport>;
export type HeartbeatRequest = z.infer<typeof heartbeatRequest>;
export type HeartbeatAnswer = z.infer<typeof heartbeatAnswer>;
export type Assignment = z.infer<typeof assignment>;
export type AnnouncePointRequest = z.infer<typeof announcePointRequest>;
export type PointView = z.infer<typeof pointView>;
export type DrillView = z.infer<typeof drillView>;
export type MachineView = z.infer<typeof machineView>;
export type HostView = z.infer<typeof hostView>;
export type RunView = z.infer<typeof runView>;
export type EventView = z.infer<typeof eventView>;
export type PlanView = z.infer<typeof planView>;
export type RefusalBody = z.infer<typeof refusalBody>;
export type CommandAnswer = z.infer<typeof commandAnswer>;

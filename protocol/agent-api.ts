import { z } from 'zod';
import type { AgentId, DiskId, MachineId, RecoveryPointId } from '../domain/ids.ts';
import { byteCount, id, machineName } from './api-fields.ts';
import { machineHardware, positionSchema } from './point-manifest.ts';

/** What agents say to the engine over HTTPS, and what it answers. Times are epoch milliseconds. Source: B2 */
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
/** How a power request ended. */
export const powerOutcome = z.discriminatedUnion('kind', [
  /** Stopped by itself, and what it wrote last is the capture `captureId`; a look after that found no change. */
  z.object({
    kind: z.literal('stopped'),
    captureId: z.string().uuid(),
    how: z.string().max(200),
    /** Bytes that the second look found changed: a source that still writes is never called stopped. */
    changedSinceBytes: z.literal(0),
    /** Where the agent left every disk once all of the capture was acknowledged; empty until then, and told again. */
    disks: z.array(z.object({ diskId: id<DiskId>('disk'), position: positionSchema })).max(64),
  }),
  z.object({ kind: z.literal('running') }),
  z.object({ kind: z.literal('failed'), message: z.string().max(500), isRunning: z.boolean() }),
]);
/** What the host has for changes that wait: how much they may take, how much they do, and what its file system has left. */
export const spoolReport = z.object({
  usedBytes: byteCount,
  bytesMax: byteCount,
  /** As df counts: what is kept back for root is neither. Null when it could not be asked. */
  fileSystem: z.object({ usedBytes: byteCount, freeBytes: byteCount }).nullable(),
});
export const heartbeatRequest = z.object({
  /** Made anew at each start of the agent: two agents with one certificate are noticed by it. */
  instanceId: z.string().uuid(),
  agentVersion: z.string().max(40),
  hostName: machineName,
  /** Where the host stands; agents before this field say nothing. */
  siteName: machineName.default('main'),
  guests: z.array(guestReport).max(1000),
  machines: z.array(replicationReport).max(1000),
  /** Ids of requests that the agent has carried out. */
  doneRequests: z.array(id<string>('request')).max(1000),
  /** How power requests ended; repeated until the engine asks no more. */
  powerResults: z
    .array(
      z.object({
        requestId: id<string>('request'),
        outcome: powerOutcome,
      }),
    )
    .max(100)
    .default([]),
  /** Machines that must stay stopped and were found running: another copy of them may be in charge. */
  runningAlthoughHeld: z.array(id<MachineId>('machine')).max(1000).default([]),
  /** Null from an agent that does not say it yet. */
  spool: spoolReport.nullable().default(null),
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
      /** Shut the source down in order, then capture what it wrote last; the point carries the request's id. Source: A10 */
      z.object({ kind: z.literal('shutdown'), requestId: id<string>('request'), limitMs: z.number().int().min(1000) }),
      /** Start the source again: the planned failover was given up before its point of no return. */
      z.object({ kind: z.literal('power-on'), requestId: id<string>('request') }),
    ]),
  ),
  /** True after a failover: the source must not run; see `runningAlthoughHeld`. Source: RELIABILITY I3 */
  isHeld: z.boolean().default(false),
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

export type EnrolRequest = z.infer<typeof enrolRequest>;
export type CertificateAnswer = z.infer<typeof certificateAnswer>;
export type GuestReport = z.infer<typeof guestReport>;
export type ReplicationReport = z.infer<typeof replicationReport>;
export type SpoolReport = z.infer<typeof spoolReport>;
export type HeartbeatRequest = z.infer<typeof heartbeatRequest>;
export type HeartbeatAnswer = z.infer<typeof heartbeatAnswer>;
export type Assignment = z.infer<typeof assignment>;
export type PowerOutcome = z.infer<typeof powerOutcome>;
export type PowerResult = HeartbeatRequest['powerResults'][number];
export type AnnouncePointRequest = z.infer<typeof announcePointRequest>;

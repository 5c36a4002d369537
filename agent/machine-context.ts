import type { DiskId } from '../domain/ids.ts';
import type { AnnouncePointRequest, Assignment } from '../protocol/agent-api.ts';
import type { ChangeSender, DiskCall } from './change-sender.ts';
import type { AnnounceOutcome } from './control-client.ts';
import type { DiskSpool } from './hrl-spool.ts';
import type { JournalStore } from './journal.ts';
import type { ReplicationProgress } from './replication-progress.ts';
import type { ChangeTracker } from './tracker/change-tracker.ts';
import type { Slots, Wakeup } from './wakeup.ts';

/** Places in a capture's life at which an agent may be killed; named for traces and for the tests that kill it there. */
export const captureBoundaries = [
  'captured',
  'spooled',
  'scanned',
  'made-durable',
  'acknowledged-to-tracker',
  'sent',
  'acknowledgement-recorded',
  'log-removed',
  'announced',
  'forgotten',
] as const;
export type CaptureBoundary = (typeof captureBoundaries)[number];

/** What the outer world gives to the replication of every machine of this agent. */
export type ReplicationDeps = {
  readonly sender: ChangeSender;
  readonly announcePoint: (point: AnnouncePointRequest) => Promise<AnnounceOutcome>;
  /** Engine clock minus this host's clock, from the newest heartbeat; never more than the true difference. */
  readonly engineClockOffsetMs: () => number;
  readonly nowMs: () => number;
  /** A clock that never jumps; for intervals only. */
  readonly monotonicMs: () => number;
  readonly random: () => number;
  /** Scans need memory, so only so many run at once. */
  readonly scanSlots: Slots;
  readonly log: AgentLog;
  readonly onBoundary: (boundary: CaptureBoundary) => void;
  /** Something happened that the engine waits for: the next heartbeat should not wait. */
  readonly onNews?: (() => void) | undefined;
};
export type AgentLog = {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
};

/** Everything that belongs to one machine while it is replicated. */
export type MachineContext = {
  readonly deps: ReplicationDeps;
  readonly tracker: ChangeTracker;
  readonly journal: JournalStore;
  readonly spoolOf: (diskId: DiskId) => Promise<DiskSpool>;
  /** As the newest heartbeat said it. */
  readonly assignment: () => Assignment;
  readonly progress: ReplicationProgress;
  readonly signal: AbortSignal;
  /** Whoever sends a log, scans, or drops the queue holds it: these must not overlap on one machine. */
  readonly transferTurn: Slots;
  /** One wakeup for each of the two loops. */
  readonly captureWakeup: Wakeup;
  readonly transferWakeup: Wakeup;
};

/** What a call about one of the machine's disks needs. */
export function diskCall(machine: MachineContext, diskId: DiskId): DiskCall {
  return { diskId, grant: () => machine.assignment().grant, signal: machine.signal };
}

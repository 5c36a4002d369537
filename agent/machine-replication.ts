import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskId } from '../domain/ids.ts';
import { describeCauses, OutageError } from '../domain/outage.ts';
import type { Assignment, PowerResult, ReplicationReport } from '../protocol/agent-api.ts';
import { FencedError } from './change-sender.ts';
import { type DiskSpool, openDiskSpool, type SpoolBudget } from './hrl-spool.ts';
import { openJournal } from './journal.ts';
import { withDisks, withoutSettledRequests } from './journal-change.ts';
import { captureOnce, resyncDisks } from './machine-capture.ts';
import type { MachineContext, ReplicationDeps } from './machine-context.ts';
import { checkPositions, transferOnce } from './machine-transfer.ts';
import { type BookmarkRequest, backoffMs, nextCaptureStep, queuedLogCount } from './replication-decision.ts';
import { createReplicationProgress } from './replication-progress.ts';
import { createSourcePower, type SourcePower } from './source-power.ts';
import { type ChangeTracker, SnapshotBrokenError } from './tracker/change-tracker.ts';
import { createSlots, createWakeup, type Wakeup } from './wakeup.ts';

/** The replication of one machine while it is assigned to this agent. It never throws: what fails is in its report. */
export type MachineReplication = {
  /** Takes over what the newest heartbeat said. */
  readonly update: (assignment: Assignment) => void;
  /** The engine answers again: what failed without it need not wait for its next attempt. */
  readonly tryAgain: () => void;
  readonly report: () => ReplicationReport;
  readonly doneRequests: () => readonly string[];
  /** How what was asked of the source's power has ended, until the engine asks no more. */
  readonly powerResult: () => PowerResult | undefined;
  /** True when the source was found running although it is held, until an answer has come to a heartbeat that said so. */
  readonly wasRunningAlthoughHeld: () => boolean;
  /** Ends both loops; a capture that is under way is abandoned, so that the machine is left as it was found. */
  readonly stop: () => Promise<void>;
  /** Protection was disabled: stops, and removes the tracking and everything that was kept for the machine. */
  readonly remove: () => Promise<void>;
};

export type MachineReplicationDeps = ReplicationDeps & {
  readonly tracker: ChangeTracker;
  readonly stateFolder: string;
  readonly spoolBudget: SpoolBudget;
};

export const machineFolder = (stateFolder: string, machineId: string): string =>
  join(stateFolder, 'machines', machineId);

export async function startMachineReplication(
  deps: MachineReplicationDeps,
  first: Assignment,
): Promise<MachineReplication> {
  const folder = machineFolder(deps.stateFolder, first.machineId);
  const stopping = new AbortController();
  const spools = spoolsIn(folder, deps);
  let assignment = first;
  const machine: MachineContext = {
    deps,
    tracker: deps.tracker,
    journal: await openJournal(folder, { machineId: first.machineId, machineName: first.name }),
    spoolOf: spools.of,
    assignment: () => assignment,
    progress: createReplicationProgress(deps),
    signal: stopping.signal,
    transferTurn: createSlots(1),
    captureWakeup: createWakeup(stopping.signal),
    transferWakeup: createWakeup(stopping.signal),
  };
  await adoptSpools(machine);
  const fence = createFence(machine);
  const power = createSourcePower(machine);
  const retry: Retry = { failureCount: 0, atMs: undefined };
  const loops = Promise.all([captureLoop(machine, fence, power), transferLoop(machine, fence, retry)]);
  const stop = async () => {
    stopping.abort(new Error('the agent stops'));
    await loops;
  };
  return {
    update(next) {
      assignment = next;
      fence.lift(next.epoch);
      power.answered();
      machine.captureWakeup.wake();
      machine.transferWakeup.wake();
    },
    tryAgain() {
      // Its next failure is the first of its own: the pauses grew while nobody could answer.
      retry.failureCount = 0;
      retry.atMs = undefined;
      machine.transferWakeup.wake();
    },
    report: () => reportOf(machine, spools.usedBytes()),
    doneRequests: () => machine.journal.now().doneRequests,
    powerResult: power.result,
    wasRunningAlthoughHeld: power.wasRunningAlthoughHeld,
    stop,
    async remove() {
      await stop();
      await deps.tracker.remove();
      for (const disk of machine.journal.now().disks) await (await machine.spoolOf(disk.diskId)).keepOnly(0, 0);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function spoolsIn(folder: string, deps: MachineReplicationDeps) {
  const opening = new Map<DiskId, Promise<DiskSpool>>();
  const opened: DiskSpool[] = [];
  const open = async (diskId: DiskId): Promise<DiskSpool> => {
    const spool = await openDiskSpool({ folder: join(folder, diskId), budget: deps.spoolBudget, nowMs: deps.nowMs });
    opened.push(spool);
    return spool;
  };
  return {
    of(diskId: DiskId): Promise<DiskSpool> {
      const spool = opening.get(diskId) ?? open(diskId);
      opening.set(diskId, spool);
      // One that could not be opened is tried again by the next who asks.
      spool.catch(() => opening.delete(diskId));
      return spool;
    },
    usedBytes: () => opened.reduce((sum, spool) => sum + spool.usedBytes(), 0),
  };
}

/** After a start: removes logs of captures that did not become durable, and finds logs that are not as they were left. */
async function adoptSpools(machine: MachineContext): Promise<void> {
  for (const disk of machine.journal.now().disks) {
    const spool = await machine.spoolOf(disk.diskId);
    const damaged = await spool.keepOnly(disk.acked?.sequence ?? 0, disk.queuedUpTo);
    if (damaged.length === 0) continue;
    const why = `${disk.key}: spooled log ${damaged[0]} is missing or was not closed`;
    machine.deps.log.warn({ diskId: disk.diskId, damaged }, why);
    await resyncDisks(machine, { diskIds: [disk.diskId], why });
  }
}

/** Someone else owns the machine: nothing is done until the engine assigns it to us again in a higher epoch. */
function createFence(machine: MachineContext) {
  let fencedEpoch: number | undefined;
  return {
    isUp: () => fencedEpoch !== undefined,
    raise(loop: 'capture' | 'transfer', error: FencedError) {
      fencedEpoch = machine.assignment().epoch;
      const message = `Replication of this machine was stopped because another copy of it is in charge: ${error.message}`;
      machine.progress.failed(loop, message);
      machine.deps.log.warn({ machineId: machine.assignment().machineId }, message);
    },
    lift(epoch: number) {
      if (fencedEpoch === undefined || epoch <= fencedEpoch) return;
      fencedEpoch = undefined;
      machine.progress.succeeded('capture');
      machine.progress.succeeded('transfer');
    },
  };
}
type Fence = ReturnType<typeof createFence>;

/** What a loop remembers of its failures: when to try again. */
type Retry = { failureCount: number; atMs: number | undefined };

async function waitForRetry(wakeup: Wakeup, retry: Retry, nowMs: number): Promise<boolean> {
  if (retry.atMs === undefined || retry.atMs <= nowMs) return false;
  await wakeup.wait(retry.atMs - nowMs);
  return true;
}

async function captureLoop(machine: MachineContext, fence: Fence, power: SourcePower): Promise<void> {
  const { deps } = machine;
  const retry: Retry = { failureCount: 0, atMs: undefined };
  let previousDueMs: number | undefined;
  while (!machine.signal.aborted) {
    try {
      if (await waitForRetry(machine.captureWakeup, retry, deps.monotonicMs())) continue;
      await takeOverAssignment(machine);
      const source = await power.see();
      if (source === 'moved') {
        machine.transferWakeup.wake();
        continue;
      }
      if (source === 'off') {
        await machine.captureWakeup.wait(undefined);
        continue;
      }
      const nowMs = deps.monotonicMs();
      const step = nextCaptureStep({
        ...factsOf(machine),
        isFenced: fence.isUp(),
        nowMs,
        previousDueMs,
      });
      if (step.kind === 'wait') {
        await machine.captureWakeup.wait(step.untilMs === undefined ? undefined : step.untilMs - nowMs);
        continue;
      }
      const outcome = await captureOnce(machine, step.request);
      if (outcome.kind === 'captured') previousDueMs = step.dueMs;
      else deps.log.info({ machineId: machine.assignment().machineId, why: outcome.why }, 'a capture is taken again');
      retry.failureCount = 0;
      retry.atMs = undefined;
      machine.progress.succeeded('capture');
      machine.transferWakeup.wake();
    } catch (error) {
      loopFailed(machine, { loop: 'capture', fence, retry, error });
    }
  }
}

/** Which disks are protected and what was asked for may have changed; only between captures is it taken over. */
async function takeOverAssignment(machine: MachineContext): Promise<void> {
  const { disks, requests } = machine.assignment();
  const askedFor = requests.map((request) => request.requestId);
  await machine.journal.update((journal) => withoutSettledRequests(withDisks(journal, disks), askedFor));
  const { doneRequests } = machine.journal.now();
  const resync = requests.find((request) => request.kind === 'resync' && !doneRequests.includes(request.requestId));
  if (resync === undefined) return;
  const diskIds = disks.map((disk) => disk.diskId);
  await resyncDisks(machine, {
    diskIds,
    why: 'a person asked for it; the disks are being compared',
    requestId: resync.requestId,
  });
}

function factsOf(machine: MachineContext) {
  const { paused, crashConsistentEveryMs } = machine.assignment();
  const journal = machine.journal.now();
  return {
    isPaused: paused,
    crashConsistentEveryMs,
    request: openBookmark(machine),
    disksToScanCount: journal.disks.filter((disk) => disk.resync !== null).length,
    queuedLogCount: queuedLogCount(journal),
  };
}

function openBookmark(machine: MachineContext): BookmarkRequest | undefined {
  const { doneRequests, captures } = machine.journal.now();
  const taken = new Set([...doneRequests, ...captures.map((capture) => capture.requestId)]);
  for (const request of machine.assignment().requests) {
    if (request.kind === 'bookmark' && !taken.has(request.requestId)) return request;
  }
  return undefined;
}

async function transferLoop(machine: MachineContext, fence: Fence, retry: Retry): Promise<void> {
  let isChecked = false;
  while (!machine.signal.aborted) {
    try {
      if (await waitForRetry(machine.transferWakeup, retry, machine.deps.monotonicMs())) continue;
      if (fence.isUp() || machine.assignment().isHeld) {
        await machine.transferWakeup.wait(undefined);
        continue;
      }
      if (!isChecked) await checkPositions(machine);
      isChecked = true;
      const done = await transferOnce(machine);
      retry.failureCount = 0;
      retry.atMs = undefined;
      const wasFailing = machine.progress.isFailing();
      machine.progress.succeeded('transfer');
      // As long as the engine believes that it fails, it refuses a planned failover.
      if (wasFailing && !machine.progress.isFailing()) machine.deps.onNews?.();
      if (done === 'nothing-to-do') await machine.transferWakeup.wait(undefined);
    } catch (error) {
      loopFailed(machine, { loop: 'transfer', fence, retry, error });
    }
  }
}

/** The agent's boundary for errors: nothing that fails for one machine may stop the agent or go unsaid. */
function loopFailed(
  machine: MachineContext,
  failure: { loop: 'capture' | 'transfer'; fence: Fence; retry: Retry; error: unknown },
): void {
  const { loop, fence, retry, error } = failure;
  if (machine.signal.aborted) return;
  if (error instanceof FencedError) {
    fence.raise(loop, error);
    return;
  }
  retry.failureCount += 1;
  const delayMs = retryDelayMs(machine, retry.failureCount, error);
  retry.atMs = machine.deps.monotonicMs() + delayMs;
  machine.deps.log.warn({ machineId: machine.assignment().machineId, loop, delayMs, err: error }, 'replication failed');
  // A view that had to be given up once or twice under load is no news; it is taken again.
  if (error instanceof SnapshotBrokenError && retry.failureCount < 3) return;
  const nextStep = error instanceof OutageError && error.nextStep !== undefined ? ` ${error.nextStep}` : '';
  machine.progress.failed(loop, `${describeCauses(error)}.${nextStep}`);
}

function retryDelayMs(machine: MachineContext, failureCount: number, error: unknown): number {
  if (error instanceof SnapshotBrokenError) return machine.assignment().crashConsistentEveryMs;
  return backoffMs(failureCount, machine.deps.random());
}

function reportOf(machine: MachineContext, spoolBytes: number): ReplicationReport {
  const journal = machine.journal.now();
  const resync = journal.disks.flatMap((disk) => (disk.resync === null ? [] : [disk.resync]));
  const resyncRequired = [...new Set(resync)].join('; ').slice(0, 300);
  const hasQueue = queuedLogCount(journal) > 0;
  return {
    machineId: machine.assignment().machineId,
    activity: machine.progress.activity(hasQueue ? spoolBytes : 0),
    ...(resyncRequired === '' ? {} : { resyncRequired }),
    spoolBytes,
    sentBytesTotal: machine.progress.sentBytesTotal(),
  };
}

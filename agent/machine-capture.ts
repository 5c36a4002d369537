import { randomUUID } from 'node:crypto';
import { totalBytes } from '../domain/extent.ts';
import { invariant } from '../domain/invariant.ts';
import { OutageError } from '../domain/outage.ts';
import { scanDisk } from './disk-scan.ts';
import { SpoolFullError } from './hrl-spool.ts';
import type { JournalDisk } from './journal.ts';
import { type CapturedOutcome, type ResyncOrder, withCapture, withDoneRequest, withResync } from './journal-change.ts';
import { diskCall, type MachineContext } from './machine-context.ts';
import { type BookmarkRequest, queuedLogCount } from './replication-decision.ts';
import type { Capture, CapturedDisk } from './tracker/change-tracker.ts';

/**
 * `captured`: the capture is durable here and will become a recovery point. `again`: it was given up, its changes stay recorded, and
 * the journal says what must happen first.
 */
export type CaptureOutcome = { readonly kind: 'captured' } | { readonly kind: 'again'; readonly why: string };

/**
 * Takes one capture and makes it durable.
 *
 * The order is what makes it safe to be killed anywhere: logs sealed, journal (the capture counts from here), tracker acknowledged.
 * Before the journal, the tracker still has every change; after it, the logs have.
 */
export async function captureOnce(
  machine: MachineContext,
  request: BookmarkRequest | undefined,
): Promise<CaptureOutcome> {
  const mustScan = machine.journal.now().disks.some((disk) => disk.resync !== null);
  const turn = mustScan ? await scanTurn(machine) : undefined;
  try {
    const capture = await machine.tracker.capture(machine.journal.now().generation);
    machine.deps.onBoundary('captured');
    const outcome = await useCapture(machine, { capture, request, turn });
    if (outcome.kind !== 'spool-full') return outcome;
    return await giveUpSpool(machine, { cause: outcome.why, hasTurn: turn !== undefined });
  } finally {
    turn?.();
  }
}

/**
 * The right to scan: one of the agent's slots, and no transfer of this machine on its way (a log that arrived during a scan would be
 * older than what the scan compared).
 */
async function scanTurn(machine: MachineContext): Promise<() => void> {
  const slot = await machine.deps.scanSlots.acquire(machine.signal);
  try {
    const transfer = await machine.transferTurn.acquire(machine.signal);
    return () => {
      transfer();
      slot();
    };
  } catch (error) {
    slot();
    throw error;
  }
}

function scanTurnIfFree(machine: MachineContext): (() => void) | undefined {
  const slot = machine.deps.scanSlots.tryAcquire();
  const transfer = slot === undefined ? undefined : machine.transferTurn.tryAcquire();
  if (slot === undefined || transfer === undefined) {
    slot?.();
    return undefined;
  }
  return () => {
    transfer();
    slot();
  };
}

type Work = {
  readonly capture: Capture;
  readonly request: BookmarkRequest | undefined;
  readonly turn: (() => void) | undefined;
};
type InnerOutcome = CaptureOutcome | { readonly kind: 'spool-full'; readonly why: string };

async function useCapture(machine: MachineContext, work: Work): Promise<InnerOutcome> {
  let isDurable = false;
  try {
    const outcome = await makeDurable(machine, work);
    if (outcome.kind !== 'captured') return outcome;
    isDurable = true;
    machine.deps.onBoundary('made-durable');
    machine.transferWakeup.wake();
    await work.capture.acknowledge();
    machine.deps.onBoundary('acknowledged-to-tracker');
    return outcome;
  } finally {
    if (!isDurable) await work.capture.abandon();
  }
}

/** A protected disk in a capture. */
type Part = { readonly disk: JournalDisk; readonly captured: CapturedDisk; readonly scanWhy: string | undefined };

async function makeDurable(machine: MachineContext, work: Work): Promise<InnerOutcome> {
  const parts = partsOf(machine, work.capture);
  const toScan = parts.filter((part) => part.scanWhy !== undefined);
  await recordResync(machine, toScan);
  const turn = work.turn ?? (toScan.length > 0 ? scanTurnIfFree(machine) : undefined);
  try {
    if (toScan.length > 0 && (turn === undefined || queuedLogCount(machine.journal.now()) > 0)) {
      return { kind: 'again', why: 'a comparison with the vault must wait for its turn' };
    }
    const spooled = await spoolParts(machine, parts);
    if (spooled.kind === 'spool-full') return spooled;
    machine.deps.onBoundary('spooled');
    const scanned = await scanParts(machine, toScan);
    machine.deps.onBoundary('scanned');
    await commit(machine, work, [...spooled.outcomes, ...scanned]);
    return { kind: 'captured' };
  } finally {
    turn?.();
  }
}

function partsOf(machine: MachineContext, capture: Capture): Part[] {
  const sizes = new Map(machine.assignment().disks.map((disk) => [disk.diskId, disk.sizeBytes]));
  return machine.journal.now().disks.map((disk) => {
    const captured = capture.disks.find((candidate) => candidate.disk.key === disk.key);
    if (captured === undefined) throw new OutageError(`capture: the disk ${disk.key} is gone from its machine`, gone);
    const expected = sizes.get(disk.diskId);
    if (expected !== captured.disk.sizeBytes) {
      const sizeText = `${captured.disk.sizeBytes} bytes now, ${expected} when it was protected`;
      throw new OutageError(`capture: the disk ${disk.key} has ${sizeText}`, gone);
    }
    const unknown = captured.changes.kind === 'everything-unknown' ? captured.changes.why : undefined;
    return { disk, captured, scanWhy: disk.resync ?? unknown };
  });
}

const gone = {
  retryable: true,
  nextStep: 'Give the machine its disk back as it was, or enable protection of the machine anew.',
};

/**
 * Durable before anything is sent: a scan that is killed halfway must be taken up again, whatever the tracker then says. What is
 * queued of the disk stays: it still makes points that were captured before.
 */
async function recordResync(machine: MachineContext, parts: readonly Part[]): Promise<void> {
  const why = new Map(parts.map((part) => [part.disk.diskId, part.scanWhy ?? 'unknown changes']));
  await machine.journal.update((journal) => {
    if (journal.disks.every((disk) => disk.resync !== null || !why.has(disk.diskId))) return journal;
    const disks = journal.disks.map((disk) => ({ ...disk, resync: disk.resync ?? why.get(disk.diskId) ?? null }));
    return { ...journal, disks };
  });
}

type Spooled =
  | { readonly kind: 'spooled'; readonly outcomes: readonly CapturedOutcome[] }
  | { readonly kind: 'spool-full'; readonly why: string };

async function spoolParts(machine: MachineContext, parts: readonly Part[]): Promise<Spooled> {
  const outcomes: CapturedOutcome[] = [];
  for (const { disk, captured, scanWhy } of parts) {
    if (scanWhy !== undefined || captured.changes.kind !== 'extents') continue;
    const spool = await machine.spoolOf(disk.diskId);
    try {
      const { lastSequence, lastLogId } = await spool.write({
        extents: captured.changes.extents,
        read: (offsetBytes, lengthBytes, into) => captured.read(offsetBytes, lengthBytes, into),
        previousSequence: disk.queuedUpTo,
        previousLogId: disk.lastLogId,
        generation: machine.journal.now().generation + 1,
      });
      outcomes.push({ kind: 'spooled', diskId: disk.diskId, lastSequence, lastLogId });
    } catch (error) {
      await removeUncommitted(machine);
      if (error instanceof SpoolFullError) return { kind: 'spool-full', why: error.message };
      throw error;
    }
  }
  return { kind: 'spooled', outcomes };
}

/** The guest is never held up: what the spool cannot take is found again by comparing with the vault. */
async function giveUpSpool(
  machine: MachineContext,
  full: { readonly cause: string; readonly hasTurn: boolean },
): Promise<CaptureOutcome> {
  const why = `${full.cause}; the machine must be compared with the vault`;
  machine.deps.log.warn({ machineId: machine.assignment().machineId }, why);
  const order = { diskIds: machine.journal.now().disks.map((disk) => disk.diskId), why };
  if (full.hasTurn) await dropQueue(machine, order);
  else await resyncDisks(machine, order);
  return { kind: 'again', why };
}

/** Drops what is queued of the disks and records durably that they must be compared with the vault. */
export async function resyncDisks(
  machine: MachineContext,
  order: ResyncOrder & { readonly requestId?: string },
): Promise<void> {
  const turn = await machine.transferTurn.acquire(machine.signal);
  try {
    await dropQueue(machine, order);
  } finally {
    turn();
  }
}

/** As `resyncDisks`, for a caller that has the machine's transfer turn. */
export async function dropQueue(
  machine: MachineContext,
  order: ResyncOrder & { readonly requestId?: string },
): Promise<void> {
  // Files first: on a full file system the journal can only be written when they are gone. A journal that still names them then
  // finds them missing, which means the same.
  for (const diskId of order.diskIds) await (await machine.spoolOf(diskId)).keepOnly(0, 0);
  await machine.journal.update((journal) => {
    const next = withResync(journal, order);
    return order.requestId === undefined ? next : withDoneRequest(next, order.requestId);
  });
}

async function scanParts(machine: MachineContext, parts: readonly Part[]): Promise<CapturedOutcome[]> {
  if (parts.length === 0) return [];
  const { progress, deps } = machine;
  const why = [...new Set(parts.map((part) => part.scanWhy))].join('; ').slice(0, 300);
  progress.scanStarted(
    why,
    parts.reduce((sum, part) => sum + part.captured.disk.sizeBytes, 0),
  );
  const outcomes: CapturedOutcome[] = [];
  try {
    for (const { disk, captured } of parts) {
      const position = await scanDisk({
        ...diskCall(machine, disk.diskId),
        captured,
        sender: deps.sender,
        nowMs: deps.nowMs,
        onProgress: (step) => progress.scanMoved(step.comparedBytes, step.sentBytes),
      });
      outcomes.push({ kind: 'scanned', diskId: disk.diskId, position });
    }
    deps.log.info({ machineId: machine.assignment().machineId, why }, 'the machine was compared with the vault');
    return outcomes;
  } catch (error) {
    await removeUncommitted(machine);
    throw error;
  } finally {
    progress.scanEnded();
  }
}

async function removeUncommitted(machine: MachineContext): Promise<void> {
  for (const disk of machine.journal.now().disks) {
    await (await machine.spoolOf(disk.diskId)).keepOnly(disk.acked?.sequence ?? 0, disk.queuedUpTo);
  }
}

async function commit(machine: MachineContext, work: Work, outcomes: readonly CapturedOutcome[]): Promise<void> {
  const { capture, request } = work;
  const changedBytes = capture.disks.reduce(
    (sum, disk) => sum + (disk.changes.kind === 'extents' ? totalBytes(disk.changes.extents) : 0),
    0,
  );
  const durable = {
    captureId: randomUUID(),
    kind: 'crash-consistent' as const,
    // Both parts are never later than the truth, and neither is the sum.
    takenAtMs: Math.floor(capture.takenAtMs + machine.deps.engineClockOffsetMs()),
    pauseMs: capture.pauseMs,
    changedBytes,
    requestId: request?.requestId ?? null,
    reason: request?.reason ?? '',
  };
  await machine.journal.update((journal) => {
    const isAsCaptured = outcomes.length === journal.disks.length;
    invariant(isAsCaptured, 'the disks of a machine do not change during a capture');
    return withCapture(journal, durable, outcomes);
  });
}

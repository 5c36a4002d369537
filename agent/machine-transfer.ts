import type { DiskId } from '../domain/ids.ts';
import { assertNever, invariant } from '../domain/invariant.ts';
import { type Position, samePosition } from '../domain/position.ts';
import { FencedError, type SendOutcome } from './change-sender.ts';
import { SpoolDamagedError } from './hrl-spool.ts';
import type { JournalCapture, JournalDisk } from './journal.ts';
import { type ResyncOrder, withAcknowledged, withAnnounced } from './journal-change.ts';
import { dropQueue } from './machine-capture.ts';
import { diskCall, type MachineContext } from './machine-context.ts';
import { nextTransferStep } from './replication-decision.ts';

/**
 * Does one step of sending: the next log, or the announcement of a capture whose logs are all acknowledged.
 *
 * Every step may be repeated: a log that arrived is recognised by its digest, a capture by its id. Throws OutageError when it could
 * not be done now and FencedError when this agent must stop.
 */
export async function transferOnce(machine: MachineContext): Promise<'moved' | 'nothing-to-do'> {
  const turn = await machine.transferTurn.acquire(machine.signal);
  try {
    const step = nextTransferStep(machine.journal.now());
    switch (step.kind) {
      case 'wait':
        return 'nothing-to-do';
      case 'send':
        await sendLog(machine, step.diskId, step.sequence);
        break;
      case 'announce':
        await announce(machine, step.capture);
        break;
      default:
        assertNever(step);
    }
    machine.captureWakeup.wake();
    return 'moved';
  } finally {
    turn();
  }
}

async function sendLog(machine: MachineContext, diskId: DiskId, sequence: number): Promise<void> {
  const disk = diskIn(machine, diskId);
  const spool = await machine.spoolOf(diskId);
  const log = await spool.load(sequence).catch((error: unknown) => {
    if (error instanceof SpoolDamagedError) return error;
    throw error;
  });
  if (log instanceof SpoolDamagedError) return resync(machine, disk, { why: log.message });
  invariant(disk.acked !== null, 'a disk with queued logs has a position');
  const outcome = await machine.deps.sender.send({
    ...diskCall(machine, diskId),
    segment: { ...log, previous: disk.acked },
  });
  machine.deps.onBoundary('sent');
  const problem = problemWith(outcome, disk.acked);
  if (problem !== undefined) return resync(machine, disk, { why: problem, isVaultElsewhere: true });
  machine.progress.sent(log.image.length);
  // Recorded before the file goes: a file that is missing without a record would mean a lost change.
  await machine.journal.update((journal) => withAcknowledged(journal, diskId, outcome.position));
  machine.deps.onBoundary('acknowledgement-recorded');
  await spool.remove(sequence);
  machine.deps.onBoundary('log-removed');
}

function problemWith(outcome: SendOutcome, previous: Position): string | undefined {
  if (outcome.kind === 'acknowledged' && outcome.position.sequence === previous.sequence + 1) return undefined;
  return elsewhere(outcome.position, previous);
}

function elsewhere(vault: Position, ours: Position): string {
  const where = `the vault has the disk at sequence ${vault.sequence}, this agent left it at ${ours.sequence}`;
  return vault.sequence === ours.sequence ? `${where} with other content` : where;
}

async function resync(
  machine: MachineContext,
  disk: JournalDisk,
  problem: Omit<ResyncOrder, 'diskIds'>,
): Promise<void> {
  machine.deps.log.warn({ diskId: disk.diskId, ...problem }, 'the disk must be compared with the vault');
  await dropQueue(machine, { ...problem, diskIds: [disk.diskId], why: `${disk.key}: ${problem.why}`.slice(0, 300) });
  // The comparison is due now, however far away the next capture is.
  machine.captureWakeup.wake();
}

async function announce(machine: MachineContext, capture: JournalCapture): Promise<void> {
  const { machineId, epoch } = machine.assignment();
  const outcome = await machine.deps.announcePoint({
    machineId,
    epoch,
    captureId: capture.captureId,
    kind: capture.kind,
    takenAtMs: capture.takenAtMs,
    pauseMs: capture.pauseMs,
    changedBytes: capture.changedBytes,
    ...(capture.requestId === null ? {} : { requestId: capture.requestId }),
    reason: capture.reason,
    disks: capture.disks.map(({ diskId, position }) => {
      invariant(position !== null, 'a capture is announced when every disk has its position');
      return { diskId, position };
    }),
  });
  if (outcome.kind === 'fenced') throw new FencedError(`the engine: ${outcome.message}`);
  if (outcome.kind === 'refused') {
    machine.deps.log.warn({ machineId, capture }, `the engine refused a recovery point: ${outcome.message}`);
    machine.progress.failed('announcement', `the engine refused a recovery point: ${outcome.message}`);
  } else {
    machine.progress.succeeded('announcement');
  }
  machine.deps.onBoundary('announced');
  await machine.journal.update((journal) => withAnnounced(journal, capture.captureId));
  if (capture.requestId !== null) machine.deps.onNews?.();
  machine.deps.onBoundary('forgotten');
}

/**
 * Compares where the journal left each disk with where the vault has it, once after a start. With logs queued there is nothing to
 * ask: the first of them says whether they fit.
 */
export async function checkPositions(machine: MachineContext): Promise<void> {
  const turn = await machine.transferTurn.acquire(machine.signal);
  try {
    for (const disk of machine.journal.now().disks) {
      if (disk.acked === null || disk.resync !== null || disk.queuedUpTo > disk.acked.sequence) continue;
      const position = await machine.deps.sender.position(diskCall(machine, disk.diskId));
      if (samePosition(position, disk.acked)) continue;
      await resync(machine, disk, { why: elsewhere(position, disk.acked), isVaultElsewhere: true });
    }
  } finally {
    turn();
  }
}

function diskIn(machine: MachineContext, diskId: DiskId): JournalDisk {
  const disk = machine.journal.now().disks.find((candidate) => candidate.diskId === diskId);
  invariant(disk !== undefined, `the journal knows disk ${diskId}`);
  return disk;
}

import type { DiskId } from '../domain/ids.ts';
import { invariant } from '../domain/invariant.ts';
import type { Position } from '../domain/position.ts';
import { nilUuid } from '../protocol/hrl.ts';
import type { Journal, JournalCapture, JournalDisk } from './journal.ts';

/** Every change that a machine's journal can make, as pure functions: journal in, journal out. */

const doneRequestsMax = 1000;

/** Takes over which disks are protected: new ones need a first scan, removed ones and what waits for them are forgotten. */
export function withDisks(journal: Journal, disks: readonly { diskId: DiskId; key: string }[]): Journal {
  const same = disks.length === journal.disks.length && disks.every((disk, at) => isSame(journal.disks[at], disk));
  if (same) return journal;
  const known = new Map(journal.disks.map((disk) => [disk.diskId, disk]));
  const isStillThere = (id: DiskId) => disks.some((disk) => disk.diskId === id);
  return {
    ...journal,
    disks: disks.map(({ diskId, key }) => {
      const before = known.get(diskId);
      return before === undefined ? newDisk(diskId, key) : { ...before, key };
    }),
    captures: journal.captures.filter((capture) => capture.disks.every((disk) => isStillThere(disk.diskId))),
  };
}

function isSame(disk: JournalDisk | undefined, other: { diskId: DiskId; key: string }): boolean {
  return disk?.diskId === other.diskId && disk.key === other.key;
}

function newDisk(diskId: DiskId, key: string): JournalDisk {
  return { diskId, key, acked: null, queuedUpTo: 0, lastLogId: nilUuid, resync: 'first copy of this disk' };
}

/** Which disks must be compared with the vault as a whole, and why. */
export type ResyncOrder = {
  readonly diskIds: readonly DiskId[];
  /** Shown to people. */
  readonly why: string;
  /** The vault does not have the disk where this agent left it, so the positions that it acknowledged mean nothing any more. */
  readonly isVaultElsewhere?: boolean;
};

/**
 * What the disks had queued is dropped, and with it every capture that can no more become a point: it needs a log that was not
 * acknowledged, or names a position that the vault does not have.
 */
export function withResync(journal: Journal, order: ResyncOrder): Journal {
  const isHit = (id: DiskId) => order.diskIds.includes(id);
  const canStillBe = (capture: JournalCapture) =>
    capture.disks.every((disk) => !isHit(disk.diskId) || (disk.position !== null && !order.isVaultElsewhere));
  return {
    ...journal,
    disks: journal.disks.map((disk) =>
      isHit(disk.diskId) ? { ...disk, queuedUpTo: disk.acked?.sequence ?? 0, resync: disk.resync ?? order.why } : disk,
    ),
    captures: journal.captures.filter(canStillBe),
  };
}

/** What a capture left for each disk: logs up to a sequence, or a scan that ended at a position. */
export type CapturedOutcome = { readonly diskId: DiskId } & (
  | { readonly kind: 'spooled'; readonly lastSequence: number; readonly lastLogId: string }
  | { readonly kind: 'scanned'; readonly position: Position }
);

/** The one write that makes a capture durable: from here on it is sent and announced, whatever is killed. */
export function withCapture(
  journal: Journal,
  capture: Omit<JournalCapture, 'disks'>,
  outcomes: readonly CapturedOutcome[],
): Journal {
  const byDisk = new Map(outcomes.map((outcome) => [outcome.diskId, outcome]));
  const disks = journal.disks.map((disk) => {
    const outcome = byDisk.get(disk.diskId);
    invariant(outcome !== undefined, `a capture has every disk of its machine, also ${disk.diskId}`);
    return outcome.kind === 'scanned'
      ? { ...disk, acked: outcome.position, queuedUpTo: outcome.position.sequence, resync: null }
      : { ...disk, queuedUpTo: outcome.lastSequence, lastLogId: outcome.lastLogId };
  });
  const positions = disks.map((disk) => ({
    diskId: disk.diskId,
    sequence: disk.queuedUpTo,
    position: disk.acked?.sequence === disk.queuedUpTo ? disk.acked : null,
  }));
  const { power } = journal;
  const isLast = power !== null && power.phase === 'off' && power.requestId === capture.requestId;
  return {
    ...journal,
    // In the same write, so that the capture after a stop is known by its request however the agent ends.
    power: isLast ? { ...power, phase: 'captured', captureId: capture.captureId, isAnnounced: false } : power,
    generation: journal.generation + 1,
    disks,
    captures: [...journal.captures, { ...capture, disks: positions }],
  };
}

/** A process server has made the disk's next log durable. */
export function withAcknowledged(journal: Journal, diskId: DiskId, position: Position): Journal {
  const isNext = (disk: JournalDisk) => disk.diskId === diskId && position.sequence <= disk.queuedUpTo;
  invariant(journal.disks.some(isNext), `only what is queued is acknowledged, not ${diskId} ${position.sequence}`);
  return {
    ...journal,
    disks: journal.disks.map((disk) => (disk.diskId === diskId ? { ...disk, acked: position } : disk)),
    captures: journal.captures.map((capture) => ({
      ...capture,
      disks: capture.disks.map((disk) =>
        disk.diskId === diskId && disk.sequence === position.sequence ? { ...disk, position } : disk,
      ),
    })),
  };
}

/** The engine has the capture (or will never take it): it is forgotten, and its request is done. */
export function withAnnounced(journal: Journal, captureId: string): Journal {
  const capture = journal.captures.find((candidate) => candidate.captureId === captureId);
  const { power } = journal;
  const announced = {
    ...journal,
    captures: journal.captures.filter((other) => other.captureId !== captureId),
    power: power?.captureId === captureId ? { ...power, isAnnounced: true } : power,
  };
  return capture?.requestId ? withDoneRequest(announced, capture.requestId) : announced;
}

export function withDoneRequest(journal: Journal, requestId: string): Journal {
  if (journal.doneRequests.includes(requestId)) return journal;
  return { ...journal, doneRequests: [...journal.doneRequests, requestId].slice(-doneRequestsMax) };
}

/** Forgets done requests that the engine no longer asks for: it has seen that they are done. */
export function withoutSettledRequests(journal: Journal, askedFor: readonly string[]): Journal {
  const doneRequests = journal.doneRequests.filter((id) => askedFor.includes(id));
  return doneRequests.length === journal.doneRequests.length ? journal : { ...journal, doneRequests };
}

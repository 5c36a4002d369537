import type { DiskId } from '../domain/ids.ts';
import type { Position } from '../domain/position.ts';
import { expiredPoints } from '../domain/recovery-point.ts';
import { pinnedPoints } from './store/drills.ts';
import { type DiskRecord, listMachines, type MachineRecord, saveCompacted } from './store/machines.ts';
import type { Store } from './store/open.ts';
import { deletePointRow, listPoints, markExpiring, type PointRecord } from './store/points.ts';
import type { Vault } from './vault/vault.ts';

export type ExpiryDeps = {
  readonly store: Store;
  readonly vault: Vault;
  /** A disk's log is folded when so many segments are not needed any more. */
  readonly foldSegmentsMin: number;
};

/**
 * Removes what the policies no longer keep, of all machines, and gives its space back. Returns how many points went.
 */
export async function expirePoints(deps: ExpiryDeps): Promise<number> {
  let removed = 0;
  for (const machine of await deps.store.read(listMachines)) {
    removed += await expirePointsOf(deps, machine);
    await foldDisks(deps, machine);
  }
  return removed;
}

async function expirePointsOf(deps: ExpiryDeps, machine: MachineRecord): Promise<number> {
  const points = await deps.store.read((db) => listPoints(db, machine.id));
  const inUse = await deps.store.read(pinnedPoints);
  const begun = points.filter((point) => point.state === 'expiring');
  const expired = expiredPoints(points, machine.policy.retentionMs, await deps.store.nowMs(), inUse);
  let removed = 0;
  for (const point of [...begun, ...expired]) {
    if (await removePoint(deps, point)) removed += 1;
  }
  return removed;
}

/** Row `expiring`, then the manifest, then the row: whoever dies in between, the next one goes on. */
async function removePoint(deps: ExpiryDeps, point: PointRecord): Promise<boolean> {
  const { manifest } = point;
  if (manifest !== null) {
    if ((await deps.store.write((db) => markExpiring(db, point.id))) === 'in-use') return false;
    await deps.vault.deletePoint(manifest);
  }
  await deps.store.write((db) => deletePointRow(db, point.id));
  return true;
}

async function foldDisks(deps: ExpiryDeps, machine: MachineRecord): Promise<void> {
  const points = await deps.store.read((db) => listPoints(db, machine.id));
  for (const disk of machine.disks) {
    const needed = oldestNeeded(disk.id, points);
    if (needed === undefined || !isWorthFolding(disk, needed, deps.foldSegmentsMin)) continue;
    await deps.vault.compact(disk.id, needed);
    await deps.store.write((db) => saveCompacted(db, disk.id, needed.sequence));
  }
}

function isWorthFolding(disk: DiskRecord, needed: Position, foldSegmentsMin: number): boolean {
  // Only what was read back is folded: folding damaged segments would hide the damage.
  const isVerified = disk.verifiedPosition !== null && needed.sequence <= disk.verifiedPosition.sequence;
  return isVerified && needed.sequence - disk.compactedSequence >= foldSegmentsMin;
}

/** The lowest position that any point, in whatever state, still has of the disk. */
export function oldestNeeded(diskId: DiskId, points: readonly PointRecord[]): Position | undefined {
  return points
    .flatMap((point) => point.disks)
    .filter((disk) => disk.diskId === diskId)
    .map((disk) => disk.position)
    .reduce<Position | undefined>((oldest, next) => (oldest && isOlder(oldest, next) ? oldest : next), undefined);
}

function isOlder(a: Position, b: Position): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.sequence <= b.sequence);
}

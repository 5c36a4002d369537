import type { MachineId } from '../domain/ids.ts';
import { assertNever, invariant } from '../domain/invariant.ts';
import { OutageError } from '../domain/outage.ts';
import { type Position, startPosition } from '../domain/position.ts';
import { DamagedBlobError } from '../protocol/damaged-blob.ts';
import { manifestDigest, type PointManifest } from '../protocol/point-manifest.ts';
import { appendEvent } from './store/events.ts';
import { findMachine, type MachineRecord, markProtected, saveVerifiedPosition } from './store/machines.ts';
import type { Store } from './store/open.ts';
import {
  adoptPoint,
  listPoints,
  markDamaged,
  markSealed,
  movePoint,
  type PointRecord,
  unsettledPoints,
} from './store/points.ts';
import { addRequest } from './store/requests.ts';
import { isLost } from './vault/condemned.ts';
import type { Vault, VaultFinding } from './vault/vault.ts';
import type { VaultAnchorFile } from './vault-anchor.ts';

export type SettlingDeps = { readonly store: Store; readonly vault: Vault; readonly anchors: VaultAnchorFile };

/**
 * Takes a machine's points through their life, oldest announcement first:
 *
 * receiving → (manifest into the vault) → sealed → (new segments read back) → verified → available
 *
 * A point whose segments are damaged becomes `damaged`, and what is damaged is taken out of use in the vault (`condemn`): so the
 * comparison that is asked for ships it again, and the point that follows it is sound.
 *
 * Every stage is safe to run twice: the vault is written first, the row last. One engine at a time for each machine.
 */
export async function settleMachine(deps: SettlingDeps, machineId: MachineId): Promise<void> {
  // When another engine is at it, it sees this machine's points too, or `continueAll` comes back to them.
  await deps.store.alone(lockOf(machineId), async () => {
    while (true) {
      const [point] = await deps.store.read((db) => unsettledPoints(db, machineId));
      if (point === undefined) return;
      await settleOneStage(deps, point);
    }
  });
}

async function settleOneStage(deps: SettlingDeps, point: PointRecord): Promise<void> {
  const machine = await deps.store.read((db) => findMachine(db, point.machineId));
  invariant(machine, `the machine of point ${point.id} is there`);
  switch (point.state) {
    case 'receiving':
      return seal(deps, machine, point);
    case 'sealed':
      return verify(deps, machine, point);
    case 'verified':
      return publish(deps, machine, point);
    case 'available':
    case 'damaged':
    case 'expiring':
      return invariant(false, `point ${point.id} is settled`);
    default:
      return assertNever(point.state);
  }
}

async function seal(deps: SettlingDeps, machine: MachineRecord, point: PointRecord): Promise<void> {
  const missing = await firstMissing(deps, machine, point);
  if (missing !== undefined) return damage(deps, machine, point, missing);
  const manifest = manifestOf(deps.vault.id, machine, point);
  const put = await deps.vault.putPoint(manifest).catch((error: unknown) => adoptInTheWay(deps, machine, error));
  // The vault knew newer points than the rows did: they were adopted, and this one's turn comes again behind them.
  if (put === 'adopted') return;
  const sealed = put === 'created' ? manifest : await storedManifest(deps.vault, point);
  await deps.store.write((db) => markSealed(db, point.id, { manifest: sealed, digest: manifestDigest(sealed) }));
}

/**
 * A manifest is refused when its number is taken: the database is older than the vault, e.g. restored from a backup.
 */
async function adoptInTheWay(deps: SettlingDeps, machine: MachineRecord, error: unknown): Promise<'adopted'> {
  if ((await adoptMissingPoints(deps, machine.id)) > 0) return 'adopted';
  throw error;
}

/** What the vault does not have of the point, in words; undefined when every disk has come that far. */
async function firstMissing(
  deps: SettlingDeps,
  machine: MachineRecord,
  point: PointRecord,
): Promise<string | undefined> {
  for (const disk of point.disks) {
    const { position } = disk;
    const reached = await deps.vault.position(disk.diskId);
    if (reached.sequence > position.sequence) continue;
    if (reached.sequence === position.sequence && reached.digest === position.digest) continue;
    // The vault's memory of the position may be older than the blobs, which another process writes: the blobs decide.
    const findings = await readBack(deps, machine, disk);
    if (findings.length > 0) return findingWords(disk.key, findings);
  }
  return undefined;
}

function manifestOf(vaultId: string, machine: MachineRecord, point: PointRecord): PointManifest {
  return {
    format: 'lifeboat-point/1',
    vaultId,
    pointId: point.id,
    machineId: machine.id,
    machineName: machine.name,
    number: machine.lastPointNumber + 1,
    epoch: point.epoch,
    kind: point.kind,
    takenAtMs: point.takenAtMs,
    reason: point.reason,
    hardware: point.hardware,
    disks: point.disks,
    previousDigest: machine.lastManifestDigest,
  };
}

/** An engine died between the manifest and the row: what it has written counts. */
async function storedManifest(vault: Vault, point: PointRecord): Promise<PointManifest> {
  for await (const manifest of vault.points(point.machineId)) {
    if (manifest.pointId === point.id) return manifest;
  }
  throw new OutageError(`read back the manifest of recovery point ${point.id}, which the vault said it has`, {
    retryable: true,
  });
}

async function verify(deps: SettlingDeps, machine: MachineRecord, point: PointRecord): Promise<void> {
  for (const disk of point.disks) {
    const findings = await readBack(deps, machine, disk);
    if (findings.length > 0) return damage(deps, machine, point, findingWords(disk.key, findings));
  }
  await withdrawLost(deps, machine);
  await deps.store.write(async (db) => {
    for (const { diskId, position } of point.disks) {
      if (verifiedUpTo(machine, diskId, position).sequence <= position.sequence) {
        await saveVerifiedPosition(db, diskId, position);
      }
    }
    await movePoint(db, point.id, { from: 'sealed', to: 'verified' });
  });
}

/** Reads back what is new; what is damaged is taken out of use, so that it does not damage every later point too. */
async function readBack(
  deps: SettlingDeps,
  machine: MachineRecord,
  { diskId, position }: PointRecord['disks'][number],
): Promise<readonly VaultFinding[]> {
  const { vault } = deps;
  const after = verifiedUpTo(machine, diskId, position);
  // Also when nothing is new: the position may be one that was lost since.
  const findings = await vault.verifySegments(diskId, after, position);
  if (findings.length === 0) return findings;
  await vault.condemn(diskId, findings);
  const isElsewhere = after.sequence > 0 && findings.every(({ problem }) => problem === 'rolled-back');
  // What was verified before is not in the log any more, e.g. its end was lost and written anew: only the whole log can tell.
  if (!isElsewhere) return findings;
  const anew = await vault.verifySegments(diskId, startPosition(1), position);
  if (anew.length === 0) await withdrawUnreadable(deps, machine);
  return anew;
}

/** Points that were available and that the vault lost since, whoever found that: nobody may boot from them any more. */
async function withdrawLost(deps: SettlingDeps, machine: MachineRecord): Promise<void> {
  const condemned = new Map<string, Awaited<ReturnType<Vault['condemned']>>>();
  for (const { id } of machine.disks) condemned.set(id, await deps.vault.condemned(id));
  if ([...condemned.values()].every((each) => each.length === 0)) return;
  await withdraw(deps, machine, (point) => lossOf(point, condemned));
}

/** Points that were available and that the log does not lead to any more. */
async function withdrawUnreadable(deps: SettlingDeps, machine: MachineRecord): Promise<void> {
  const reasons = new Map<string, string>();
  for (const point of await deps.store.read((db) => listPoints(db, machine.id))) {
    if (point.state !== 'available') continue;
    for (const { diskId, key, position } of point.disks) {
      if (position.sequence === 0) continue;
      const opened = await deps.vault.openDisk(diskId, position).catch((error: unknown) => {
        if (error instanceof DamagedBlobError) return error;
        throw error;
      });
      if (opened instanceof DamagedBlobError) reasons.set(point.id, `${key}: ${opened.message}`.slice(0, 300));
      else await opened.close();
    }
  }
  await withdraw(deps, machine, ({ id }) => reasons.get(id));
}

async function withdraw(
  deps: SettlingDeps,
  machine: MachineRecord,
  lossOfPoint: (point: PointRecord) => string | undefined,
): Promise<void> {
  await deps.store.write(async (db) => {
    const lost = (await listPoints(db, machine.id)).flatMap((point) => {
      const why = lossOfPoint(point);
      return point.state === 'available' && why !== undefined ? [{ id: point.id, why }] : [];
    });
    for (const { id, why } of lost) await markDamaged(db, id, why);
    if (lost.length === 0) return;
    await appendEvent(db, {
      kind: 'point-damaged',
      machineName: machine.name,
      text: `${machine.name}: ${lost.length} recovery points were lost in the vault and are not offered any more: ${listed(lost.map(({ id }) => id))}. Use an older or a newer one; run a full verification of the vault and check its storage.`,
    });
  });
}

function lossOf(
  point: PointRecord,
  condemned: ReadonlyMap<string, Awaited<ReturnType<Vault['condemned']>>>,
): string | undefined {
  for (const { diskId, key, position } of point.disks) {
    const lost = condemned.get(diskId)?.find((each) => isLost(each, position));
    if (lost !== undefined) return `${key}: ${lost.blob} was lost (${lost.problem})`;
  }
  return undefined;
}

function listed(ids: readonly string[]): string {
  const shown = ids.slice(0, 5).join(', ');
  return ids.length > 5 ? `${shown} and ${ids.length - 5} more` : shown;
}

async function publish(deps: SettlingDeps, machine: MachineRecord, point: PointRecord): Promise<void> {
  const { manifest, manifestDigest: digest } = point;
  invariant(manifest !== null && digest !== null, `the verified point ${point.id} has a manifest`);
  await deps.anchors.note({
    machineId: machine.id,
    pointId: point.id,
    number: manifest.number,
    manifestDigest: digest,
  });
  await deps.store.write(async (db) => {
    await movePoint(db, point.id, { from: 'verified', to: 'available' });
    const about = { machineName: machine.name };
    if ((await markProtected(db, machine.id)) === 'protected') {
      await appendEvent(db, { kind: 'protected', ...about, text: `${machine.name} is protected: "Enabled".` });
    }
    if (point.reason !== '') {
      await appendEvent(db, {
        kind: 'point-taken',
        ...about,
        text: `${machine.name}: recovery point ${point.id} (${point.reason}).`,
      });
    }
  });
}

/** A point that nobody may boot from. The comparison with the source ships again what is missing in the vault. */
async function damage(deps: SettlingDeps, machine: MachineRecord, point: PointRecord, why: string): Promise<void> {
  await withdrawLost(deps, machine);
  await deps.store.write(async (db) => {
    await markDamaged(db, point.id, why);
    const reason = `damage in the vault: ${why}`;
    const request = { machineId: machine.id, kind: 'resync', reason, requestedBy: 'engine' } as const;
    // While the repair is outstanding, the points in between are damaged by the same cause: people were told.
    if ((await addRequest(db, request)) === 'outstanding') return;
    await appendEvent(db, {
      kind: 'point-damaged',
      machineName: machine.name,
      text: `${machine.name}: recovery point ${point.id} cannot be used (${why}). A resynchronisation was asked for.`,
    });
  });
}

function verifiedUpTo(machine: MachineRecord, diskId: string, position: Position): Position {
  const known = machine.disks.find((disk) => disk.id === diskId)?.verifiedPosition;
  return known ?? startPosition(position.epoch);
}

function findingWords(diskKey: string, findings: readonly VaultFinding[]): string {
  const [first] = findings;
  const more = findings.length > 1 ? ` and ${findings.length - 1} more` : '';
  return `${diskKey}: ${first?.detail ?? 'unknown damage'}${more}`.slice(0, 300);
}

/** The same as adoptMissingPoints, unless another engine is at the machine's points: that one sees to them itself. */
export async function recoverMachine(
  deps: Pick<SettlingDeps, 'store' | 'vault'>,
  machineId: MachineId,
): Promise<number> {
  const adopted = await deps.store.alone(lockOf(machineId), () => adoptMissingPoints(deps, machineId));
  return adopted === 'not-free' ? 0 : adopted;
}

function lockOf(machineId: MachineId): string {
  return `points of ${machineId}`;
}

/**
 * Puts points back whose manifest is in the vault and whose row is missing; they are verified again before they
 * count.
 */
async function adoptMissingPoints(deps: Pick<SettlingDeps, 'store' | 'vault'>, machineId: MachineId): Promise<number> {
  let adopted = 0;
  for await (const manifest of deps.vault.points(machineId)) {
    const isNew = await deps.store.write((db) => adoptPoint(db, manifest, manifestDigest(manifest)));
    if (isNew) adopted += 1;
  }
  return adopted;
}

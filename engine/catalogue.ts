import type { MachineId } from '../domain/ids.ts';
import { defaultPolicy } from '../domain/replication-policy.ts';
import type { PointManifest } from '../protocol/point-manifest.ts';
import { recoverMachine, type SettlingDeps, settleMachine } from './point-settling.ts';
import { appendEvent } from './store/events.ts';
import { adoptMachine } from './store/machines.ts';
import { listPoints } from './store/points.ts';

export type RebuiltCatalogue = {
  readonly machineCount: number;
  /** Points whose row was missing. */
  readonly adoptedCount: number;
  /** Points that can be failed over to now. */
  readonly availableCount: number;
  /** Points that failed their read-back. */
  readonly damagedCount: number;
};

/**
 * Fills Postgres from the vault alone: machines, disks, and every point that passes its read-back.
 *
 * Nothing that is in Postgres is changed, so it may be run at any time and again. Machines come back without an
 * agent; they go on
 * replicating when their host is enrolled and they are enabled again. Source: RELIABILITY 1 (Postgres lost entirely)
 */
export async function rebuildCatalogue(deps: SettlingDeps): Promise<RebuiltCatalogue> {
  const newest = new Map<MachineId, PointManifest>();
  for await (const manifest of deps.vault.points()) {
    const known = newest.get(manifest.machineId);
    if (known === undefined || known.number < manifest.number) newest.set(manifest.machineId, manifest);
  }
  const counts = { machineCount: newest.size, adoptedCount: 0, availableCount: 0, damagedCount: 0 };
  for (const manifest of newest.values()) {
    await rebuildMachine(deps, manifest, counts);
  }
  return counts;
}

async function rebuildMachine(
  deps: SettlingDeps,
  newest: PointManifest,
  counts: { adoptedCount: number; availableCount: number; damagedCount: number },
): Promise<void> {
  await deps.store.write(async (db) => {
    if ((await adoptMachine(db, newest, defaultPolicy.name)) === 'known') return;
    const text = `${newest.machineName} was found in the vault and is back in the catalogue, without an agent.`;
    await appendEvent(db, { kind: 'machine-rebuilt', machineName: newest.machineName, text });
  });
  counts.adoptedCount += await recoverMachine(deps, newest.machineId);
  await settleMachine(deps, newest.machineId);
  const points = await deps.store.read((db) => listPoints(db, newest.machineId));
  counts.availableCount += points.filter((point) => point.state === 'available').length;
  counts.damagedCount += points.filter((point) => point.state === 'damaged').length;
}

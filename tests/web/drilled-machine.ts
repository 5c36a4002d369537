import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { RecoveryPointId } from '../../domain/ids.ts';
import { createRun, finishRun } from '../../engine/store/runs.ts';
import { protectMachines } from '../engine/workflow/protected-machine.ts';
import type { ConsoleSite } from './console-site.ts';

/** A drill that has ended, with its picture on the engine's host. */
export async function drillWithPicture(site: ConsoleSite, png: Buffer): Promise<string> {
  const folder = path.join(site.api.stateFolder, 'pictures');
  await mkdir(folder, { recursive: true });
  const consolePicture = path.join(folder, 'console.png');
  await writeFile(consolePicture, png);
  const [machine] = await protectMachines(site.store, ['vm-drilled']);
  if (machine === undefined) throw new Error('there is no machine');
  return site.store.write(async (db) => {
    const order = { kind: 'test-failover', machineId: machine.machineId, requestedBy: 'ana' } as const;
    const plan = { plan: {}, planDigest: 'a'.repeat(64), steps: [], idempotencyKey: randomUUID() };
    const { run } = await createRun(db, { ...order, ...plan });
    const about = { kind: 'crash-consistent', state: 'available', takenAtMs: 1, reason: '' } as const;
    const point = { id: machine.pointId as RecoveryPointId, ...about };
    const boot = {
      secondsToGuestUp: 1,
      marker: null,
      verified: true,
      verification: 'x',
      vmName: 'x',
      accelerator: 'tcg',
    };
    const result = { point, pointAgeMs: 1, ...boot, consolePicture };
    await finishRun(db, run.id, { kind: 'succeeded', result });
    return run.id;
  });
}

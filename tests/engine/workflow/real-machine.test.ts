import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeGuestDisks } from '../../../demo/guest/guest-disk.ts';
import { mebibyte } from '../../../domain/units.ts';
import type { Workflow } from '../../../engine/api/deps.ts';
import { findMachine } from '../../../engine/store/machines.ts';
import { openStore, type Store } from '../../../engine/store/open.ts';
import { createQemuTarget } from '../../../engine/target/qemu-target.ts';
import type { Target } from '../../../engine/target/target.ts';
import { type Executor, startExecutor } from '../../../engine/workflow/executor.ts';
import { newExecutorId } from '../../../engine/workflow/executor-id.ts';
import { createJobs } from '../../../engine/workflow/jobs.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { testLimits } from '../target/drill-fixture.ts';
import { fileDiskReader, storedRuns } from '../target/file-disk-reader.ts';
import { endOfRun } from './engine-control.ts';
import { protectMachines } from './protected-machine.ts';

let postgres: TestPostgres;
let store: Store;
let folder: string;
let target: Target;
let executor: Executor;
let jobs: Workflow;

beforeAll(async () => {
  postgres = await startTestPostgres();
  const connectionString = await postgres.freshDatabase();
  store = await openStore({ connectionString });
  folder = await mkdtemp(join(tmpdir(), 'lifeboat-real-machine-'));
  target = await realTarget();
  const noLog = () => undefined;
  const log = { debug: noLog, info: noLog, warn: noLog, error: noLog };
  const vault = { append: () => Promise.reject(new Error('a drill writes nothing to the vault')) };
  const deps = { store, target, vault, boundary: noLog, executorId: await newExecutorId(), log, onFenced: noLog };
  executor = await startExecutor({ ...deps, connectionString });
  jobs = createJobs({ store, target, boundary: noLog, executor });
});
afterAll(async () => {
  await executor?.stop();
  await store?.close();
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** QEMU on this host, over the two disks of a demo guest, which belong to the protected machine vm-7. */
async function realTarget(): Promise<Target> {
  const disk = { sizeBytes: 16 * mebibyte, filledBytes: 4 * mebibyte };
  const images = await makeGuestDisks({ folder, machineName: 'vm-7', disks: [disk, disk], format: 'raw' });
  const reported = await Promise.all(
    images.map(async (image, index) => ({ key: `disk${index}`, sizeBytes: (await stat(image.path)).size })),
  );
  const [made] = await protectMachines(store, ['vm-7'], reported);
  const machine = await store.read((db) => findMachine(db, made?.machineId ?? ''));
  const paths = Object.fromEntries(machine?.disks.map((row, index) => [row.id, images[index]?.path ?? '']) ?? []);
  return createQemuTarget({
    stateFolder: join(folder, 'state'),
    hostLimits: testLimits,
    diskServer: {
      command: [process.execPath, join(import.meta.dirname, '../target/file-disks-main.ts')],
      vault: { paths },
    },
    openDisk: async (diskId) => {
      const file = paths[diskId] ?? '';
      return fileDiskReader(file, storedRuns(await readFile(file)));
    },
  });
}

const order = (idempotencyKey: string) => ({ machineName: 'vm-7', requestedBy: 'ana', idempotencyKey });

describe('a test failover with QEMU', () => {
  it('boots the machine from its point, proves it by the guest’s own words, and leaves nothing behind', async () => {
    const planned = await jobs.planTestFailover({ ...order(''), point: 'latest' });
    expect(planned).toMatchObject({ kind: 'plan', plan: { vmName: 'vm-7-Test' } });
    expect(planned.kind === 'plan' && planned.plan.checks.filter(({ state }) => state === 'failed')).toEqual([]);
    const started = await jobs.startTestFailover({ ...order('real'), point: 'latest' });
    if (started.kind !== 'started') throw new Error(started.message);
    const run = await endOfRun(store, started.runId, 90_000);
    expect(run).toMatchObject({ state: 'succeeded', failure: null, result: { verified: true, isNewestPoint: true } });
    expect(run.result?.marker).toContain('vm-7');
    expect((await stat(run.result?.consolePicture ?? '')).size).toBeGreaterThan(0);
    expect(await target.drillsPresent()).toHaveLength(1);

    const cleaning = await jobs.startCleanup({ ...order('real cleanup'), note: '' });
    if (cleaning.kind !== 'started') throw new Error(cleaning.message);
    expect(await endOfRun(store, cleaning.runId, 60_000)).toMatchObject({ state: 'succeeded' });
    expect(await target.drillsPresent()).toEqual([]);
  });

  it('refuses an unprotected machine and an unknown point, and says what to do instead', async () => {
    const unknown = await jobs.planTestFailover({ ...order(''), machineName: 'vm-9', point: 'latest' });
    expect(unknown).toMatchObject({ kind: 'refused', message: expect.stringContaining('enable vm-9') });
    const point = await jobs.planTestFailover({ ...order(''), point: 'rp_0000000000' });
    expect(point).toMatchObject({ kind: 'refused', nextStep: expect.stringContaining('rp_') });
  });
});

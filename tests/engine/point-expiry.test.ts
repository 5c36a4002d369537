import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { invariant } from '../../domain/invariant.ts';
import { type ExpiryDeps, expirePoints, oldestNeeded } from '../../engine/point-expiry.ts';
import { closeDrill, openDrill } from '../../engine/store/drills.ts';
import type { Store } from '../../engine/store/open.ts';
import { listPoints, pointViewOf } from '../../engine/store/points.ts';
import { createRun } from '../../engine/store/runs.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import {
  keeperOf,
  makeTestVault,
  replicateMachine,
  settle,
  type TestMachine,
  type TestVault,
} from './point-fixture.ts';

vi.setConfig({ testTimeout: 120_000 });

let postgres: TestPostgres;
let store: Store;
let vault: TestVault;
let machine: TestMachine;
const pointCount = 6;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.freshStore();
  vault = await makeTestVault();
  machine = await replicateMachine(store, vault.vault, 'vm-7');
  const keeper = keeperOf({ store, vault: vault.vault, anchors: vault.anchors });
  for (let index = 0; index < pointCount; index += 1) await keeper.announce(machine.agentId, await machine.capture());
  await settle(store, [keeper], machine.machineId);
  await age(pointCount);
});
afterEach(() => vault.remove());

/** Makes the machine's first points two days older than they are. */
async function age(count: number): Promise<void> {
  await store.read((db) =>
    db.execute(sql`update recovery_points set taken_at = taken_at - interval '2 d' where number <= ${count}`),
  );
}
const deps = (changes: Partial<ExpiryDeps> = {}): ExpiryDeps => ({
  store,
  vault: vault.vault,
  foldSegmentsMin: 1,
  ...changes,
});
const numbers = async () => {
  const points = await store.read((db) => listPoints(db, machine.machineId));
  return points.map((point) => point.manifest?.number).sort();
};
async function numbersInVault(): Promise<number[]> {
  const found: number[] = [];
  for await (const manifest of vault.vault.points(machine.machineId)) found.push(manifest.number);
  return found;
}
async function isReadable(number: number): Promise<boolean> {
  const points = await store.read((db) => listPoints(db, machine.machineId));
  const disk = points.find((point) => point.manifest?.number === number)?.disks[1];
  invariant(disk, 'the point is there');
  const reader = await vault.vault.openDisk(disk.diskId, disk.position);
  const content = await reader.read(0, reader.sizeBytes);
  await reader.close();
  return content.equals(machine.contentAfter(number, 1));
}

test('old points go from rows and vault, the newest stays however old, and it can be read after the logs were folded', async () => {
  expect(await expirePoints(deps())).toBe(pointCount - 1);
  expect([await numbers(), await numbersInVault()]).toEqual([[6], [6]]);
  expect(await isReadable(6)).toBe(true);
  expect(await expirePoints(deps())).toBe(0);
  const { findings } = await vault.vault.verifyAll(await vault.anchors.read());
  expect(findings).toEqual([]);
});

test('points that are young enough stay', async () => {
  await store.read((db) => db.execute(sql`update recovery_points set taken_at = now() where number > 4`));
  expect(await expirePoints(deps())).toBe(4);
  expect([await numbers(), await isReadable(5)]).toEqual([[5, 6], true]);
});

test('a point that a drill runs from stays with its segments until the drill is closed', async () => {
  const pinned = (await store.read((db) => listPoints(db, machine.machineId))).find(
    (point) => point.manifest?.number === 2,
  );
  invariant(pinned, 'point 2');
  const { machineId } = machine;
  const drill = await store.write(async (db) => {
    const facts = {
      kind: 'test-failover' as const,
      requestedBy: 'ana',
      plan: {},
      planDigest: 'a'.repeat(64),
      steps: [],
    };
    const { run } = await createRun(db, { ...facts, machineId, idempotencyKey: 'key-of-the-drill' });
    const opened = await openDrill(db, {
      machineId,
      runId: run.id,
      point: pointViewOf(pinned),
      vmName: 'x',
      limitMs: 9e6,
    });
    invariant(opened.kind === 'opened', 'opened');
    return opened.drill;
  });
  await expirePoints(deps());
  expect([await numbers(), await isReadable(2)]).toEqual([[2, 6], true]);
  await store.write((db) => closeDrill(db, drill.id));
  await expirePoints(deps());
  expect(await numbers()).toEqual([6]);
});

test('an engine that dies at any contact while it removes points is continued by the next one', async () => {
  for (let deathAt = 1; ; deathAt += 1) {
    let contacts = 0;
    const contact = async <T>(work: () => Promise<T>): Promise<T> => {
      const moment = () => {
        contacts += 1;
        if (contacts >= deathAt) throw new Error('dead');
      };
      moment();
      const done = await work();
      moment();
      return done;
    };
    const dying = deps({
      store: { ...store, write: ((work) => contact(() => store.write(work))) as Store['write'] },
      vault: {
        ...vault.vault,
        deletePoint: (manifest) => contact(() => vault.vault.deletePoint(manifest)),
        compact: (...args) => contact(() => vault.vault.compact(...args)),
      },
    });
    const died = await expirePoints(dying).then(
      () => false,
      (error: unknown) => String(error).includes('dead'),
    );
    const [rows, manifests] = [await numbers(), await numbersInVault()];
    // A row may be there without its manifest, in state expiring; never a manifest without its row.
    expect(manifests.filter((number) => !rows.includes(number))).toEqual([]);
    if (!died) break;
  }
  expect([await numbers(), await numbersInVault(), await isReadable(6)]).toEqual([[6], [6], true]);
});

test('the oldest position that is needed is that of the oldest point, whatever its state', async () => {
  const points = await store.read((db) => listPoints(db, machine.machineId));
  const [, diskId] = machine.diskIds;
  invariant(diskId, 'two disks');
  expect(oldestNeeded(diskId, points)?.sequence).toBe(1);
  expect(oldestNeeded(diskId, points.slice(0, 2))?.sequence).toBe(5);
  expect(oldestNeeded(diskId, [])).toBeUndefined();
});

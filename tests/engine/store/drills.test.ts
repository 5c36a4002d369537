import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { invariant } from '../../../domain/invariant.ts';
import { closeDrill, dueDrills, openDrill, openDrillOf, pinnedPoints, setDrill } from '../../../engine/store/drills.ts';
import type { Store } from '../../../engine/store/open.ts';
import { findPoint, markExpiring, pointViewOf } from '../../../engine/store/points.ts';
import { createRun, finishRun } from '../../../engine/store/runs.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { protectMachines, type TestMachine } from '../workflow/protected-machine.ts';

let postgres: TestPostgres;
let store: Store;
let machine: TestMachine;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.freshStore();
  const [first] = await protectMachines(store, ['vm-7']);
  invariant(first, 'one machine');
  machine = first;
});

async function begin(key: string) {
  const { machineId } = machine;
  const base = {
    kind: 'test-failover' as const,
    machineId,
    requestedBy: 'ana',
    plan: {},
    planDigest: 'a'.repeat(64),
    steps: [],
  };
  const { run } = await store.write((db) => createRun(db, { ...base, idempotencyKey: key }));
  return run;
}

async function open(runId: string, limitMs = 3_600_000) {
  const point = await store.read((db) => findPoint(db, machine.pointId));
  invariant(point, 'the point is there');
  const { machineId } = machine;
  return store.write((db) =>
    openDrill(db, { machineId, runId, point: pointViewOf(point), vmName: 'vm-7-Test', limitMs }),
  );
}

test('a drill pins its point until it is closed, and opening it again changes nothing', async () => {
  const run = await begin('key-1');
  const opened = await open(run.id);
  expect(opened.kind).toBe('opened');
  expect((await open(run.id)).kind).toBe('same-run');
  expect(await store.read(pinnedPoints)).toEqual(new Set([machine.pointId]));
  expect(await store.write((db) => markExpiring(db, machine.pointId))).toBe('in-use');
  invariant(opened.kind === 'opened', 'opened');
  expect(await store.write((db) => closeDrill(db, opened.drill.id))).toBe('closed');
  expect(await store.write((db) => closeDrill(db, opened.drill.id))).toBe('was-closed');
  expect(await store.write((db) => setDrill(db, opened.drill.id, { state: 'open' }))).toBe('closed');
  expect(await store.read((db) => openDrillOf(db, machine.machineId))).toBeUndefined();
  expect(await store.write((db) => markExpiring(db, machine.pointId))).toBe('expiring');
});

test('a point that expires cannot be pinned any more', async () => {
  const run = await begin('key-1');
  await store.write((db) => markExpiring(db, machine.pointId));
  expect((await open(run.id)).kind).toBe('point-not-available');
});

test('when a drill opens and its point expires at the same moment, exactly one of the two wins', async () => {
  for (let round = 0; round < 10; round += 1) {
    const run = await begin(`key-${round}`);
    const [opened, expiring] = await Promise.all([
      open(run.id),
      store.write((db) => markExpiring(db, machine.pointId)),
    ]);
    expect([opened.kind, expiring]).toSatisfy(
      ([drill, point]) =>
        (drill === 'opened' && point === 'in-use') || (drill === 'point-not-available' && point === 'expiring'),
    );
    if (opened.kind === 'opened') await store.write((db) => closeDrill(db, opened.drill.id));
    await store.write((db) => finishRun(db, run.id, { kind: 'succeeded' }));
    await store.read((db) => db.execute(sql`update recovery_points set state = 'available'`));
  }
});

test('a drill is due when its time is over by the database’s clock and no run is at work on the machine', async () => {
  const run = await begin('key-1');
  await open(run.id);
  await store.read((db) =>
    db.execute(sql`update drills set started_at = now() - interval '2 h', expires_at = now() - interval '1 h'`),
  );
  expect(await store.read(dueDrills)).toEqual([]);
  await store.write((db) => finishRun(db, run.id, { kind: 'succeeded' }));
  expect((await store.read(dueDrills)).map((drill) => drill.vmName)).toEqual(['vm-7-Test']);
  await store.read((db) => db.execute(sql`update drills set expires_at = now() + interval '1 s'`));
  expect(await store.read(dueDrills)).toEqual([]);
});

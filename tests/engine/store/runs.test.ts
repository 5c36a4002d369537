import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Store } from '../../../engine/store/open.ts';
import {
  activeRuns,
  countEffects,
  createRun,
  findRunView,
  finishRun,
  type NewRun,
  recordEffect,
  setStep,
} from '../../../engine/store/runs.ts';
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
  if (first === undefined) throw new Error('no machine');
  machine = first;
});

function request(key: string): NewRun {
  const { machineId } = machine;
  const steps = ['one', 'two'];
  return {
    kind: 'test-failover',
    machineId,
    requestedBy: 'ana',
    idempotencyKey: key,
    plan: { a: 1 },
    planDigest: 'a'.repeat(64),
    steps,
  };
}
const create = (key: string) => store.write((db) => createRun(db, request(key)));

test('the same key gives the same run, another key is told that the machine is busy, and a finished run is in nobody’s way', async () => {
  const first = await create('key-1');
  expect(first.kind).toBe('created');
  expect(await create('key-1')).toMatchObject({ kind: 'same-key', run: { id: first.run.id } });
  expect(await create('key-2')).toMatchObject({ kind: 'busy', run: { id: first.run.id } });
  await store.write((db) => finishRun(db, first.run.id, { kind: 'failed', failure: 'no room' }));
  expect((await create('key-2')).kind).toBe('created');
  expect(await create('key-1')).toMatchObject({ kind: 'same-key', run: { state: 'failed', failure: 'no room' } });
});

test('of thirty simultaneous requests for one machine exactly one run begins', async () => {
  const keys = Array.from({ length: 30 }, (_, index) => `key-${index % 10}`);
  const outcomes = await Promise.all(keys.map(create));
  expect(outcomes.filter((outcome) => outcome.kind === 'created')).toHaveLength(1);
  expect(await store.read(activeRuns)).toHaveLength(1);
});

test('steps keep their times when they are set again, and the view shows them in order', async () => {
  const { run } = await create('key-1');
  await store.write((db) => setStep(db, { runId: run.id, name: 'one', state: 'running' }));
  await store.write((db) => setStep(db, { runId: run.id, name: 'one', state: 'done' }));
  const before = await store.read((db) => findRunView(db, run.id));
  await store.write((db) => setStep(db, { runId: run.id, name: 'one', state: 'done' }));
  const view = await store.read((db) => findRunView(db, run.id));
  expect(view).toEqual(before);
  expect(view?.steps.map((step) => [step.name, step.state])).toEqual([
    ['one', 'done'],
    ['two', 'pending'],
  ]);
});

test('a run ends once: the first end counts', async () => {
  const { run } = await create('key-1');
  const failed = await store.write((db) => finishRun(db, run.id, { kind: 'failed', failure: 'first' }));
  const again = await store.write((db) => finishRun(db, run.id, { kind: 'succeeded' }));
  expect([failed, again]).toEqual(['finished', 'was-finished']);
  expect(await store.read((db) => findRunView(db, run.id))).toMatchObject({ state: 'failed', failure: 'first' });
});

test('an effect is first once, however many engines note it at the same time', async () => {
  const { run } = await create('key-1');
  const key = `${run.id}:start:1:${randomUUID()}`;
  const noted = await Promise.all(
    Array.from({ length: 20 }, () => store.write((db) => recordEffect(db, { key, runId: run.id }))),
  );
  expect(noted.filter((outcome) => outcome === 'first')).toHaveLength(1);
  expect(await store.read((db) => countEffects(db, run.id))).toBe(1);
});

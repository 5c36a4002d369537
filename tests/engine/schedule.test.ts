import path from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { invariant } from '../../domain/invariant.ts';
import { endDueDrills, endPauses, startSchedule } from '../../engine/schedule.ts';
import { openDrill } from '../../engine/store/drills.ts';
import { listEvents } from '../../engine/store/events.ts';
import { pauseMachine } from '../../engine/store/machines.ts';
import type { Store } from '../../engine/store/open.ts';
import { findPoint, pointViewOf } from '../../engine/store/points.ts';
import { createRun, finishRun } from '../../engine/store/runs.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { makeTestVault } from './point-fixture.ts';
import { protectMachines, type TestMachine } from './workflow/protected-machine.ts';

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

const eventsOf = async (prefix: string) =>
  (await store.read((db) => listEvents(db, 0))).filter((event) => event.kind.startsWith(prefix));
const execute = (statement: string) => store.read((db) => db.execute(sql.raw(statement)));

async function openExpiredDrill(): Promise<void> {
  const { machineId, pointId } = machine;
  await store.write(async (db) => {
    const facts = {
      kind: 'test-failover' as const,
      requestedBy: 'ana',
      plan: {},
      planDigest: 'a'.repeat(64),
      steps: [],
    };
    const { run } = await createRun(db, { ...facts, machineId, idempotencyKey: 'key-of-the-drill' });
    const point = await findPoint(db, pointId);
    invariant(point, 'the point');
    await openDrill(db, {
      machineId,
      runId: run.id,
      point: pointViewOf(point),
      vmName: 'vm-7-Test',
      limitMs: 4 * 3_600_000,
    });
    await finishRun(db, run.id, { kind: 'succeeded' });
  });
}

test('a drill that nobody cleans up is ended at its time, with one event that says so, and tried again when that fails', async () => {
  await openExpiredDrill();
  const asked: string[] = [];
  const workflow = {
    startCleanup: async ({ idempotencyKey, note }: { idempotencyKey: string; note: string }) => {
      asked.push(`${idempotencyKey.split(' ').at(-1)}: ${note}`);
      return { kind: 'started' as const, runId: 'run_0000000001' };
    },
  };
  await endDueDrills({ store, workflow });
  expect(asked).toEqual([]);
  await execute(
    `update drills set started_at = started_at - interval '4 h 1 s', expires_at = expires_at - interval '4 h 1 s'`,
  );
  await endDueDrills({ store, workflow });
  await endDueDrills({ store, workflow });
  // The same key: the same cleanup. Five minutes later it is another attempt.
  expect(asked).toEqual(['0: expired after 4 h', '0: expired after 4 h']);
  await execute(
    `update drills set started_at = started_at - interval '5 min', expires_at = expires_at - interval '5 min'`,
  );
  await endDueDrills({ store, workflow });
  expect(asked.at(-1)).toBe('1: expired after 4 h');
  expect((await eventsOf('drill-expired')).map((event) => event.text)).toEqual([
    'The test failover of vm-7 expired after 4 h; vm-7-Test is being removed.',
  ]);
});

test('a pause ends at its time, and people are told once', async () => {
  await store.write((db) => pauseMachine(db, machine.machineId, { forMs: 3_600_000, reason: 'tape day' }));
  await endPauses(store);
  expect(await eventsOf('resumed')).toEqual([]);
  await execute(`update protected_machines set paused_until = now() - interval '1 s'`);
  await endPauses(store);
  await endPauses(store);
  expect(await eventsOf('resumed')).toHaveLength(1);
});

test('the schedule does its duties by itself, on one engine at a time, and stops', async () => {
  await openExpiredDrill();
  await execute(`update drills set started_at = started_at - interval '5 h', expires_at = expires_at - interval '5 h'`);
  const vault = await makeTestVault();
  const troubles: unknown[] = [];
  let resolveAsked: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => {
    resolveAsked = resolve;
  });
  const idlePoints = {
    announce: () => Promise.reject(new Error('not called')),
    recover: async () => undefined,
    continueAll: async () => undefined,
    idle: async () => undefined,
    close: async () => undefined,
  };
  const schedule = startSchedule({
    store,
    vault: vault.vault,
    foldSegmentsMin: 1,
    points: idlePoints,
    workflow: {
      startCleanup: async () => {
        resolveAsked();
        return { kind: 'started', runId: 'run_0000000001' };
      },
    },
    settleApprovals: async () => undefined,
    recheckApprovals: async () => undefined,
    removeOldJobs: async () => undefined,
    stateFolder: vault.folder,
    alerting: {
      engineName: 'engine-1',
      heartbeatEveryMs: 5000,
      probeTargets: {
        vault: { description: 'the test vault', read: async () => undefined },
        processServers: [],
        clientKey: () => Promise.reject(new Error('not called')),
        folders: [],
        certificates: [],
      },
      pagerUrl: undefined,
      aliveFile: path.join(vault.folder, 'alive.json'),
      nowMs: Date.now,
      log: { warn: () => undefined, info: () => undefined },
    },
    onTrouble: (error) => troubles.push(error),
  });
  await asked;
  await schedule.stop();
  expect(troubles).toEqual([]);
  await vault.remove();
});

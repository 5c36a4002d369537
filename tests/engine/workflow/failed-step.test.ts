import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDrillOf } from '../../../engine/store/drills.ts';
import { listEvents } from '../../../engine/store/events.ts';
import { findPoint, markExpiring } from '../../../engine/store/points.ts';
import { createRun } from '../../../engine/store/runs.ts';
import { type EngineProcess, endOfRun } from './engine-control.ts';
import { type JobBench, startJobBench } from './job-bench.ts';
import type { TestMachine } from './protected-machine.ts';
import { breakCall, drillThings, holdCall, mendCall, type TargetCall, thingsThere } from './recorded-target.ts';

let bench: JobBench;
let engine: EngineProcess;

beforeAll(async () => {
  bench = await startJobBench();
  engine = await bench.startEngine();
});
afterAll(async () => {
  await bench?.stop();
});

const drillOf = (machine: TestMachine) => bench.store.read((db) => openDrillOf(db, machine.machineId));

async function withBroken<T>(calls: readonly TargetCall[], work: () => Promise<T>): Promise<T> {
  for (const call of calls) await breakCall(bench.folder, call);
  return work().finally(async () => {
    for (const call of calls) await mendCall(bench.folder, call);
  });
}

describe('a test failover', () => {
  it('is one run however often it is asked for, and cannot be cleaned up while it is at work', async () => {
    const machine = await bench.newMachine();
    const release = await holdCall(bench.folder, 'verifyBoot');
    const started = await engine.order('test-failover', machine.name, 'key-1');
    expect(started.kind).toBe('started');
    expect(await engine.order('test-failover', machine.name, 'key-1')).toEqual(started);
    await expect.poll(async () => (await drillOf(machine))?.state, { timeout: 20_000 }).toBe('starting');
    for (const what of ['test-failover', 'cleanup'] as const) {
      const refusal = await engine.order(what, machine.name, `while at work: ${what}`);
      expect(refusal).toMatchObject({ kind: 'refused', message: expect.stringMatching(/at work|already/) });
    }
    await release();
    expect(await endOfRun(bench.store, started.runId ?? '')).toMatchObject({ state: 'succeeded' });
    expect(await engine.order('test-failover', machine.name, 'key-1')).toEqual(started);
  });

  it('shows what was verified, from which point, and how old that was', async () => {
    const machine = await bench.newMachine();
    const run = await bench.run(engine, 'test-failover', machine);
    expect(run).toMatchObject({
      state: 'succeeded',
      failure: null,
      result: { verified: true, marker: 'up', vmName: `${machine.name}-Test`, point: { id: machine.pointId } },
    });
    expect(run.result?.pointAgeMs).toBeGreaterThanOrEqual(5000);
    expect(await engine.order('test-failover', machine.name, 'again')).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining(`cleanup ${machine.name}`),
    });
    expect(await bench.run(engine, 'cleanup', machine)).toMatchObject({ state: 'succeeded' });
    expect(await engine.order('cleanup', machine.name, 'again-2')).toMatchObject({ kind: 'refused' });
  });

  it('keeps its point from expiring while its drill is open', async () => {
    const machine = await bench.newMachine();
    await bench.run(engine, 'test-failover', machine);
    expect(await bench.store.write((db) => markExpiring(db, machine.pointId))).toBe('in-use');
    await bench.run(engine, 'cleanup', machine);
    expect(await bench.store.write((db) => markExpiring(db, machine.pointId))).toBe('expiring');
  });
});

describe('when a step fails', () => {
  const failing: readonly [TargetCall, string][] = [
    ['prepareDrill', 'prepare folder'],
    ['startDiskServer', 'start disk server'],
    ['createOverlays', 'create overlays'],
    ['startMachine', 'start machine'],
    ['verifyBoot', 'verify boot'],
  ];
  it.each(failing)('%s: the world is as before, and the run says why and what to do', async (call, step) => {
    const machine = await bench.newMachine();
    const before = await thingsThere(bench.folder);
    const run = await withBroken([call], () => bench.run(engine, 'test-failover', machine));
    expect(run.state).toBe('failed');
    expect(run.failure).toContain(`${step}: ${call} on the test target. Mend the test target.`);
    expect(run.failure).toContain('Nothing of it is left.');
    expect(await thingsThere(bench.folder)).toEqual(before);
    expect(await drillOf(machine)).toBeUndefined();
    expect((await bench.store.read((db) => findPoint(db, machine.pointId)))?.state).toBe('available');
    const states = Object.fromEntries(run.steps.map((shown) => [shown.name, shown.state]));
    expect(states).toMatchObject({ [step]: 'failed', 'reserve drill': 'undone', 'record result': 'pending' });
    const told = await bench.store.read((db) => listEvents(db, 0));
    expect(told.filter((event) => event.runId === run.id && event.kind === 'run-failed')).toHaveLength(1);
    expect(await bench.run(engine, 'test-failover', machine)).toMatchObject({ state: 'succeeded' });
  });

  it('a point that went away before it was reserved ends the run with that reason', async () => {
    const machine = await bench.newMachine();
    engine.killAt('test-failover/reserve drill/before');
    await engine.order('test-failover', machine.name, 'late');
    await engine.died;
    await bench.store.write((db) => markExpiring(db, machine.pointId));
    engine = await bench.startEngine();
    const answer = await engine.order('test-failover', machine.name, 'late');
    expect(answer.kind).toBe('started');
    await expect
      .poll(() => bench.store.read((db) => listEvents(db, 0)), { timeout: 20_000 })
      .toContainEqual(
        expect.objectContaining({
          runId: answer.runId,
          kind: 'run-failed',
          text: expect.stringContaining('not available'),
        }),
      );
  });

  it('an undo that fails leaves the drill open, so that cleanup can remove the rest', async () => {
    const machine = await bench.newMachine();
    const run = await withBroken(['startMachine', 'stopDiskServer', 'removeDrill'], () =>
      bench.run(engine, 'test-failover', machine),
    );
    expect(run).toMatchObject({ state: 'failed', failure: expect.stringContaining(`cleanup ${machine.name}`) });
    expect(run.failure).toContain('Undoing "start disk server" failed too');
    expect((await drillOf(machine))?.state).toBe('open');
    expect(await bench.run(engine, 'cleanup', machine)).toMatchObject({ state: 'succeeded' });
    expect(await drillOf(machine)).toBeUndefined();
  });

  it('a clean-up that fails leaves the drill open and can be asked for again', async () => {
    const machine = await bench.newMachine();
    await bench.run(engine, 'test-failover', machine);
    const failed = await withBroken(['stopMachine'], () => bench.run(engine, 'cleanup', machine));
    expect(failed).toMatchObject({ state: 'failed', failure: expect.stringContaining('stop machine: stopMachine') });
    expect((await drillOf(machine))?.state).toBe('open');
    expect(await bench.run(engine, 'cleanup', machine)).toMatchObject({ state: 'succeeded' });
  });

  it('the harness sees what a target leaves behind that removes nothing', async () => {
    const leaky = await startJobBench('no-removal');
    try {
      const machine = await leaky.newMachine();
      await breakCall(leaky.folder, 'verifyBoot');
      const run = await leaky.run(await leaky.startEngine(), 'test-failover', machine);
      expect(run.state).toBe('failed');
      expect(await thingsThere(leaky.folder)).toHaveLength(drillThings.length);
    } finally {
      await leaky.stop();
    }
  });
});

describe('a run whose plan this engine cannot read', () => {
  it('is ended with a reason instead of staying at work for ever', async () => {
    const machine = await bench.newMachine();
    const created = await bench.store.write((db) =>
      createRun(db, {
        kind: 'test-failover',
        machineId: machine.machineId,
        requestedBy: 'ana',
        idempotencyKey: `unreadable ${machine.name}`,
        plan: { kind: 'of another age' },
        planDigest: 'a'.repeat(64),
        steps: [],
      }),
    );
    expect(await endOfRun(bench.store, created.run.id)).toMatchObject({
      state: 'failed',
      failure: expect.stringContaining('fault of Lifeboat'),
    });
    expect(await bench.run(engine, 'test-failover', machine)).toMatchObject({ state: 'succeeded' });
  });
});

describe('what the job engine remembers', () => {
  const jobs = async () =>
    (
      await bench.store.read((db) =>
        db.execute<{ id: string; steps: number }>(sql`select workflow_uuid as id,
          (select count(*)::int from dbos.operation_outputs o where o.workflow_uuid = w.workflow_uuid) as steps
          from dbos.workflow_status w`),
      )
    ).rows;
  /** It ended that much earlier. */
  const age = (runId: string, days: number) =>
    bench.store.read((db) =>
      db.execute(
        sql`update dbos.workflow_status set completed_at = completed_at - ${days}::bigint * 86400000 where workflow_uuid = ${runId}`,
      ),
    );

  it('of jobs that ended more than a week ago is removed, with their steps; their runs stay, and are not begun anew', async () => {
    // A job ends a moment after its run: those of the tests before this one may still be about to.
    const withoutOlder = async () => {
      await bench.store.read((db) =>
        db.execute(sql`update dbos.workflow_status set completed_at = completed_at - 864000000`),
      );
      await engine.removeOldJobs();
      return jobs();
    };
    await expect.poll(withoutOlder, { timeout: 20_000 }).toEqual([]);
    const machine = await bench.newMachine();
    const old = await bench.run(engine, 'test-failover', machine);
    const fresh = await bench.run(engine, 'cleanup', machine);
    await expect.poll(async () => (await jobs()).length, { timeout: 20_000 }).toBe(2);
    expect((await jobs()).every(({ steps }) => steps > 0)).toBe(true);
    expect(await engine.removeOldJobs()).toBe(0);
    await age(old.id, 8);
    await age(fresh.id, 6);
    await expect.poll(() => engine.removeOldJobs(), { timeout: 20_000 }).toBe(1);
    expect((await jobs()).map(({ id }) => id)).toEqual([fresh.id]);
    const orphans = await bench.store.read((db) =>
      db.execute(sql`select 1 from dbos.operation_outputs where workflow_uuid = ${old.id}`),
    );
    expect(orphans.rows).toEqual([]);
    expect(await endOfRun(bench.store, old.id)).toMatchObject({ state: 'succeeded', result: { verified: true } });
    await engine.start(old.id);
    expect((await jobs()).map(({ id }) => id)).toEqual([fresh.id]);
  });

  it('of a job whose run has not ended stays, however old it is', async () => {
    const machine = await bench.newMachine();
    const release = await holdCall(bench.folder, 'verifyBoot');
    const { runId = '' } = await engine.order('test-failover', machine.name, 'held for a week');
    await expect.poll(async () => (await jobs()).some(({ id }) => id === runId), { timeout: 20_000 }).toBe(true);
    await bench.store.read((db) =>
      db.execute(sql`update dbos.workflow_status set created_at = created_at - 864000000,
        completed_at = created_at - 864000000 where workflow_uuid = ${runId}`),
    );
    expect(await engine.removeOldJobs()).toBe(0);
    await release();
    expect(await endOfRun(bench.store, runId)).toMatchObject({ state: 'succeeded' });
    expect(await bench.run(engine, 'cleanup', machine)).toMatchObject({ state: 'succeeded' });
  });
});

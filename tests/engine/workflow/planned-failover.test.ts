import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { invariant } from '../../../domain/invariant.ts';
import type { PlannedFailoverPlan } from '../../../domain/planned-failover.ts';
import { brokenConstraint } from '../../../engine/store/database.ts';
import { pinnedPoints } from '../../../engine/store/drills.ts';
import { listEvents } from '../../../engine/store/events.ts';
import { failoverOfRun } from '../../../engine/store/failovers.ts';
import { saveReport } from '../../../engine/store/machines.ts';
import { markExpiring } from '../../../engine/store/points.ts';
import { countEffects, createRun } from '../../../engine/store/runs.ts';
import { createApprovedRun, startApprovedRun } from '../../../engine/workflow/approved-run.ts';
import { boundaries, undoBoundaries } from '../../../engine/workflow/boundaries.ts';
import { careForFailovers } from '../../../engine/workflow/failover-care.ts';
import { endOfRun, startEngineProcess } from './engine-control.ts';
import { type FailoverBench, type FailoverMachine, startFailoverBench } from './failover-bench.ts';
import {
  breakCall,
  drillThings,
  mendCall,
  recordedTarget,
  type TargetCall,
  thingsMade,
  thingsThere,
} from './recorded-target.ts';
import { closedEpoch } from './recorded-vault.ts';

let bench: FailoverBench;
beforeAll(async () => {
  bench = await startFailoverBench();
});
afterAll(async () => {
  await bench?.stop();
});

async function created(plan: PlannedFailoverPlan) {
  const outcome = await bench.create(plan);
  invariant(outcome.kind === 'created', 'nothing else is at work on it');
  return outcome.runId;
}

async function broken<T>(calls: readonly TargetCall[], work: () => Promise<T>): Promise<T> {
  for (const call of calls) await breakCall(bench.folder, call);
  return work().finally(async () => {
    for (const call of calls) await mendCall(bench.folder, call);
  });
}

const placeOf = async (runId: string) => (await bench.store.read((db) => failoverOfRun(db, runId)))?.id ?? 'none';
const thingsOf = async (runId: string) => {
  const place = await placeOf(runId);
  return (await thingsThere(bench.folder)).filter((name) => name.startsWith(place));
};
const care = (target = recordedTarget(bench.folder, 'none')) => {
  const noLog = () => undefined;
  return careForFailovers({
    store: bench.store,
    target,
    log: { debug: noLog, info: noLog, warn: noLog, error: noLog },
  });
};

async function expectAtSource({ plan, source }: FailoverMachine, runId: string, epoch: number) {
  expect(await bench.machine(plan)).toMatchObject({ protection: { kind: 'protected' }, isHeld: false, epoch });
  expect(source).toMatchObject({ isRunning: true, hasTwoCopies: false });
  expect(await thingsOf(runId)).toEqual([]);
  expect((await bench.store.read((db) => failoverOfRun(db, runId)))?.state ?? 'removed').toBe('removed');
}

describe('an engine killed at every boundary of a planned failover, one after the other,', () => {
  it('is followed by others that finish it: each effect once, nothing lost, one copy at any time', async () => {
    const machine = await bench.newMachine();
    const runId = await created(machine.plan);
    const executor = { start: () => Promise.reject(new Error('this engine is dead')) };
    const [atCreation, ...others] = boundaries['planned-failover'];
    const reached: string[] = [];
    const boundary = (name: string) => void reached.push(name);
    await expect(startApprovedRun({ boundary, executor }, runId)).rejects.toThrow('dead');
    expect(reached).toEqual([atCreation]);
    const engines = bench.engines();
    for (const at of others) expect(`${at} ${await engines.work(runId, at)}`).toBe(`${at} died`);
    expect(await engines.work(runId)).toBe('done');
    const { plan, source } = machine;
    const run = await bench.view(runId);
    expect(run).toMatchObject({
      state: 'succeeded',
      failure: null,
      result: { verified: true, vmName: plan.vmName, pointAgeMs: 0, failover: { rpoMs: 0, disksComparedCount: 2 } },
    });
    expect(run?.steps.map((step) => step.state)).toEqual(run?.steps.map(() => 'done'));
    expect(await bench.store.read((db) => countEffects(db, runId))).toBe(run?.steps.length);
    const place = await placeOf(runId);
    const made = (await thingsMade(bench.folder)).filter((line) => line.endsWith(place));
    expect(made).toEqual(drillThings.map((thing) => `${thing} ${place}`));
    expect(await bench.machine(plan)).toMatchObject({
      protection: { kind: 'failed-over', runId, disks: 'hydrating', vmName: plan.vmName },
      isHeld: true,
      epoch: 2,
    });
    expect(source).toMatchObject({ isRunning: false, hasTwoCopies: false, startCount: 0 });
    for (const { diskId } of plan.disks) expect(await closedEpoch(bench.folder, diskId)).toBe(2);
  });

  it('is followed by others that give it back to the source, when its machine does not come up', async () => {
    const machine = await bench.newMachine();
    const runId = await created(machine.plan);
    const engines = bench.engines();
    await broken(['verifyBoot'], async () => {
      for (const at of undoBoundaries['planned-failover'])
        expect(`${at} ${await engines.work(runId, at)}`).toBe(`${at} died`);
      expect(await engines.work(runId)).toBe('done');
    });
    const run = await bench.view(runId);
    expect(run).toMatchObject({ state: 'failed', failure: expect.stringContaining('verify boot') });
    expect(run?.failure).toContain('was started again at its source and is replicated as before');
    await expectAtSource(machine, runId, 3);
    expect(machine.source.startCount).toBe(1);
    const told = await bench.store.read((db) => listEvents(db, 0));
    expect(told.filter((event) => event.runId === runId && event.kind === 'run-failed')).toHaveLength(1);
  });

  it('is continued by the job engine too, in processes that are really killed', async () => {
    const { plan, source } = await bench.newMachine();
    const settings = { connectionString: bench.connectionString, targetFolder: bench.folder, bug: 'none' as const };
    const runId = await created(plan);
    const engine = await startEngineProcess(settings);
    engine.killAt('planned-failover/start machine/effect');
    await engine.died;
    const next = await startEngineProcess(settings);
    expect(await endOfRun(bench.store, runId)).toMatchObject({ state: 'succeeded', failure: null });
    await next.kill();
    expect(source).toMatchObject({ isRunning: false, hasTwoCopies: false });
  });
});

describe('a failover that is given up', () => {
  it('changes nothing when the source does not stop', async () => {
    const machine = await bench.newMachine('ignores');
    const runId = await created(machine.plan);
    await bench.engines().work(runId);
    const failure = (await bench.view(runId))?.failure;
    expect(failure).toContain('shut down source: it did not switch itself off.');
    expect(failure).toContain(`Nothing was changed: ${machine.plan.machineName} goes on at its source.`);
    await expectAtSource(machine, runId, 1);
    expect(machine.source.startCount).toBe(0);
  });

  it('starts the source again when the point is not where the agent left the disks', async () => {
    const machine = await bench.newMachine('lies');
    const runId = await created(machine.plan);
    await bench.engines().work(runId);
    expect((await bench.view(runId))?.failure).toContain('prove no loss: disk0: recovery point');
    await expectAtSource(machine, runId, 1);
  });

  const failing: readonly [TargetCall, string, number][] = [
    ['prepareDrill', 'prepare folder', 3],
    ['startDiskServer', 'start disk server', 3],
    ['createOverlays', 'create disks', 3],
    ['startMachine', 'start machine', 3],
  ];
  it.each(failing)('%s: the source runs again, in a higher epoch, and nothing is left', async (call, step, epoch) => {
    const machine = await bench.newMachine();
    const runId = await created(machine.plan);
    await broken([call], () => bench.engines().work(runId));
    expect((await bench.view(runId))?.failure).toContain(`${step}: ${call} on the test target.`);
    await expectAtSource(machine, runId, epoch);
  });

  it('fails when a machine came up that is not verified', async () => {
    const machine = await bench.newMachine();
    const runId = await created(machine.plan);
    const engines = bench.engines((target) => ({
      ...target,
      verifyBoot: async () => ({
        kind: 'failed',
        verified: false,
        why: 'read-errors',
        explanation: 'The machine could not read parts of its disks.',
        consolePicture: undefined,
        elapsedMs: 1,
      }),
    }));
    await engines.work(runId);
    expect((await bench.view(runId))?.failure).toContain('could not read parts of its disks');
    await expectAtSource(machine, runId, 3);
  });

  it('keeps the source stopped while something may run at the target, and starts it when that is gone', async () => {
    const machine = await bench.newMachine();
    const runId = await created(machine.plan);
    const calls = ['verifyBoot', 'stopMachine', 'removeDrill'] as const;
    const stuck = (target = recordedTarget(bench.folder, 'none')) => {
      const fails = () => Promise.reject(new Error('the hypervisor hangs'));
      return { ...target, stopMachine: fails, removeDrill: fails };
    };
    await broken(calls.slice(0, 1), () => bench.engines(stuck).work(runId));
    const { plan, source } = machine;
    expect((await bench.view(runId))?.failure).toContain('as soon as nothing of it is left at the target');
    expect(await bench.machine(plan)).toMatchObject({ isHeld: true, epoch: 2, protection: { kind: 'protected' } });
    expect(source).toMatchObject({ isRunning: false, hasTwoCopies: false });
    await care(stuck());
    expect(source.isRunning).toBe(false);
    await care();
    await expect.poll(() => source.isRunning, { timeout: 20_000 }).toBe(true);
    await expectAtSource(machine, runId, 3);
  });

  it('a planted bug, a source that is started before its copy is gone, is seen', async () => {
    const machine = await bench.newMachine();
    const runId = await created(machine.plan);
    const engines = bench.engines((target) => ({
      ...target,
      removeDrill: async () => {},
      stopMachine: async () => {},
    }));
    await broken(['verifyBoot'], () => engines.work(runId));
    await expect.poll(() => machine.source.hasTwoCopies, { timeout: 20_000 }).toBe(true);
  });

  it('refuses what is not as it was approved', async () => {
    const { plan } = await bench.newMachine();
    const runId = await created({ ...plan, epoch: 7 });
    await bench.engines().work(runId);
    expect((await bench.view(runId))?.failure).toContain('since it was approved');
    expect(await bench.machine(plan)).toMatchObject({ isHeld: false, epoch: 1 });
  });
});

describe('after a failover', () => {
  it('its point stays until its disks are full, and the vault is needed no more then', async () => {
    const { plan } = await bench.newMachine();
    const runId = await created(plan);
    await bench.engines().work(runId);
    const point = (await bench.view(runId))?.result?.point.id;
    invariant(point, 'it succeeded');
    expect((await bench.store.read(pinnedPoints)).has(point)).toBe(true);
    expect(await bench.store.write((db) => markExpiring(db, point))).toBe('in-use');
    await care();
    expect((await bench.machine(plan))?.protection).toMatchObject({ kind: 'failed-over', disks: 'local' });
    expect((await thingsOf(runId)).some((name) => name.endsWith('.disk-server'))).toBe(false);
    expect(await bench.store.write((db) => markExpiring(db, point))).toBe('expiring');
    const told = await bench.store.read((db) => listEvents(db, 0));
    expect(told.filter((event) => event.runId === runId).at(-1)?.kind).toBe('disks-local');
  });
});

describe('a heartbeat that was on its way', () => {
  it('changes nothing of what was decided since the machine was read', async () => {
    const { plan } = await bench.newMachine();
    const before = await bench.machine(plan);
    invariant(before, 'it is protected');
    await bench.engines().work(await created(plan));
    const scanning = {
      kind: 'scanning',
      doneBytes: 1,
      totalBytes: 2,
      sentBytes: 0,
      bytesPerSecond: 0,
      why: '',
    } as const;
    const report = { machineId: plan.machineId, activity: scanning, spoolBytes: 0, sentBytesTotal: 0 };
    await bench.store.write((db) => saveReport(db, before, report));
    expect((await bench.machine(plan))?.protection.kind).toBe('failed-over');
  });
});

describe('the table of runs', () => {
  it('takes no planned failover without an approval, and one run of each approval', async () => {
    const { plan } = await bench.newMachine();
    const { machineId, steps } = plan;
    const row = { machineId, steps, plan, planDigest: 'a'.repeat(64), requestedBy: 'ana' };
    const unapproved = bench.store.write((db) =>
      createRun(db, { ...row, kind: 'planned-failover', idempotencyKey: 'x' }),
    );
    expect(await unapproved.catch(brokenConstraint)).toBe('runs_approved');
    const first = await bench.create(plan);
    const { approvalId } = first;
    const again = await bench.store.write((db) => createApprovedRun(db, { approvalId, plan, requestedBy: 'ana' }));
    expect(again).toEqual({ kind: 'created', runId: first.kind === 'created' ? first.runId : '' });
    const other = bench.store.write((db) =>
      createRun(db, { ...row, kind: 'planned-failover', idempotencyKey: 'y', approvalId, plan: { ...plan, epoch: 9 } }),
    );
    expect(await other.catch(brokenConstraint)).toBe('runs_approved');
    expect(await bench.create(plan).catch(brokenConstraint)).toBe('approvals_one_open');
    const unfenced = bench.store.write((db) =>
      db.execute(
        `update protected_machines set protection_kind = 'failed-over', protection =
          '{"runId":"r","target":"t","vmName":"v","atMs":1,"disks":"local"}' where id = '${machineId}'`,
      ),
    );
    expect(await unfenced.catch(brokenConstraint)).toBe('protected_machines_held');
  });
});

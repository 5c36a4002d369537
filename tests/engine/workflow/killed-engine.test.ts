import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDrillOf } from '../../../engine/store/drills.ts';
import { activeRunOf, countEffects } from '../../../engine/store/runs.ts';
import { boundaries, undoBoundaries } from '../../../engine/workflow/boundaries.ts';
import type { RunView } from '../../../protocol/control-api.ts';
import { type EngineProcess, endOfRun, eventually } from './engine-control.ts';
import { type JobBench, startJobBench } from './job-bench.ts';
import type { TestMachine } from './protected-machine.ts';
import { breakCall, drillThings, mendCall, thingsMade, thingsThere } from './recorded-target.ts';

let bench: JobBench;
/** Each engine first continues what the one before it left, then is killed itself. */
let engine: EngineProcess;

beforeAll(async () => {
  bench = await startJobBench();
  engine = await bench.startEngine();
});
afterAll(async () => {
  await bench?.stop();
});

const madeOf = async (drillId: string) => (await thingsMade(bench.folder)).filter((line) => line.endsWith(drillId));
const thereOf = async (drillId: string) => (await thingsThere(bench.folder)).filter((name) => name.startsWith(drillId));
const drillOf = (machine: TestMachine) => bench.store.read((db) => openDrillOf(db, machine.machineId));

/** Kills the engine at the boundary of a new run, starts another, and returns how that one ended the run. */
async function killAndContinue(
  what: 'test-failover' | 'cleanup',
  machine: TestMachine,
  boundary: string,
): Promise<RunView> {
  engine.killAt(boundary);
  await engine.order(what, machine.name, `${boundary} ${machine.name}`);
  await engine.died;
  const run = await bench.store.read((db) => activeRunOf(db, machine.machineId));
  const lastOne = boundary.endsWith('/noted') || boundary.endsWith('/after');
  if (!lastOne) expect(run, 'the run was at work when its engine died').toBeDefined();
  engine = await bench.startEngine();
  const again = await engine.order(what, machine.name, `${boundary} ${machine.name}`);
  expect(again).toMatchObject({ kind: 'started' });
  return endOfRun(bench.store, again.runId ?? '');
}

describe('an engine killed at', () => {
  it.each(boundaries['test-failover'])(
    '%s is followed by one that finishes the run, each effect once',
    async (boundary) => {
      const machine = await bench.newMachine();
      const run = await killAndContinue('test-failover', machine, boundary);
      expect(run).toMatchObject({ state: 'succeeded', failure: null });
      expect(run.steps.map((step) => step.state)).toEqual(run.steps.map(() => 'done'));
      const drill = await drillOf(machine);
      expect(drill?.state).toBe('open');
      expect(await madeOf(drill?.id ?? '')).toEqual(drillThings.map((thing) => `${thing} ${drill?.id}`));
      expect(await bench.store.read((db) => countEffects(db, run.id))).toBe(run.steps.length);
    },
  );

  it.each(boundaries.cleanup)('%s is followed by one that cleans up, without a trace', async (boundary) => {
    const machine = await bench.newMachine();
    await bench.run(engine, 'test-failover', machine);
    const drill = await drillOf(machine);
    const run = await killAndContinue('cleanup', machine, boundary);
    expect(run).toMatchObject({ state: 'succeeded', failure: null });
    expect(await thereOf(drill?.id ?? '')).toEqual([]);
    expect(await drillOf(machine)).toBeUndefined();
  });

  it.each(undoBoundaries['test-failover'])('%s is followed by one that undoes the rest', async (boundary) => {
    const machine = await bench.newMachine();
    await breakCall(bench.folder, 'verifyBoot');
    const run = await killAndContinue('test-failover', machine, boundary).finally(() =>
      mendCall(bench.folder, 'verifyBoot'),
    );
    expect(run).toMatchObject({ state: 'failed', failure: expect.stringContaining('Nothing of it is left.') });
    expect(await drillOf(machine)).toBeUndefined();
    const made = (await thingsMade(bench.folder)).slice(-drillThings.length);
    const [, drillId] = made[0]?.split(' ') ?? [];
    expect(made).toEqual(drillThings.map((thing) => `${thing} ${drillId}`));
    expect(await thereOf(drillId ?? '')).toEqual([]);
  });

  it('a boundary that does not exist stays alive: each name above was really reached', async () => {
    const machine = await bench.newMachine();
    engine.killAt('test-failover/no such step/before');
    expect(await bench.run(engine, 'test-failover', machine)).toMatchObject({ state: 'succeeded' });
    expect(engine.child.exitCode).toBeNull();
  });
});

describe('the harness', () => {
  it('catches a target without effect keys: its machine is made twice', async () => {
    const unkeyed = await startJobBench('no-keys');
    try {
      const machine = await unkeyed.newMachine();
      const first = await unkeyed.startEngine();
      first.killAt('test-failover/start machine/effect');
      const answer = await first.order('test-failover', machine.name, 'key');
      await first.died;
      await unkeyed.startEngine();
      const runId =
        answer.runId ??
        (await eventually('the run', 5000, async () => {
          const run = await unkeyed.store.read((db) => activeRunOf(db, machine.machineId));
          return run?.id;
        }));
      await endOfRun(unkeyed.store, runId);
      const machines = (await thingsMade(unkeyed.folder)).filter((line) => line.startsWith('machine '));
      expect(machines).toHaveLength(2);
    } finally {
      await unkeyed.stop();
    }
  });
});

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDrillOf } from '../../../engine/store/drills.ts';
import { listRunViews } from '../../../engine/store/runs.ts';
import { endOfRun, eventually } from './engine-control.ts';
import { type JobBench, startJobBench } from './job-bench.ts';
import { drillThings, holdCall, thingsMade, thingsThere } from './recorded-target.ts';

let bench: JobBench;

beforeAll(async () => {
  bench = await startJobBench();
});
afterAll(async () => {
  await bench?.stop();
});

/** The held call has been reached: the machine of the newest drill is made. */
const machineIsMade = (count: number) =>
  eventually('the machine', 20_000, async () => {
    const made = (await thingsMade(bench.folder)).filter((line) => line.startsWith('machine '));
    return made.length >= count ? made.length : undefined;
  });

describe('two engines', () => {
  it('make one run of 200 requests at once, however the keys are', async () => {
    const [first, second] = await Promise.all([bench.startEngine(), bench.startEngine()]);
    const machine = await bench.newMachine();
    const requests = Array.from({ length: 200 }, (_, index) => ({
      engine: index % 2 === 0 ? first : second,
      key: index % 4 < 2 ? 'same' : `other-${index}`,
    }));
    const answers = await Promise.all(
      requests.map(({ engine, key }) => engine.order('test-failover', machine.name, key)),
    );
    const runIds = new Set(answers.filter((answer) => answer.kind === 'started').map((answer) => answer.runId));
    expect(runIds.size).toBe(1);
    const refusals = answers.filter((answer) => answer.kind === 'refused');
    expect(refusals.length + answers.filter((answer) => answer.kind === 'started').length).toBe(200);
    const [runId] = runIds;
    expect(await endOfRun(bench.store, runId ?? '')).toMatchObject({ state: 'succeeded' });
    const runs = (await bench.store.read((db) => listRunViews(db))).filter((run) => run.machineName === machine.name);
    expect(runs).toHaveLength(1);
    expect(await thingsMade(bench.folder)).toHaveLength(drillThings.length);
    await Promise.all([first.kill(), second.kill()]);
  });

  it('take over from each other: a frozen engine’s run is finished, and it ends itself when it wakes up', async () => {
    const [first, second] = await Promise.all([bench.startEngine(), bench.startEngine()]);
    const machine = await bench.newMachine();
    const madeBefore = (await thingsMade(bench.folder)).filter((line) => line.startsWith('machine ')).length;
    const release = await holdCall(bench.folder, 'startMachine');
    const answer = await first.order('test-failover', machine.name, 'frozen');
    await machineIsMade(madeBefore + 1);
    first.child.kill('SIGSTOP');
    await eventually('the takeover', 20_000, async () =>
      second.log.some((line) => line.includes(`${answer.runId} was left by engine`)) ? true : undefined,
    );
    await release();
    expect(await endOfRun(bench.store, answer.runId ?? '')).toMatchObject({ state: 'succeeded' });
    first.child.kill('SIGCONT');
    expect(await first.died).toBe(75);
    const drill = await bench.store.read((db) => openDrillOf(db, machine.machineId));
    const made = (await thingsMade(bench.folder)).filter((line) => line.endsWith(drill?.id ?? 'none'));
    expect(made).toEqual(drillThings.map((thing) => `${thing} ${drill?.id}`));
    await second.kill();
  });
});

describe('one engine', () => {
  it('finishes its run although Postgres crashes and recovers in the middle', async () => {
    const engine = await bench.startEngine();
    const machine = await bench.newMachine();
    const madeBefore = (await thingsMade(bench.folder)).filter((line) => line.startsWith('machine ')).length;
    const release = await holdCall(bench.folder, 'startMachine');
    const answer = await engine.order('test-failover', machine.name, 'crash');
    await machineIsMade(madeBefore + 1);
    await crashPostgres(bench.postgres.pid);
    await release();
    expect(await endOfRun(bench.store, answer.runId ?? '', 60_000)).toMatchObject({
      state: 'succeeded',
      failure: null,
    });
    const drill = await bench.store.read((db) => openDrillOf(db, machine.machineId));
    const there = (await thingsThere(bench.folder)).filter((name) => name.startsWith(drill?.id ?? 'none'));
    expect(there).toHaveLength(drillThings.length);
  });
});

/** Kills one of this test's own server's processes: Postgres then drops all connections and recovers from its log. */
async function crashPostgres(postmaster: number): Promise<void> {
  const children = await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8');
  const [child] = children.trim().split(' ').map(Number);
  if (child === undefined) throw new Error('Postgres has no processes');
  process.kill(child, 'SIGKILL');
}

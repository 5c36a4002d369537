import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDrillOf } from '../../../engine/store/drills.ts';
import { listRunViews } from '../../../engine/store/runs.ts';
import { type EngineAnswer, type EngineProcess, endOfRun, eventually } from './engine-control.ts';
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
    const answers = await Promise.all(requests.map(({ engine, key }) => insist(engine, machine.name, key)));
    for (const engine of [first, second]) {
      expect(engine.child.exitCode, `an engine ended itself: ${engine.log.join('\n')}`).toBeNull();
    }
    const runIds = new Set(answers.filter((answer) => answer.kind === 'started').map((answer) => answer.runId));
    expect(runIds.size).toBe(1);
    const refusals = answers.filter((answer) => answer.kind === 'refused');
    expect(answers.filter((answer) => answer.kind !== 'started' && answer.kind !== 'refused')).toEqual([]);
    expect(refusals.length).toBeGreaterThan(0);
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

describe('an engine that takes long to start', () => {
  it('is not taken for dead by one that runs, however long it waits for its turn', async () => {
    const running = await bench.startEngine();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const { promise: held, resolve: isHeld } = Promise.withResolvers<void>();
    // The same lock that a starting engine waits for.
    const holding = bench.store.alone('launch of the job engine', async () => {
      isHeld();
      await released;
    });
    await held;
    const starting = bench.startEngine();
    const fromMs = await bench.store.nowMs();
    // Three times the silence after which the engines of these tests are taken for dead.
    await eventually('time by the database', 20_000, async () =>
      (await bench.store.nowMs()) - fromMs > 6000 ? true : undefined,
    );
    release();
    await holding;
    const late = await starting;
    const machine = await bench.newMachine();
    expect(await bench.run(late, 'test-failover', machine)).toMatchObject({ state: 'succeeded' });
    expect([running.child.exitCode, late.child.exitCode]).toEqual([null, null]);
    await Promise.all([running.kill(), late.kill()]);
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

/** What clients do with an outage (HTTP 503): the same request again, with the same key. */
async function insist(engine: EngineProcess, machineName: string, key: string): Promise<EngineAnswer> {
  let answer: EngineAnswer = { kind: 'threw' };
  for (let attempt = 1; attempt <= 5 && answer.kind === 'threw'; attempt += 1) {
    answer = await engine.order('test-failover', machineName, key);
  }
  return answer;
}

/** Kills one of this test's own server's processes: Postgres then drops all connections and recovers from its log. */
async function crashPostgres(postmaster: number): Promise<void> {
  const children = await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8');
  const [child] = children.trim().split(' ').map(Number);
  if (child === undefined) throw new Error('Postgres has no processes');
  process.kill(child, 'SIGKILL');
}

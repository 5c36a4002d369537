import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openDrillOf } from '../../../engine/store/drills.ts';
import { countEffects, listRunViews } from '../../../engine/store/runs.ts';
import { silentForMsDefault } from '../../../engine/workflow/executor.ts';
import { endOfRun, eventually, type Silence } from './engine-control.ts';
import { type JobBench, startJobBench } from './job-bench.ts';
import type { TestMachine } from './protected-machine.ts';
import { drillThings, holdCall, thingsMade, thingsThere } from './recorded-target.ts';
import { percentile, storm, watchHeartbeats } from './storm.ts';

let bench: JobBench;
/** For tests that wait until an engine is taken for dead. */
const short: Silence = { silentForMs: 2500, beatEveryMs: 250 };

beforeAll(async () => {
  bench = await startJobBench();
});
afterEach(() => bench.killEngines());
afterAll(() => bench?.stop());

const drillOf = (machine: TestMachine) => bench.store.read((db) => openDrillOf(db, machine.machineId));

/** The held call has been reached: this machine's drill has its machine. */
const machineIsMade = (machine: TestMachine) =>
  eventually('the machine', 60_000, async () => {
    const drill = await drillOf(machine);
    return (await thingsMade(bench.folder)).includes(`machine ${drill?.id}`) ? true : undefined;
  });

describe('two engines', () => {
  it('make one run of 1,000 commands at once, however the keys are', async ({ annotate }) => {
    const [first, second, machine] = await Promise.all([bench.startEngine(), bench.startEngine(), bench.newMachine()]);
    const madeBefore = await thingsMade(bench.folder);
    const heartbeats = watchHeartbeats(bench.store, [first, second]);
    // The run is at work until all have asked: else a clean-up that comes late is right, and so is a failover after it.
    const release = await holdCall(bench.folder, 'startMachine');
    const answers = await storm([first, second], machine.name, 1000);
    const heard = await heartbeats.stop();
    await release();
    const times = answers.map((answer) => answer.elapsedMs);
    await annotate(
      `wall ${Math.max(...times)} ms, p50 ${percentile(times, 50)} ms, p99 ${percentile(times, 99)} ms, ` +
        `oldest heartbeat ${heard.oldestMs} ms (${heard.lookCount} looks)`,
    );

    // An outage is no answer to a storm either.
    expect(answers.filter(({ kind }) => kind !== 'started' && kind !== 'refused')).toEqual([]);
    const started = answers.filter((answer) => answer.kind === 'started');
    const runIds = new Set(started.map((answer) => answer.runId));
    expect(runIds.size).toBe(1);
    const [runId = ''] = runIds;
    // Who sends a key twice gets the same answer; of all keys one was first.
    expect(new Set(started.map((answer) => answer.key)).size).toBe(1);
    expect(answers.filter((answer) => answer.what === 'cleanup').every(({ kind }) => kind === 'refused')).toBe(true);
    expect(await endOfRun(bench.store, runId)).toMatchObject({ state: 'succeeded', failure: null });

    const runs = (await bench.store.read((db) => listRunViews(db))).filter((run) => run.machineName === machine.name);
    expect(runs).toHaveLength(1);
    const drill = await drillOf(machine);
    const made = (await thingsMade(bench.folder)).slice(madeBefore.length);
    expect(made).toEqual(drillThings.map((thing) => `${thing} ${drill?.id}`));
    const quiet = await bench.run(first, 'test-failover', await bench.newMachine());
    const effectCounts = [runId, quiet.id].map((id) => bench.store.read((db) => countEffects(db, id)));
    const [inStorm, alone] = await Promise.all(effectCounts);
    expect(inStorm).toBe(alone);

    expect(heard.lookCount).toBeGreaterThan(0);
    expect(heard.oldestMs).toBeLessThan(silentForMsDefault);
    for (const engine of [first, second]) {
      expect(engine.child.exitCode, `an engine ended itself: ${engine.log.join('\n')}`).toBeNull();
    }
  });

  it('take over from each other: a frozen engine’s run is finished, and it ends itself when it wakes up', async () => {
    const [frozen] = await Promise.all([bench.startEngine(short), bench.startEngine(short)]);
    const machine = await bench.newMachine();
    const release = await holdCall(bench.folder, 'startMachine');
    const answer = await frozen.order('test-failover', machine.name, 'frozen');
    await machineIsMade(machine);
    frozen.child.kill('SIGSTOP');
    await eventually('the end of its licence', 60_000, async () => {
      const { rows } = await bench.store.read((db) => db.execute<{ id: string }>('select id from executors'));
      return rows.some(({ id }) => id === frozen.executorId) ? undefined : true;
    });
    await release();
    expect(await endOfRun(bench.store, answer.runId ?? '')).toMatchObject({ state: 'succeeded' });
    frozen.child.kill('SIGCONT');
    expect(await frozen.died).toBe(75);
    const drill = await drillOf(machine);
    const made = (await thingsMade(bench.folder)).filter((line) => line.endsWith(drill?.id ?? 'none'));
    expect(made).toEqual(drillThings.map((thing) => `${thing} ${drill?.id}`));
  });
});

describe('an engine that takes long to start', () => {
  it('is not taken for dead by one that runs, however long it waits for its turn', async () => {
    const running = await bench.startEngine(short);
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const { promise: held, resolve: isHeld } = Promise.withResolvers<void>();
    // The same lock that a starting engine waits for.
    const holding = bench.store.alone('launch of the job engine', async () => {
      isHeld();
      await released;
    });
    await held;
    const starting = bench.startEngine(short);
    const fromMs = await bench.store.nowMs();
    await eventually('three silences by the database', 60_000, async () =>
      (await bench.store.nowMs()) - fromMs > 3 * short.silentForMs ? true : undefined,
    );
    release();
    await holding;
    const late = await starting;
    const machine = await bench.newMachine();
    expect(await bench.run(late, 'test-failover', machine)).toMatchObject({ state: 'succeeded' });
    expect([running.child.exitCode, late.child.exitCode]).toEqual([null, null]);
  });
});

describe('one engine', () => {
  it('finishes its run although Postgres crashes and recovers in the middle', async () => {
    const engine = await bench.startEngine();
    const machine = await bench.newMachine();
    const release = await holdCall(bench.folder, 'startMachine');
    const answer = await engine.order('test-failover', machine.name, 'crash');
    await machineIsMade(machine);
    await crashPostgres(bench.postgres.pid);
    await release();
    expect(await endOfRun(bench.store, answer.runId ?? '')).toMatchObject({ state: 'succeeded', failure: null });
    const drill = await drillOf(machine);
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

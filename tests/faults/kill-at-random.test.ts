import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { guestNames } from '../../demo/guests.ts';
import { connectQmp } from '../../protocol/qmp.ts';
import { availablePoints, eventually, type FaultSite, machineOf, protect, startFaultSite } from './demo-site.ts';
import { contentOf, manifestOf, openVaultOf, type PointContent } from './point-content.ts';

/** The victims, as often as they are hit: the parts that move data are hit most. */
const victims = [
  ...Array<string>(6).fill('agent'),
  ...Array<string>(5).fill('process-server'),
  ...Array<string>(4).fill('engine'),
  ...Array<string>(2).fill('postgres'),
  ...Array<string>(2).fill('guest-vm-7'),
  'guest-vm-8',
];
const killCount = Number(process.env.LIFEBOAT_KILLS ?? 120);
const killsPerRound = 20;
const seed = process.env.LIFEBOAT_SEED ?? `${Date.now()}`;

let faults: FaultSite;
let randomDraws = 0;

/** The same seed gives the same order of victims and pauses. */
function draw(limit: number): number {
  randomDraws += 1;
  return createHash('sha256').update(`${seed} ${randomDraws}`).digest().readUInt32LE(0) % limit;
}

let bag: string[] = [];

/** Drawn from a bag that holds every victim: a run that happens to miss one would prove less than it says. */
function nextVictim(): string {
  if (bag.length === 0) bag = [...victims];
  const [victim] = bag.splice(draw(bag.length), 1);
  return victim ?? 'agent';
}

async function killOne(hits: Map<string, number>): Promise<void> {
  const victim = nextVictim();
  await pause(draw(900));
  const pid = await eventually(`${victim} runs again`, 60_000, async () => faults.site.pidOf(victim));
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    return;
  }
  hits.set(victim, (hits.get(victim) ?? 0) + 1);
  await eventually(`${victim} is started again`, 60_000, async () => {
    const next = faults.site.pidOf(victim);
    return next !== undefined && next !== pid ? next : undefined;
  });
}

async function waitForProgress(machine: string): Promise<void> {
  const before = await eventually('the engine answers', 60_000, () => machineOf(faults.site, machine));
  await eventually(`a newer point of ${machine} is available`, 120_000, async () => {
    const now = await machineOf(faults.site, machine);
    const isNewer = (now?.newestPoint?.takenAtMs ?? 0) > (before.newestPoint?.takenAtMs ?? 0);
    return isNewer ? now : undefined;
  });
}

/** Starts a drill and cleans it up while things are being killed; the same key is sent until somebody answers. */
async function drillThroughKills(hits: Map<string, number>): Promise<string> {
  const { engine } = faults.site;
  const key = randomUUID();
  const runId = await eventually('the test failover is taken', 90_000, async () => {
    const answer = await engine.ask({ kind: 'testFailover', body: { machine: 'vm-7' } }, { idempotencyKey: key });
    if (answer.kind === 'refusal') return undefined;
    return answer.kind === 'order' && answer.answer.kind === 'run-started' ? answer.answer.runId : undefined;
  });
  await killOne(hits);
  const run = await ended(runId);
  const cleanupKey = randomUUID();
  if (run.state === 'succeeded') {
    const cleanupId = await eventually('the clean-up is taken', 90_000, async () => {
      const answer = await engine.ask({ kind: 'cleanup', body: { machine: 'vm-7' } }, { idempotencyKey: cleanupKey });
      return answer.kind === 'order' && answer.answer.kind === 'run-started' ? answer.answer.runId : undefined;
    });
    await killOne(hits);
    expect(await ended(cleanupId)).toMatchObject({ state: 'succeeded', failure: null });
  }
  return run.state;
}

async function ended(runId: string) {
  return eventually(`run ${runId} ends`, 180_000, async () => {
    const answer = await faults.site.engine.ask({ kind: 'run', id: runId }, {});
    return answer.kind === 'run' && answer.run.state !== 'active' ? answer.run : undefined;
  });
}

describe('everything is killed at random', () => {
  beforeAll(async () => {
    // With the usual pause of 5 s, most of the time nothing would run that could be killed.
    faults = await startFaultSite(undefined, { restartDelayMsMax: 400 });
    for (const name of guestNames) await protect(faults.site, name);
  }, 240_000);
  afterAll(() => faults?.stop(), 60_000);

  test(`${killCount} kills lose no available point, tear none, and replication goes on (seed ${seed})`, async () => {
    const hits = new Map<string, number>();
    const contents = new Map<string, PointContent>();
    const drills: string[] = [];
    for (let killed = 0; killed < killCount; killed = [...hits.values()].reduce((sum, count) => sum + count, 0)) {
      for (let index = 0; index < killsPerRound - 2; index += 1) await killOne(hits);
      drills.push(await drillThroughKills(hits));
      for (const name of guestNames) await waitForProgress(name);
      await rememberSome(contents);
    }
    await expectUnchanged(contents);
    expect(contents.size).toBeGreaterThanOrEqual(drills.length);
    expect(drills.filter((state) => state === 'succeeded').length).toBeGreaterThan(0);
    expect(new Set(hits.keys())).toEqual(new Set(victims));
    expect(drillProcesses()).toEqual([]);
    console.log(
      `kills: ${JSON.stringify(Object.fromEntries(hits))}; drills: ${drills.join(', ')}; points checked twice: ${contents.size}`,
    );
  }, 1_500_000);

  test('afterwards a point of the stopped guests equals their disks, bit for bit', async () => {
    const vault = await openVaultOf(faults.layout);
    for (const name of guestNames) {
      const monitor = await connectQmp(join(faults.layout.sockets, `${name}.control`), { timeoutMs: 10_000 });
      await monitor.execute('stop', {});
      const stoppedAtMs = Date.now();
      const point = await eventually(`a point of the stopped ${name}`, 60_000, async () => {
        const [newest] = await availablePoints(faults.site, name);
        return newest !== undefined && newest.takenAtMs > stoppedAtMs + 500 ? newest : undefined;
      });
      const manifest = await manifestOf(vault, point.id);
      for (const disk of manifest.disks) await expectSameAsSource(vault, name, disk);
      await monitor.execute('cont', {});
      await monitor.close();
    }
    await vault.close();
  }, 240_000);

  test('a full read of the vault finds nothing wrong', async () => {
    const vault = await openVaultOf(faults.layout);
    const report = await vault.verifyAll({ newestPoints: [] });
    expect(report.findings).toEqual([]);
    expect(report.pointCount).toBeGreaterThan(0);
    await vault.close();
  }, 240_000);
});

/** Restores the newest point of each machine and checks the guest's rule: disk 0 is written first, disk 1 right after. */
async function rememberSome(contents: Map<string, PointContent>): Promise<void> {
  const vault = await openVaultOf(faults.layout);
  for (const name of guestNames) {
    const [point] = await eventually('points are listed', 60_000, () => availablePoints(faults.site, name));
    if (point === undefined) continue;
    const content = await contentOf(vault, await manifestOf(vault, point.id));
    const [first = 0, second = first] = content.counters;
    expect([0, 1], `${name} ${point.id}: counters ${content.counters}`).toContain(first - second);
    expect(first).toBeGreaterThan(0);
    contents.set(point.id, content);
  }
  await vault.close();
}

async function expectUnchanged(contents: ReadonlyMap<string, PointContent>): Promise<void> {
  const vault = await openVaultOf(faults.layout);
  const points = await Promise.all(guestNames.map((name) => availablePoints(faults.site, name)));
  const available = new Set<string>(points.flat().map((point) => point.id));
  for (const [pointId, content] of contents) {
    expect(available).toContain(pointId);
    expect(await contentOf(vault, await manifestOf(vault, pointId))).toEqual(content);
  }
  await vault.close();
}

type Disk = Awaited<ReturnType<typeof manifestOf>>['disks'][number];

async function expectSameAsSource(
  vault: Awaited<ReturnType<typeof openVaultOf>>,
  name: string,
  disk: Disk,
): Promise<void> {
  const source = join(faults.layout.guests, name, `${disk.key}.qcow2`);
  const raw = join(faults.layout.state, 'source.raw');
  execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', source, raw]);
  const restored = join(faults.layout.state, 'restored.raw');
  const { restoreImage } = await import('../../engine/target/restore-image.ts');
  const reader = await vault.openDisk(disk.diskId, disk.position);
  await restoreImage({ reader, toPath: restored });
  await reader.close();
  expect(execFileSync('cmp', [raw, restored]).toString(), `${name} ${disk.key}`).toBe('');
  for (const file of [raw, restored]) rmSync(file);
}

/** Processes of drills, by the name that every drill's machine carries. */
function drillProcesses(): string[] {
  const list = execFileSync('ps', ['-eo', 'args']).toString().split('\n');
  return list.filter((line) => line.includes('lifeboat-drill-') && line.includes(faults.layout.state));
}

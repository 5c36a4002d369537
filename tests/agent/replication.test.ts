import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AgentIdentity } from '../../agent/identity.ts';
import { machineFolder } from '../../agent/machine-replication.ts';
import type { DiskId, MachineId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import type { AnnouncePointRequest, Assignment } from '../../protocol/agent-api.ts';
import { createSite, grantFor, type Site } from '../engine/process-server/replication-site.ts';
import { type AgentOrder, eventually, newFolder, type RunningAgent, startAgent } from './replication-agent.ts';
import { createSimulatedSource, type SimulatedSource } from './simulated-source.ts';

const block = 65_536;
const sizes = [40 * block, 6 * block + 512];
let site: Site;
let agent: AgentIdentity;
const running: RunningAgent[] = [];

beforeAll(async () => {
  site = await createSite();
  agent = await site.newAgent();
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});
afterAll(() => site.close());

type World = {
  source: SimulatedSource;
  assignment: Assignment;
  diskIds: [DiskId, DiskId];
  points: AnnouncePointRequest[];
  order: AgentOrder;
};

type WorldOptions = { url: string; everyMs?: number; sizes?: readonly number[] } & Partial<AgentOrder>;

async function world(options: WorldOptions): Promise<World> {
  const stateFolder = newFolder(site.folder, 'agent');
  const diskSizes = options.sizes ?? sizes;
  const disks = diskSizes.map((sizeBytes, index) => ({ key: `disk${index}`, sizeBytes }));
  const source = createSimulatedSource(join(stateFolder, 'source'), disks);
  const machineId = site.newMachineId();
  const diskIds: [DiskId, DiskId] = [site.newDiskId(), site.newDiskId()];
  const points: AnnouncePointRequest[] = [];
  const assignment = assignmentOf({ machineId, diskIds, sizes: diskSizes, everyMs: options.everyMs ?? 3_600_000 });
  const announce = (point: AnnouncePointRequest) => {
    points.push(point);
    return Promise.resolve('announced' as const);
  };
  const order: AgentOrder = {
    stateFolder,
    tracker: source.tracker(),
    identity: agent,
    processServers: [options.url],
    assignment,
    announce,
    ...options,
  };
  return { source, assignment, diskIds, points, order };
}

function assignmentOf(order: {
  machineId: MachineId;
  diskIds: readonly DiskId[];
  sizes: readonly number[];
  everyMs: number;
}): Assignment {
  const { machineId, diskIds, everyMs } = order;
  const disks = diskIds.map((diskId, index) => ({ diskId, key: `disk${index}`, sizeBytes: order.sizes[index] ?? 0 }));
  return {
    machineId,
    name: 'vm-7',
    epoch: 1,
    crashConsistentEveryMs: everyMs,
    paused: false,
    disks,
    grant: grantFor(site, { agentId: agent.agentId, machineId, disks }),
    requests: [],
    isHeld: false,
  };
}

async function start(order: AgentOrder): Promise<RunningAgent> {
  const one = await startAgent(order);
  running.push(one);
  return one;
}

const bookmark = (assignment: Assignment, letter: string): Assignment => ({
  ...assignment,
  requests: [{ kind: 'bookmark', requestId: `req_000000000${letter}`, reason: 'before the upgrade' }],
});

/** The whole disks as the vault has them at a point, by a vault that has just been opened. */
async function restored(w: World, point: AnnouncePointRequest): Promise<Buffer[]> {
  const vault = await site.openVaultAgain();
  const images: Buffer[] = [];
  for (const [index, { diskId, position }] of point.disks.entries()) {
    const sizeBytes = sizes[index] ?? 0;
    if (position.sequence === 0) {
      images.push(Buffer.alloc(sizeBytes));
      continue;
    }
    const reader = await vault.openDisk(diskId, position);
    images.push(await reader.read(0, sizeBytes));
    await reader.close();
  }
  await vault.close();
  expect(point.machineId).toBe(w.assignment.machineId);
  return images;
}

async function expectEqual(
  w: World,
  point: AnnouncePointRequest,
  images = [w.source.image('disk0'), w.source.image('disk1')],
) {
  const found = await restored(w, point);
  expect(found.map((image, index) => image.equals(images[index] ?? Buffer.alloc(0)))).toEqual([true, true]);
}

const newest = (w: World, count: number) => eventually(() => (w.points.length >= count ? w.points.at(-1) : undefined));

describe('the replication of a machine', () => {
  test('copies it, sends changes, keeps blocks that became zero, and announces a point without changes', async () => {
    const { url } = await site.startProcessServer();
    const w = await world({ url });
    w.source.write('disk0', 5 * block + 100, Buffer.from('first'));
    w.source.write('disk0', 20 * block, Buffer.alloc(3 * block, 9));
    w.source.write('disk1', 6 * block, Buffer.alloc(512, 4));
    const one = await start(w.order);
    await expectEqual(w, await newest(w, 1));
    expect(one.report()).toMatchObject({ activity: { kind: 'idle' }, spoolBytes: 0 });

    w.source.write('disk0', 21 * block, Buffer.alloc(block));
    w.source.write('disk1', 0, Buffer.from('second'));
    one.update(bookmark(w.assignment, 'A'));
    const second = await newest(w, 2);
    await expectEqual(w, second);
    expect(second).toMatchObject({
      reason: 'before the upgrade',
      requestId: 'req_000000000A',
      changedBytes: 2 * block,
    });
    await eventually(() => one.doneRequests().includes('req_000000000A'));

    one.update(bookmark(w.assignment, 'B'));
    const third = await newest(w, 3);
    expect(third.disks).toEqual(second.disks);
    expect(third.changedBytes).toBe(0);
    one.update(w.assignment);
    await eventually(() => one.doneRequests().length === 0);
  });

  test('takes points by itself, one after the other, on the interval', async () => {
    const { url } = await site.startProcessServer();
    const w = await world({ url, everyMs: 50 });
    await start(w.order);
    for (let round = 1; round < 5; round += 1) {
      w.source.write('disk1', block, Buffer.alloc(10, round));
      await newest(w, w.points.length + 1);
    }
    const times = w.points.map((point) => point.takenAtMs);
    expect([...times].sort((a, b) => a - b)).toEqual(times);
    expect(new Set(w.points.map((point) => point.captureId)).size).toBe(w.points.length);
  });

  test('captures nothing while it is paused, and finds all of it after', async () => {
    const { url } = await site.startProcessServer();
    const w = await world({ url, everyMs: 30 });
    const one = await start({ ...w.order, assignment: { ...w.assignment, paused: true } });
    w.source.write('disk0', 0, Buffer.from('while paused'));
    await eventually(() => one.report().activity.kind === 'idle');
    expect(w.source.record().sinceCapture).toBeUndefined();
    expect(w.points).toEqual([]);
    one.update(w.assignment);
    await expectEqual(w, await newest(w, 1));
  });

  test('tries at once again when the engine is back, with short pauses again, and says so without waiting to be asked', async () => {
    const { url } = await site.startProcessServer();
    const delaysMs: unknown[] = [];
    let newsCount = 0;
    let awayCount = 2;
    const w = await world({
      url,
      // No pause ends within the test.
      random: () => -1000,
      onWarning: (fields) => delaysMs.push('delayMs' in fields ? fields.delayMs : undefined),
      onNews: () => (newsCount += 1),
      announce: (point) => {
        awayCount -= 1;
        if (awayCount >= 0) return Promise.reject(new OutageError('the engine is away', { retryable: true }));
        w.points.push(point);
        return Promise.resolve('announced');
      },
    });
    const one = await start(w.order);
    await eventually(() => one.report().activity.kind === 'failing' && delaysMs.length === 1);
    one.tryAgain();
    await eventually(() => delaysMs.length === 2);
    expect(delaysMs[1]).toBe(delaysMs[0]);
    expect(newsCount).toBe(0);
    one.tryAgain();
    await newest(w, 1);
    await eventually(() => newsCount === 1);
    expect(one.report().activity.kind).not.toBe('failing');
  });

  test('never dates a point later than it was taken, by the engine’s clock', async () => {
    const { url } = await site.startProcessServer();
    const beforeMs = Date.now();
    const w = await world({ url, engineClockOffsetMs: -3_600_000.4 });
    await start(w.order);
    const point = await newest(w, 1);
    expect(point.takenAtMs).toBeGreaterThanOrEqual(beforeMs - 3_600_001);
    expect(point.takenAtMs).toBeLessThanOrEqual(Date.now() - 3_600_000);
  });
});

describe('when something fails', () => {
  test('a process server that dies is replaced by the next one, and nothing is sent twice', async () => {
    const first = await site.startProcessServer();
    const second = await site.startProcessServer();
    const w = await world({ url: first.url });
    const one = await start({ ...w.order, processServers: [first.url, second.url] });
    await newest(w, 1);
    await first.stop();
    w.source.write('disk0', 0, Buffer.alloc(block, 1));
    one.update(bookmark(w.assignment, 'A'));
    const point = await newest(w, 2);
    await expectEqual(w, point);
  });

  test('a first copy goes on where the process server died, with the next one', { timeout: 60_000 }, async () => {
    const dying = Promise.withResolvers<void>();
    const vault = await site.openVaultAgain();
    let appendCount = 0;
    const append: typeof vault.append = async (...order) => {
      appendCount += 1;
      // Durable, but never acknowledged: the process dies in between.
      const outcome = await vault.append(...order);
      if (appendCount === 2) {
        dying.resolve();
        await new Promise(() => undefined);
      }
      return outcome;
    };
    const first = await site.startProcessServer({ vault: { ...vault, append } });
    const second = await site.startProcessServer();
    const big = 50 * 1_048_576;
    const w = await world({ url: first.url, sizes: [big, block] });
    const content = randomBytes(big);
    w.source.write('disk0', 0, content);
    const one = await start({ ...w.order, processServers: [first.url, second.url], tryForMs: 10_000 });
    await dying.promise;
    expect(one.report().activity.kind).toBe('scanning');
    await first.stop();
    const point = await newest(w, 1);
    const reader = await (await site.openVaultAgain()).openDisk(w.diskIds[0], point.disks[0]?.position ?? fail());
    expect((await reader.read(0, big)).equals(content)).toBe(true);
    // Four batches of at most 16 MiB: the second was recognised, nothing was sent anew.
    expect(point.disks[0]?.position.sequence).toBe(4);
    expect(one.report().sentBytesTotal).toBe(big);
    await vault.close();
  });

  test('a process server that is away makes the spool grow; when it is back every capture becomes a point', async () => {
    const first = await site.startProcessServer();
    const w = await world({ url: first.url, tryForMs: 100 });
    const one = await start(w.order);
    await newest(w, 1);
    await first.stop();
    const images: Buffer[][] = [];
    for (const letter of ['A', 'B', 'C']) {
      w.source.write('disk0', images.length * block, Buffer.alloc(block, 7));
      images.push([w.source.image('disk0'), w.source.image('disk1')]);
      const generation = images.length + 1;
      one.update(bookmark(w.assignment, letter));
      await eventually(() => w.source.record().generation === generation);
    }
    expect(one.report().spoolBytes).toBeGreaterThan(3 * block);
    const failing = await eventually(() => {
      const { activity } = one.report();
      return activity.kind === 'failing' && activity;
    });
    expect(failing.message).toMatch(/at a process server/);
    await site.startProcessServer({ port: first.port });
    await newest(w, 4);
    for (const [index, image] of images.entries()) {
      const point = w.points[index + 1];
      if (point !== undefined) await expectEqual(w, point, image);
    }
    await eventually(() => one.report().spoolBytes === 0 && one.report().activity.kind === 'idle');
  });

  test('a spool at its bound is given up and the machine is compared anew; no change is lost', async () => {
    const first = await site.startProcessServer();
    const w = await world({ url: first.url, tryForMs: 100, spoolBytesMax: 12 * block });
    const one = await start(w.order);
    await newest(w, 1);
    await first.stop();
    for (const letter of ['A', 'B', 'C', 'D']) {
      w.source.write('disk0', letter.charCodeAt(0) * 1000, Buffer.alloc(5 * block, letter.charCodeAt(0)));
      one.update(bookmark(w.assignment, letter));
      await eventually(() => one.report().resyncRequired !== undefined || one.report().spoolBytes > 0);
      if (one.report().resyncRequired !== undefined) break;
    }
    expect(await eventually(() => one.report().resyncRequired)).toMatch(/the bound of the spool is reached/);
    expect(one.budget.usedBytes()).toBeLessThanOrEqual(12 * block);
    w.source.write('disk1', 0, Buffer.from('while away'));
    await site.startProcessServer({ port: first.port });
    const point = await newest(w, 2);
    await expectEqual(w, point);
    expect(one.report().resyncRequired).toBeUndefined();
  });

  test('a spooled log that was damaged on disk is never sent; the disk is compared anew', async () => {
    const first = await site.startProcessServer();
    const w = await world({ url: first.url, tryForMs: 100 });
    const one = await start(w.order);
    await newest(w, 1);
    await first.stop();
    w.source.write('disk0', 0, Buffer.alloc(block, 1));
    one.update(bookmark(w.assignment, 'A'));
    const folder = join(machineFolder(w.order.stateFolder, w.assignment.machineId), w.diskIds[0]);
    await eventually(() => w.source.record().generation === 2);
    const name = readdirSync(folder).find((file) => file.endsWith('.hrl')) ?? fail();
    await one.stop();
    const path = join(folder, name);
    const bytes = readFileSync(path);
    bytes[9000] = (bytes[9000] ?? 0) ^ 1;
    writeFileSync(path, bytes);

    const again = await start({ ...w.order, assignment: bookmark(w.assignment, 'A') });
    await site.startProcessServer({ port: first.port });
    const point = await newest(w, 2);
    await expectEqual(w, point);
    expect(point.requestId).toBe('req_000000000A');
    expect(again.warnings.join()).toMatch(/must be compared with the vault/);
  });

  test('a vault that lost the disk is filled again by a comparison', async () => {
    const { url } = await site.startProcessServer();
    const w = await world({ url });
    w.source.write('disk0', 0, Buffer.alloc(block, 1));
    const one = await start(w.order);
    await newest(w, 1);
    await one.stop();
    const other = await createSite();
    try {
      // The same machine against another, empty vault: what the journal remembers is not there.
      const identity = await other.newAgent();
      const { url: otherUrl } = await other.startProcessServer();
      const grant = grantFor(other, { ...w.assignment, agentId: identity.agentId });
      const order = { ...w.order, identity, processServers: [otherUrl], assignment: { ...w.assignment, grant } };
      await start(order);
      const point = await newest(w, 2);
      const reader = await (await other.openVaultAgain()).openDisk(w.diskIds[0], point.disks[0]?.position ?? fail());
      expect((await reader.read(0, sizes[0] ?? 0)).equals(w.source.image('disk0'))).toBe(true);
    } finally {
      for (const each of running.splice(0)) await each.stop();
      await other.close();
    }
  });

  test('a view that breaks during the comparison is taken again', async () => {
    const { url } = await site.startProcessServer();
    let captures = 0;
    const w = await world({ url, everyMs: 50 });
    w.source.write('disk0', 0, Buffer.alloc(30 * block, 1));
    const onBoundary = (boundary: string) => {
      if (boundary !== 'captured') return;
      captures += 1;
      if (captures === 1) w.source.breakView();
    };
    await start({ ...w.order, onBoundary });
    const point = await newest(w, 1);
    expect(captures).toBeGreaterThan(1);
    await expectEqual(w, point);
  });

  test('a newer epoch stops the machine, and it says so', async () => {
    const { url } = await site.startProcessServer();
    const w = await world({ url });
    const one = await start({ ...w.order, announce: () => Promise.resolve('fenced') });
    const failing = await eventually(() => {
      const { activity } = one.report();
      return activity.kind === 'failing' && activity;
    });
    expect(failing.message).toMatch(/another copy of it is in charge/);
    w.source.write('disk0', 0, Buffer.alloc(block, 1));
    one.update(bookmark(w.assignment, 'A'));
    expect(w.source.record().generation).toBe(1);
  });

  test('a disk of another size than was protected is said, not guessed', async () => {
    const { url } = await site.startProcessServer();
    const w = await world({ url });
    const disks = w.assignment.disks.map((disk) => ({ ...disk, sizeBytes: disk.sizeBytes + 512 }));
    const one = await start({ ...w.order, assignment: { ...w.assignment, disks } });
    const failing = await eventually(() => {
      const { activity } = one.report();
      return activity.kind === 'failing' && activity;
    });
    expect(failing.message).toMatch(/the disk disk0 has 2621440 bytes now, 2621952 when it was protected/);
  });

  test('disabling protection leaves nothing behind', async () => {
    const { url } = await site.startProcessServer();
    const w = await world({ url });
    const one = await start(w.order);
    await newest(w, 1);
    await one.remove();
    expect(w.source.record().isRemoved).toBe(true);
    expect(readdirSync(join(w.order.stateFolder, 'machines'))).toEqual([]);
  });
});

function fail(): never {
  throw new Error('it is not there');
}

import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { blockBytes } from '../../domain/extent.ts';
import { invariant } from '../../domain/invariant.ts';
import { listEvents } from '../../engine/store/events.ts';
import { openStore, type Store } from '../../engine/store/open.ts';
import { listPoints, type PointRecord } from '../../engine/store/points.ts';
import { addRequest, finishRequests, outstandingRequests } from '../../engine/store/requests.ts';
import { createDirectoryStore } from '../../engine/vault/directory-store.ts';
import { type OpenVault, openVault } from '../../engine/vault/open-vault.ts';
import { vaultAnchorFile } from '../../engine/vault-anchor.ts';
import type { AnnouncePointRequest, Assignment } from '../../protocol/agent-api.ts';
import { eventually, newFolder, type RunningAgent, startAgent } from '../agent/replication-agent.ts';
import { createSimulatedSource, type SimulatedSource } from '../agent/simulated-source.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { keeperOf, replicateMachine, settle } from './point-fixture.ts';
import { createSite, grantFor, type Site } from './process-server/replication-site.ts';

vi.setConfig({ testTimeout: 180_000 });

const keys = ['disk0', 'disk1'] as const;
const diskSizeBytes = 4 * blockBytes;

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

let store: Store;
let site: Site;
const agents: RunningAgent[] = [];
beforeEach(async () => {
  store = await openStore({ connectionString: await postgres.freshDatabase() });
  site = await createSite();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop();
  await site.close();
  await store.close();
});

/** A machine whose agent, process server, vault, point keeper and database are the real ones; the test is the wire between agent and engine. */
async function startWorld(options: { readonly processServerVault?: OpenVault } = {}) {
  const machine = await replicateMachine(store, site.vault, 'vm-7');
  const { machineId, diskIds } = machine;
  const identity = await site.newAgent();
  const folder = newFolder(site.folder, 'agent');
  const disks = diskIds.map((diskId, index) => ({ key: keys[index] ?? '', sizeBytes: diskSizeBytes, diskId }));
  const source = createSimulatedSource(path.join(folder, 'source'), disks);
  const { processServerVault } = options;
  const server = await site.startProcessServer(processServerVault === undefined ? {} : { vault: processServerVault });
  const deps = { store, vault: site.vault, anchors: vaultAnchorFile(path.join(site.folder, 'anchors.json')) };
  const keeper = keeperOf(deps);
  // It notes what is announced and settles nothing: the time between acknowledgement and verification.
  const holding = keeperOf(deps);
  await holding.close();
  const state = { isHolding: false };
  const images = new Map<string, Buffer[]>();
  const announce = async (request: AnnouncePointRequest) => {
    images.set(request.captureId, captured(source));
    return (await (state.isHolding ? holding : keeper).announce(machine.agentId, request)).kind;
  };
  const assignment: Assignment = {
    ...{
      machineId,
      name: 'vm-7',
      epoch: 1,
      crashConsistentEveryMs: 3_600_000,
      paused: false,
      disks,
      requests: [],
      isHeld: false,
    },
    grant: grantFor(site, { agentId: identity.agentId, machineId, disks }),
  };
  const processServers = [server.url];
  const order = { stateFolder: folder, tracker: source.tracker(), identity, processServers, assignment, announce };
  const agent = await startAgent(order);
  agents.push(agent);
  const points = () => store.read((db) => listPoints(db, machineId));
  return {
    ...{ machineId, diskIds, source, keeper, server, agent, images, points },
    hold: (isHolding: boolean) => {
      state.isHolding = isHolding;
    },
    async beat() {
      await store.write((db) => finishRequests(db, agent.doneRequests(), [machineId]));
      agent.update({ ...assignment, requests: await store.read((db) => outstandingRequests(db, [machineId])) });
    },
    /** Asks for a point now and waits until it is announced. */
    async takePoint(): Promise<PointRecord> {
      const before = (await points()).length;
      const bookmark = { machineId, kind: 'bookmark', reason: 'test', requestedBy: 'ana' } as const;
      await store.write((db) => addRequest(db, bookmark));
      return eventually(async () => {
        await this.beat();
        const now = await points();
        return now.length > before && now[0];
      });
    },
    async settle() {
      await settle(store, [keeper], machineId);
    },
    /** Beats, as agent and engine do, until there is an available point that is newer than these. */
    async nextAvailable(older: readonly PointRecord[]): Promise<PointRecord> {
      return eventually(async () => {
        await this.beat();
        await keeper.continueAll();
        await keeper.idle();
        const known = new Set(older.map(({ id }) => id));
        return (await points()).find(({ id, state: now }) => now === 'available' && !known.has(id));
      }, 30_000);
    },
  };
}
type World = Awaited<ReturnType<typeof startWorld>>;

const captured = (source: SimulatedSource) => keys.map((key) => Buffer.from(source.image(key)));

/** Whether a stranger's restore of the point gives what the source held when it was taken. */
async function isExact(world: World, point: PointRecord): Promise<boolean> {
  const vault = await site.openVaultAgain();
  const expected = world.images.get(point.captureId);
  let same = true;
  for (const [index, { diskId, position }] of point.disks.entries()) {
    // Nothing but zeros was ever there.
    if (position.sequence === 0) continue;
    const reader = await vault.openDisk(diskId, position);
    const image = await reader.read(0, reader.sizeBytes);
    same &&= image.equals(expected?.[index] ?? Buffer.alloc(0));
    await reader.close();
  }
  await vault.close();
  return same;
}

async function segmentFile(diskId: string, sequence: number): Promise<string> {
  const root = path.join(site.folder, 'vault');
  const ending = `${String(sequence).padStart(12, '0')}.seg`;
  const files = await readdir(root, { recursive: true });
  const file = files.find((name) => name.includes(diskId) && name.endsWith(ending));
  invariant(file, `segment ${sequence} of ${diskId}`);
  return path.join(root, file);
}

const damages: Record<string, (file: string) => Promise<void>> = {
  'flipped bit': async (file) => {
    const bytes = await readFile(file);
    bytes.writeUInt8(bytes.readUInt8(400) ^ 1, 400);
    await writeFile(file, bytes);
  },
  'cut file': async (file) => writeFile(file, (await readFile(file)).subarray(0, 200)),
  'deleted file': (file) => rm(file),
};

/** Two sound points, then two that are announced while nothing is verified. Returns all, oldest first. */
async function fourPoints(world: World): Promise<PointRecord[]> {
  const taken: PointRecord[] = [];
  for (let round = 0; round < 4; round += 1) {
    // Random, so that a bit in the middle of the file is one of data.
    world.source.write('disk0', round * blockBytes, randomBytes(blockBytes));
    world.source.write('disk1', 2 * blockBytes, Buffer.from(`round ${round}`));
    // The keeper would settle what is announced while it is still at work on the points before.
    if (round === 2) await world.keeper.idle();
    world.hold(round >= 2);
    taken.push(await world.takePoint());
  }
  world.hold(false);
  return taken;
}

async function firstPoint(world: World): Promise<void> {
  await eventually(async () => (await world.points()).length === 1);
}

const stateOf = async (world: World, { id }: PointRecord) =>
  (await world.points()).find((each) => each.id === id)?.state;
const damageEvents = async () =>
  (await store.read((db) => listEvents(db, 0))).filter(({ kind }) => kind === 'point-damaged').map(({ text }) => text);

test.each(
  Object.keys(damages).flatMap((kind) => [
    { kind, place: 'middle', restarts: false },
    { kind, place: 'tail', restarts: false },
    { kind, place: 'tail', restarts: true },
  ]),
)(
  '$kind, $place, process server starts anew: $restarts: the machine is protected again after one comparison',
  async ({ kind, place, restarts }) => {
    const world = await startWorld();
    await firstPoint(world);
    const [first, second, third, fourth] = await fourPoints(world);
    invariant(first && second && third && fourth, 'four points');
    const hit = place === 'middle' ? third : fourth;
    await damages[kind]?.(await segmentFile(hit.disks[0]?.diskId ?? '', hit.disks[0]?.position.sequence ?? 0));
    if (restarts) {
      await world.server.stop();
      await site.startProcessServer({ port: world.server.port });
    }
    await world.settle();

    expect(await stateOf(world, third)).toBe(place === 'middle' ? 'damaged' : 'available');
    expect(await stateOf(world, fourth)).toBe('damaged');
    expect(await damageEvents()).toHaveLength(1);
    expect((await store.read((db) => outstandingRequests(db, [world.machineId]))).map((each) => each.kind)).toContain(
      'resync',
    );

    const before = await world.points();
    const next = await world.nextAvailable(before);
    expect(await isExact(world, next)).toBe(true);
    for (const point of [first, second, ...(place === 'middle' ? [] : [third])]) {
      expect(await stateOf(world, point)).toBe('available');
      expect(await isExact(world, point)).toBe(true);
    }
    expect(await stateOf(world, fourth)).toBe('damaged');
    // And it goes on from there.
    world.source.write('disk0', 0, Buffer.alloc(blockBytes, 99));
    const later = await world.takePoint();
    await world.settle();
    expect(await stateOf(world, later)).toBe('available');
    expect(await isExact(world, later)).toBe(true);
    const anchors = await vaultAnchorFile(path.join(site.folder, 'anchors.json')).read();
    const report = await site.vault.verifyAll(anchors);
    expect(report.findings).toEqual([]);
    expect(report.condemned).toHaveLength(1);
    expect(world.keeper.troubles).toEqual([]);
  },
);

test('the check sees a planted bug: with digests that do not heed a condemnation, the repaired point is not the disk', async () => {
  const blobs = await createDirectoryStore(path.join(site.folder, 'vault'));
  const blind = {
    ...blobs,
    async *list(prefix: string) {
      for await (const each of blobs.list(prefix)) if (!each.name.includes('/condemned/')) yield each;
    },
  };
  const processServerVault = await openVault({ store: blind, keys: site.keys, sealerThreads: 0 });
  const world = await startWorld({ processServerVault });
  await firstPoint(world);
  const [, , third] = await fourPoints(world);
  await damages['flipped bit']?.(
    await segmentFile(third?.disks[0]?.diskId ?? '', third?.disks[0]?.position.sequence ?? 0),
  );
  await world.settle();
  const next = await world.nextAvailable(await world.points());
  expect(await isExact(world, next)).toBe(false);
});

test('available points whose newest segment is lost later are withdrawn, and people are told which', async () => {
  const world = await startWorld();
  await firstPoint(world);
  world.source.write('disk0', 0, Buffer.alloc(blockBytes, 1));
  const first = await world.takePoint();
  world.source.write('disk0', 0, Buffer.alloc(blockBytes, 2));
  const second = await world.takePoint();
  await world.settle();
  expect(await stateOf(world, second)).toBe('available');
  await damages['cut file']?.(
    await segmentFile(second.disks[0]?.diskId ?? '', second.disks[0]?.position.sequence ?? 0),
  );
  // A process server that starts cannot read the end of the log; nobody verifies it again.
  await world.server.stop();
  await site.startProcessServer({ port: world.server.port });
  world.source.write('disk0', blockBytes, Buffer.alloc(blockBytes, 3));
  const third = await world.takePoint();
  await world.nextAvailable([...(await world.points()).filter(({ id }) => id !== third.id)]);
  expect(await stateOf(world, second)).toBe('damaged');
  expect(await stateOf(world, first)).toBe('available');
  expect((await damageEvents()).join()).toContain(second.id);
  expect(await isExact(world, third)).toBe(true);
});

test('an end of the log that was verified, deleted and written anew does not damage every later point', async () => {
  const world = await startWorld();
  await firstPoint(world);
  world.source.write('disk0', 0, Buffer.alloc(blockBytes, 1));
  const verified = await world.takePoint();
  await world.settle();
  await rm(await segmentFile(verified.disks[0]?.diskId ?? '', verified.disks[0]?.position.sequence ?? 0));
  await world.server.stop();
  await site.startProcessServer({ port: world.server.port });
  world.source.write('disk0', blockBytes, Buffer.alloc(blockBytes, 2));
  const next = await world.takePoint();
  await world.settle();
  // The log that there is leads to it; only the point that was lost is damaged.
  expect(await stateOf(world, next)).toBe('available');
  expect(next.disks[0]?.position.sequence).toBe(verified.disks[0]?.position.sequence);
  expect(await isExact(world, next)).toBe(true);
  expect(await stateOf(world, verified)).toBe('damaged');
  expect((await damageEvents()).join()).toContain(verified.id);
});

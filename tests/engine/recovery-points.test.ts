import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import type { PointKeeperDeps } from '../../engine/recovery-points.ts';
import { listEvents } from '../../engine/store/events.ts';
import { findMachine } from '../../engine/store/machines.ts';
import { openStore, type Store } from '../../engine/store/open.ts';
import { listPoints } from '../../engine/store/points.ts';
import { outstandingRequests } from '../../engine/store/requests.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { keeperOf, makeTestVault, replicateMachine, settle, type TestVault, unsound } from './point-fixture.ts';

vi.setConfig({ testTimeout: 180_000 });

let postgres: TestPostgres;
let connectionString: string;
let store: Store;
let vault: TestVault;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  connectionString = await postgres.freshDatabase();
  store = await openStore({ connectionString });
  vault = await makeTestVault();
});
afterEach(async () => {
  await store.close();
  await vault.remove();
});

const parts = () => ({ store, vault: vault.vault, anchors: vault.anchors });

test('an announced point becomes available, and the first one makes the machine "Enabled", once', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const keeper = keeperOf(parts());
  for (const reason of ['', 'before the update', '']) {
    const outcome = await keeper.announce(machine.agentId, await machine.capture({ reason }));
    expect(outcome.kind).toBe('announced');
  }
  await settle(store, [keeper], machine.machineId);
  expect(keeper.troubles).toEqual([]);
  expect(await unsound(store, vault, machine.machineId)).toEqual([]);
  expect(await store.read((db) => findMachine(db, machine.machineId))).toMatchObject({
    protection: { kind: 'protected' },
    lastPointNumber: 3,
  });
  const kinds = (await store.read((db) => listEvents(db, 0))).map((event) => event.kind);
  expect(kinds).toEqual(['host-enrolled', 'protected', 'point-taken']);
});

test('announcing a capture again, to either of two engines, makes one point', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const keepers = [keeperOf(parts()), keeperOf({ ...parts(), vault: await vault.reopen() })];
  const request = await machine.capture();
  const answers = await Promise.all(
    [...keepers, ...keepers].map((keeper) => keeper.announce(machine.agentId, request)),
  );
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  await settle(store, keepers, machine.machineId);
  expect(await store.read((db) => listPoints(db, machine.machineId))).toHaveLength(1);
  expect(await unsound(store, vault, machine.machineId)).toEqual([]);
});

test('two engines that take points at once give each number once, in one chain', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const other = await openStore({ connectionString });
  const keepers = [keeperOf(parts()), keeperOf({ ...parts(), store: other, vault: await vault.reopen() })];
  const announcing: Promise<unknown>[] = [];
  for (let index = 0; index < 16; index += 1) {
    const request = await machine.capture();
    for (const keeper of index % 3 === 0 ? keepers : [keepers[index % 2]]) {
      if (keeper !== undefined) announcing.push(keeper.announce(machine.agentId, request));
    }
  }
  await Promise.all(announcing);
  await settle(store, keepers, machine.machineId);
  expect(await store.read((db) => listPoints(db, machine.machineId))).toHaveLength(16);
  expect(await unsound(store, vault, machine.machineId)).toEqual([]);
  expect(keepers.flatMap((keeper) => keeper.troubles)).toEqual([]);
  await other.close();
});

/**
 * The same parts, of an engine that dies at its n-th contact with the outside: before or after it has had its effect.
 */
function dyingParts(deathAt: number): {
  readonly deps: Omit<PointKeeperDeps, 'onTrouble'>;
  readonly died: () => boolean;
} {
  let contacts = 0;
  let dead = false;
  const contact = async <T>(work: () => Promise<T>): Promise<T> => {
    const moment = () => {
      contacts += 1;
      dead ||= contacts >= deathAt;
      if (dead) throw new OutageError('this engine is dead', { retryable: true });
    };
    moment();
    const done = await work();
    moment();
    return done;
  };
  const real = parts();
  const deps = {
    store: { ...real.store, write: ((work) => contact(() => real.store.write(work))) as Store['write'] },
    vault: {
      ...real.vault,
      putPoint: (manifest) => contact(() => real.vault.putPoint(manifest)),
      verifySegments: (...range) => contact(() => real.vault.verifySegments(...range)),
    } satisfies PointKeeperDeps['vault'],
    anchors: {
      ...real.anchors,
      note: (anchor) => contact(() => real.anchors.note(anchor)),
    } satisfies PointKeeperDeps['anchors'],
  };
  return { deps, died: () => dead };
}

test('an engine that dies at any contact with vault, database or anchor is continued by the next one, as if nothing had been', async () => {
  let deaths = 0;
  for (let deathAt = 1; deathAt < 100; deathAt += 1) {
    const machine = await replicateMachine(store, vault.vault, `vm-${deathAt}`);
    const first = await machine.capture();
    const second = await machine.capture();
    const { deps, died } = dyingParts(deathAt);
    const dying = keeperOf(deps);
    const announce = async () => {
      await dying.announce(machine.agentId, first);
      await dying.announce(machine.agentId, second);
      await dying.idle();
    };
    await announce().catch((error: unknown) => expect(String(error)).toContain('dead'));
    await dying.close();
    const next = keeperOf(parts());
    await next.recover();
    // The agent never had an answer, so it announces again.
    await next.announce(machine.agentId, first);
    await next.announce(machine.agentId, second);
    await settle(store, [next], machine.machineId);
    expect([deathAt, await unsound(store, vault, machine.machineId)]).toEqual([deathAt, []]);
    expect(await store.read((db) => listPoints(db, machine.machineId))).toHaveLength(2);
    if (!died()) break;
    deaths += 1;
  }
  // Two points, each: row, manifest, row, two disks read back, row, anchor, row; before and after each of them.
  expect(deaths).toBe(2 * 2 * 8);
});

test('the check sees a planted bug: a row without its manifest', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const forgetful = keeperOf({ ...parts(), vault: { ...vault.vault, putPoint: async () => 'created' } });
  await forgetful.announce(machine.agentId, await machine.capture());
  await settle(store, [forgetful], machine.machineId);
  expect((await unsound(store, vault, machine.machineId)).join()).toContain('is not in the vault as its row says');
});

async function flipBitInSegment(which: number): Promise<void> {
  const files = (await readdir(vault.folder, { recursive: true })).filter((file) => file.endsWith('.seg')).sort();
  const file = files.at(which);
  invariant(file, 'a segment');
  const bytes = await readFile(path.join(vault.folder, file));
  const at = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await writeFile(path.join(vault.folder, file), bytes);
}

test('a point whose segment was changed in the vault never becomes available; a resynchronisation is asked for and people are told once', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const keeper = keeperOf(parts());
  const request = await machine.capture();
  await flipBitInSegment(0);
  await keeper.announce(machine.agentId, request);
  await keeper.announce(machine.agentId, await machine.capture());
  await settle(store, [keeper], machine.machineId);
  const points = await store.read((db) => listPoints(db, machine.machineId));
  expect(points.map((point) => point.state)).toEqual(['damaged', 'damaged']);
  expect(await store.read((db) => outstandingRequests(db, [machine.machineId]))).toMatchObject([{ kind: 'resync' }]);
  const events = await store.read((db) => listEvents(db, 0));
  expect(events.filter((event) => event.kind === 'point-damaged')).toHaveLength(1);
  expect(await store.read((db) => findMachine(db, machine.machineId))).toMatchObject({
    protection: { kind: 'initial-replication' },
  });
});

test('the check sees a planted bug: without reading back, the damaged point would be offered', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const trusting = keeperOf({ ...parts(), vault: { ...vault.vault, verifySegments: async () => [] } });
  const request = await machine.capture();
  await flipBitInSegment(0);
  await trusting.announce(machine.agentId, request);
  await settle(store, [trusting], machine.machineId);
  const [point] = await store.read((db) => listPoints(db, machine.machineId));
  expect(point?.state).toBe('available');
});

test('a point that the vault never got as far as is damaged, not available', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const keeper = keeperOf(parts());
  const request = await machine.capture();
  const [disk, ...others] = request.disks;
  invariant(disk, 'a disk');
  const claimed = { ...disk, position: { ...disk.position, sequence: 2, digest: 'e'.repeat(64) } };
  await keeper.announce(machine.agentId, { ...request, disks: [claimed, ...others] });
  await settle(store, [keeper], machine.machineId);
  const [point] = await store.read((db) => listPoints(db, machine.machineId));
  expect(point).toMatchObject({ state: 'damaged', manifest: null });
});

test('an old epoch is fenced, and people are told', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  await store.read((db) => db.execute(sql`update protected_machines set epoch = 2`));
  const keeper = keeperOf(parts());
  expect((await keeper.announce(machine.agentId, await machine.capture())).kind).toBe('fenced');
  const events = await store.read((db) => listEvents(db, 0));
  expect(events.at(-1)).toMatchObject({ kind: 'sender-fenced', machineName: 'vm-7' });
});

test('a clock that runs ahead makes no point of the future', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const keeper = keeperOf(parts());
  const takenAtMs = Date.now() + 10 * 365 * 86_400_000;
  await keeper.announce(machine.agentId, await machine.capture({ takenAtMs }));
  await settle(store, [keeper], machine.machineId);
  const [point] = await store.read((db) => listPoints(db, machine.machineId));
  expect(point?.takenAtMs).toBeLessThanOrEqual(await store.nowMs());
});

test('a database that is older than the vault takes the vault’s points back and goes on behind them', async () => {
  const machine = await replicateMachine(store, vault.vault, 'vm-7');
  const keeper = keeperOf(parts());
  await keeper.announce(machine.agentId, await machine.capture());
  await settle(store, [keeper], machine.machineId);
  const { lastManifestDigest } = (await store.read((db) => findMachine(db, machine.machineId))) ?? {};
  for (let index = 0; index < 2; index += 1) await keeper.announce(machine.agentId, await machine.capture());
  await settle(store, [keeper], machine.machineId);
  await store.read((db) => db.execute(sql`delete from recovery_points where number > 1`));
  await store.read((db) =>
    db.execute(sql`update protected_machines set last_point_number = 1, last_manifest_digest = ${lastManifestDigest}`),
  );
  await keeper.announce(machine.agentId, await machine.capture());
  await settle(store, [keeper], machine.machineId);
  expect(keeper.troubles).toEqual([]);
  expect(await store.read((db) => listPoints(db, machine.machineId))).toHaveLength(4);
  expect(await unsound(store, vault, machine.machineId)).toEqual([]);
});

import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { FencedError } from '../../agent/change-sender.ts';
import { parseGuestMarker } from '../../demo/guest/qemu-guest.ts';
import { startPosition } from '../../domain/position.ts';
import { listEvents } from '../../engine/store/events.ts';
import { failoverOfRun } from '../../engine/store/failovers.ts';
import { openStore, type Store } from '../../engine/store/open.ts';
import { listPoints } from '../../engine/store/points.ts';
import { findRunView } from '../../engine/store/runs.ts';
import { drillPlan } from '../../engine/workflow/plan-text.ts';
import { contentDigestOfWrites } from '../../protocol/content-digest.ts';
import { waitUntil } from '../fixtures/guest-wait.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { type FailoverSite, startFailoverSite } from './failover-site.ts';
import { grantFor } from './process-server/replication-site.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

let postgres: TestPostgres;
let store: Store;
let world: FailoverSite | undefined;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres?.stop());
afterEach(async () => {
  await removePlace();
  await world?.close();
  await store?.close();
  world = undefined;
});

let placeId: string | undefined;
async function removePlace(): Promise<void> {
  const failover = placeId === undefined ? undefined : await store.read((db) => failoverOfRun(db, placeId ?? ''));
  placeId = undefined;
  if (failover?.handle && world !== undefined) await world.target.removeDrill(drillPlan.parse(failover.handle));
}

async function open(options: Parameters<typeof startFailoverSite>[1] = {}): Promise<FailoverSite> {
  store = await openStore({ connectionString: await postgres.freshDatabase() });
  world = await startFailoverSite(store, options);
  return world;
}

const view = (runId: string) => store.read((db) => findRunView(db, runId));
const guestState = async (site: FailoverSite) => {
  const { status } = (await site.guest.qmp.execute('query-status')) as { status: string };
  return status;
};

async function fenceRefuses(site: FailoverSite): Promise<void> {
  const { agent, machine } = site;
  const disk = machine.disks[0];
  if (disk === undefined) throw new Error('it has disks');
  const { id: diskId, sizeBytes } = disk;
  // The grant of before the failover, which would be good for minutes.
  const grant = grantFor(site.site, {
    agentId: agent.identity.agentId,
    machineId: machine.id,
    disks: [{ diskId, sizeBytes }],
  });
  const call = { diskId, grant: () => grant, signal: AbortSignal.timeout(20_000) };
  await expect(agent.sender.position(call)).rejects.toThrow(FencedError);
  const announced = await agent.announcePoint({
    ...{
      machineId: machine.id,
      epoch: 1,
      kind: 'crash-consistent',
      takenAtMs: Date.now(),
      pauseMs: 1,
      changedBytes: 1,
    },
    captureId: '572fc7ff-1f03-49ab-b3c5-30a665b8e20c',
    reason: 'from the old side',
    disks: machine.disks.map(({ id }) => ({ diskId: id, position: { ...startPosition(1), sequence: 999 } })),
  });
  expect(announced.kind).toBe('fenced');
}

test('a demo guest is failed over without losing one write, and its source cannot come back unnoticed', async () => {
  const site = await open();
  await site.guest.advance(5);
  placeId = await site.failOver();
  const run = await view(placeId);
  expect(run).toMatchObject({ state: 'succeeded', failure: null, result: { verified: true, failover: { rpoMs: 0 } } });
  // What the source wrote last, from its own disk: the guest was switched off by itself and has written nothing since.
  const last = await site.sourceCounter();
  expect(last).toBeGreaterThanOrEqual(5);
  expect(parseGuestMarker(`LIFEBOAT-MARKER ${run?.result?.marker}\r\n`)).toEqual({
    ...{ machineName: 'vm-7', disk0: last, disk1: last, agree: true },
  });
  expect(await guestState(site)).toBe('shutdown');
  expect(await site.guest.serial()).toContain('LIFEBOAT-POWER-OFF');
  await fenceRefuses(site);

  // Somebody starts the source by hand.
  await site.guest.qmp.execute('system_reset');
  await waitUntil('the source has been reset', async () => (await guestState(site)) === 'prelaunch');
  await site.guest.qmp.execute('cont');
  await waitUntil('the agent has stopped it', async () => (await guestState(site)) === 'paused');
  await waitUntil('people are told', async () => {
    const told = await store.read((db) => listEvents(db, 0));
    return told.some((event) => event.kind === 'two-copies' && event.machineName === 'vm-7');
  });
  expect(await site.sourceCounter()).toBe(last);
  expect((await site.machineNow()).runningAlthoughHeldAtMs).not.toBeNull();
  const points = await store.read((db) => listPoints(db, site.machine.id));
  expect(points.every((point) => point.epoch === 1)).toBe(true);

  // Its disks are filled while it runs; then nothing of the vault is needed.
  await waitUntil('its disks are its own', async () => {
    await site.care();
    const { protection } = await site.machineNow();
    return protection.kind === 'failed-over' && protection.disks === 'local';
  });
  const failover = await store.read((db) => failoverOfRun(db, placeId ?? ''));
  const state = await site.target.drillState(drillPlan.parse(failover?.handle));
  expect(state).toMatchObject({ machine: { kind: 'running' }, diskServer: { kind: 'dead' } });
});

test('a source that ignores the power button is left running, and nothing is changed', async () => {
  const site = await open({ ignoresPowerButton: true });
  const runId = await site.failOver(site.target, { shutdownLimitMs: 1000 });
  const run = await view(runId);
  expect(run?.failure).toContain('did not within 1.0 s');
  expect(run?.failure).toContain('Nothing was changed: vm-7 goes on at its source.');
  expect(await guestState(site)).toBe('running');
  await site.guest.advance(2);
  expect(await site.machineNow()).toMatchObject({ isHeld: false, epoch: 1, protection: { kind: 'protected' } });
  await site.agent.points.newerThan(site.machine.id, run?.finishedAtMs ?? Number.POSITIVE_INFINITY);
});

test('a machine that cannot be started from the vault, or was written behind its back, runs at its source again and is replicated on', async () => {
  const site = await open();
  const unreadable = site.targetWith({
    diskServer: {
      command: [process.execPath, new URL('../../engine/target/recovery-disk-main.ts', import.meta.url).pathname],
      vault: { location: { kind: 'directory', folder: '/nowhere' }, keysFolder: '/nowhere' },
    },
  });
  const before = await site.guest.counter();
  placeId = await site.failOver(unreadable);
  const run = await view(placeId);
  expect(run?.failure).toContain('start disk server: start the recovery disk server');
  expect(run?.failure).toContain('vm-7 was started again at its source and is replicated as before.');
  expect(await guestState(site)).toBe('running');
  expect(await site.machineNow()).toMatchObject({ isHeld: false, epoch: 3, protection: { kind: 'protected' } });
  await waitUntil('it booted again', async () => (await site.guest.serial()).split('LIFEBOAT-READY').length === 3);
  const markers = (await site.guest.serial()).split('LIFEBOAT-READY').map(parseGuestMarker);
  expect(markers[1]?.disk0).toBeGreaterThanOrEqual(before);
  await site.agent.points.newerThan(site.machine.id, run?.finishedAtMs ?? Number.POSITIVE_INFINITY);
  const [newest] = await store.read((db) => listPoints(db, site.machine.id));
  expect(newest?.epoch).toBe(3);
  await removePlace();

  // Once more: now it starts, and another sender, with a grant that is still good, writes while it boots at the target.
  const meddling = {
    ...site.target,
    verifyBoot: async (...order: Parameters<typeof site.target.verifyBoot>) => {
      const verified = await site.target.verifyBoot(...order);
      const { diskId, position, sizeBytes } = order[0].disks[0] ?? {};
      if (!diskId || !position || !sizeBytes) throw new Error('it has disks');
      const writes = [{ offsetBytes: 0, data: Buffer.alloc(65_536, 7) }];
      const contentDigest = contentDigestOfWrites(writes).toString('hex');
      await site.site.vault.append(diskId, {
        epoch: 3,
        previous: position,
        diskSizeBytes: sizeBytes,
        contentDigest,
        writes,
      });
      return verified;
    },
  };
  placeId = await site.failOver(meddling);
  const again = await view(placeId);
  expect(again?.failure).toContain('close old epoch: disk0 was written after the source was stopped');
  expect(await guestState(site)).toBe('running');
  await site.agent.points.newerThan(site.machine.id, again?.finishedAtMs ?? Number.POSITIVE_INFINITY);
  // The comparison that follows has put the source's own bytes over the stranger's.
  const [repaired] = await store.read((db) => listPoints(db, site.machine.id));
  const at = repaired?.disks[0];
  if (at === undefined) throw new Error('a point has disks');
  const reader = await site.site.vault.openDisk(at.diskId, at.position);
  const source = await readFile(site.disks[0]?.path ?? '');
  expect((await reader.read(0, 65_536)).equals(source.subarray(0, 65_536))).toBe(true);
  await reader.close();
});

import { execFile } from 'node:child_process';
import { truncate } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Capture, type ChangeTracker, SnapshotBrokenError } from '../../../agent/tracker/change-tracker.ts';
import { captureSteps } from '../../../agent/tracker/guest-capture.ts';
import { openQemuGuestTracker } from '../../../agent/tracker/qemu-guest.ts';
import { type GuestSource, guestLeftovers, openGuestSource } from '../../fixtures/guest-source.ts';
import { waitUntil } from '../../fixtures/guest-wait.ts';
import { emptyReplica, expectReplicaEqualsView } from './replica.ts';

let source: GuestSource;
let tracker: ChangeTracker;

beforeEach(() => {
  tracker = { close: async () => {} } as ChangeTracker;
});
afterEach(async () => {
  await tracker.close();
  await source.close();
});

async function open(format: 'raw' | 'qcow2'): Promise<void> {
  source = await openGuestSource(format);
  tracker = source.openTracker();
}

async function reopen(): Promise<void> {
  await tracker.close();
  tracker = source.openTracker();
}

const why = (capture: Capture) =>
  capture.disks.map(({ changes }) => (changes.kind === 'extents' ? 'known' : changes.why));

async function isBroken(capture: Capture): Promise<boolean> {
  const reads = capture.disks.map((captured) => captured.read(0, 65_536));
  const outcomes = await Promise.allSettled(reads);
  return outcomes.some((outcome) => outcome.status === 'rejected' && outcome.reason instanceof SnapshotBrokenError);
}

async function expectUnharmedGuest(): Promise<void> {
  await source.guest().advance(2);
  expect(await source.guest().qmp.execute('query-status')).toMatchObject({ status: 'running' });
  expect(await source.guest().serial()).not.toContain('ERROR');
}

/** Waits for the view to break: while it is opened, or when it is read. */
async function expectBrokenView(): Promise<void> {
  const capture = await tracker.capture(1).catch((error: unknown) => error);
  if (capture instanceof SnapshotBrokenError) return;
  if (capture instanceof Error) throw capture;
  // Not an error, so it is what `capture` promises.
  const open = capture as Capture;
  await waitUntil('the view is broken', () => isBroken(open));
  await open.abandon();
}

/** A capture that works after one that broke: nothing was lost. */
async function expectRecovery(replica: ReturnType<typeof emptyReplica>): Promise<void> {
  await reopen();
  const capture = await tracker.capture(1);
  expect(why(capture)).toEqual(['known', 'known']);
  await replica.apply(capture);
  await expectReplicaEqualsView(replica, capture);
  await capture.acknowledge();
}

async function firstReplica() {
  const capture = await tracker.capture(0);
  const replica = emptyReplica();
  await replica.apply(capture);
  await capture.acknowledge();
  return replica;
}

test('a full fleece breaks the view, never the guest', async () => {
  await open('raw');
  const replica = await firstReplica();
  await tracker.close();
  // Room for the tables and a few blocks only.
  tracker = openQemuGuestTracker({ ...source.trackerOptions(), fleeceBytesMax: 8 * 65_536 });
  await expectBrokenView();
  await expectUnharmedGuest();
  await expectRecovery(replica);
}, 60_000);

test('a fleece whose disk fails breaks the view, never the guest', async () => {
  await open('raw');
  const replica = await firstReplica();
  await tracker.close();
  const steps = captureSteps.map((step) =>
    step.name !== 'add filters'
      ? step
      : {
          name: step.name,
          run: async (...[qmp, request]: Parameters<typeof step.run>) => {
            const failing = { event: 'pwritev', errno: 28, immediately: true, once: false };
            const execute: typeof qmp.execute = (command, args = {}) => {
              const isFleece = args.driver === 'qcow2';
              const file = { driver: 'blkdebug', image: args.file, 'inject-error': [failing] };
              return qmp.execute(command, isFleece ? { ...args, file } : args);
            };
            await step.run(Object.assign(Object.create(qmp), { execute }), request);
          },
        },
  );
  tracker = openQemuGuestTracker({ ...source.trackerOptions(), steps });
  await expectBrokenView();
  await expectUnharmedGuest();
  await expectRecovery(replica);
}, 60_000);

test('a killed QEMU leaves everything unknown, and the next capture is whole again', async () => {
  for (const format of ['raw', 'qcow2'] as const) {
    await source?.close().catch(() => undefined);
    await open(format);
    await firstReplica();
    if (format === 'qcow2') {
      // Only a record that was saved once can be found inconsistent.
      await source.guest().stop('quit');
      await source.restart();
    }
    await source.guest().advance(1);
    await source.guest().stop('kill');
    await expect(tracker.capture(1)).rejects.toThrow();
    await source.restart();
    await reopen();
    const capture = await tracker.capture(1);
    const reason = format === 'raw' ? 'restarted' : 'inconsistent';
    expect(why(capture)).toEqual([expect.stringContaining(reason), expect.stringContaining(reason)]);
    const replica = emptyReplica();
    await replica.apply(capture);
    await capture.acknowledge();
    await source.guest().advance(1);
    const next = await tracker.capture(2);
    expect(why(next)).toEqual(['known', 'known']);
    await replica.apply(next);
    await expectReplicaEqualsView(replica, next);
    await next.acknowledge();
    await tracker.close();
  }
}, 60_000);

test('a clean restart of QEMU keeps the records of qcow2 disks', async () => {
  await open('qcow2');
  const replica = await firstReplica();
  await source.guest().advance(2);
  await source.guest().stop('quit');
  await source.restart();
  await reopen();
  const capture = await tracker.capture(1);
  expect(why(capture)).toEqual(['known', 'known']);
  await replica.apply(capture);
  await expectReplicaEqualsView(replica, capture);
  await capture.acknowledge();
}, 60_000);

test('a clean restart of QEMU in the middle of a capture loses no change', async () => {
  await open('qcow2');
  const replica = await firstReplica();
  await source.guest().advance(2);
  await tracker.capture(1);
  await source.guest().advance(2);
  await source.guest().stop('quit');
  await source.restart();
  await reopen();
  const capture = await tracker.capture(1);
  expect(why(capture)).toEqual(['known', 'known']);
  await replica.apply(capture);
  await expectReplicaEqualsView(replica, capture);
  await capture.acknowledge();
}, 60_000);

test('a resized disk is unknown, the others stay known', async () => {
  await open('raw');
  await firstReplica();
  await truncate(source.disks[1]?.path ?? '', 12 * 1024 * 1024);
  await source.guest().qmp.execute('block_resize', { 'node-name': 'node1', size: 12 * 1024 * 1024 });
  const capture = await tracker.capture(1);
  expect(why(capture)).toEqual(['known', 'the disk was resized from 8388608 to 12582912 bytes']);
  const replica = emptyReplica();
  await replica.apply(capture);
  expect(replica.content('disk1')).toHaveLength(12 * 1024 * 1024);
  await capture.acknowledge();
}, 60_000);

test('an added disk is unknown, the others stay known', async () => {
  await open('raw');
  await firstReplica();
  const path = `${source.folder}/added.raw`;
  await promisify(execFile)('truncate', ['-s', '8M', path]);
  const { qmp } = source.guest();
  const file = { driver: 'file', filename: path };
  await qmp.execute('blockdev-add', { driver: 'raw', 'node-name': 'added', file });
  await qmp.execute('device_add', { driver: 'virtio-blk-pci', id: 'disk2', drive: 'added' });
  const capture = await tracker.capture(1);
  expect(capture.disks.map((captured) => captured.disk.key)).toEqual(['disk0', 'disk1', 'disk2']);
  expect(why(capture)).toEqual(['known', 'known', expect.stringContaining('a new disk')]);
  await capture.acknowledge();
  const next = await tracker.capture(2);
  expect(why(next)).toEqual(['known', 'known', 'known']);
  await next.acknowledge();
}, 60_000);

test('a capture whose step fails puts everything back and loses no change', async () => {
  await open('raw');
  const replica = await firstReplica();
  for (const { name } of captureSteps) {
    await tracker.close();
    const fail = async () => {
      throw new Error(`planted at ${name}`);
    };
    const upTo = captureSteps.slice(0, captureSteps.findIndex((step) => step.name === name) + 1);
    tracker = openQemuGuestTracker({ ...source.trackerOptions(), steps: [...upTo, { name: 'fail', run: fail }] });
    await source.guest().advance(1);
    await expect(tracker.capture(1)).rejects.toThrow(`planted at ${name}`);
    const left = await guestLeftovers(source.guest().qmp);
    expect(left.filter((found) => !found.startsWith('lifeboat:'))).toEqual([]);
    expect(left).toHaveLength(2);
  }
  await reopen();
  const capture = await tracker.capture(1);
  expect(why(capture)).toEqual(['known', 'known']);
  await replica.apply(capture);
  await expectReplicaEqualsView(replica, capture);
  await capture.acknowledge();
}, 60_000);

test('a guest with I/O threads is refused before anything is done to it (its QEMU would crash)', async () => {
  await open('raw');
  const { qmp } = source.guest();
  await qmp.execute('object-add', { 'qom-type': 'iothread', id: 'io0' });
  await expect(tracker.capture(0)).rejects.toThrow('would crash QEMU');
  expect(await guestLeftovers(qmp)).toEqual([]);
  await expectUnharmedGuest();
}, 60_000);

test('an NBD server that somebody else runs is left alone', async () => {
  await open('raw');
  const { qmp } = source.guest();
  const addr = { type: 'unix', data: { path: `${source.folder}/backup.nbd` } };
  await qmp.execute('nbd-server-start', { addr });
  await qmp.execute('block-export-add', { type: 'nbd', id: 'backup', 'node-name': 'node0', name: 'backup' });
  await expect(tracker.capture(0)).rejects.toThrow('in use by somebody else');
  expect(await qmp.execute('query-block-exports')).toMatchObject([{ id: 'backup' }]);
  expect(await guestLeftovers(qmp)).toEqual([]);
  await expectUnharmedGuest();
}, 60_000);

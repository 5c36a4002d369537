import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SnapshotBrokenError, SourceBusyError } from '../../../agent/tracker/change-tracker.ts';
import { openDiskImageTracker } from '../../../agent/tracker/disk-image.ts';
import { emptyReplica, expectReplicaEqualsView } from './replica.ts';
import { type TrackedSource, trackerSuite } from './tracker-suite.ts';

const trackingId = 'mch_TESTIMAGE1';
const imageBytes = 4 * 1024 * 1024 + 12_800;

/** Two images with some data, some holes and a short last block; `change` writes here and there, punches and moves data. */
async function openImageSource(folder: string, useReflink: boolean): Promise<TrackedSource> {
  await mkdir(folder, { recursive: true });
  const paths = ['boot.img', 'data.img'].map((name) => path.join(folder, name));
  for (const image of paths) await writeFile(image, Buffer.alloc(1_500_000, 7));
  for (const image of paths) execFileSync('truncate', ['-s', String(imageBytes), image]);
  let round = 0;
  const change = async () => {
    round += 1;
    for (const [index, image] of paths.entries()) {
      const handle = await open(image, 'r+');
      const places = [round * 70_001 + index * 13, round * 311_111, imageBytes - 5000 - round];
      for (const place of places) await handle.write(Buffer.alloc(4500, round), 0, undefined, place);
      await handle.close();
    }
    execFileSync('fallocate', ['-p', '-o', String(round * 131_072), '-l', '65536', paths[0] ?? '']);
  };
  return {
    openTracker: () => openDiskImageTracker({ paths, trackingId, workFolder: folder, useReflink }),
    change,
    hold: async () => {},
    leftovers: async () => readdirSync(folder).filter((name) => name.includes('lifeboat')),
    close: () => rm(folder, { recursive: true }),
  };
}

trackerSuite('disk images without reflinks', { canChangeDuringCapture: false, knowsExtents: false }, async () =>
  openImageSource(await mkdtemp(path.join(os.tmpdir(), 'lifeboat-image-')), false),
);

const canMount = process.getuid?.() === 0 && existsSync('/usr/sbin/mkfs.xfs') && existsSync('/dev/loop-control');

describe.skipIf(!canMount)('on a file system with reflinks', () => {
  let mountFolder: string;
  beforeAll(async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-xfs-'));
    mountFolder = path.join(folder, 'mounted');
    const image = path.join(folder, 'xfs.img');
    await mkdir(mountFolder);
    execFileSync('truncate', ['-s', '400M', image]);
    execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', image]);
    execFileSync('mount', ['-o', 'loop', image, mountFolder]);
  });
  afterAll(async () => {
    execFileSync('umount', [mountFolder]);
    await rm(path.dirname(mountFolder), { recursive: true });
  });
  const folderOnXfs = () => mkdtemp(path.join(mountFolder, 'images-'));

  trackerSuite('disk images with reflinks', { canChangeDuringCapture: true, knowsExtents: true }, async () =>
    openImageSource(await folderOnXfs(), true),
  );

  test('one image may be written while it is captured: the view is of one instant', async () => {
    const folder = await folderOnXfs();
    const image = path.join(folder, 'only.img');
    await writeFile(image, Buffer.alloc(imageBytes, 1));
    const tracker = openDiskImageTracker({ paths: [image], trackingId, workFolder: folder });
    const writer = await open(image, 'r+');
    const replica = emptyReplica();
    for (let generation = 0; generation < 4; generation++) {
      await writer.write(Buffer.alloc(10_000, generation + 2), 0, undefined, generation * 200_000);
      const capture = await tracker.capture(generation);
      await writer.write(Buffer.alloc(10_000, 99), 0, undefined, 3_000_000 + generation * 70_000);
      await replica.apply(capture);
      await expectReplicaEqualsView(replica, capture);
      expect(replica.content(image).includes(99, 3_000_000 + generation * 70_000)).toBe(false);
      await capture.acknowledge();
    }
    await writer.close();
    await tracker.remove();
    expect(readdirSync(folder)).toEqual(['only.img']);
  });
});

describe('a disk image without reflinks', () => {
  let folder: string;
  let image: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-image-'));
    image = path.join(folder, 'disk.img');
    await writeFile(image, Buffer.alloc(imageBytes, 1));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const tracker = () => openDiskImageTracker({ paths: [image], trackingId, workFolder: folder, useReflink: false });

  test('that a program holds open for writing is refused, naming the program', async () => {
    const writer = await open(image, 'r+');
    await expect(tracker().capture(0)).rejects.toThrow(`process ${process.pid} (`);
    await expect(tracker().capture(0)).rejects.toBeInstanceOf(SourceBusyError);
    await writer.close();
    await (await tracker().capture(0)).abandon();
  });

  test('that is only read by others is captured', async () => {
    const reader = await open(image, 'r');
    await (await tracker().capture(0)).abandon();
    await reader.close();
  });

  test('that is written while it is read breaks the view', async () => {
    const capture = await tracker().capture(0);
    const [disk] = capture.disks;
    await disk?.read(0, 65_536);
    await writeFile(image, Buffer.alloc(imageBytes, 2));
    await expect(disk?.read(65_536, 65_536)).rejects.toBeInstanceOf(SnapshotBrokenError);
    await capture.abandon();
  });

  test('that is written right after a capture is not taken for unchanged', async () => {
    const first = await tracker().capture(0);
    await first.acknowledge();
    await writeFile(image, Buffer.alloc(imageBytes, 3));
    const next = await tracker().capture(1);
    expect(next.disks.map((captured) => captured.changes.kind)).toEqual(['everything-unknown']);
    await next.abandon();
  });

  test('in another format than raw is refused with what to do', async () => {
    await writeFile(image, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(65_536)]));
    await expect(tracker().disks()).rejects.toThrow('is a qcow2 image, not a raw one');
  });
});

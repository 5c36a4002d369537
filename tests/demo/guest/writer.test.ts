import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { counterOffsetBytes, guestCounter, makeGuestDisks } from '../../../demo/guest/guest-disk.ts';
import { parseGuestMarker } from '../../../demo/guest/qemu-guest.ts';
import { startGuest } from '../../fixtures/guest-process.ts';

const guestFolder = fileURLToPath(new URL('../../../demo/guest/', import.meta.url));
const hasTools = ['as', 'ld'].every((tool) => spawnSync(tool, ['--version']).status === 0);
const mebibyte = 1024 * 1024;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-writer-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function diskCounter(file: string): Promise<number> {
  const handle = await open(file, 'r');
  const { buffer } = await handle.read(Buffer.alloc(512), 0, 512, counterOffsetBytes);
  await handle.close();
  return guestCounter(buffer);
}

test.runIf(hasTools)('writer.bin is what writer.S assembles to', async () => {
  const object = path.join(folder, 'writer.o');
  const binary = path.join(folder, 'writer.bin');
  execFileSync('as', ['--32', path.join(guestFolder, 'writer.S'), '-o', object]);
  execFileSync('ld', ['-m', 'elf_i386', '-Ttext', '0x7c00', '--oformat', 'binary', object, '-o', binary]);
  expect((await readFile(binary)).equals(await readFile(path.join(guestFolder, 'writer.bin')))).toBe(true);
});

test('the guest says what it finds, writes ordered counters, and goes on from them after a power cut', async () => {
  const size = { sizeBytes: 16 * mebibyte, filledBytes: 2 * mebibyte };
  const disks = await makeGuestDisks({
    folder,
    machineName: 'vm-7',
    disks: [size, size],
    format: 'raw',
    ticksPerRound: 1,
  });
  const first = await startGuest(folder, disks);
  expect(await first.serial()).toContain(
    'LIFEBOAT-MARKER machine=vm-7 disk0=0 disk1=0 agree=yes\r\nLIFEBOAT-READY\r\n',
  );
  await first.advance(3);
  await first.stop('kill');
  const [disk0 = 0, disk1 = 0] = await Promise.all(disks.map((disk) => diskCounter(disk.path)));
  expect(disk0).toBeGreaterThanOrEqual(3);
  expect([0, 1]).toContain(disk0 - disk1);
  const second = await startGuest(folder, disks);
  const marker = parseGuestMarker(await second.serial());
  expect(marker).toEqual({ machineName: 'vm-7', disk0, disk1, agree: true });
  await second.stop('kill');
}, 60_000);

test('the guest says so when its disks are of different instants', async () => {
  const size = { sizeBytes: 8 * mebibyte, filledBytes: 0 };
  const disks = await makeGuestDisks({
    folder,
    machineName: 'vm-7',
    disks: [size, size],
    format: 'raw',
    ticksPerRound: 1,
  });
  const alone = await startGuest(folder, disks.slice(0, 1));
  expect(parseGuestMarker(await alone.serial())).toMatchObject({ disk1: undefined, agree: true });
  await alone.advance(3);
  await alone.stop('kill');
  const both = await startGuest(folder, disks);
  expect(parseGuestMarker(await both.serial())).toMatchObject({ disk1: 0, agree: false });
  await both.stop('kill');
}, 60_000);

test('a guest that only says its marker writes nothing', async () => {
  const size = { sizeBytes: 8 * mebibyte, filledBytes: mebibyte };
  const request = { folder, machineName: 'vm-8', disks: [size], ticksPerRound: 0, stopAfterMarker: true };
  const [disk] = await makeGuestDisks({ ...request, format: 'raw' });
  const before = await readFile(disk?.path ?? '');
  const guest = await startGuest(folder, disk === undefined ? [] : [disk]);
  await guest.stop('quit');
  expect((await readFile(disk?.path ?? '')).equals(before)).toBe(true);
}, 60_000);

test('the disks of a machine are the same each time they are made', async () => {
  const request = { machineName: 'vm-7', disks: [{ sizeBytes: 8 * mebibyte, filledBytes: 5 * mebibyte }] };
  const made = [];
  for (const name of ['a', 'b']) {
    const [disk] = await makeGuestDisks({ ...request, folder: path.join(folder, name), format: 'raw' });
    made.push(await readFile(disk?.path ?? ''));
  }
  expect(made[0]?.equals(made[1] ?? Buffer.alloc(0))).toBe(true);
  expect(made[0]).toHaveLength(8 * mebibyte);
});

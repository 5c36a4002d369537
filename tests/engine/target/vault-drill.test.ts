import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectNbd, type NbdClient, NbdReadError } from '../../../agent/nbd-client.ts';
import { makeGuestDisks } from '../../../demo/guest/guest-disk.ts';
import { idFromBytes } from '../../../domain/ids.ts';
import { mebibyte } from '../../../domain/units.ts';
import { drillFolder } from '../../../engine/target/drill-folder.ts';
import { createQemuTarget } from '../../../engine/target/qemu-target.ts';
import { restoreImage } from '../../../engine/target/restore-image.ts';
import type { DrillPlan, Target } from '../../../engine/target/target.ts';
import { nbdError } from '../../../protocol/nbd.ts';
import { dataPartition, linuxDiskObstacle, makeInterruptedLinuxDisk } from '../../fixtures/linux-disk.ts';
import { startDrill, testLimits } from './drill-fixture.ts';
import { createTestVault, replicate, segmentFiles, type TestVault } from './vault-fixture.ts';

const run = promisify(execFile);
const mainFile = path.join(import.meta.dirname, '../../../engine/target/recovery-disk-main.ts');
let folder: string;
let testVault: TestVault;
let target: Target;
let plan: DrillPlan | undefined;

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'vault-drill-'));
  testVault = await createTestVault(folder);
  target = createQemuTarget({
    stateFolder: path.join(folder, 'state'),
    hostLimits: testLimits,
    diskServer: { command: [process.execPath, mainFile], vault: testVault.access },
    openDisk: testVault.vault.openDisk,
  });
});
afterEach(async () => {
  if (plan !== undefined) await target.removeDrill(plan);
  plan = undefined;
  await testVault.vault.close();
  await rm(folder, { recursive: true, force: true });
});

async function planOf(imagePaths: readonly string[], memoryBytes: number): Promise<DrillPlan> {
  const disks: DrillPlan['disks'][number][] = [];
  for (const [index, image] of imagePaths.entries()) {
    disks.push({ key: `disk${index}`, ...(await replicate(testVault.vault, image)) });
  }
  plan = {
    drillId: idFromBytes('drill', randomBytes(10)),
    runId: idFromBytes('run', randomBytes(10)),
    machineName: 'vm-7',
    hardware: { memoryBytes, cpuCount: 1, firmware: 'bios' },
    disks,
  };
  return plan;
}

async function demoPlan(): Promise<DrillPlan> {
  const disk = { sizeBytes: 32 * mebibyte, filledBytes: 12 * mebibyte };
  const made = await makeGuestDisks({ folder, machineName: 'vm-7', disks: [disk, disk], format: 'raw' });
  return planOf(
    made.map((file) => file.path),
    32 * mebibyte,
  );
}

/** Every file below the vault's folder with its content. */
async function contentOf(where: string): Promise<Map<string, string>> {
  const names = (await readdir(where, { recursive: true })).sort();
  const files = new Map<string, string>();
  for (const name of names) {
    const file = path.join(where, name);
    if ((await stat(file)).isFile()) files.set(name, (await readFile(file)).toString('base64'));
  }
  return files;
}

describe('a drill from the vault', () => {
  test('boots to the guest’s marker and leaves every byte of the vault as it was', async () => {
    const drill = await demoPlan();
    const before = await contentOf(testVault.folder);
    await startDrill(target, drill);
    const outcome = await target.verifyBoot(drill, { limitMs: 30_000 });
    expect(outcome).toMatchObject({ kind: 'marker', marker: 'machine=vm-7 disk0=0 disk1=0 agree=yes' });
    await target.removeDrill(drill);
    expect(await contentOf(testVault.folder)).toEqual(before);
  });

  test('without booting reads all of the disks', async () => {
    const drill = await demoPlan();
    const outcome = await target.verifyWithoutBoot(drill);
    // The two fills, and the boot sector's and counters' blocks.
    expect(outcome).toMatchObject({ kind: 'disks-read', verified: true });
    expect(outcome.kind === 'disks-read' && outcome.readBytes).toBeGreaterThanOrEqual(24 * mebibyte);
  });
});

describe('a changed bit in the vault', () => {
  async function flipOneBitPerSegment(drill: DrillPlan): Promise<void> {
    for (const file of await segmentFiles(testVault.folder, drill.disks[0]!.diskId)) {
      const handle = await open(file, 'r+');
      const { size } = await handle.stat();
      // In the frames, which come before the footer.
      const at = Math.floor(size / 3);
      const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
      await handle.write(Buffer.of(buffer[0]! ^ 0x10), 0, 1, at);
      await handle.close();
    }
  }

  test('fails the drill, and no wrong byte is served', async () => {
    const drill = await demoPlan();
    const disk = drill.disks[0]!; // the plan has two
    await flipOneBitPerSegment(drill);
    await target.prepareDrill(drill);
    await target.startDiskServer(drill);
    const paths = drillFolder(path.join(folder, 'state'), drill.drillId, drill.runId);
    // Read in small pieces, so that what can be read is: each piece is right or an error, never wrong.
    const image = await readFile(path.join(folder, 'disk0.raw'));
    const client = await connectNbd({ socketPath: paths.diskSocket, exportName: 'disk0', metaContexts: [] });
    const offsets = Array.from({ length: disk.sizeBytes / mebibyte }, (_, index) => index * mebibyte);
    const outcomes = await Promise.all(offsets.map((at) => readPiece(client, at, image)));
    client.close();
    expect(outcomes).toContain('refused');
    expect(outcomes).toContain('right');
    expect(outcomes).not.toContain('wrong');
    expect(await readFile(paths.diskServerLog, 'utf8')).toMatch(/cannot read disk0 bytes \d+\+\d+: .{20,}/);
  });

  test('is seen by a drill that only reads the disks', async () => {
    const drill = await demoPlan();
    await flipOneBitPerSegment(drill);
    const outcome = await target.verifyWithoutBoot(drill);
    expect(outcome).toMatchObject({ kind: 'failed', why: 'read-errors', verified: false });
  });
});

async function readPiece(client: NbdClient, at: number, image: Buffer): Promise<'right' | 'wrong' | 'refused'> {
  try {
    const piece = await client.read(at, mebibyte);
    return piece.equals(image.subarray(at, at + mebibyte)) ? 'right' : 'wrong';
  } catch (error) {
    if (error instanceof NbdReadError && error.error === nbdError.inputOutput) return 'refused';
    throw error;
  }
}

const obstacle = linuxDiskObstacle();
describe.skipIf(obstacle !== undefined)(`a real Linux disk ${obstacle ?? ''}`, () => {
  test('whose power was cut boots from the vault: a program in it reads its marker, its ext4 is clean after journal replay', async () => {
    const image = path.join(folder, 'linux.img');
    await makeInterruptedLinuxDisk(image);
    expect(await fileSystemState(image)).toContain('needs_recovery');
    const drill = await planOf([image], 256 * mebibyte);
    await startDrill(target, drill);
    const outcome = await target.verifyBoot(drill, { limitMs: 120_000 });
    // boots=1 was written by the interrupted run itself: the marker is from its file system, after replay of its journal.
    expect(outcome).toMatchObject({ kind: 'marker', verified: true, marker: 'machine=linux-1 boots=1' });

    const { diskId, position } = drill.disks[0]!; // the plan has one
    const restored = path.join(folder, 'restored.img');
    const reader = await testVault.vault.openDisk(diskId, position);
    await restoreImage({ reader, toPath: restored });
    await reader.close();
    expect((await readFile(restored)).equals(await readFile(image))).toBe(true);
    const data = await dataPartitionOf(restored);
    // 0: nothing to do; 1: replayed.
    await run('e2fsck', ['-y', '-E', 'journal_only', data]).catch((error: { code: number }) =>
      expect(error.code).toBe(1),
    );
    await run('e2fsck', ['-fn', data]);
  }, 240_000);
});

async function dataPartitionOf(image: string): Promise<string> {
  const [source, part] = [await open(image), `${image}.data`];
  await copyFile(image, part);
  const target = await open(part, 'w');
  const { buffer } = await source.read(
    Buffer.alloc(dataPartition.lengthBytes),
    0,
    dataPartition.lengthBytes,
    dataPartition.offsetBytes,
  );
  await target.write(buffer);
  await Promise.all([source.close(), target.close()]);
  return part;
}

async function fileSystemState(image: string): Promise<string> {
  return (await run('dumpe2fs', ['-h', await dataPartitionOf(image)])).stdout;
}

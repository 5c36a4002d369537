import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeGuestDisks } from '../../../demo/guest/guest-disk.ts';
import { type DiskId, idFromBytes } from '../../../domain/ids.ts';
import { startPosition } from '../../../domain/position.ts';
import { mebibyte } from '../../../domain/units.ts';
import { createQemuTarget, type QemuTargetDeps } from '../../../engine/target/qemu-target.ts';
import type { DrillPlan, Target } from '../../../engine/target/target.ts';
import { fileDiskReader, storedRuns } from './file-disk-reader.ts';

export const testLimits = { memoryBytes: 512 * mebibyte, cpuCount: 1 };

export type DrillFixture = {
  readonly folder: string;
  readonly stateFolder: string;
  readonly plan: DrillPlan;
  readonly imagePaths: readonly string[];
  readonly target: Target;
  targetWith(changes: Partial<QemuTargetDeps>, vault?: object): Target;
  /** Removes the drill and the folder. */
  dispose(): Promise<void>;
};

/** A drill of a demo guest with two small disks, served from files. */
export async function drillFixture(
  options: { imagePaths?: readonly string[]; memoryBytes?: number; parent?: string } = {},
): Promise<DrillFixture> {
  const folder = await mkdtemp(path.join(options.parent ?? os.tmpdir(), 'target-test-'));
  const imagePaths = options.imagePaths ?? (await demoDisks(folder));
  const disks = await Promise.all(imagePaths.map(diskOf));
  const plan: DrillPlan = {
    drillId: idFromBytes('drill', randomBytes(10)),
    runId: idFromBytes('run', randomBytes(10)),
    machineName: 'vm-7',
    hardware: { memoryBytes: options.memoryBytes ?? 32 * mebibyte, cpuCount: 1, firmware: 'bios' },
    disks,
  };
  const paths = Object.fromEntries(disks.map((disk, index) => [disk.diskId, imagePaths[index] ?? '']));
  const stateFolder = path.join(folder, 'state');
  const targetWith = (changes: Partial<QemuTargetDeps>, vault: object = {}) =>
    createQemuTarget({
      stateFolder,
      hostLimits: testLimits,
      diskServer: {
        command: [process.execPath, path.join(import.meta.dirname, 'file-disks-main.ts')],
        vault: { paths, ...vault },
      },
      openDisk: async (diskId: DiskId) => {
        const file = paths[diskId] ?? '';
        return fileDiskReader(file, storedRuns(await readFile(file)));
      },
      ...changes,
    });
  const target = targetWith({});
  const dispose = async () => {
    await target.removeDrill(plan);
    await rm(folder, { recursive: true, force: true });
  };
  return { folder, stateFolder, plan, imagePaths, target, targetWith, dispose };
}

async function demoDisks(folder: string): Promise<string[]> {
  const disk = { sizeBytes: 16 * mebibyte, filledBytes: 4 * mebibyte };
  const made = await makeGuestDisks({ folder, machineName: 'vm-7', disks: [disk, disk], format: 'raw' });
  return made.map((file) => file.path);
}

async function diskOf(imagePath: string, index: number): Promise<DrillPlan['disks'][number]> {
  const { size: sizeBytes } = await import('node:fs/promises').then((fs) => fs.stat(imagePath));
  const diskId = idFromBytes('disk', randomBytes(10));
  return { diskId, key: `disk${index}`, sizeBytes, position: { ...startPosition(1), sequence: 1 } };
}

/** All steps up to a started machine. */
export async function startDrill(target: Target, plan: DrillPlan) {
  await target.prepareDrill(plan);
  await target.startDiskServer(plan);
  await target.createOverlays(plan);
  return target.startMachine(plan);
}

/** Waits until it is true; fails after the limit. */
export async function until(what: string, isTrue: () => Promise<boolean> | boolean, limitMs = 60_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    if (await isTrue()) return;
    await pause(25);
  }
  throw new Error(`still not so after ${limitMs} ms: ${what}`);
}

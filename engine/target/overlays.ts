import { execFile } from 'node:child_process';
import { rename, rm, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { qemuMissing } from './accelerator.ts';
import { type DrillFolder, exportName } from './drill-folder.ts';
import { isCode } from './process-search.ts';
import type { DrillPlan } from './target.ts';

const run = promisify(execFile);
const commandLimitMs = 30_000;

const backingInfo = z.object({ 'backing-filename': z.string().optional() });
const imageInfo = z.object({ 'virtual-size': z.number(), 'backing-filename': z.string() });

/** A qcow2 file over each served disk. One that is there already is kept: the machine may be writing to it. */
export async function createDrillOverlays(plan: DrillPlan, paths: DrillFolder, qemuImgPath: string): Promise<void> {
  for (const [index, disk] of plan.disks.entries()) {
    const overlay = paths.overlay(index);
    if (await isThere(overlay)) continue;
    const backing = `nbd+unix:///${exportName(index)}?socket=${paths.diskSocket}`;
    const making = `${overlay}.new`;
    await rm(making, { force: true });
    // Creating it opens the served disk, so a server that gives the wrong disk is noticed here and not in the guest.
    await qemuImg(qemuImgPath, ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', backing, making]);
    await refuseWrongDisk(qemuImgPath, making, { sizeBytes: disk.sizeBytes, backing });
    await rename(making, overlay);
  }
}

/** Which of the machine's own disks still have blocks in the vault; its QEMU does not run. A drill's always do. */
export async function readBackedDisks(plan: DrillPlan, paths: DrillFolder, qemuImgPath: string): Promise<boolean[]> {
  if (plan.purpose !== 'failover') return plan.disks.map(() => true);
  const backed: boolean[] = [];
  for (const index of plan.disks.keys()) {
    const text = await qemuImg(qemuImgPath, ['info', '--output=json', paths.overlay(index)]);
    backed.push(backingInfo.parse(JSON.parse(text))['backing-filename'] !== undefined);
  }
  return backed;
}

async function refuseWrongDisk(
  qemuImgPath: string,
  overlay: string,
  expected: { sizeBytes: number; backing: string },
): Promise<void> {
  const info = imageInfo.parse(JSON.parse(await qemuImg(qemuImgPath, ['info', '--output=json', overlay])));
  const isRight =
    info['virtual-size'] === roundToSector(expected.sizeBytes) && info['backing-filename'] === expected.backing;
  if (isRight) return;
  throw new OutageError(
    `create ${overlay}: the served disk has ${info['virtual-size']} bytes, the point says ${expected.sizeBytes}`,
    {
      retryable: false,
      nextStep: 'Clean the drill up and start it again.',
    },
  );
}

/** QEMU's disks are whole sectors; a shorter last one is filled with zeros. */
function roundToSector(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 512) * 512;
}

async function qemuImg(qemuImgPath: string, words: readonly string[]): Promise<string> {
  try {
    return (await run(qemuImgPath, [...words], { timeout: commandLimitMs })).stdout;
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) throw qemuMissing(qemuImgPath, cause);
    throw new OutageError(`run ${qemuImgPath} ${words[0]}`, { cause, retryable: true });
  }
}

async function isThere(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

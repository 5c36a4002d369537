import { totalBytes } from '../../domain/extent.ts';
import type { DiskId } from '../../domain/ids.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { Position } from '../../domain/position.ts';
import { formatBytes } from '../../domain/units.ts';
import type { DiskReader } from '../vault/vault.ts';
import { readStoredPieces } from './disk-pieces.ts';
import type { BootVerification, DrillPlan } from './target.ts';

export type OpenDisk = (diskId: DiskId, at: Position) => Promise<DiskReader>;

/** Reads every stored byte of the drill's disks, which the vault authenticates on the way; nothing is kept of it. */
export async function verifyByReading(
  plan: DrillPlan,
  openDisk: OpenDisk,
  onProgress?: (doneBytes: number, totalBytes: number) => void,
): Promise<BootVerification> {
  const startedMs = performance.now();
  const common = () => ({ consolePicture: undefined, elapsedMs: Math.round(performance.now() - startedMs) });
  const readers: DiskReader[] = [];
  try {
    for (const disk of plan.disks) readers.push(await openDisk(disk.diskId, disk.position));
    const readBytes = await readAll(readers, onProgress);
    const explanation =
      `All disks (${readers.length}) were read from the vault: ${formatBytes(readBytes)}, every byte authenticated. ` +
      'No machine was booted.';
    return { ...common(), kind: 'disks-read', verified: true, readBytes, explanation };
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    const explanation = `The disks cannot be read from the vault: ${describeCauses(error)}`;
    return { ...common(), kind: 'failed', verified: false, why: 'read-errors', explanation };
  } finally {
    for (const reader of readers) await reader.close();
  }
}

async function readAll(
  readers: readonly DiskReader[],
  onProgress?: (doneBytes: number, totalBytes: number) => void,
): Promise<number> {
  const allBytes = readers.reduce((sum, reader) => sum + totalBytes(reader.allocated()), 0);
  let doneBytes = 0;
  for (const reader of readers) {
    await readStoredPieces(reader, async (data) => {
      doneBytes += data.length;
      onProgress?.(doneBytes, allBytes);
    });
  }
  return doneBytes;
}

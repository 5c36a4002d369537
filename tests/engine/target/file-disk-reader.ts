import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type Extent, mergeExtents } from '../../../domain/extent.ts';
import type { DiskReader } from '../../../engine/vault/vault.ts';

/** A DiskReader over a local file: what the target sees of a vault, without one. Reads are synchronous, so it measures our server. */
export function fileDiskReader(path: string, allocated?: readonly Extent[]): DiskReader {
  const file = openSync(path, 'r');
  const sizeBytes = fstatSync(file).size;
  return {
    sizeBytes,
    read: async (offsetBytes, lengthBytes, allocate = Buffer.allocUnsafe) => {
      const data = allocate(lengthBytes);
      const count = readSync(file, data, 0, lengthBytes, offsetBytes);
      if (count !== lengthBytes) throw new Error(`${path} ended at ${offsetBytes + count}`);
      return data;
    },
    allocated: () => allocated ?? [{ offsetBytes: 0, lengthBytes: sizeBytes }],
    close: async () => closeSync(file),
  };
}

/** The runs of 64 KiB blocks of a buffer that are not all zeros. */
export function storedRuns(content: Buffer): Extent[] {
  const zeros = Buffer.alloc(65_536);
  const runs: Extent[] = [];
  for (let offsetBytes = 0; offsetBytes < content.length; offsetBytes += 65_536) {
    const block = content.subarray(offsetBytes, offsetBytes + 65_536);
    if (!block.equals(zeros.subarray(0, block.length))) runs.push({ offsetBytes, lengthBytes: block.length });
  }
  return mergeExtents(runs);
}

import { hash } from 'node:crypto';
import { blockBytes, blockCount } from '../../domain/extent.ts';
import { OutageError } from '../../domain/outage.ts';
import { blockLengthBytes, digestBytes } from '../../protocol/segment-footer.ts';
import { type DiskMap, hasOtherLength } from './disk-map.ts';
import type { DiskReader } from './vault.ts';

/** One answer has at most so many digests: 2 MiB. */
export const digestsMax = 65_536;

/**
 * The digests of a range of blocks; the range is clipped to the disk's end, unless nothing but zeros is stored.
 *
 * @param open a reader for the few blocks whose length changed with the disk's size, so that their digest is not known
 */
export async function digestsOf(
  map: DiskMap,
  range: { readonly firstBlock: number; readonly count: number },
  open: () => Promise<DiskReader>,
): Promise<Buffer> {
  const { firstBlock, count } = range;
  if (firstBlock < 0 || count < 0 || count > digestsMax) {
    throw new OutageError(`give ${count} digests from block ${firstBlock}`, { retryable: false });
  }
  // Nothing is stored, or nothing is left: the disk reads as zeros, whatever its size is.
  if (map.segments.length === 0) return Buffer.alloc(count * digestBytes);
  const end = Math.min(firstBlock + count, blockCount(map.diskSizeBytes));
  const digests = Buffer.from(map.digests.subarray(firstBlock * digestBytes, end * digestBytes));
  const unsure: number[] = [];
  for (let block = firstBlock; block < end; block += 1) if (hasOtherLength(map, block)) unsure.push(block);
  if (unsure.length === 0) return digests;
  const reader = await open();
  for (const block of unsure) {
    const data = await reader.read(block * blockBytes, blockLengthBytes(block, reader.sizeBytes));
    const digest = data.every((byte) => byte === 0) ? Buffer.alloc(digestBytes) : hash('sha256', data, 'buffer');
    digest.copy(digests, (block - firstBlock) * digestBytes);
  }
  await reader.close();
  return digests;
}

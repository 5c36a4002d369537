import { randomBytes } from 'node:crypto';
import { blockBytes } from '../../domain/extent.ts';
import type { DiskId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { emptyDigest, type Position } from '../../domain/position.ts';
import { assembleSegment, type BlockChange, segmentHeaderDigest } from '../../protocol/segment.ts';
import { digestBytes } from '../../protocol/segment-footer.ts';
import { encodeSegmentHeader, type SegmentHeader } from '../../protocol/segment-header.ts';
import { diskNames } from './blob-names.ts';
import type { BlobStore } from './blob-store.ts';
import type { DiskKeys } from './disk-keys.ts';
import type { FrameSealer } from './frame-sealer.ts';
import type { ChangeBatch } from './vault.ts';

export type SegmentWriteDeps = {
  readonly store: BlobStore;
  readonly vaultId: string;
  readonly diskKeys: DiskKeys;
  readonly sealer: FrameSealer;
};

/** One block's new content; `undefined` for zeros. */
export type BlockContent = { readonly block: number; readonly data: Buffer | undefined };

export type StoredOutcome =
  | { readonly kind: 'created'; readonly position: Position; readonly storedBytes: number }
  | { readonly kind: 'exists' };

const zeroBlock = Buffer.alloc(blockBytes);

/** The batch's blocks in order, zeros recognised. The batch is one that the process server has checked. */
export function blocksOfBatch(batch: ChangeBatch): BlockContent[] {
  const blocks: BlockContent[] = [];
  let endBytes = 0;
  for (const { offsetBytes, data } of batch.writes) {
    const toBytes = offsetBytes + data.length;
    const whole = offsetBytes % blockBytes === 0 && (toBytes % blockBytes === 0 || toBytes === batch.diskSizeBytes);
    invariant(whole && data.length > 0, `a batch holds whole blocks, not ${data.length} bytes at ${offsetBytes}`);
    invariant(offsetBytes >= endBytes && toBytes <= batch.diskSizeBytes, `a batch is in order and inside its disk`);
    for (let at = 0; at < data.length; at += blockBytes) {
      const content = data.subarray(at, at + blockBytes);
      const isZero = content.equals(zeroBlock.subarray(0, content.length));
      blocks.push({ block: (offsetBytes + at) / blockBytes, data: isZero ? undefined : content });
    }
    endBytes = toBytes;
  }
  return blocks;
}

/** Seals blocks into one segment and stores it under its name, durably. */
export async function writeSegment(
  deps: SegmentWriteDeps,
  shape: Omit<SegmentHeader, 'vaultId' | 'keyId' | 'salt'>,
  blocks: readonly BlockContent[],
): Promise<StoredOutcome> {
  const { keyId, keys } = await deps.diskKeys.forWriting(shape.diskId);
  const header: SegmentHeader = { ...shape, vaultId: deps.vaultId, keyId, salt: randomBytes(16) };
  const headerDigest = segmentHeaderDigest(encodeSegmentHeader(header));
  const data = blocks.flatMap((each) => (each.data === undefined ? [] : [each.data]));
  const { digests, frames } = await deps.sealer.seal({ encryptionKey: keys.encryption, headerDigest }, data);
  const segment = assembleSegment(header, { changes: changesOf(blocks, digests), frames }, keys);
  const outcome = await deps.store.put(diskNames(deps.vaultId, shape.diskId).segment(header), segment.content);
  if (outcome === 'exists') return { kind: 'exists' };
  const digest = header.kind === 'plain' ? segment.digest : header.replacedDigest;
  const position = { epoch: header.epoch, sequence: header.lastSequence, digest };
  return { kind: 'created', position, storedBytes: segment.sizeBytes };
}

/** The header of the segment that holds one batch. */
export function plainHeader(diskId: DiskId, batch: ChangeBatch, previous: Position) {
  const sequence = previous.sequence + 1;
  return {
    kind: 'plain' as const,
    diskId,
    epoch: batch.epoch,
    firstSequence: sequence,
    lastSequence: sequence,
    previous: previous.sequence === 0 ? { ...previous, epoch: batch.epoch } : previous,
    diskSizeBytes: batch.diskSizeBytes,
    contentDigest: batch.contentDigest,
    validFromSequence: sequence,
    replacedDigest: emptyDigest,
  };
}

const zeroDigest = Buffer.alloc(digestBytes);

function changesOf(blocks: readonly BlockContent[], digests: Buffer): BlockChange[] {
  let written = 0;
  return blocks.map(({ block, data }) => {
    if (data === undefined) return { block, digest: zeroDigest, zero: true };
    written += 1;
    return { block, digest: digests.subarray((written - 1) * digestBytes, written * digestBytes), zero: false };
  });
}

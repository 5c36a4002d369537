import { randomBytes } from 'node:crypto';
import { blockBytes } from '../../domain/extent.ts';
import type { DiskId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { emptyDigest, type Position } from '../../domain/position.ts';
import { contentDigestOf, isZeroBlock } from '../../protocol/content-digest.ts';
import { assembleSegment, type BlockChange, segmentHeaderDigest } from '../../protocol/segment.ts';
import { blockLengthBytes, digestBytes } from '../../protocol/segment-footer.ts';
import { encodeSegmentHeader, type SegmentHeader } from '../../protocol/segment-header.ts';
import { batchDigest } from './batch-digest.ts';
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
      blocks.push({ block: (offsetBytes + at) / blockBytes, data: isZeroBlock(content) ? undefined : content });
    }
    endBytes = toBytes;
  }
  return blocks;
}

/** What a segment's writer says of it; the rest is the same for all, or made up. */
type SegmentShape = Omit<SegmentHeader, 'vaultId' | 'keyId' | 'salt'>;

/** Seals a sender's batch into the segment after `tail` and stores it, unless its writes are not what its content digest names. */
export async function writeBatch(
  deps: SegmentWriteDeps,
  { diskId, tail }: { readonly diskId: DiskId; readonly tail: Position },
  batch: ChangeBatch,
): Promise<StoredOutcome | { readonly kind: 'content-mismatch' }> {
  const sealed = await seal(deps, plainHeader(diskId, batch, tail), blocksOfBatch(batch));
  return isNamed(sealed, batch.contentDigest) ? store(deps, sealed) : { kind: 'content-mismatch' };
}

/** Seals blocks into one segment and stores it under its name, durably. */
export async function writeSegment(
  deps: SegmentWriteDeps,
  shape: SegmentShape,
  blocks: readonly BlockContent[],
): Promise<StoredOutcome> {
  return store(deps, await seal(deps, shape, blocks));
}

type Sealed = Awaited<ReturnType<typeof seal>>;

async function seal(deps: SegmentWriteDeps, shape: SegmentShape, blocks: readonly BlockContent[]) {
  const { keyId, keys } = await deps.diskKeys.forWriting(shape.diskId);
  const header: SegmentHeader = { ...shape, vaultId: deps.vaultId, keyId, salt: randomBytes(16) };
  const headerDigest = segmentHeaderDigest(encodeSegmentHeader(header));
  const data = blocks.flatMap((each) => (each.data === undefined ? [] : [each.data]));
  const { digests, frames } = await deps.sealer.seal({ encryptionKey: keys.encryption, headerDigest }, data);
  return { header, keys, frames, changes: changesOf(blocks, digests) };
}

async function store(deps: SegmentWriteDeps, { header, keys, ...parts }: Sealed): Promise<StoredOutcome> {
  const segment = assembleSegment(header, parts, keys);
  const outcome = await deps.store.put(diskNames(deps.vaultId, header.diskId).segment(header), segment.content);
  if (outcome === 'exists') return { kind: 'exists' };
  const digest = header.kind === 'plain' ? segment.digest : header.replacedDigest;
  const position = { epoch: header.epoch, sequence: header.lastSequence, digest };
  return { kind: 'created', position, storedBytes: segment.sizeBytes };
}

/** Whether the blocks that were sealed are those that the sender named: the digests are of the very bytes in the frames. */
function isNamed({ changes, header }: Sealed, contentDigest: string): boolean {
  const blocks = changes.map(({ block, digest }) => ({
    offsetBytes: block * blockBytes,
    lengthBytes: blockLengthBytes(block, header.diskSizeBytes),
    digest,
  }));
  return contentDigestOf(blocks).toString('hex') === contentDigest;
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
    contentDigest: batchDigest(batch),
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

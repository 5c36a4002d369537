import { createHash, hash } from 'node:crypto';
import { blockBytes } from '../domain/extent.ts';
import { OutageError } from '../domain/outage.ts';

/** One written block. `digest`: SHA-256 of its bytes, 32 zero bytes for a block of zeros, as the vault gives digests. */
export type ContentBlock = { readonly offsetBytes: number; readonly lengthBytes: number; readonly digest: Uint8Array };

const digestBytes = 32;
const rowBytes = 8 + 4 + digestBytes;
const zeroBlock = Buffer.alloc(blockBytes);
const zeroDigest: Uint8Array = new Uint8Array(digestBytes);

/**
 * Names the changes of one segment: what they are and where they belong. Whoever has hashed the blocks for another purpose, as
 * the agent's comparison and the vault's sealing do, need not hash a byte of them again.
 *
 * @param blocks in ascending order of offset, each once
 * @returns SHA-256 over each block's offset (u64), length (u32, both little-endian) and digest. Format: docs/formats/change-stream.md
 */
export function contentDigestOf(blocks: Iterable<ContentBlock>): Buffer {
  const all = createHash('sha256');
  for (const { offsetBytes, lengthBytes, digest } of blocks) {
    const row = Buffer.allocUnsafe(rowBytes);
    row.writeBigUInt64LE(BigInt(offsetBytes), 0);
    row.writeUInt32LE(lengthBytes, 8);
    row.set(digest, 12);
    all.update(row);
  }
  return all.digest();
}

/**
 * The content digest of writes whose blocks nobody has hashed yet.
 *
 * @param writes sorted, non-overlapping, whole blocks (the last one may end with a short block)
 * @throws OutageError when they are not
 */
export function contentDigestOfWrites(
  writes: readonly { readonly offsetBytes: number; readonly data: Buffer }[],
): Buffer {
  return contentDigestOf(blocksOfWrites(writes));
}

function* blocksOfWrites(writes: readonly { readonly offsetBytes: number; readonly data: Buffer }[]) {
  let endBytes = 0;
  for (const { offsetBytes, data } of writes) {
    if (offsetBytes % blockBytes !== 0 || offsetBytes < endBytes || endBytes % blockBytes !== 0) {
      throw new OutageError(`name the changes of a segment: the block at ${offsetBytes} is not whole or not in order`, {
        retryable: false,
      });
    }
    for (let at = 0; at < data.length; at += blockBytes) {
      const block = data.subarray(at, at + blockBytes);
      yield { offsetBytes: offsetBytes + at, lengthBytes: block.length, digest: blockDigest(block) };
    }
    endBytes = offsetBytes + data.length;
  }
}

/** SHA-256 of a block; 32 zero bytes when it holds only zeros. */
export function blockDigest(block: Uint8Array): Uint8Array {
  return isZeroBlock(block) ? zeroDigest : hash('sha256', block, 'buffer');
}

/** @param block at most 64 KiB */
export function isZeroBlock(block: Uint8Array): boolean {
  return zeroBlock.compare(block, 0, block.length, 0, block.length) === 0;
}

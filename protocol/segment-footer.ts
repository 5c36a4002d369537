import { hash } from 'node:crypto';
import { blockBytes } from '../domain/extent.ts';
import { invariant } from '../domain/invariant.ts';
import { DamagedBlobError } from './damaged-blob.ts';
import { codecs, framePlainBytesMax, sealOverheadBytes } from './segment-frame.ts';

export const digestBytes = 32;
export const operations = { zero: 0, write: 1 } as const;

/** No segment has more frames or entries than this: 16 GiB of data, 64 GiB of blocks. */
export const frameCountMax = 65_536;
export const entryCountMax = 1_048_576;

/** Where a segment's frames lie: parallel lists, one element a frame. */
export type FrameTable = {
  readonly offsetBytes: Uint32Array;
  readonly storedBytes: Uint32Array;
  readonly plainBytes: Uint32Array;
  readonly codec: Uint8Array;
};

/**
 * What a segment changes: parallel lists in ascending order of block number.
 *
 * `offsetInFrame` is in bytes of the frame's plain text; frame and offset are 0 for a block that became zeros.
 * `digests` holds 32 bytes a block: SHA-256 of the plain block, zeros for a block of zeros.
 */
export type DeltaMap = {
  readonly block: Uint32Array;
  readonly operation: Uint8Array;
  readonly frame: Uint32Array;
  readonly offsetInFrame: Uint32Array;
  readonly digests: Buffer;
};

export type SegmentFooter = { readonly frames: FrameTable; readonly delta: DeltaMap };

/** How long the block is on a disk of that size: 64 KiB, less at the end, 0 beyond it. */
export function blockLengthBytes(block: number, diskSizeBytes: number): number {
  return Math.max(0, Math.min(blockBytes, diskSizeBytes - block * blockBytes));
}

const frameRowBytes = 4 + 4 + 4 + 1;
const entryRowBytes = 4 + 1 + 4 + 4 + digestBytes;

/** The footer's plain text for so many frames and entries. */
export function footerPlainBytes(frameCount: number, entryCount: number): number {
  return frameCount * frameRowBytes + entryCount * entryRowBytes;
}

/** The lists one after the other, little-endian: equal things lie together and pack well. */
export function encodeFooter(footer: SegmentFooter): Buffer {
  const { frames, delta } = footer;
  invariant(frames.codec.length <= frameCountMax && delta.operation.length <= entryCountMax, 'a segment is too large');
  const lists = [frames.offsetBytes, frames.storedBytes, frames.plainBytes, frames.codec];
  const columns = [delta.block, delta.operation, delta.frame, delta.offsetInFrame, delta.digests];
  return Buffer.concat(
    [...lists, ...columns].map((list) => Buffer.from(list.buffer, list.byteOffset, list.byteLength)),
  );
}

/** What limits the footer's numbers: where frames may lie, and the disk's size. */
export type FooterBounds = {
  readonly frameCount: number;
  readonly entryCount: number;
  readonly framesFromBytes: number;
  readonly framesToBytes: number;
  readonly diskSizeBytes: number;
};

/** Reads an authenticated footer and checks that every number in it is possible. @throws DamagedBlobError */
export function decodeFooter(plain: Buffer, bounds: FooterBounds): SegmentFooter {
  const { frameCount, entryCount } = bounds;
  if (plain.length !== footerPlainBytes(frameCount, entryCount)) throw malformed('its length');
  let at = 0;
  const take = (bytes: number) => {
    at += bytes;
    return plain.subarray(at - bytes, at);
  };
  // Copies, because a typed array must start at a multiple of four.
  const numbers = (count: number) => new Uint32Array(new Uint8Array(take(count * 4)).buffer);
  const frames: FrameTable = {
    offsetBytes: numbers(frameCount),
    storedBytes: numbers(frameCount),
    plainBytes: numbers(frameCount),
    codec: new Uint8Array(take(frameCount)),
  };
  const delta: DeltaMap = {
    block: numbers(entryCount),
    operation: new Uint8Array(take(entryCount)),
    frame: numbers(entryCount),
    offsetInFrame: numbers(entryCount),
    digests: take(entryCount * digestBytes),
  };
  checkFrames(frames, bounds);
  checkDelta(delta, frames, bounds.diskSizeBytes);
  return { frames, delta };
}

function checkFrames(frames: FrameTable, bounds: FooterBounds): void {
  let expectedOffset = bounds.framesFromBytes;
  for (let frame = 0; frame < bounds.frameCount; frame += 1) {
    // Reads within bounds: every list has frameCount elements.
    const [offset, stored] = [frames.offsetBytes[frame]!, frames.storedBytes[frame]!];
    const [plain, codec] = [frames.plainBytes[frame]!, frames.codec[frame]!];
    const lengthsFit = plain >= 1 && plain <= framePlainBytesMax && stored <= plain + sealOverheadBytes;
    if (offset !== expectedOffset || !lengthsFit || codec > codecs.zstd) throw malformed(`frame ${frame}`);
    expectedOffset += stored;
  }
  if (expectedOffset !== bounds.framesToBytes) throw malformed('its frames do not fill the segment');
}

function checkDelta(delta: DeltaMap, frames: FrameTable, diskSizeBytes: number): void {
  let previousBlock = -1;
  for (let entry = 0; entry < delta.block.length; entry += 1) {
    // Reads within bounds: every list has as many elements as delta.block.
    const block = delta.block[entry]!;
    const [frame, offset] = [delta.frame[entry]!, delta.offsetInFrame[entry]!];
    const lengthBytes = blockLengthBytes(block, diskSizeBytes);
    if (block <= previousBlock || lengthBytes === 0) throw malformed(`entry ${entry} is out of order`);
    const aligned = offset % blockBytes === 0;
    const fits = aligned && frame < frames.codec.length && offset + lengthBytes <= frames.plainBytes[frame]!;
    const isWrite = delta.operation[entry] === operations.write;
    if (delta.operation[entry]! > operations.write || (isWrite && !fits)) throw malformed(`entry ${entry}`);
    previousBlock = block;
  }
}

/**
 * The Merkle root over the entries' digests in order: leaves are SHA-256(0x00, digest), nodes
 * SHA-256(0x01, left, right); an odd last node moves up as it is. 32 zero bytes for no entries.
 */
export function merkleRoot(digests: Buffer): Buffer {
  if (digests.length === 0) return Buffer.alloc(digestBytes);
  let level: Buffer[] = [];
  for (let at = 0; at < digests.length; at += digestBytes) {
    level.push(hash('sha256', Buffer.concat([Buffer.of(0), digests.subarray(at, at + digestBytes)]), 'buffer'));
  }
  while (level.length > 1) level = merkleParents(level);
  // Not empty: there was at least one digest.
  return level[0]!;
}

function merkleParents(level: readonly Buffer[]): Buffer[] {
  const parents: Buffer[] = [];
  for (let at = 0; at < level.length; at += 2) {
    const [left, right] = [level[at]!, level[at + 1]];
    parents.push(right === undefined ? left : hash('sha256', Buffer.concat([Buffer.of(1), left, right]), 'buffer'));
  }
  return parents;
}

function malformed(what: string): DamagedBlobError {
  return new DamagedBlobError('unreadable', `read a segment footer: ${what} cannot be`);
}

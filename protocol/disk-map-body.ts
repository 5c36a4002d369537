import { DamagedBlobError } from './damaged-blob.ts';
import { digestBytes, type FrameTable, frameCountMax } from './segment-footer.ts';

/** Which run of a disk's batches a segment holds: enough to make its name. */
export type SegmentRange = { readonly epoch: number; readonly firstSequence: number; readonly lastSequence: number };

/** A segment that blocks of a map lie in: all that reading one of its frames takes. */
export type MappedSegment = {
  readonly range: SegmentRange;
  readonly keyId: string;
  readonly headerDigest: Buffer;
  /** The disk's size when the segment was written: it tells how long its last block is. */
  readonly diskSizeBytes: number;
  readonly frames: FrameTable;
};

/**
 * What a `.map` holds: parallel lists, one element for each block that is not zeros, in ascending order of block.
 *
 * `segmentNumber` counts `segments` from 1; `place` is the frame's number times four plus the place in the frame.
 */
export type MapBody = {
  readonly segments: readonly MappedSegment[];
  readonly block: Uint32Array;
  readonly segmentNumber: Uint32Array;
  readonly place: Uint32Array;
  readonly digests: Buffer;
};

const segmentRowBytes = 84;

/** Little-endian: two counts, the segments each with its frame table, then the blocks' lists. */
export function encodeMapBody(map: MapBody): Buffer {
  const counts = Buffer.alloc(8);
  counts.writeUInt32LE(map.segments.length, 0);
  counts.writeUInt32LE(map.block.length, 4);
  const lists = [map.block, map.segmentNumber, map.place].map(bytesOf);
  return Buffer.concat([counts, ...map.segments.flatMap(encodeSegment), ...lists, map.digests]);
}

function encodeSegment(segment: MappedSegment): Buffer[] {
  const { frames, range } = segment;
  const row = Buffer.alloc(segmentRowBytes);
  row.writeBigUInt64LE(BigInt(range.epoch), 0);
  row.writeBigUInt64LE(BigInt(range.firstSequence), 8);
  row.writeBigUInt64LE(BigInt(range.lastSequence), 16);
  row.writeBigUInt64LE(BigInt(segment.diskSizeBytes), 24);
  row.write(segment.keyId, 32, 16, 'latin1');
  segment.headerDigest.copy(row, 48);
  row.writeUInt32LE(frames.codec.length, 80);
  return [row, ...[frames.offsetBytes, frames.storedBytes, frames.plainBytes, frames.codec].map(bytesOf)];
}

/** Reads a body that was authenticated already, and checks every count before it is used. @throws DamagedBlobError */
export function decodeMapBody(body: Buffer): MapBody {
  let at = 0;
  const take = (bytes: number): Buffer => {
    if (at + bytes > body.length) throw new DamagedBlobError('unreadable', 'read a disk map: it ends too early');
    at += bytes;
    return body.subarray(at - bytes, at);
  };
  // Copies, because a typed array must start at a multiple of four.
  const numbers = (count: number) => new Uint32Array(new Uint8Array(take(count * 4)).buffer);
  const counts = take(8);
  const [segmentCount, blockCount] = [counts.readUInt32LE(0), counts.readUInt32LE(4)];
  if (segmentCount * segmentRowBytes > body.length) throw new DamagedBlobError('unreadable', 'read a disk map');
  const segments = Array.from({ length: segmentCount }, () => decodeSegment(take, numbers));
  const lists = { block: numbers(blockCount), segmentNumber: numbers(blockCount), place: numbers(blockCount) };
  const map = { segments, ...lists, digests: take(blockCount * digestBytes) };
  if (at !== body.length) throw new DamagedBlobError('unreadable', 'read a disk map: it goes on after its end');
  return map;
}

function decodeSegment(take: (bytes: number) => Buffer, numbers: (count: number) => Uint32Array): MappedSegment {
  const row = take(segmentRowBytes);
  const count = (offset: number) => Number(row.readBigUInt64LE(offset));
  const frameCount = row.readUInt32LE(80);
  if (frameCount > frameCountMax) throw new DamagedBlobError('unreadable', 'read a disk map: too many frames');
  return {
    range: { epoch: count(0), firstSequence: count(8), lastSequence: count(16) },
    diskSizeBytes: count(24),
    keyId: row.toString('latin1', 32, 48).replace(/\0+$/, ''),
    headerDigest: Buffer.from(row.subarray(48, 80)),
    frames: {
      offsetBytes: numbers(frameCount),
      storedBytes: numbers(frameCount),
      plainBytes: numbers(frameCount),
      codec: new Uint8Array(take(frameCount)),
    },
  };
}

function bytesOf(list: Uint32Array | Uint8Array): Buffer {
  return Buffer.from(list.buffer, list.byteOffset, list.byteLength);
}

import { blockBytes, blockCount, type Extent } from '../../domain/extent.ts';
import { invariant } from '../../domain/invariant.ts';
import type { Position } from '../../domain/position.ts';
import type { MappedSegment } from '../../protocol/disk-map-body.ts';
import type { SegmentEnds } from '../../protocol/segment.ts';
import { blockLengthBytes, digestBytes, operations, type SegmentFooter } from '../../protocol/segment-footer.ts';
import { blocksPerFrame } from '../../protocol/segment-frame.ts';

/**
 * Where each block of one disk lies at one position. Parallel lists, one element a block.
 *
 * `segmentOf`: 0 for a block of zeros, otherwise 1 + index into `segments`. `placeOf`: frame number times four plus the
 * block's place in the frame. `digests`: 32 bytes a block, zeros for a block of zeros.
 */
export type DiskMap = {
  position: Position;
  diskSizeBytes: number;
  segments: MappedSegment[];
  segmentOf: Uint32Array;
  placeOf: Uint32Array;
  digests: Buffer;
};

/** A segment with its footer, as a map takes it in. */
export type ReadSegment = { readonly ends: SegmentEnds; readonly footer: SegmentFooter };

/** The map of a disk of which nothing but zeros is stored. */
export function emptyDiskMap(position: Position, diskSizeBytes: number): DiskMap {
  const blocks = blockCount(diskSizeBytes);
  return {
    position,
    diskSizeBytes,
    segments: [],
    segmentOf: new Uint32Array(blocks),
    placeOf: new Uint32Array(blocks),
    digests: Buffer.alloc(blocks * digestBytes),
  };
}

/** What the map's lists take in memory when every page of them was touched. */
export function mapMemoryBytes(map: DiskMap): number {
  const frames = map.segments.reduce((sum, segment) => sum + segment.frames.codec.length * 13 + 300, 0);
  return map.segmentOf.byteLength + map.placeOf.byteLength + map.digests.byteLength + frames;
}

/** Takes in the segment that follows the map's position. */
export function applyNewer(map: DiskMap, read: ReadSegment): void {
  const { header, position } = read.ends;
  invariant(header.firstSequence === map.position.sequence + 1, 'a map takes in segments in order');
  if (header.diskSizeBytes !== map.diskSizeBytes) resize(map, header.diskSizeBytes);
  const number = addSegment(map, read);
  read.footer.delta.block.forEach((block, entry) => {
    setBlock(map, { block, number, footer: read.footer, entry });
  });
  map.position = position;
}

/**
 * Builds a map from the newest segment to the oldest: the first that names a block decides it.
 *
 * That way a chain can be followed by its back pointers and taken in at the same time, in bounded memory.
 */
export type MapBuilder = {
  readonly map: DiskMap;
  addOlder(read: ReadSegment): void;
  /** The rest of the blocks come from an older map; nothing older is needed after it. */
  addBase(base: DiskMap): void;
};

export function createMapBuilder(position: Position, diskSizeBytes: number): MapBuilder {
  const map = emptyDiskMap(position, diskSizeBytes);
  const settled = new Uint8Array(map.segmentOf.length);
  // When the disk was smaller in between, what older segments held beyond that end is gone.
  let blocksKept = map.segmentOf.length;
  const keepOnly = (sizeBytes: number) => {
    blocksKept = Math.min(blocksKept, blockCount(sizeBytes));
  };
  return {
    map,
    addOlder(read) {
      keepOnly(read.ends.header.diskSizeBytes);
      const number = addSegment(map, read);
      read.footer.delta.block.forEach((block, entry) => {
        if (block >= blocksKept || settled[block] === 1) return;
        settled[block] = 1;
        setBlock(map, { block, number, footer: read.footer, entry });
      });
    },
    addBase(base) {
      keepOnly(base.diskSizeBytes);
      const shift = map.segments.length;
      map.segments.push(...base.segments);
      for (let block = 0; block < Math.min(blocksKept, base.segmentOf.length); block += 1) {
        // In bounds of both maps: blocksKept never exceeds this one.
        const from = base.segmentOf[block]!;
        if (settled[block] === 1 || from === 0) continue;
        map.segmentOf[block] = from + shift;
        map.placeOf[block] = base.placeOf[block]!;
        base.digests.copy(map.digests, block * digestBytes, block * digestBytes, (block + 1) * digestBytes);
      }
    },
  };
}

function addSegment(map: DiskMap, read: ReadSegment): number {
  const { header, headerDigest } = read.ends;
  const { epoch, firstSequence, lastSequence, keyId, diskSizeBytes } = header;
  const range = { epoch, firstSequence, lastSequence };
  map.segments.push({ range, keyId, headerDigest, diskSizeBytes, frames: read.footer.frames });
  return map.segments.length;
}

type Setting = {
  readonly block: number;
  readonly number: number;
  readonly footer: SegmentFooter;
  readonly entry: number;
};

function setBlock(map: DiskMap, { block, number, footer, entry }: Setting): void {
  const { delta } = footer;
  const written = delta.operation[entry] === operations.write;
  map.segmentOf[block] = written ? number : 0;
  // In bounds: the entry is one of the delta map's.
  map.placeOf[block] = written ? delta.frame[entry]! * blocksPerFrame + delta.offsetInFrame[entry]! / blockBytes : 0;
  delta.digests.copy(map.digests, block * digestBytes, entry * digestBytes, (entry + 1) * digestBytes);
}

function resize(map: DiskMap, diskSizeBytes: number): void {
  const old = { segmentOf: map.segmentOf, placeOf: map.placeOf, digests: map.digests };
  const fresh = emptyDiskMap(map.position, diskSizeBytes);
  const kept = Math.min(old.segmentOf.length, fresh.segmentOf.length);
  fresh.segmentOf.set(old.segmentOf.subarray(0, kept));
  fresh.placeOf.set(old.placeOf.subarray(0, kept));
  old.digests.copy(fresh.digests, 0, 0, kept * digestBytes);
  map.diskSizeBytes = diskSizeBytes;
  map.segmentOf = fresh.segmentOf;
  map.placeOf = fresh.placeOf;
  map.digests = fresh.digests;
}

/** A map of its own for a reader, without the digests, which reading does not need. */
export function copyForReading(map: DiskMap): DiskMap {
  return {
    ...map,
    segments: [...map.segments],
    segmentOf: map.segmentOf.slice(),
    placeOf: map.placeOf.slice(),
    digests: Buffer.alloc(0),
  };
}

/** Drops the segments in which no block lies any more, and renumbers the rest. */
export function dropUnusedSegments(map: DiskMap): void {
  const newNumber = new Uint32Array(map.segments.length + 1);
  for (const number of map.segmentOf) newNumber[number] = 1;
  newNumber[0] = 0;
  const used = map.segments.filter((_, index) => newNumber[index + 1] === 1);
  let next = 0;
  for (let number = 1; number < newNumber.length; number += 1) {
    if (newNumber[number] === 1) newNumber[number] = ++next;
  }
  for (let block = 0; block < map.segmentOf.length; block += 1) {
    // In bounds: every number in the list is of one of the map's segments.
    map.segmentOf[block] = newNumber[map.segmentOf[block]!]!;
  }
  map.segments = used;
}

/** True when the block was stored with another length than it has now: the disk's size changed at its end. */
export function hasOtherLength(map: DiskMap, block: number): boolean {
  const number = map.segmentOf[block];
  if (number === undefined || number === 0) return false;
  const stored = map.segments[number - 1];
  invariant(stored, 'a map names only segments that it has');
  return blockLengthBytes(block, stored.diskSizeBytes) !== blockLengthBytes(block, map.diskSizeBytes);
}

/** Sorted runs of blocks that hold something else than zeros, clipped to the disk's end. */
export function allocatedExtents(map: DiskMap): Extent[] {
  const extents: Extent[] = [];
  let start = -1;
  for (let block = 0; block <= map.segmentOf.length; block += 1) {
    const allocated = block < map.segmentOf.length && map.segmentOf[block] !== 0;
    if (allocated && start < 0) start = block;
    if (allocated || start < 0) continue;
    const endBytes = Math.min(block * blockBytes, map.diskSizeBytes);
    extents.push({ offsetBytes: start * blockBytes, lengthBytes: endBytes - start * blockBytes });
    start = -1;
  }
  return extents;
}

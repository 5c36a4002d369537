import { blockBytes, type Extent } from '../../domain/extent.ts';
import type { DiskId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import { blockLengthBytes } from '../../protocol/segment-footer.ts';
import { blocksPerFrame } from '../../protocol/segment-frame.ts';
import { allocatedExtents, type DiskMap } from './disk-map.ts';
import { createFrameReads, type FrameReadDeps, type FrameReads, type FrameRef, keyOf } from './frame-reads.ts';
import { isMissingBlob } from './segment-reads.ts';
import type { DiskReader } from './vault.ts';

/** One read is answered from at most this much: a larger one is a caller's mistake. */
const readBytesMax = 67_108_864;
/** While reads follow each other, frames up to this far ahead are fetched before they are asked for. */
const readAheadBytes = 4_194_304;

/**
 * A disk at one position.
 *
 * @param reload resolves the position anew: after a compaction the same blocks lie in other segments
 */
export function createDiskReader(
  deps: FrameReadDeps,
  disk: { readonly diskId: DiskId; readonly map: DiskMap },
  reload: () => Promise<DiskMap>,
): DiskReader {
  const reads = createFrameReads(deps, disk.diskId);
  let view = viewOf(deps, disk.map);
  let closed = false;
  let sequentialFrom = -1;
  let fetchedTo = 0;

  function readAhead(offsetBytes: number, endBytes: number): void {
    const sequential = offsetBytes === sequentialFrom;
    sequentialFrom = endBytes;
    if (!sequential) fetchedTo = endBytes;
    if (!sequential || fetchedTo - endBytes > readAheadBytes / 2) return;
    const from = Math.max(endBytes, fetchedTo);
    fetchedTo = Math.min(endBytes + readAheadBytes, disk.map.diskSizeBytes);
    if (fetchedTo <= from) return;
    // A failure here shows again, and is told, when the bytes are asked for.
    reads.frames(framesOf(view, blocksIn(from, fetchedTo))).catch(() => undefined);
  }
  const read: DiskReader['read'] = async (offsetBytes, lengthBytes, allocate = Buffer.allocUnsafe) => {
    checkRange({ offsetBytes, lengthBytes }, disk.map.diskSizeBytes, closed);
    const endBytes = offsetBytes + lengthBytes;
    try {
      const result = readFrom(reads, view, { offsetBytes, lengthBytes, allocate });
      readAhead(offsetBytes, endBytes);
      return await result;
    } catch (error) {
      if (!isMissingBlob(error)) throw error;
      view = viewOf(deps, await reload());
      return readFrom(reads, view, { offsetBytes, lengthBytes, allocate });
    }
  };
  return {
    sizeBytes: disk.map.diskSizeBytes,
    read,
    allocated: () => allocatedExtents(view.map),
    close: async () => {
      closed = true;
    },
  };
}

type View = { readonly map: DiskMap; readonly segmentNumbers: readonly number[] };

function viewOf(deps: FrameReadDeps, map: DiskMap): View {
  return { map, segmentNumbers: map.segments.map((segment) => deps.cache.segmentNumber(segment.headerDigest)) };
}

function checkRange({ offsetBytes, lengthBytes }: Extent, diskSizeBytes: number, closed: boolean): void {
  invariant(!closed, 'a disk is not read after it was closed');
  const inside = offsetBytes >= 0 && lengthBytes >= 0 && offsetBytes + lengthBytes <= diskSizeBytes;
  if (inside && lengthBytes <= readBytesMax) return;
  throw new OutageError(`read ${lengthBytes} bytes at ${offsetBytes} of a disk of ${diskSizeBytes}`, {
    retryable: false,
  });
}

type ReadOrder = Extent & { readonly allocate: (lengthBytes: number) => Buffer };

async function readFrom(reads: FrameReads, view: View, order: ReadOrder): Promise<Buffer> {
  const { offsetBytes, lengthBytes, allocate } = order;
  const blocks = blocksIn(offsetBytes, offsetBytes + lengthBytes);
  const frames = await reads.frames(framesOf(view, blocks));
  const result = allocate(lengthBytes);
  for (let block = blocks.first; block < blocks.end; block += 1)
    copyBlock(view, block, { extent: order, result, frames });
  return result;
}

type Copying = {
  readonly extent: Extent;
  readonly result: Buffer;
  readonly frames: ReadonlyMap<number, Buffer>;
};

/** Copies the part of one block that was asked for; what was never stored of it reads as zeros. */
function copyBlock(view: View, block: number, { extent, result, frames }: Copying): void {
  const blockStart = block * blockBytes;
  const from = Math.max(extent.offsetBytes, blockStart);
  const to = Math.min(extent.offsetBytes + extent.lengthBytes, blockStart + blockBytes);
  const ref = frameOf(view, block);
  let copied = 0;
  if (ref !== undefined) {
    const plain = frames.get(keyOf(ref));
    invariant(plain, 'every frame of the range was fetched');
    // In bounds: the block has a frame, so it has a place.
    const inFrame = (view.map.placeOf[block]! % blocksPerFrame) * blockBytes;
    const storedEnd = inFrame + blockLengthBytes(block, ref.segment.diskSizeBytes);
    const source = inFrame + (from - blockStart);
    copied = plain.copy(
      result,
      from - extent.offsetBytes,
      source,
      Math.max(source, Math.min(storedEnd, source + to - from)),
    );
  }
  result.fill(0, from - extent.offsetBytes + copied, to - extent.offsetBytes);
}

type BlockRange = { readonly first: number; readonly end: number };

function blocksIn(fromBytes: number, toBytes: number): BlockRange {
  return { first: Math.floor(fromBytes / blockBytes), end: Math.ceil(toBytes / blockBytes) };
}

function framesOf(view: View, blocks: BlockRange): FrameRef[] {
  const wanted = new Map<number, FrameRef>();
  for (let block = blocks.first; block < blocks.end; block += 1) {
    const ref = frameOf(view, block);
    if (ref !== undefined) wanted.set(keyOf(ref), ref);
  }
  return [...wanted.values()];
}

function frameOf(view: View, block: number): FrameRef | undefined {
  const number = view.map.segmentOf[block];
  if (number === undefined || number === 0) return undefined;
  const [segment, segmentNumber] = [view.map.segments[number - 1], view.segmentNumbers[number - 1]];
  invariant(segment !== undefined && segmentNumber !== undefined, 'a map names only segments that it has');
  // In bounds: the block has a segment, so it has a place.
  return { segment, segmentNumber, frame: Math.floor(view.map.placeOf[block]! / blocksPerFrame) };
}

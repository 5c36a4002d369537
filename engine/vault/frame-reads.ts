import type { DiskId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import type { MappedSegment } from '../../protocol/disk-map-body.ts';
import { openFrame } from '../../protocol/segment-frame.ts';
import { diskNames } from './blob-names.ts';
import { type FrameCache, frameKey } from './frame-cache.ts';
import { missingSegment, naming, type SegmentReadDeps } from './segment-reads.ts';

/** One frame that is wanted; `segmentNumber` is the cache's number for the segment. */
export type FrameRef = { readonly segment: MappedSegment; readonly segmentNumber: number; readonly frame: number };

/** Fetches frames of one disk: each at most once at a time, neighbours in one read. */
export type FrameReads = {
  /** Every frame wanted, by its cache key. @throws DamagedBlobError */
  frames(wanted: readonly FrameRef[]): Promise<ReadonlyMap<number, Buffer>>;
};

/** Neighbouring frames are read together up to so many stored bytes. */
const bytesPerRead = 2_097_152;

export type FrameReadDeps = SegmentReadDeps & { readonly cache: FrameCache };

export function createFrameReads(deps: FrameReadDeps, diskId: DiskId): FrameReads {
  const names = diskNames(deps.vaultId, diskId);
  const running = new Map<number, Promise<ReadonlyMap<number, Buffer>>>();

  function start(run: readonly FrameRef[]): Promise<ReadonlyMap<number, Buffer>> {
    const keys = run.map(keyOf);
    const reading = readRun(deps, { diskId, names }, run).finally(() => {
      for (const key of keys) running.delete(key);
    });
    for (const key of keys) running.set(key, reading);
    return reading;
  }
  return {
    async frames(wanted) {
      const found = new Map<number, Buffer>();
      const missing: FrameRef[] = [];
      const joined = new Set<Promise<ReadonlyMap<number, Buffer>>>();
      for (const ref of wanted) {
        const cached = deps.cache.get(keyOf(ref));
        const inFlight = running.get(keyOf(ref));
        if (cached !== undefined) found.set(keyOf(ref), cached);
        else if (inFlight !== undefined) joined.add(inFlight);
        else missing.push(ref);
      }
      for (const run of runsOf(missing)) joined.add(start(run));
      for (const frames of await Promise.all(joined)) for (const [key, plain] of frames) found.set(key, plain);
      return found;
    },
  };
}

/** The frame's key in the cache. */
export function keyOf(ref: FrameRef): number {
  return frameKey(ref.segmentNumber, ref.frame);
}

/** Frames that lie next to each other in one segment, together. */
function runsOf(refs: readonly FrameRef[]): FrameRef[][] {
  const sorted = [...refs].sort((a, b) => keyOf(a) - keyOf(b));
  const runs: FrameRef[][] = [];
  let runBytes = 0;
  for (const ref of sorted) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    const storedBytes = ref.segment.frames.storedBytes[ref.frame] ?? 0;
    if (
      run !== undefined &&
      last !== undefined &&
      keyOf(last) + 1 === keyOf(ref) &&
      runBytes + storedBytes <= bytesPerRead
    ) {
      run.push(ref);
      runBytes += storedBytes;
      continue;
    }
    runs.push([ref]);
    runBytes = storedBytes;
  }
  return runs;
}

type Disk = { readonly diskId: DiskId; readonly names: ReturnType<typeof diskNames> };

async function readRun(deps: FrameReadDeps, disk: Disk, run: readonly FrameRef[]): Promise<Map<number, Buffer>> {
  const [first, last] = [run[0], run.at(-1)];
  invariant(first && last, 'a run has at least one frame');
  const { segment } = first;
  const name = disk.names.segment(segment.range);
  const [from, to] = [frameRow(segment, first.frame).offsetBytes, frameRow(segment, last.frame)];
  const lengthBytes = to.offsetBytes + to.storedBytes - from;
  const bytes = await deps.store.get(name, { offsetBytes: from, lengthBytes });
  if (bytes === undefined) throw missingSegment(name);
  const keys = await deps.diskKeys.forReading(disk.diskId, segment.keyId);
  const opened = new Map<number, Buffer>();
  for (const ref of run) {
    const { offsetBytes, storedBytes, plainBytes, codec } = frameRow(segment, ref.frame);
    const stored = bytes.subarray(offsetBytes - from, offsetBytes - from + storedBytes);
    const place = { headerDigest: segment.headerDigest, frameNumber: ref.frame };
    const plain = naming(name, () => openFrame(keys.encryption, place, { codec, plainBytes, stored }));
    deps.cache.set(keyOf(ref), plain);
    opened.set(keyOf(ref), plain);
  }
  return opened;
}

function frameRow({ frames }: MappedSegment, frame: number) {
  const [offsetBytes, storedBytes] = [frames.offsetBytes[frame], frames.storedBytes[frame]];
  const [plainBytes, codec] = [frames.plainBytes[frame], frames.codec[frame]];
  const known =
    offsetBytes !== undefined && storedBytes !== undefined && plainBytes !== undefined && codec !== undefined;
  invariant(known, `frame ${frame} is in its segment's table`);
  return { offsetBytes, storedBytes, plainBytes, codec };
}

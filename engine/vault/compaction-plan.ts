import type { SegmentRange } from '../../protocol/disk-map-body.ts';

/** What a plan needs to know of a segment. */
export type SegmentUse = {
  readonly range: SegmentRange;
  readonly diskSizeBytes: number;
  readonly storedBytes: number;
  /** Blocks of data in it, and how many of them are the newest version at the oldest position that is needed. */
  readonly blocks: number;
  readonly liveBlocks: number;
};

/** A coalesced segment holds at most so many blocks: 32 MiB of data, the size of a large batch. */
const runBlocksMax = 512;
/** A segment with so many live blocks, most of what it has, is left alone. */
const settledBlocksMin = 256;
/** Rewriting must give back this share of what it reads, or join many segments into one. */
const worthwhileShare = 0.25;
const manySegments = 8;

/**
 * Chooses runs of neighbouring segments to be joined into one each, so that space comes back without rewriting much.
 *
 * @param segments a chain, oldest first
 * @returns runs of two segments or more, in order, none overlapping
 */
export function planCompaction<Use extends SegmentUse>(segments: readonly Use[]): Use[][] {
  return groups(segments).filter(isWorthwhile);
}

function groups<Use extends SegmentUse>(segments: readonly Use[]): Use[][] {
  const runs: Use[][] = [];
  let run: Use[] = [];
  const close = () => {
    if (run.length > 1) runs.push(run);
    run = [];
  };
  for (const segment of segments) {
    const last = run.at(-1);
    if (last !== undefined && (!sameKind(last, segment) || liveBlocksOf(run) + segment.liveBlocks > runBlocksMax))
      close();
    // A settled segment ends a run of one that has much to give back, and is left alone otherwise.
    if (isSettled(segment) && (run.length !== 1 || !isWorthwhile([...run, segment]))) close();
    else run.push(segment);
  }
  close();
  return runs;
}

/** Segments of different epochs have different names; a change of size in between must stay visible. */
function sameKind(a: SegmentUse, b: SegmentUse): boolean {
  return a.range.epoch === b.range.epoch && a.diskSizeBytes === b.diskSizeBytes;
}

function isSettled(segment: SegmentUse): boolean {
  return segment.liveBlocks >= settledBlocksMin && segment.liveBlocks >= (1 - worthwhileShare) * segment.blocks;
}

function isWorthwhile(run: readonly SegmentUse[]): boolean {
  const storedBytes = run.reduce((sum, each) => sum + each.storedBytes, 0);
  const liveBytes = run.reduce((sum, each) => sum + liveBytesOf(each), 0);
  return run.length >= manySegments || storedBytes - liveBytes >= worthwhileShare * storedBytes;
}

function liveBytesOf(segment: SegmentUse): number {
  return segment.blocks === 0 ? 0 : (segment.storedBytes * segment.liveBlocks) / segment.blocks;
}

function liveBlocksOf(run: readonly SegmentUse[]): number {
  return run.reduce((sum, each) => sum + each.liveBlocks, 0);
}

import { blockBytes } from '../../domain/extent.ts';
import type { DiskId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import type { Position } from '../../domain/position.ts';
import type { SegmentRange } from '../../protocol/disk-map-body.ts';
import { digestOfEntry, type SegmentEnds } from '../../protocol/segment.ts';
import { blockLengthBytes, digestBytes, operations } from '../../protocol/segment-footer.ts';
import { blocksPerFrame } from '../../protocol/segment-frame.ts';
import { diskNames } from './blob-names.ts';
import { type DeletionDeps, deleteReplaced } from './compaction-deletion.ts';
import { planCompaction, type SegmentUse } from './compaction-plan.ts';
import { passOver } from './condemned.ts';
import type { DiskMap } from './disk-map.ts';
import { type ChainStart, followChain, mapFromFooters } from './disk-view.ts';
import { createFrameReads, type FrameReadDeps, keyOf } from './frame-reads.ts';
import { listLog } from './log-listing.ts';
import { readWholeSegment } from './segment-reads.ts';
import { type BlockContent, type SegmentWriteDeps, writeSegment } from './segment-writer.ts';

export type CompactionDeps = FrameReadDeps & SegmentWriteDeps & DeletionDeps;

export type Compacted = { readonly deletedBytes: number; readonly writtenBytes: number };

/**
 * Joins runs of segments up to `oldestNeeded` and deletes what was replaced.
 *
 * Killed anywhere it can run again: a joined segment is written once and read back before anything is deleted,
 * and what may be deleted is worked out from the names alone.
 */
export async function compact(deps: CompactionDeps, diskId: DiskId, oldestNeeded: Position): Promise<Compacted> {
  if (oldestNeeded.sequence === 0) return { deletedBytes: 0, writtenBytes: 0 };
  const start = { diskId, at: oldestNeeded, listing: await listLog(deps, diskId) };
  const map = await mapFromFooters(deps, start);
  const chain = await readChain(deps, start, map);
  let writtenBytes = 0;
  for (const run of planCompaction(chain)) writtenBytes += await joinRun(deps, { start, map }, run);
  const deletedBytes = await deleteReplaced(deps, { diskId, at: oldestNeeded, map });
  return { deletedBytes, writtenBytes };
}

type ChainSegment = SegmentUse & { readonly ends: SegmentEnds; readonly zeroed: readonly number[] };

/** The segments up to the oldest needed position, oldest first, with how much of each is still alive. */
async function readChain(deps: CompactionDeps, start: ChainStart, map: DiskMap): Promise<ChainSegment[]> {
  const live = new Map<string, number>();
  const names = diskNames(deps.vaultId, start.diskId);
  for (const number of map.segmentOf) {
    const segment = map.segments[number - 1];
    if (segment === undefined) continue;
    const name = names.segment(segment.range);
    live.set(name, (live.get(name) ?? 0) + 1);
  }
  const chain: ChainSegment[] = [];
  const walk = followChain(deps, start);
  let position = passOver(start.listing.condemned, start.at);
  while (position.sequence > 0) {
    const { ends, footer } = await walk.step(position);
    const { header, sizeBytes } = ends;
    const zeroed = Array.from(footer.delta.block).filter(
      (_, entry) => footer.delta.operation[entry] === operations.zero,
    );
    chain.push({
      range: header,
      diskSizeBytes: header.diskSizeBytes,
      storedBytes: sizeBytes,
      blocks: footer.delta.block.length - zeroed.length,
      liveBlocks: live.get(names.segment(header)) ?? 0,
      ends,
      zeroed,
    });
    position = passOver(start.listing.condemned, header.previous);
  }
  return chain.reverse();
}

type View = { readonly start: ChainStart; readonly map: DiskMap };

/** Writes one segment for a run and reads it back. */
async function joinRun(deps: CompactionDeps, view: View, run: readonly ChainSegment[]): Promise<number> {
  const [first, last] = [run[0], run.at(-1)];
  invariant(first && last && run.length > 1, 'a run has two segments or more');
  const { diskId, at } = view.start;
  const blocks = await liveBlocksOf(deps, view, run);
  const { header, position } = last.ends;
  const range = { epoch: header.epoch, firstSequence: first.range.firstSequence, lastSequence: header.lastSequence };
  const outcome = await writeSegment(
    deps,
    {
      kind: 'coalesced',
      diskId,
      ...range,
      previous: first.ends.header.previous,
      diskSizeBytes: header.diskSizeBytes,
      contentDigest: header.contentDigest,
      validFromSequence: at.sequence,
      replacedDigest: position.digest,
    },
    blocks,
  );
  await checkJoined(deps, view, range);
  return outcome.kind === 'created' ? outcome.storedBytes : 0;
}

/** Reads the joined segment back whole: every block in it must be the one that the map names. */
async function checkJoined(deps: CompactionDeps, { start, map }: View, range: SegmentRange): Promise<void> {
  const name = diskNames(deps.vaultId, start.diskId).segment(range);
  const found = await deps.store.head(name);
  if (found === undefined) throw new OutageError(`read back ${name}: it is not there`, { retryable: true });
  const { footer } = await readWholeSegment(deps, { ...range, diskId: start.diskId, name, ...found });
  footer.delta.block.forEach((block, entry) => {
    if (digestOfEntry(footer.delta, entry).equals(map.digests.subarray(block * digestBytes, (block + 1) * digestBytes)))
      return;
    throw new OutageError(`read back ${name}: block ${block} is another version than is needed`, { retryable: false });
  });
}

/** The run's blocks that are still the newest, and those that it made zeros over something older. */
async function liveBlocksOf(deps: CompactionDeps, view: View, run: readonly ChainSegment[]): Promise<BlockContent[]> {
  const { map, start } = view;
  const ofRun = new Set(run.map(({ ends }) => ends.headerDigest.toString('hex')));
  const segmentNumbers = map.segments.map(({ headerDigest }) =>
    ofRun.has(headerDigest.toString('hex')) ? deps.cache.segmentNumber(headerDigest) : -1,
  );
  const contents = new Map<number, Buffer | undefined>();
  const oldest = run[0]?.range.firstSequence === 1;
  for (const { zeroed } of oldest ? [] : run) {
    for (const block of zeroed) if (map.segmentOf[block] === 0) contents.set(block, undefined);
  }
  const reads = createFrameReads(deps, start.diskId);
  for (const [block, number] of map.segmentOf.entries()) {
    const [segment, segmentNumber] = [map.segments[number - 1], segmentNumbers[number - 1]];
    if (segment === undefined || segmentNumber === undefined || segmentNumber < 0) continue;
    // In bounds: the block has a segment, so it has a place.
    const place = map.placeOf[block]!;
    const ref = { segment, segmentNumber, frame: Math.floor(place / blocksPerFrame) };
    const plain = (await reads.frames([ref])).get(keyOf(ref));
    invariant(plain, 'the frame was fetched');
    const from = (place % blocksPerFrame) * blockBytes;
    // A copy: otherwise one live block would keep its whole frame in memory.
    contents.set(block, Buffer.from(plain.subarray(from, from + blockLengthBytes(block, segment.diskSizeBytes))));
  }
  return [...contents].sort(([a], [b]) => a - b).map(([block, data]) => ({ block, data }));
}

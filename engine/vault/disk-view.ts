import type { DiskId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { type Position, samePosition } from '../../domain/position.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { diskNames } from './blob-names.ts';
import { passOver } from './condemned.ts';
import {
  createMapBuilder,
  type DiskMap,
  dropUnusedSegments,
  emptyDiskMap,
  type MapBuilder,
  type ReadSegment,
} from './disk-map.ts';
import { type LogListing, listLog } from './log-listing.ts';
import { type Checkpoints, openCheckpoints } from './map-checkpoint.ts';
import { isDamage, readSegment, type SegmentReadDeps, type StoredSegment } from './segment-reads.ts';

/** How many footers are read ahead while a chain is followed back. */
const readAheadSegments = 8;

/**
 * Follows a disk's chain back from a position and says where each block lies.
 *
 * Every step is checked: a segment's digest must be the one that its successor (or the position) names.
 *
 * Condemned segments are passed over: only after a comparison of the whole disk is what is left the disk again.
 *
 * @throws DamagedBlobError when the position, or a segment before it, is not there as it was
 */
export async function loadDiskMap(deps: SegmentReadDeps, diskId: DiskId, at: Position): Promise<DiskMap> {
  const listing = await listLog(deps, diskId);
  return mapFromChain(deps, { diskId, at, listing }, await openCheckpoints(deps, diskId, listing));
}

/** The same from the segments' footers alone, without the stored maps. @throws DamagedBlobError */
export async function mapFromFooters(deps: SegmentReadDeps, start: ChainStart): Promise<DiskMap> {
  return mapFromChain(deps, start, { at: () => Promise.resolve(undefined) });
}

async function mapFromChain(deps: SegmentReadDeps, start: ChainStart, checkpoints: Checkpoints): Promise<DiskMap> {
  const { at, diskId } = start;
  if (at.sequence === 0) {
    throw new OutageError(`open the disk ${diskId}: nothing of it is stored yet`, {
      retryable: true,
      nextStep: 'Wait for its initial replication.',
    });
  }
  return buildMap(followChain(deps, start), checkpoints, start);
}

async function buildMap(chain: ChainWalk, checkpoints: Checkpoints, start: ChainStart): Promise<DiskMap> {
  const { at, listing } = start;
  let builder: MapBuilder | undefined;
  let position = passOver(listing.condemned, at);
  while (position.sequence > 0) {
    const base = await checkpoints.at(position);
    if (base !== undefined && builder === undefined) return { ...base, position: at };
    if (base !== undefined) {
      builder?.addBase(base);
      break;
    }
    const read = await chain.step(position);
    builder ??= createMapBuilder(at, read.ends.header.diskSizeBytes);
    builder.addOlder(read);
    position = passOver(listing.condemned, read.ends.header.previous);
  }
  // Every segment that there was is lost.
  if (builder === undefined) return emptyDiskMap(at, 0);
  dropUnusedSegments(builder.map);
  return builder.map;
}

export type ChainWalk = {
  /** The segment whose newest batch is at that position, read and checked. Positions must be asked for newest first. */
  step(position: Position): Promise<ReadSegment>;
};

export type ChainStart = { readonly diskId: DiskId; readonly at: Position; readonly listing: LogListing };

/** @param start a view at `start.at`: segments that lost versions which it needs are passed over */
export function followChain(deps: SegmentReadDeps, start: ChainStart): ChainWalk {
  const ahead = new Map<string, Promise<ReadSegment>>();
  function fetch(segment: StoredSegment): Promise<ReadSegment> {
    const running = ahead.get(segment.name) ?? readSegment(deps, segment);
    // The walk may end before it needs this one; then its failure is nobody's business.
    running.catch(() => undefined);
    ahead.set(segment.name, running);
    return running;
  }
  function readAhead(from: StoredSegment): void {
    let next: StoredSegment | undefined = from;
    for (let count = 0; count < readAheadSegments && next !== undefined; count += 1) {
      fetch(next);
      next = start.listing.endingAt(next.epoch, next.firstSequence - 1)[0];
    }
  }
  async function step(position: Position): Promise<ReadSegment> {
    const candidates = [...start.listing.endingAt(position.epoch, position.sequence)];
    for (const [index, candidate] of candidates.entries()) {
      readAhead(candidate);
      const read = await fetch(candidate).catch((error: unknown) => {
        // What it was made from may still be there.
        if (isDamage(error) && index < candidates.length - 1) return undefined;
        throw error;
      });
      ahead.delete(candidate.name);
      if (read === undefined) continue;
      if (read.ends.header.validFromSequence > start.at.sequence) continue;
      if (!samePosition(read.ends.position, position)) throw otherSegment(candidate, position);
      return read;
    }
    throw missingStep(deps.vaultId, start.diskId, position);
  }
  return { step };
}

function otherSegment(segment: StoredSegment, position: Position): DamagedBlobError {
  const expected = position.digest.slice(0, 12);
  const message = `follow the disk's chain to ${segment.name}: it is not the segment ${expected}… that belongs there`;
  return new DamagedBlobError('rolled-back', message);
}

function missingStep(vaultId: string, diskId: DiskId, position: Position): DamagedBlobError {
  const { epoch, sequence } = position;
  const name = diskNames(vaultId, diskId).segment({ epoch, firstSequence: sequence, lastSequence: sequence });
  return new DamagedBlobError('missing', `follow the disk's chain to ${name}: it is missing, or its point has expired`);
}

import type { DiskId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { emptyDigest, type Position, samePosition, startPosition } from '../../domain/position.ts';
import { batchDigest } from './batch-digest.ts';
import { diskNames } from './blob-names.ts';
import { condemnedAt } from './condemned.ts';
import { listLog, logEnd } from './log-listing.ts';
import { isDamage, readSegmentEnds, type SegmentReadDeps, type StoredSegment } from './segment-reads.ts';

/** The newest end of a disk's log as this process last saw it. */
export type LogTail = { readonly position: Position; readonly contentDigest: string; readonly listedAtMs: number };

export type LogDeps = SegmentReadDeps & { readonly nowMs: () => number };

/** A whole listing is repeated after this time: another process server may have gone on where nobody looks. */
const listAgainAfterMs = 60_000;
/** More new segments than this at once are found faster by a listing. */
const stepsForwardMax = 64;

/**
 * Lists the log and authenticates its newest segment; a note that it was condemned stands for it.
 *
 * @throws DamagedBlobError: a position is never guessed
 */
export async function readTail(deps: LogDeps, diskId: DiskId): Promise<LogTail> {
  const listedAtMs = deps.nowMs();
  const listing = await listLog(deps, diskId);
  const end = logEnd(listing);
  if (end === undefined) return { position: startPosition(1), contentDigest: emptyDigest, listedAtMs };
  const lost = condemnedAt(listing.condemned, end);
  if (lost !== undefined) return { position: { ...end, digest: lost.digest }, contentDigest: emptyDigest, listedAtMs };
  const [newest] = listing.endingAt(end.epoch, end.sequence);
  invariant(newest, 'a log without a note at its end has a segment there');
  const { position, header } = await readSegmentEnds(deps, newest);
  return { position, contentDigest: header.contentDigest, listedAtMs };
}

/** Brings a remembered tail up to date: cheap when nothing was added by anybody else. */
export async function refreshTail(deps: LogDeps, diskId: DiskId, known: LogTail | undefined): Promise<LogTail> {
  const stale = known === undefined || deps.nowMs() - known.listedAtMs > listAgainAfterMs;
  if (stale || (await hasNewerEpoch(deps, diskId, known.position.epoch))) return readTail(deps, diskId);
  let tail = known;
  for (let step = 0; step < stepsForwardMax; step += 1) {
    const next = await segmentAt(deps, diskId, { ...tail.position, sequence: tail.position.sequence + 1 });
    if (next === undefined) return tail;
    const { position, header } = await readSegmentEnds(deps, next);
    if (!samePosition(header.previous, tail.position)) return readTail(deps, diskId);
    tail = { position, contentDigest: header.contentDigest, listedAtMs: tail.listedAtMs };
  }
  return readTail(deps, diskId);
}

/** The plain segment with that epoch and sequence, if it is stored. */
export async function segmentAt(
  deps: SegmentReadDeps,
  diskId: DiskId,
  at: { readonly epoch: number; readonly sequence: number },
): Promise<StoredSegment | undefined> {
  const range = { epoch: at.epoch, firstSequence: at.sequence, lastSequence: at.sequence };
  const name = diskNames(deps.vaultId, diskId).segment(range);
  const found = await deps.store.head(name);
  return found === undefined ? undefined : { ...range, diskId, name, sizeBytes: found.sizeBytes };
}

/** Where the batch with that content was stored right after `previous`; undefined when it was not. */
export async function findStoredBatch(
  deps: SegmentReadDeps,
  diskId: DiskId,
  batch: { readonly epoch: number; readonly previous: Position; readonly contentDigest: string },
): Promise<Position | undefined> {
  const at = { epoch: batch.epoch, sequence: batch.previous.sequence + 1 };
  const segment = await segmentAt(deps, diskId, at);
  if (segment === undefined) return undefined;
  const ends = await readSegmentEnds(deps, segment).catch((error: unknown) => {
    // What cannot be read is as good as not stored: the sender compares the disk, and ships it again.
    if (isDamage(error)) return undefined;
    throw error;
  });
  if (ends === undefined) return undefined;
  const { header, position } = ends;
  const follows = follow(header.previous, batch.previous);
  return follows && header.contentDigest === batchDigest(batch) ? position : undefined;
}

/** True when both are the same place; before the first segment the epoch does not matter. */
export function follow(a: Position, b: Position): boolean {
  return samePosition(a, b) || (a.sequence === 0 && b.sequence === 0);
}

async function hasNewerEpoch(deps: SegmentReadDeps, diskId: DiskId, epoch: number): Promise<boolean> {
  for await (const _ of deps.store.list(diskNames(deps.vaultId, diskId).epochFolder(epoch + 1))) return true;
  return false;
}

import { randomBytes } from 'node:crypto';
import { blockBytes } from '../../domain/extent.ts';
import type { DiskId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { type Position, startPosition } from '../../domain/position.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import type { SegmentRange } from '../../protocol/disk-map-body.ts';
import type { SegmentEnds } from '../../protocol/segment.ts';
import { parseBlobName } from './blob-names.ts';
import { passOver, writeCondemned, writeRepairedFrom } from './condemned.ts';
import { type LogDeps, readTail } from './disk-log.ts';
import { type LogListing, listLog, logEnd, segmentBefore } from './log-listing.ts';
import { readSegment, readSegmentEnds, readWholeSegment, type StoredSegment } from './segment-reads.ts';
import { plainHeader, type SegmentWriteDeps, writeSegment } from './segment-writer.ts';
import type { VaultFinding } from './vault.ts';

export type CondemnDeps = LogDeps & SegmentWriteDeps;

/** Attempts to move the position on when process servers keep taking the next name. */
const barrierAttemptsMax = 8;

/**
 * Takes out of use what keeps the disk's log from being followed, so that nothing damaged blocks it for good.
 *
 * The log is followed from its end: headers and footers, and of suspects every byte. Then an empty segment moves the position on: whoever was
 * about to append is refused and compares the whole disk, and positions before it stay lost.
 *
 * @param suspects names of segments that somebody found damaged
 * @returns whether anything was, or is now, out of use that was not before
 */
export async function condemnBroken(
  deps: CondemnDeps,
  diskId: DiskId,
  suspects: ReadonlySet<string>,
): Promise<'condemned' | 'nothing-broken'> {
  for (const broken of await findBroken(deps, diskId, suspects)) await writeCondemned(deps, diskId, broken);
  const unfinished = (await listLog(deps, diskId)).condemned.filter(({ repairedFrom }) => repairedFrom === undefined);
  if (unfinished.length === 0) return 'nothing-broken';
  // Only now that the notes are durable: who learns of this position reads the log without the condemned segments.
  const { sequence } = await appendBarrier(deps, diskId);
  for (const range of unfinished) await writeRepairedFrom(deps, diskId, { range, repairedFrom: sequence });
  return 'condemned';
}

type Broken = { readonly range: SegmentRange; readonly previous: Position; readonly problem: VaultFinding['problem'] };
type Stretch = Omit<Broken, 'previous'>;

/** Follows the log from its end to its beginning, past whatever cannot be used. */
async function findBroken(deps: CondemnDeps, diskId: DiskId, suspects: ReadonlySet<string>): Promise<Broken[]> {
  const listing = await listLog(deps, diskId);
  const found: Broken[] = [];
  let open: Stretch[] = [];
  const close = (previous: Position) => {
    found.push(...open.map((stretch) => ({ ...stretch, previous })));
    open = [];
  };
  let place: Place | undefined = topOf(deps, listing, suspects);
  while (place !== undefined && place.sequence > 0) {
    const look = await lookAt(deps, listing, { place, suspects });
    if (look.kind === 'sound') {
      close(look.ends.position);
      place = skip(listing, look.ends.header.previous);
      continue;
    }
    const below = segmentBefore(listing, place);
    const firstSequence = (below?.sequence ?? 0) + 1;
    open = joined(open, {
      range: { epoch: place.epoch, firstSequence, lastSequence: place.sequence },
      problem: look.problem,
    });
    place = below;
  }
  close(startPosition(1));
  return found;
}

/** A place in the log; its digest is known when a sound segment names it. */
type Place = { readonly epoch: number; readonly sequence: number; readonly digest?: string };

/** The log's end, or the one segment after it that somebody was promised and that is gone. */
function topOf(deps: CondemnDeps, listing: LogListing, suspects: ReadonlySet<string>): Place | undefined {
  const end = logEnd(listing);
  for (const name of suspects) {
    const parsed = parseBlobName(deps.vaultId, name);
    // Not any later one: otherwise a wrong claim could burn all sequences there are.
    if (parsed.kind === 'segment' && parsed.lastSequence === (end?.sequence ?? 0) + 1)
      return { epoch: Math.max(parsed.epoch, end?.epoch ?? 1), sequence: parsed.lastSequence };
  }
  return end === undefined ? undefined : skip(listing, end);
}

function skip(listing: LogListing, place: Place): Place {
  const over = passOver(listing.condemned, { digest: '', ...place });
  return over.digest === '' ? { epoch: over.epoch, sequence: over.sequence } : over;
}

type Look =
  | { readonly kind: 'sound'; readonly ends: SegmentEnds }
  | { readonly kind: 'broken'; readonly problem: VaultFinding['problem'] };

async function lookAt(
  deps: CondemnDeps,
  listing: LogListing,
  { place, suspects }: { place: Place; suspects: ReadonlySet<string> },
): Promise<Look> {
  let problem: VaultFinding['problem'] = 'missing';
  for (const candidate of listing.endingAt(place.epoch, place.sequence)) {
    try {
      const { ends } = await (suspects.has(candidate.name) ? readWholeSegment : readSegment)(deps, candidate);
      if (place.digest === undefined || ends.position.digest === place.digest) return { kind: 'sound', ends };
      problem = 'rolled-back';
    } catch (error) {
      if (!isDamageOf(error, candidate)) throw error;
      problem = error.damage;
    }
  }
  return { kind: 'broken', problem };
}

/** False when something else is damaged, e.g. the disk's key: then the segment may be sound. */
function isDamageOf(error: unknown, segment: StoredSegment): error is DamagedBlobError {
  return error instanceof DamagedBlobError && (error.blob === undefined || error.blob === segment.name);
}

/** One note for neighbours. */
function joined(open: readonly Stretch[], next: Stretch): Stretch[] {
  const last = open.at(-1);
  if (last?.range.epoch !== next.range.epoch || last.range.firstSequence !== next.range.lastSequence + 1)
    return [...open, next];
  const range = { ...next.range, lastSequence: last.range.lastSequence };
  return [...open.slice(0, -1), { range, problem: next.problem }];
}

async function appendBarrier(deps: CondemnDeps, diskId: DiskId): Promise<Position> {
  for (let attempt = 0; attempt < barrierAttemptsMax; attempt += 1) {
    const { position } = await readTail(deps, diskId);
    const batch = {
      epoch: position.epoch,
      previous: position,
      diskSizeBytes: await sizeAt(deps, diskId, position),
      contentDigest: randomBytes(32).toString('hex'),
      writes: [],
    };
    const outcome = await writeSegment(deps, plainHeader(diskId, batch, position), []);
    if (outcome.kind === 'created') return outcome.position;
  }
  throw new OutageError(`condemn segments of ${diskId}: others write to the disk all the time`, { retryable: true });
}

/** The disk's size as the newest segment has it; any size will do when nothing is left of the disk. */
async function sizeAt(deps: CondemnDeps, diskId: DiskId, at: Position): Promise<number> {
  const listing = await listLog(deps, diskId);
  const { epoch, sequence } = passOver(listing.condemned, at);
  for (const segment of listing.endingAt(epoch, sequence)) {
    return (await readSegmentEnds(deps, segment)).header.diskSizeBytes;
  }
  return blockBytes;
}

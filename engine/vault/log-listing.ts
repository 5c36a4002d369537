import type { DiskId } from '../../domain/ids.ts';
import type { SegmentRange } from '../../protocol/disk-map-body.ts';
import { diskNames, parseBlobName } from './blob-names.ts';
import { type Condemned, isCondemned, listCondemned } from './condemned.ts';
import type { SegmentReadDeps, StoredSegment } from './segment-reads.ts';

/** What a disk's blob names tell: which segments there are, found by the sequence that they end with. */
export type LogListing = {
  /** Without those that were condemned. */
  readonly segments: readonly StoredSegment[];
  /** The segments of an epoch that end with a sequence, widest first. */
  endingAt(epoch: number, lastSequence: number): readonly StoredSegment[];
  has(name: string): boolean;
  /** What is out of use, and where the chain goes on instead. */
  readonly condemned: readonly Condemned[];
  /** The blobs that are out of use. */
  readonly unused: readonly StoredSegment[];
};

/** Lists a disk's segments, oldest epoch first. @throws DamagedBlobError when a note of a lost segment is damaged */
export async function listLog(deps: SegmentReadDeps, diskId: DiskId): Promise<LogListing> {
  const segments: StoredSegment[] = [];
  for await (const { name, sizeBytes } of deps.store.list(diskNames(deps.vaultId, diskId).logFolder)) {
    const parsed = parseBlobName(deps.vaultId, name);
    if (parsed.kind === 'segment') segments.push({ ...parsed, name, sizeBytes });
  }
  // After the segments: a note that is written meanwhile takes one too many out, never one too few.
  return logListing(segments, await listCondemned(deps, diskId));
}

/** @param all in order of name: within one end, the widest comes first */
export function logListing(all: readonly StoredSegment[], condemned: readonly Condemned[]): LogListing {
  const segments = all.filter((segment) => !isCondemned(condemned, segment));
  const byEnd = new Map<string, StoredSegment[]>();
  const names = new Set<string>();
  for (const segment of segments) {
    const key = `${segment.epoch}/${segment.lastSequence}`;
    names.add(segment.name);
    byEnd.set(key, [...(byEnd.get(key) ?? []), segment]);
  }
  return {
    segments,
    endingAt: (epoch, lastSequence) => byEnd.get(`${epoch}/${lastSequence}`) ?? [],
    has: (name) => names.has(name),
    condemned,
    unused: all.filter((segment) => isCondemned(condemned, segment)),
  };
}

/** The end of the newest epoch, whether what lies there is in use or was condemned: no sequence is used twice. */
export function logEnd(listing: LogListing): { readonly epoch: number; readonly sequence: number } | undefined {
  const ends = [...listing.segments, ...listing.condemned];
  const newest = ends.reduce<SegmentRange | undefined>(
    (best, range) => (best === undefined || isNewer(range, best) ? range : best),
    undefined,
  );
  return newest && { epoch: newest.epoch, sequence: newest.lastSequence };
}

function isNewer(a: SegmentRange, b: SegmentRange): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.lastSequence > b.lastSequence);
}

/** Where the nearest segment before a place ends, in the same epoch or an older one; its digest is not known. */
export function segmentBefore(
  listing: LogListing,
  place: { readonly epoch: number; readonly sequence: number },
): { readonly epoch: number; readonly sequence: number } | undefined {
  const before = listing.segments
    .filter(({ epoch, lastSequence }) => epoch <= place.epoch && lastSequence < place.sequence)
    .sort((a, b) => a.lastSequence - b.lastSequence || a.epoch - b.epoch)
    .at(-1);
  return before && { epoch: before.epoch, sequence: before.lastSequence };
}

/** True when the first segment is wider than the second and holds all of its range. */
export function covers(wide: StoredSegment, narrow: StoredSegment): boolean {
  return (
    wide.epoch === narrow.epoch &&
    wide.firstSequence <= narrow.firstSequence &&
    wide.lastSequence >= narrow.lastSequence &&
    wide.lastSequence - wide.firstSequence > narrow.lastSequence - narrow.firstSequence
  );
}

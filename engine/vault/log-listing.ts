import type { DiskId } from '../../domain/ids.ts';
import { diskNames, parseBlobName } from './blob-names.ts';
import type { BlobStore } from './blob-store.ts';
import type { StoredSegment } from './segment-reads.ts';

/** What a disk's blob names tell: which segments there are, found by the sequence that they end with. */
export type LogListing = {
  readonly segments: readonly StoredSegment[];
  /** The segments of an epoch that end with a sequence, widest first. */
  endingAt(epoch: number, lastSequence: number): readonly StoredSegment[];
  has(name: string): boolean;
};

export type ListingDeps = { readonly store: BlobStore; readonly vaultId: string };

/** Lists a disk's segments, oldest epoch first. */
export async function listLog(deps: ListingDeps, diskId: DiskId): Promise<LogListing> {
  const segments: StoredSegment[] = [];
  for await (const { name, sizeBytes } of deps.store.list(diskNames(deps.vaultId, diskId).logFolder)) {
    const parsed = parseBlobName(deps.vaultId, name);
    if (parsed.kind === 'segment') segments.push({ ...parsed, name, sizeBytes });
  }
  return logListing(segments);
}

/** @param segments in order of name: within one end, the widest comes first */
export function logListing(segments: readonly StoredSegment[]): LogListing {
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
  };
}

/** The newest segments: of the newest epoch, those with the highest last sequence, widest first. */
export function newestSegments(listing: LogListing): readonly StoredSegment[] {
  const newest = listing.segments.reduce<StoredSegment | undefined>(
    (best, segment) => (best === undefined || isNewer(segment, best) ? segment : best),
    undefined,
  );
  return newest === undefined ? [] : listing.endingAt(newest.epoch, newest.lastSequence);
}

function isNewer(a: StoredSegment, b: StoredSegment): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.lastSequence > b.lastSequence);
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

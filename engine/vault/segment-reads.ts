import type { DiskId } from '../../domain/ids.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import type { SegmentRange } from '../../protocol/disk-map-body.ts';
import { openSegmentEnds, openSegmentFooter, type SegmentEnds, verifySegmentBytes } from '../../protocol/segment.ts';
import type { SegmentKeys } from '../../protocol/segment-frame.ts';
import {
  decodeSegmentHeader,
  decodeSegmentTrailer,
  type SegmentHeader,
  segmentHeaderBytes,
  segmentTrailerBytes,
} from '../../protocol/segment-header.ts';
import { diskNames } from './blob-names.ts';
import type { BlobStore } from './blob-store.ts';
import type { DiskKeys } from './disk-keys.ts';
import type { ReadSegment } from './disk-map.ts';

export type SegmentReadDeps = { readonly store: BlobStore; readonly vaultId: string; readonly diskKeys: DiskKeys };

/** A segment as its blob's name and size tell of it. */
export type StoredSegment = SegmentRange & {
  readonly diskId: DiskId;
  readonly name: string;
  readonly sizeBytes: number;
};

/** Footers of up to about a thousand blocks come with the trailer, in one read. */
const tailBytes = 65_536;

/** Reads and authenticates a segment's header and trailer. @throws DamagedBlobError */
export async function readSegmentEnds(deps: SegmentReadDeps, segment: StoredSegment): Promise<SegmentEnds> {
  return (await readEnds(deps, segment, segmentTrailerBytes)).ends;
}

/** Reads and authenticates a segment's header, trailer and footer: all but its data. @throws DamagedBlobError */
export async function readSegment(deps: SegmentReadDeps, segment: StoredSegment): Promise<ReadSegment> {
  const { ends, tail } = await readEnds(deps, segment, tailBytes);
  const { footerOffsetBytes, footerStoredBytes } = ends.trailer;
  const tailFrom = segment.sizeBytes - tail.length;
  const stored =
    footerOffsetBytes >= tailFrom
      ? tail.subarray(footerOffsetBytes - tailFrom, footerOffsetBytes - tailFrom + footerStoredBytes)
      : await readRange(deps, segment, { offsetBytes: footerOffsetBytes, lengthBytes: footerStoredBytes });
  const keys = await deps.diskKeys.forReading(segment.diskId, ends.header.keyId);
  return naming(segment.name, () => ({ ends, footer: openSegmentFooter(ends, stored, keys) }));
}

/** Reads a whole segment and authenticates every byte. @throws DamagedBlobError */
export async function readWholeSegment(deps: SegmentReadDeps, segment: StoredSegment): Promise<ReadSegment> {
  const blob = await deps.store.get(segment.name);
  if (blob === undefined) throw missingSegment(segment.name);
  const header = naming(segment.name, () => {
    checkWhole(blob);
    return decodeSegmentHeader(blob.subarray(0, segmentHeaderBytes));
  });
  const keys = await keysOfClaimed(deps, header, segment);
  const read = naming(segment.name, () => verifySegmentBytes(blob, keys));
  checkIdentity(deps.vaultId, segment, read.ends.header);
  return read;
}

function checkWhole(blob: Buffer): void {
  if (blob.length < segmentHeaderBytes + segmentTrailerBytes) {
    throw new DamagedBlobError('truncated', `read a segment of ${blob.length} bytes`);
  }
  decodeSegmentTrailer(blob.subarray(blob.length - segmentTrailerBytes));
}

async function readEnds(
  deps: SegmentReadDeps,
  segment: StoredSegment,
  wantedTailBytes: number,
): Promise<{ ends: SegmentEnds; tail: Buffer }> {
  const { name, sizeBytes } = segment;
  if (sizeBytes < segmentHeaderBytes + segmentTrailerBytes) {
    throw new DamagedBlobError('truncated', `read the segment ${name}: it has ${sizeBytes} bytes`);
  }
  const lengthBytes = Math.min(wantedTailBytes, sizeBytes);
  const [headerBytes, tail] = await Promise.all([
    readRange(deps, segment, { offsetBytes: 0, lengthBytes: segmentHeaderBytes }),
    readRange(deps, segment, { offsetBytes: sizeBytes - lengthBytes, lengthBytes }),
  ]);
  const header = naming(name, () => decodeSegmentHeader(headerBytes));
  const trailerBytes = tail.subarray(tail.length - segmentTrailerBytes);
  naming(name, () => decodeSegmentTrailer(trailerBytes));
  const keys = await keysOfClaimed(deps, header, segment);
  const ends = naming(name, () => openSegmentEnds({ headerBytes, trailerBytes, sizeBytes }, keys));
  checkIdentity(deps.vaultId, segment, ends.header);
  return { ends, tail };
}

/**
 * The keys that a header asks for. It is not authentic yet: a wrong name in it only leads to keys that do not fit.
 *
 * @throws DamagedBlobError `changed` when it names a disk that the vault does not have
 */
export async function keysOfClaimed(
  deps: SegmentReadDeps,
  claimed: { readonly diskId: DiskId; readonly keyId: string },
  actual: { readonly diskId: DiskId; readonly name: string },
): Promise<SegmentKeys> {
  const wellFormed = /^k\d{6}$/.test(claimed.keyId);
  if (!wellFormed) throw new DamagedBlobError('changed', `read ${actual.name}: it names a key that cannot be`);
  try {
    return await deps.diskKeys.forReading(claimed.diskId, claimed.keyId);
  } catch (cause) {
    // The disk's first key missing is a loss of that key; anything else missing means that the header was changed.
    const isOwnKey = claimed.diskId === actual.diskId && claimed.keyId === 'k000001';
    if (isOwnKey || !isMissingBlob(cause)) throw cause;
    throw new DamagedBlobError('changed', `read ${actual.name}: it names a key that is not there`, { cause });
  }
}

function checkIdentity(vaultId: string, segment: StoredSegment, header: SegmentHeader): void {
  const same =
    header.vaultId === vaultId &&
    header.diskId === segment.diskId &&
    header.epoch === segment.epoch &&
    header.firstSequence === segment.firstSequence &&
    header.lastSequence === segment.lastSequence;
  if (same) return;
  const actual = diskNames(header.vaultId, header.diskId).segment(header);
  throw new DamagedBlobError('swapped', `read the segment ${segment.name}: it is ${actual}`);
}

async function readRange(
  deps: SegmentReadDeps,
  segment: StoredSegment,
  range: { offsetBytes: number; lengthBytes: number },
): Promise<Buffer> {
  const bytes = await deps.store.get(segment.name, range);
  if (bytes === undefined) throw missingSegment(segment.name);
  return bytes;
}

/** The error for a segment whose blob is not there. */
export function missingSegment(name: string): DamagedBlobError {
  return new DamagedBlobError('missing', `read the segment ${name}: it is missing`);
}

/** Puts the blob's name above what the codec found. */
export function naming<Result>(name: string, action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    if (!(cause instanceof DamagedBlobError)) throw cause;
    const from = cause.blob === undefined ? {} : { blob: cause.blob };
    throw new DamagedBlobError(cause.damage, `read ${name}`, { cause, ...from });
  }
}

/** True when the error says that a blob was not there. */
export function isMissingBlob(error: unknown): boolean {
  return error instanceof DamagedBlobError && error.damage === 'missing';
}

/** True when the error says that stored bytes are not what was written. */
export function isDamage(error: unknown): boolean {
  return error instanceof DamagedBlobError;
}

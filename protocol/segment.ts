import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { blockBytes } from '../domain/extent.ts';
import { invariant } from '../domain/invariant.ts';
import type { Position } from '../domain/position.ts';
import { DamagedBlobError } from './damaged-blob.ts';
import {
  blockLengthBytes,
  type DeltaMap,
  decodeFooter,
  digestBytes,
  encodeFooter,
  entryCountMax,
  type FrameTable,
  footerPlainBytes,
  frameCountMax,
  merkleRoot,
  operations,
  type SegmentFooter,
} from './segment-footer.ts';
import {
  blocksPerFrame,
  footerFrameNumber,
  openFrame,
  type SealedFrame,
  type SegmentKeys,
  sealFrame,
  sealOverheadBytes,
} from './segment-frame.ts';
import {
  decodeSegmentHeader,
  decodeSegmentTrailer,
  encodeSegmentHeader,
  encodeTrailer,
  encodeTrailerStart,
  type SegmentHeader,
  type SegmentTrailer,
  segmentHeaderBytes,
  segmentTrailerBytes,
  trailerDigestedBytes,
  trailerMacedBytes,
} from './segment-header.ts';

/** One block that a segment changes, before sealing. `zero`: the block became all zeros, nothing is stored for it. */
export type BlockChange = { readonly block: number; readonly digest: Buffer; readonly zero: boolean };

/** SHA-256 of the header's bytes: what binds frames and footer to their segment. */
export function segmentHeaderDigest(headerBytes: Buffer): Buffer {
  return hash('sha256', headerBytes, 'buffer');
}

/** The header as authenticated: what a segment is and where its parts lie. */
export type SegmentEnds = {
  readonly header: SegmentHeader;
  readonly headerDigest: Buffer;
  readonly trailer: SegmentTrailer;
  readonly sizeBytes: number;
  /** What a manifest or the next segment calls it: for a coalesced segment, the position that it replaced. */
  readonly position: Position;
};

/**
 * Puts a segment together from frames that were sealed with this header's digest.
 *
 * @param changes in ascending order of block; the non-zero ones fill the frames in order, four a frame
 * @returns the blob in pieces, and the segment's own digest (hex)
 */
export function assembleSegment(
  header: SegmentHeader,
  parts: { readonly changes: readonly BlockChange[]; readonly frames: readonly SealedFrame[] },
  keys: SegmentKeys,
): { readonly content: Buffer[]; readonly digest: string; readonly sizeBytes: number } {
  const headerBytes = encodeSegmentHeader(header);
  const headerDigest = segmentHeaderDigest(headerBytes);
  const footer = { frames: tabulate(parts.frames), delta: deltaOf(parts.changes) };
  const framesEnd = parts.frames.reduce((at, frame) => at + frame.stored.length, segmentHeaderBytes);
  const plain = encodeFooter(footer);
  // A segment without any change still has a footer of one byte, so that there is something to authenticate.
  const sealed = sealFrame(keys.encryption, { headerDigest, frameNumber: footerFrameNumber }, orOneByte(plain));
  const start = encodeTrailerStart({
    footerOffsetBytes: framesEnd,
    footerStoredBytes: sealed.stored.length,
    footerPlainBytes: plain.length,
    footerCodec: sealed.codec,
    frameCount: parts.frames.length,
    entryCount: parts.changes.length,
    merkleRoot: merkleRoot(footer.delta.digests),
    footerDigest: hash('sha256', sealed.stored, 'buffer'),
  });
  const digest = hash('sha256', Buffer.concat([headerBytes, start]), 'buffer');
  const mac = authenticate(keys, headerBytes, Buffer.concat([start, digest]));
  const trailer = encodeTrailer(start, digest, mac);
  const content = [headerBytes, ...parts.frames.map((frame) => frame.stored), sealed.stored, trailer];
  return { content, digest: digest.toString('hex'), sizeBytes: framesEnd + sealed.stored.length + trailer.length };
}

/**
 * Authenticates a segment from its first 320 and last 168 bytes.
 *
 * @throws DamagedBlobError when a byte of them is not as it was written
 */
export function openSegmentEnds(
  blob: { readonly headerBytes: Buffer; readonly trailerBytes: Buffer; readonly sizeBytes: number },
  keys: SegmentKeys,
): SegmentEnds {
  const header = decodeSegmentHeader(blob.headerBytes);
  const trailer = decodeSegmentTrailer(blob.trailerBytes);
  const maced = blob.trailerBytes.subarray(0, trailerMacedBytes);
  if (!timingSafeEqual(authenticate(keys, blob.headerBytes, maced), trailer.mac)) {
    throw new DamagedBlobError('changed', 'authenticate a segment: header or trailer is not as it was written');
  }
  const digested = Buffer.concat([blob.headerBytes, blob.trailerBytes.subarray(0, trailerDigestedBytes)]);
  const digest = hash('sha256', digested, 'buffer');
  if (!digest.equals(trailer.digest)) throw new DamagedBlobError('changed', 'check the digest of a segment');
  checkTrailerNumbers(trailer, blob.sizeBytes);
  const named = header.kind === 'coalesced' ? header.replacedDigest : digest.toString('hex');
  return {
    header,
    headerDigest: segmentHeaderDigest(blob.headerBytes),
    trailer,
    sizeBytes: blob.sizeBytes,
    position: { epoch: header.epoch, sequence: header.lastSequence, digest: named },
  };
}

function checkTrailerNumbers(trailer: SegmentTrailer, sizeBytes: number): void {
  const { frameCount, entryCount, footerOffsetBytes, footerStoredBytes } = trailer;
  if (footerOffsetBytes + footerStoredBytes + segmentTrailerBytes !== sizeBytes) {
    throw new DamagedBlobError('truncated', `read a segment: it has ${sizeBytes} bytes, its trailer says otherwise`);
  }
  const expectedPlain = footerPlainBytes(frameCount, entryCount);
  const possible =
    frameCount <= frameCountMax &&
    entryCount <= entryCountMax &&
    footerOffsetBytes >= segmentHeaderBytes &&
    trailer.footerPlainBytes === expectedPlain &&
    footerStoredBytes <= Math.max(1, expectedPlain) + sealOverheadBytes;
  if (!possible) throw new DamagedBlobError('unreadable', 'read a segment: its trailer names impossible lengths');
}

/** Decrypts and checks the footer of a segment whose ends are authentic. @throws DamagedBlobError */
export function openSegmentFooter(ends: SegmentEnds, stored: Buffer, keys: SegmentKeys): SegmentFooter {
  const { trailer, headerDigest, header } = ends;
  if (!hash('sha256', stored, 'buffer').equals(trailer.footerDigest)) {
    throw new DamagedBlobError('changed', 'check the footer of a segment');
  }
  const sealed = { codec: trailer.footerCodec, plainBytes: Math.max(1, trailer.footerPlainBytes), stored };
  const plain = openFrame(keys.encryption, { headerDigest, frameNumber: footerFrameNumber }, sealed);
  const footer = decodeFooter(plain.subarray(0, trailer.footerPlainBytes), {
    frameCount: trailer.frameCount,
    entryCount: trailer.entryCount,
    framesFromBytes: segmentHeaderBytes,
    framesToBytes: trailer.footerOffsetBytes,
    diskSizeBytes: header.diskSizeBytes,
  });
  if (!merkleRoot(footer.delta.digests).equals(trailer.merkleRoot)) {
    throw new DamagedBlobError('unreadable', 'check the Merkle root of a segment');
  }
  return footer;
}

/** Authenticates a whole segment: ends, footer, each frame, each block by its digest. @throws DamagedBlobError */
export function verifySegmentBytes(blob: Buffer, keys: SegmentKeys): { ends: SegmentEnds; footer: SegmentFooter } {
  if (blob.length < segmentHeaderBytes + segmentTrailerBytes) {
    throw new DamagedBlobError('truncated', `read a segment of ${blob.length} bytes`);
  }
  const headerBytes = blob.subarray(0, segmentHeaderBytes);
  const trailerBytes = blob.subarray(blob.length - segmentTrailerBytes);
  const ends = openSegmentEnds({ headerBytes, trailerBytes, sizeBytes: blob.length }, keys);
  const { footerOffsetBytes, footerStoredBytes } = ends.trailer;
  const footer = openSegmentFooter(ends, blob.subarray(footerOffsetBytes, footerOffsetBytes + footerStoredBytes), keys);
  const plains = Array.from(footer.frames.codec, (_, frame) =>
    openFrame(
      keys.encryption,
      { headerDigest: ends.headerDigest, frameNumber: frame },
      storedFrame(blob, footer, frame),
    ),
  );
  footer.delta.block.forEach((block, entry) => {
    if (footer.delta.operation[entry] !== operations.write) return;
    const [frame, offset] = [footer.delta.frame[entry]!, footer.delta.offsetInFrame[entry]!];
    const lengthBytes = blockLengthBytes(block, ends.header.diskSizeBytes);
    // The footer was checked: its frame numbers and offsets lie inside.
    const actual = hash('sha256', plains[frame]!.subarray(offset, offset + lengthBytes), 'buffer');
    if (!actual.equals(digestOfEntry(footer.delta, entry))) {
      throw new DamagedBlobError('unreadable', `check block ${block} of a segment: its content has another digest`);
    }
  });
  return { ends, footer };
}

/** The digest (32 bytes) of the footer's entry with that index. */
export function digestOfEntry(delta: DeltaMap, entry: number): Buffer {
  return delta.digests.subarray(entry * digestBytes, (entry + 1) * digestBytes);
}

function storedFrame(blob: Buffer, footer: SegmentFooter, frame: number): SealedFrame {
  const offset = footer.frames.offsetBytes[frame]!;
  const stored = blob.subarray(offset, offset + footer.frames.storedBytes[frame]!);
  return { codec: footer.frames.codec[frame]!, plainBytes: footer.frames.plainBytes[frame]!, stored };
}

function authenticate(keys: SegmentKeys, headerBytes: Buffer, trailerStart: Buffer): Buffer {
  return createHmac('sha256', keys.authentication).update(headerBytes).update(trailerStart).digest();
}

function tabulate(frames: readonly SealedFrame[]): FrameTable {
  invariant(frames.length <= frameCountMax, 'a segment has too many frames');
  let at = segmentHeaderBytes;
  const offsets = frames.map((frame) => {
    at += frame.stored.length;
    return at - frame.stored.length;
  });
  invariant(at < 2 ** 32, 'a segment is smaller than 4 GiB');
  return {
    offsetBytes: Uint32Array.from(offsets),
    storedBytes: Uint32Array.from(frames, (frame) => frame.stored.length),
    plainBytes: Uint32Array.from(frames, (frame) => frame.plainBytes),
    codec: Uint8Array.from(frames, (frame) => frame.codec),
  };
}

function deltaOf(changes: readonly BlockChange[]): DeltaMap {
  let written = 0;
  // Where each change's data lies: the non-zero blocks fill the frames in order. -1 for zeros.
  const places = changes.map((change) => (change.zero ? -1 : written++));
  return {
    block: Uint32Array.from(changes, (change) => change.block),
    operation: Uint8Array.from(changes, (change) => (change.zero ? operations.zero : operations.write)),
    frame: Uint32Array.from(places, (place) => (place < 0 ? 0 : Math.floor(place / blocksPerFrame))),
    offsetInFrame: Uint32Array.from(places, (place) => (place < 0 ? 0 : (place % blocksPerFrame) * blockBytes)),
    digests: Buffer.concat(changes.map((change) => (change.zero ? Buffer.alloc(digestBytes) : change.digest))),
  };
}

function orOneByte(plain: Buffer): Buffer {
  return plain.length === 0 ? Buffer.alloc(1) : plain;
}

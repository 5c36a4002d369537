import { type DiskId, isId } from '../domain/ids.ts';
import { invariant } from '../domain/invariant.ts';
import { emptyDigest, type Position } from '../domain/position.ts';
import { DamagedBlobError } from './damaged-blob.ts';

/** The first 320 bytes of a `.seg`: plain text, authenticated by the trailer. Format: docs/formats/segment.md */
export const segmentHeaderBytes = 320;
/** The last 168 bytes of a `.seg`. */
export const segmentTrailerBytes = 168;

export const segmentFormatVersion = 1;
const headerMagic = Buffer.from('LBOATSEG', 'latin1');
const trailerMagic = Buffer.from('LBOATEND', 'latin1');
const reservedFrom = 296;

/** What a segment says of itself. A plain segment holds one batch; a coalesced one stands for a run of segments. */
export type SegmentHeader = {
  readonly kind: 'plain' | 'coalesced';
  readonly vaultId: string;
  readonly diskId: DiskId;
  /** Which of the disk's keys sealed it. */
  readonly keyId: string;
  readonly epoch: number;
  /** The sequence numbers that it covers; equal in a plain segment. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** The position that its first batch follows. */
  readonly previous: Position;
  readonly diskSizeBytes: number;
  /** Names the (last) batch (hex): SHA-256 of the digest of the position that it follows and its content digest. */
  readonly contentDigest: string;
  /** Views at a position before this sequence must not be built from it: older versions of blocks are gone. */
  readonly validFromSequence: number;
  /** The digest of the segment at `lastSequence` that it replaced; 64 zeros in a plain segment. */
  readonly replacedDigest: string;
  /** 16 random bytes: no two segments have the same header, so no part fits into another segment. */
  readonly salt: Buffer;
};

/** The fixed end of a segment: where its parts are, and what authenticates it. */
export type SegmentTrailer = {
  readonly footerOffsetBytes: number;
  readonly footerStoredBytes: number;
  readonly footerPlainBytes: number;
  readonly footerCodec: number;
  readonly frameCount: number;
  readonly entryCount: number;
  readonly merkleRoot: Buffer;
  /** SHA-256 of the footer as it is stored. */
  readonly footerDigest: Buffer;
  /** SHA-256 over header and trailer up to here: it covers the footer, each block's digest and the segment before. */
  readonly digest: Buffer;
  readonly mac: Buffer;
};

/** Byte ranges inside the trailer that digest and MAC cover. */
export const trailerDigestedBytes = 96;
export const trailerMacedBytes = 128;

/** The header's 320 bytes. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  invariant(header.salt.length === 16, 'a segment salt has 16 bytes');
  const bytes = Buffer.alloc(segmentHeaderBytes);
  headerMagic.copy(bytes, 0);
  bytes.writeUInt16LE(segmentFormatVersion, 8);
  bytes.writeUInt16LE(header.kind === 'plain' ? 1 : 2, 10);
  bytes.writeUInt32LE(segmentHeaderBytes, 12);
  writeText(bytes, { at: 16, width: 64 }, header.vaultId);
  writeText(bytes, { at: 80, width: 32 }, header.diskId);
  writeText(bytes, { at: 112, width: 16 }, header.keyId);
  writeCount(bytes, 128, header.epoch);
  writeCount(bytes, 136, header.firstSequence);
  writeCount(bytes, 144, header.lastSequence);
  writeCount(bytes, 152, header.previous.epoch);
  writeCount(bytes, 160, header.previous.sequence);
  writeDigest(bytes, 168, header.previous.digest);
  writeCount(bytes, 200, header.diskSizeBytes);
  writeDigest(bytes, 208, header.contentDigest);
  writeCount(bytes, 240, header.validFromSequence);
  writeDigest(bytes, 248, header.replacedDigest);
  header.salt.copy(bytes, 280);
  return bytes;
}

/** Reads a header; it is not authentic until the trailer's MAC was checked. @throws DamagedBlobError */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader {
  if (bytes.length < segmentHeaderBytes) throw new DamagedBlobError('truncated', 'read a segment header: too short');
  const kindCode = bytes.readUInt16LE(10);
  const version = bytes.readUInt16LE(8);
  if (!bytes.subarray(0, 8).equals(headerMagic)) throw malformed('it does not start as a segment does');
  if (version !== segmentFormatVersion) throw malformed(`its format version is ${version}`);
  if (kindCode !== 1 && kindCode !== 2) throw malformed(`its kind is ${kindCode}`);
  if (bytes.readUInt32LE(12) !== segmentHeaderBytes) throw malformed('its header length is wrong');
  if (bytes.subarray(reservedFrom, segmentHeaderBytes).some((byte) => byte !== 0)) throw malformed('reserved bytes');
  const diskId = readText(bytes, 80, 32);
  if (!isId('disk', diskId)) throw malformed('its disk id is not one');
  const header: SegmentHeader = {
    kind: kindCode === 1 ? 'plain' : 'coalesced',
    vaultId: readText(bytes, 16, 64),
    diskId,
    keyId: readText(bytes, 112, 16),
    epoch: readCount(bytes, 128),
    firstSequence: readCount(bytes, 136),
    lastSequence: readCount(bytes, 144),
    previous: { epoch: readCount(bytes, 152), sequence: readCount(bytes, 160), digest: readHex(bytes, 168) },
    diskSizeBytes: readCount(bytes, 200),
    contentDigest: readHex(bytes, 208),
    validFromSequence: readCount(bytes, 240),
    replacedDigest: readHex(bytes, 248),
    salt: Buffer.from(bytes.subarray(280, 296)),
  };
  checkHeaderNumbers(header);
  return header;
}

function checkHeaderNumbers(header: SegmentHeader): void {
  const { firstSequence, lastSequence, previous, validFromSequence, epoch } = header;
  const ordered = firstSequence >= 1 && firstSequence <= lastSequence && lastSequence <= validFromSequence;
  if (!ordered || previous.sequence !== firstSequence - 1) throw malformed('its sequence numbers do not follow');
  if (epoch < 1 || previous.epoch < 1 || previous.epoch > epoch) throw malformed('its epochs do not follow');
  if (header.diskSizeBytes < 1) throw malformed('its disk has no size');
  const plain = firstSequence === lastSequence && header.replacedDigest === emptyDigest;
  if (header.kind === 'plain' && !plain) throw malformed('a plain segment covers one batch');
}

/** The trailer's bytes up to the digest (96), which digest and MAC complete. */
export function encodeTrailerStart(trailer: Omit<SegmentTrailer, 'digest' | 'mac'>): Buffer {
  const bytes = Buffer.alloc(trailerDigestedBytes);
  writeCount(bytes, 0, trailer.footerOffsetBytes);
  bytes.writeUInt32LE(trailer.footerStoredBytes, 8);
  bytes.writeUInt32LE(trailer.footerPlainBytes, 12);
  bytes.writeUInt32LE(trailer.footerCodec, 16);
  bytes.writeUInt32LE(trailer.frameCount, 20);
  bytes.writeUInt32LE(trailer.entryCount, 24);
  trailer.merkleRoot.copy(bytes, 32);
  trailer.footerDigest.copy(bytes, 64);
  return bytes;
}

/** The whole trailer, from its start, the digest and the MAC. */
export function encodeTrailer(start: Buffer, digest: Buffer, mac: Buffer): Buffer {
  return Buffer.concat([start, digest, mac, trailerMagic]);
}

/** Reads a trailer; it is not authentic until its MAC was checked. @throws DamagedBlobError */
export function decodeSegmentTrailer(bytes: Buffer): SegmentTrailer {
  const whole = bytes.length === segmentTrailerBytes && bytes.subarray(160).equals(trailerMagic);
  if (!whole) throw new DamagedBlobError('truncated', 'read a segment trailer: the segment does not end as it must');
  return {
    footerOffsetBytes: readCount(bytes, 0),
    footerStoredBytes: bytes.readUInt32LE(8),
    footerPlainBytes: bytes.readUInt32LE(12),
    footerCodec: bytes.readUInt32LE(16),
    frameCount: bytes.readUInt32LE(20),
    entryCount: bytes.readUInt32LE(24),
    merkleRoot: Buffer.from(bytes.subarray(32, 64)),
    footerDigest: Buffer.from(bytes.subarray(64, 96)),
    digest: Buffer.from(bytes.subarray(96, 128)),
    mac: Buffer.from(bytes.subarray(128, 160)),
  };
}

function malformed(why: string): DamagedBlobError {
  return new DamagedBlobError('changed', `read a segment: ${why}`);
}

function writeText(bytes: Buffer, field: { at: number; width: number }, text: string): void {
  invariant(/^[\x21-\x7e]+$/.test(text) && text.length <= field.width, `"${text}" does not fit into a segment header`);
  bytes.write(text, field.at, 'latin1');
}

function readText(bytes: Buffer, at: number, width: number): string {
  const text = bytes.toString('latin1', at, at + width).replace(/\0+$/, '');
  if (!/^[A-Za-z0-9._-]+$/.test(text)) throw malformed('a name in its header is not one');
  return text;
}

function writeCount(bytes: Buffer, at: number, count: number): void {
  invariant(Number.isSafeInteger(count) && count >= 0, `${count} is not a count`);
  bytes.writeBigUInt64LE(BigInt(count), at);
}

function readCount(bytes: Buffer, at: number): number {
  const count = Number(bytes.readBigUInt64LE(at));
  if (!Number.isSafeInteger(count)) throw malformed('a number in it is too large');
  return count;
}

function writeDigest(bytes: Buffer, at: number, digest: string): void {
  invariant(/^[0-9a-f]{64}$/.test(digest), 'a digest has 64 hexadecimal digits');
  bytes.write(digest, at, 'hex');
}

function readHex(bytes: Buffer, at: number): string {
  return bytes.toString('hex', at, at + 32);
}

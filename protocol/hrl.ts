import { OutageError } from '../domain/outage.ts';

/**
 * The `.hrl` file: [MS-HRL] version 2, the log of one disk's changed ranges. Agents spool it and send it to process servers.
 *
 * A 4 KiB header, then runs of data, each followed by a 4 KiB metadata block that describes the run: 32 bytes of block header and
 * up to 127 entries. Blocks are chained backwards by relative offsets from the end of the log (EOL). All numbers are little-endian.
 * Details and what we leave out: docs/formats/hrl.md. Source: B9, REPLICATION 1(ii), [MS-HRL] 2.2 to 2.6
 */
export const hrlHeaderBytes = 4096;
export const hrlBlockBytes = 4096;
export const hrlEntryBytes = 32;
export const hrlEntriesPerBlockMax = 127;
/** What our writers put into one entry at most; readers refuse more than `hrlEntryReadBytesMax`. */
export const hrlEntryDataBytesMax = 1_048_576;
export const hrlEntryReadBytesMax = 16 * 1_048_576;

const cookie = 'msctlog ';
const formatVersion = 0x0002_0000;
const creatorApplication = 'lfbt';
const creatorVersion = 0x0001_0000;
const writeOperation = 1;
const millenniumMs = Date.UTC(2000, 0, 1);
export const nilUuid = '00000000-0000-0000-0000-000000000000';

export type HrlHeader = {
  readonly createdAtMs: number;
  readonly modifiedAtMs: number;
  /** Offset of the end of the log; 0 while the file is open, so 0 in a file at rest means that it was not closed. */
  readonly endOfLogBytes: number;
  /** Lower-case UUIDs: of this file and of the one before it in the chain. */
  readonly uniqueId: string;
  readonly previousUniqueId: string;
  /** Names the source's generation, so that a change made while nobody tracked is noticed. */
  readonly dataWriteId: string;
  readonly entryCount: number;
};

/** One entry of a metadata block: which range of the disk its data belongs to. Times have a resolution of one second. */
export type HrlEntry = { readonly offsetBytes: number; readonly dataBytes: number; readonly writtenAtMs: number };

/** One entry with its data, a view into the image that was read. */
export type HrlRecord = { readonly offsetBytes: number; readonly data: Buffer; readonly writtenAtMs: number };

export type HrlContent = { readonly header: HrlHeader; readonly records: readonly HrlRecord[] };

/** The most that a reader accepts; checked before anything of that size is made. */
export type HrlLimits = { readonly imageBytesMax: number; readonly entryCountMax: number };

export const hrlLimitsDefault: HrlLimits = { imageBytesMax: 72 * 1_048_576, entryCountMax: 131_072 };

/** The complement of the sum of all bytes except the four at `ignoredAt`. Order-blind, so never our only check. [MS-HRL] 2.6 */
export function hrlChecksum(bytes: Uint8Array, ignoredAt?: number): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  if (ignoredAt !== undefined) {
    for (const byte of bytes.subarray(ignoredAt, ignoredAt + 4)) sum -= byte;
  }
  return ~sum >>> 0;
}

/** The 4 KiB header. [MS-HRL] 2.2 */
export function encodeHrlHeader(header: HrlHeader): Buffer {
  const bytes = Buffer.alloc(hrlHeaderBytes);
  bytes.write(cookie, 0, 'latin1');
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt32LE(toLogSeconds(header.createdAtMs), 12);
  bytes.write(creatorApplication, 16, 'latin1');
  bytes.writeUInt32LE(creatorVersion, 20);
  bytes.writeBigUInt64LE(BigInt(header.endOfLogBytes), 32);
  bytes.writeBigUInt64LE(BigInt(header.endOfLogBytes), 44);
  bytes.writeUInt32LE(hrlBlockBytes, 56);
  uuidToBytes(header.uniqueId).copy(bytes, 60);
  uuidToBytes(header.previousUniqueId).copy(bytes, 76);
  bytes.writeUInt32LE(toLogSeconds(header.modifiedAtMs), 92);
  bytes.writeBigUInt64LE(BigInt(header.entryCount), 96);
  uuidToBytes(header.dataWriteId).copy(bytes, 110);
  bytes.writeUInt32LE(hrlChecksum(bytes, 40), 40);
  return bytes;
}

/** @throws OutageError naming the offset and the field that is not as [MS-HRL] 2.2 wants it */
export function decodeHrlHeader(bytes: Buffer): HrlHeader {
  if (bytes.length < hrlHeaderBytes) throw malformed(0, 'header', `is cut off after ${bytes.length} bytes`);
  const header = bytes.subarray(0, hrlHeaderBytes);
  if (header.toString('latin1', 0, 8) !== cookie) throw malformed(0, 'Cookie', 'is not "msctlog "');
  expectNumber(header.readUInt32LE(8), formatVersion, { at: 8, field: 'LogFormatVersion' });
  expectNumber(header.readUInt32LE(40), hrlChecksum(header, 40), { at: 40, field: 'Checksum' });
  expectNumber(header.readInt32LE(52), 0, { at: 52, field: 'ErrorCode' });
  expectNumber(header.readUInt32LE(56), hrlBlockBytes, { at: 56, field: 'MetadataSize' });
  expectNumber(header.readUInt32LE(104), 0, { at: 104, field: 'FileType' });
  expectNumber(header.readUInt16LE(108), 0, { at: 108, field: 'Flags' });
  expectZeros(header, 126, hrlHeaderBytes);
  return {
    createdAtMs: fromLogSeconds(header.readUInt32LE(12)),
    modifiedAtMs: fromLogSeconds(header.readUInt32LE(92)),
    endOfLogBytes: readSize(header, 44, { at: 44, field: 'EOLLocation' }),
    uniqueId: bytesToUuid(header.subarray(60, 76)),
    previousUniqueId: bytesToUuid(header.subarray(76, 92)),
    dataWriteId: bytesToUuid(header.subarray(110, 126)),
    entryCount: readSize(header, 96, { at: 96, field: 'TotalMetadataEntries' }),
  };
}

/**
 * One metadata block. [MS-HRL] 2.3 and 2.4
 *
 * @param previousDistanceBytes how far before this block the previous one starts; 0 for the first
 */
export function encodeHrlBlock(previousDistanceBytes: number, entries: readonly HrlEntry[]): Buffer {
  const block = Buffer.alloc(hrlBlockBytes);
  block.writeBigUInt64LE(BigInt(previousDistanceBytes), 0);
  block.writeUInt32LE(entries.length, 8);
  block.writeUInt32LE(hrlChecksum(block.subarray(0, hrlEntryBytes), 12), 12);
  let at = hrlEntryBytes;
  for (const entry of entries) {
    block.writeBigUInt64LE(BigInt(entry.offsetBytes), at);
    block.writeUInt32LE(entry.dataBytes, at + 12);
    block.writeUInt32LE(toLogSeconds(entry.writtenAtMs), at + 16);
    block[at + 20] = writeOperation;
    block.writeUInt32LE(hrlChecksum(block.subarray(at, at + hrlEntryBytes), 8), at + 8);
    at += hrlEntryBytes;
  }
  return block;
}

type DecodedBlock = {
  readonly at: number;
  readonly previousDistanceBytes: number;
  readonly entries: readonly (HrlEntry & { readonly dataChecksum: number; readonly at: number })[];
};

/**
 * The records of a closed log, in the order in which they were written (a later one wins).
 *
 * Strict: the image must end at its EOL, every run must be described to the byte, every checksum must be right, and everything
 * that [MS-HRL] reserves must be zero.
 *
 * @throws OutageError (not retryable) naming the offset and the field
 */
export function readHrl(image: Buffer, limits: HrlLimits = hrlLimitsDefault): HrlContent {
  if (image.length > limits.imageBytesMax) {
    throw malformed(0, 'file size', `is ${image.length} bytes, more than ${limits.imageBytesMax}`);
  }
  const header = decodeHrlHeader(image);
  if (header.endOfLogBytes === 0) throw malformed(44, 'EOLLocation', 'is 0: the log was not closed');
  expectNumber(header.endOfLogBytes, image.length, { at: 44, field: 'EOLLocation' });
  if (header.entryCount > limits.entryCountMax) {
    throw malformed(96, 'TotalMetadataEntries', `is ${header.entryCount}, more than ${limits.entryCountMax}`);
  }
  const blocks = walkBackwards(image, header.endOfLogBytes);
  const entryCount = blocks.reduce((sum, block) => sum + block.entries.length, 0);
  expectNumber(header.entryCount, entryCount, { at: 96, field: 'TotalMetadataEntries' });
  const records: HrlRecord[] = [];
  let runAt = hrlHeaderBytes;
  for (const block of blocks) {
    readRun(image, { block, runAt }, records);
    runAt = block.at + hrlBlockBytes;
  }
  return { header, records };
}

/** First pass of [MS-HRL] 2.5: all metadata blocks, first one first. Ends because each step goes towards the start. */
function walkBackwards(image: Buffer, endOfLogBytes: number): DecodedBlock[] {
  const blocks: DecodedBlock[] = [];
  let at = endOfLogBytes - hrlBlockBytes;
  for (;;) {
    if (at < hrlHeaderBytes) throw malformed(at, 'metadata block', 'lies before the end of the header');
    const block = decodeBlock(image, at);
    blocks.push(block);
    if (block.previousDistanceBytes === 0) break;
    if (block.previousDistanceBytes < hrlBlockBytes) {
      throw malformed(at, 'PreviousMetadataLocation', `is ${block.previousDistanceBytes}: blocks overlap`);
    }
    at -= block.previousDistanceBytes;
  }
  return blocks.reverse();
}

function decodeBlock(image: Buffer, at: number): DecodedBlock {
  const block = image.subarray(at, at + hrlBlockBytes);
  const head = block.subarray(0, hrlEntryBytes);
  expectNumber(head.readUInt32LE(12), hrlChecksum(head, 12), { at: at + 12, field: 'metadata Checksum' });
  const count = head.readUInt32LE(8);
  if (count > hrlEntriesPerBlockMax) throw malformed(at + 8, 'ValidMetadataEntries', `is ${count}, more than 127`);
  expectZeros(image, at + 16, at + hrlEntryBytes);
  const entriesEnd = at + hrlEntryBytes * (1 + count);
  expectZeros(image, entriesEnd, at + hrlBlockBytes);
  const entries = [];
  for (let entryAt = at + hrlEntryBytes; entryAt < entriesEnd; entryAt += hrlEntryBytes) {
    entries.push(decodeEntry(image, entryAt));
  }
  return { at, previousDistanceBytes: readSize(image, at, { at, field: 'PreviousMetadataLocation' }), entries };
}

function decodeEntry(image: Buffer, at: number) {
  const entry = image.subarray(at, at + hrlEntryBytes);
  expectNumber(entry.readUInt32LE(8), hrlChecksum(entry, 8), { at: at + 8, field: 'entry Checksum' });
  expectNumber(entry.readUInt8(20), writeOperation, { at: at + 20, field: 'MetaOperation' });
  expectZeros(image, at + 25, at + hrlEntryBytes);
  const dataBytes = entry.readUInt32LE(12);
  if (dataBytes === 0 || dataBytes > hrlEntryReadBytesMax) {
    throw malformed(at + 12, 'DataLength', `is ${dataBytes}, not 1 to ${hrlEntryReadBytesMax}`);
  }
  const offsetBytes = readSize(image, at, { at, field: 'ByteOffset' });
  if (!Number.isSafeInteger(offsetBytes + dataBytes)) throw malformed(at, 'ByteOffset', 'is past the end of any disk');
  const writtenAtMs = fromLogSeconds(entry.readUInt32LE(16));
  return { at, offsetBytes, dataBytes, writtenAtMs, dataChecksum: entry.readUInt32LE(21) };
}

/** Second pass of [MS-HRL] 2.5: the data that one block describes lies between the block before it and itself. */
function readRun(image: Buffer, run: { block: DecodedBlock; runAt: number }, records: HrlRecord[]): void {
  let dataAt = run.runAt;
  for (const entry of run.block.entries) {
    const dataEnd = dataAt + entry.dataBytes;
    if (dataEnd > run.block.at) throw malformed(entry.at + 12, 'DataLength', 'reaches into the metadata block');
    const data = image.subarray(dataAt, dataEnd);
    // Zero means that the writer made none, as in the specification's own example.
    if (entry.dataChecksum !== 0) {
      expectNumber(entry.dataChecksum, hrlChecksum(data), { at: entry.at + 21, field: 'DataChecksum' });
    }
    records.push({ offsetBytes: entry.offsetBytes, data, writtenAtMs: entry.writtenAtMs });
    dataAt = dataEnd;
  }
  if (dataAt !== run.block.at) {
    throw malformed(dataAt, 'data', `is described by no entry for ${run.block.at - dataAt} bytes`);
  }
}

const zeros = Buffer.alloc(hrlBlockBytes);

function expectZeros(bytes: Buffer, from: number, to: number): void {
  if (bytes.compare(zeros, 0, to - from, from, to) !== 0) throw malformed(from, 'Reserved', 'is not zero');
}

function expectNumber(actual: number, expected: number, place: { at: number; field: string }): void {
  if (actual !== expected) throw malformed(place.at, place.field, `is ${actual}, expected ${expected}`);
}

function readSize(bytes: Buffer, at: number, place: { at: number; field: string }): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(place.at, place.field, `is ${value}, too large`);
  return Number(value);
}

function malformed(at: number, field: string, problem: string): OutageError {
  return new OutageError(`.hrl log, offset ${at}: ${field} ${problem}`, { retryable: false });
}

function toLogSeconds(timeMs: number): number {
  return Math.min(0xffff_ffff, Math.max(0, Math.floor((timeMs - millenniumMs) / 1000)));
}

function fromLogSeconds(seconds: number): number {
  return millenniumMs + seconds * 1000;
}

/** The mixed-endian bytes of a UUID, as Windows stores it. */
export function uuidToBytes(uuid: string): Buffer {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16) throw new OutageError(`"${uuid}" is not a UUID`, { retryable: false });
  return swapUuid(bytes);
}

export function bytesToUuid(bytes: Uint8Array): string {
  const hex = swapUuid(Buffer.from(bytes)).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function swapUuid(bytes: Buffer): Buffer {
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

import { hash } from 'node:crypto';
import { OutageError } from '../domain/outage.ts';
import { hrlBlockBytes, hrlHeaderBytes, uuidToBytes } from './hrl.ts';

/**
 * The `.hrl.idx` sidecar: what makes an unclosed or damaged `.hrl` safe to use, because [MS-HRL]'s byte sums are order-blind and
 * its chain can only be walked from the end.
 *
 * A 32-byte header, then one 80-byte record per metadata block, only ever appended: where the block stands, how many entries it has,
 * the SHA-256 of its run (data and block), and the SHA-256 of all that with the record before it. Source: REPLICATION 1(ii)
 */
export const hrlIndexHeaderBytes = 32;
export const hrlIndexRecordBytes = 80;
const magic = 'lbhrlidx';
const indexVersion = 1;
const digestBytes = 32;

export type HrlIndexRecord = { readonly blockAt: number; readonly count: number; readonly runDigest: Buffer };

/** The sidecar's header for the log with this unique id. */
export function encodeHrlIndexHeader(uniqueId: string): Buffer {
  const header = Buffer.alloc(hrlIndexHeaderBytes);
  header.write(magic, 0, 'latin1');
  header.writeUInt32LE(indexVersion, 8);
  uuidToBytes(uniqueId).copy(header, 16);
  return header;
}

/** SHA-256 that the first record chains from. */
export function hrlIndexChainStart(header: Buffer): Buffer {
  return hash('sha256', header, 'buffer');
}

/** One record; its last 32 bytes are the chain that the next record continues. */
export function encodeHrlIndexRecord(record: HrlIndexRecord, chain: Buffer): Buffer {
  const bytes = Buffer.alloc(hrlIndexRecordBytes);
  bytes.writeBigUInt64LE(BigInt(record.blockAt), 0);
  bytes.writeUInt32LE(record.count, 8);
  record.runDigest.copy(bytes, 16);
  chainOf(bytes, chain).copy(bytes, 48);
  return bytes;
}

/** The chain value that a record left. */
export function chainAfter(record: Buffer): Buffer {
  return record.subarray(hrlIndexRecordBytes - digestBytes);
}

function chainOf(record: Buffer, chain: Buffer): Buffer {
  return hash('sha256', Buffer.concat([chain, record.subarray(0, 48)]), 'buffer');
}

/**
 * How much of a log its sidecar vouches for: the longest prefix of runs whose record chains and whose bytes have the digest.
 *
 * @returns where that prefix ends in the log and in the sidecar, and how many runs and entries it has; `isWhole` when the sidecar
 *   ends there too
 */
export function vouchedPrefix(log: Buffer, index: Buffer, uniqueId: string): VouchedPrefix {
  const header = encodeHrlIndexHeader(uniqueId);
  const start = {
    logBytes: hrlHeaderBytes + hrlBlockBytes,
    indexBytes: hrlIndexHeaderBytes,
    runCount: 0,
    entryCount: 0,
  };
  if (!index.subarray(0, hrlIndexHeaderBytes).equals(header)) return { ...start, indexBytes: 0, isWhole: false };
  let chain = hrlIndexChainStart(header);
  let { logBytes, indexBytes, runCount, entryCount } = start;
  while (indexBytes + hrlIndexRecordBytes <= index.length) {
    const record = index.subarray(indexBytes, indexBytes + hrlIndexRecordBytes);
    const runEnd = Number(record.readBigUInt64LE(0)) + hrlBlockBytes;
    if (!chainOf(record, chain).equals(chainAfter(record))) break;
    if (runEnd > log.length || runEnd < logBytes + hrlBlockBytes) break;
    if (!hash('sha256', log.subarray(logBytes, runEnd), 'buffer').equals(record.subarray(16, 48))) break;
    chain = chainAfter(record);
    logBytes = runEnd;
    indexBytes += hrlIndexRecordBytes;
    runCount += 1;
    entryCount += record.readUInt32LE(8);
  }
  return { logBytes, indexBytes, runCount, entryCount, isWhole: indexBytes === index.length };
}

export type VouchedPrefix = {
  readonly logBytes: number;
  readonly indexBytes: number;
  readonly runCount: number;
  readonly entryCount: number;
  readonly isWhole: boolean;
};

/** @throws OutageError when any byte of a closed log is not the one that was written */
export function checkAgainstIndex(log: Buffer, index: Buffer, uniqueId: string): void {
  const vouched = vouchedPrefix(log, index, uniqueId);
  if (vouched.isWhole && vouched.logBytes === log.length) return;
  throw new OutageError(
    `.hrl log, offset ${vouched.logBytes}: the ${log.length} bytes do not match their sidecar (${vouched.runCount} runs do)`,
    { retryable: false },
  );
}

import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OutageError } from '../domain/outage.ts';
import { syncFolder } from './durable-file.ts';
import { decodeHrlHeader, encodeHrlHeader, hrlBlockBytes, hrlEntryDataBytesMax, hrlHeaderBytes } from './hrl.ts';
import {
  chainAfter,
  encodeHrlIndexHeader,
  encodeHrlIndexRecord,
  hrlIndexChainStart,
  vouchedPrefix,
} from './hrl-index.ts';
import { createHrlLayout, type HrlIdentity } from './hrl-writer.ts';

/** A log being written to disk with its sidecar `<path>.idx`. Every method's promise must be awaited before the next call. */
export type HrlFileWriter = {
  append(offsetBytes: number, data: Uint8Array): Promise<void>;
  dataBytes(): number;
  /** Closes the log: writes its end and makes file, sidecar and folder durable. Resolves to the log's size. */
  seal(): Promise<{ readonly sizeBytes: number }>;
  /** Gives the unfinished log up and removes it. */
  discard(): Promise<void>;
};

export const hrlIndexPath = (path: string): string => `${path}.idx`;

/**
 * Opens a new log; a leftover of the same name is overwritten.
 *
 * @throws the file system's own error (ENOSPC is the caller's to tell apart), also from the writer's methods
 */
export async function createHrlFile(path: string, identity: HrlIdentity, nowMs: () => number): Promise<HrlFileWriter> {
  const layout = createHrlLayout(identity);
  const log = await open(path, 'w', 0o600);
  const index = await open(hrlIndexPath(path), 'w', 0o600).catch(async (error: unknown) => {
    await log.close();
    throw error;
  });
  const indexHeader = encodeHrlIndexHeader(identity.uniqueId);
  let chain = hrlIndexChainStart(indexHeader);
  let runHash: Hash = createHash('sha256');
  const closeRun = async () => {
    const run = layout.closeRun();
    await writeAll(log, run.block, run.blockAt);
    const runDigest = runHash.update(run.block).digest();
    const record = encodeHrlIndexRecord({ blockAt: run.blockAt, count: run.count, runDigest }, chain);
    await writeAll(index, record, null);
    chain = chainAfter(record);
    runHash = createHash('sha256');
  };
  await writeAll(log, Buffer.concat([layout.openHeader(), layout.firstBlock()]), 0);
  await writeAll(index, indexHeader, null);
  return {
    async append(offsetBytes, data) {
      for (let done = 0; done < data.length; done += hrlEntryDataBytesMax) {
        const piece = data.subarray(done, done + hrlEntryDataBytesMax);
        if (layout.isRunFull()) await closeRun();
        const entry = { offsetBytes: offsetBytes + done, dataBytes: piece.length, writtenAtMs: nowMs() };
        await writeAll(log, piece, layout.place(entry));
        runHash.update(piece);
      }
    },
    dataBytes: () => layout.dataBytes(),
    async seal() {
      if (layout.hasOpenRun()) await closeRun();
      // The end is written last: until then a reader sees a log that was not closed.
      await writeAll(log, layout.closedHeader(), 0);
      await Promise.all([closeDurably(log), closeDurably(index)]);
      await syncFolder(dirname(path));
      return { sizeBytes: layout.endBytes() };
    },
    async discard() {
      await Promise.allSettled([log.close(), index.close()]);
      await removeHrlFile(path);
    },
  };
}

export type RecoveredHrl =
  /** Closed before the crash; nothing was done to it. */
  | { readonly kind: 'was-closed' }
  /** Cut back to its last valid run and closed. */
  | { readonly kind: 'truncated'; readonly sizeBytes: number; readonly droppedBytes: number }
  /** No run is whole: there is nothing to keep. */
  | { readonly kind: 'nothing-valid' };

/**
 * Brings a log back that a crash may have torn: keeps the runs that its sidecar vouches for, closes it, and makes that durable.
 *
 * What remains is a true prefix of what was written, not a point in time of the disk: the caller knows whether it wants that.
 */
export async function recoverHrlFile(path: string, nowMs: number): Promise<RecoveredHrl> {
  const [log, index] = await Promise.all([readFile(path), readFile(hrlIndexPath(path)).catch(() => Buffer.alloc(0))]);
  const header = headerOf(log);
  if (header === undefined) return { kind: 'nothing-valid' };
  const vouched = vouchedPrefix(log, index, header.uniqueId);
  const isClosed = header.endOfLogBytes === log.length;
  if (isClosed && vouched.isWhole && vouched.logBytes === log.length) return { kind: 'was-closed' };
  if (vouched.runCount === 0) return { kind: 'nothing-valid' };
  const { logBytes: endOfLogBytes, entryCount } = vouched;
  const closed = encodeHrlHeader({ ...header, modifiedAtMs: nowMs, endOfLogBytes, entryCount });
  const [logFile, indexFile] = await Promise.all([open(path, 'r+'), open(hrlIndexPath(path), 'r+')]);
  await indexFile.truncate(vouched.indexBytes);
  await logFile.truncate(endOfLogBytes);
  await writeAll(logFile, closed, 0);
  await Promise.all([closeDurably(logFile), closeDurably(indexFile)]);
  return { kind: 'truncated', sizeBytes: endOfLogBytes, droppedBytes: log.length - endOfLogBytes };
}

/** Removes a log and its sidecar; absent ones are no error. */
export async function removeHrlFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(hrlIndexPath(path), { force: true });
}

function headerOf(log: Buffer) {
  if (log.length < hrlHeaderBytes + hrlBlockBytes) return undefined;
  try {
    return decodeHrlHeader(log);
  } catch (error) {
    // A torn header is an answer here, not an outage: such a log is dropped.
    if (error instanceof OutageError) return undefined;
    throw error;
  }
}

async function closeDurably(file: FileHandle): Promise<void> {
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A null position appends. */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number | null): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const at = position === null ? null : position + done;
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at);
    done += bytesWritten;
  }
}

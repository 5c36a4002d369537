import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { blockBytes, type Extent, totalBytes } from '../domain/extent.ts';
import { OutageError } from '../domain/outage.ts';
import { contentDigestOfWrites } from '../protocol/content-digest.ts';
import { syncFolder } from '../protocol/durable-file.ts';
import { decodeHrlHeader, hrlHeaderBytes, readHrl } from '../protocol/hrl.ts';
import { createHrlFile, type HrlFileWriter, hrlIndexPath, removeHrlFile } from '../protocol/hrl-file.ts';
import { checkAgainstIndex } from '../protocol/hrl-index.ts';
import { hrlImageBytesMax } from '../protocol/hrl-writer.ts';
import { readAhead } from './read-ahead.ts';
import type { CapturedDisk } from './tracker/change-tracker.ts';

/** At most this much data in one log, so that it can be sent from memory. */
export const spoolLogDataBytesMax = 32 * 1_048_576;

/** The spool cannot take a capture: its bound is reached or the file system is full. The machine goes on, its disks need a resync. */
export class SpoolFullError extends Error {
  override name = 'SpoolFullError';
}

/** A spooled log is missing or is not what was written. */
export class SpoolDamagedError extends Error {
  override name = 'SpoolDamagedError';
}

/** How much all spools of this agent may take together. */
export type SpoolBudget = {
  /** False when the bytes would not fit. */
  readonly reserve: (bytes: number) => boolean;
  /** Counts bytes that are on disk already, also above the bound. */
  readonly charge: (bytes: number) => void;
  readonly release: (bytes: number) => void;
  readonly usedBytes: () => number;
  readonly bytesMax: number;
};

export function createSpoolBudget(bytesMax: number): SpoolBudget {
  let usedBytes = 0;
  return {
    reserve(bytes) {
      if (usedBytes + bytes > bytesMax) return false;
      usedBytes += bytes;
      return true;
    },
    charge(bytes) {
      usedBytes += bytes;
    },
    release(bytes) {
      usedBytes = Math.max(0, usedBytes - bytes);
    },
    usedBytes: () => usedBytes,
    bytesMax,
  };
}

/** One disk's durable queue of `.hrl` files, each one future segment, named by its sequence. */
export type DiskSpool = {
  /**
   * Writes a capture's extents into logs after `previousSequence`, sealed and durable. They count only once the journal says so.
   * @throws SpoolFullError, or whatever the view's read rejects with; nothing is left of them then
   */
  readonly write: (order: SpoolOrder) => Promise<{ readonly lastSequence: number; readonly lastLogId: string }>;
  /** A sealed log, checked against its sidecar. @throws SpoolDamagedError */
  readonly load: (sequence: number) => Promise<{ readonly image: Buffer; readonly contentDigest: Buffer }>;
  readonly remove: (sequence: number) => Promise<void>;
  /** Keeps `(after, upTo]`, removes all else, and says which of those are missing or were not closed. */
  readonly keepOnly: (after: number, upTo: number) => Promise<readonly number[]>;
  readonly usedBytes: () => number;
};

export type SpoolOrder = {
  readonly extents: readonly Extent[];
  readonly read: CapturedDisk['read'];
  readonly previousSequence: number;
  readonly previousLogId: string;
  readonly generation: number;
};

const fileName = (sequence: number): string => `${String(sequence).padStart(12, '0')}.hrl`;
const filePattern = /^(\d{12})\.hrl(\.idx)?$/;

export async function openDiskSpool(deps: {
  readonly folder: string;
  readonly budget: SpoolBudget;
  readonly nowMs: () => number;
}): Promise<DiskSpool> {
  const { folder, budget } = deps;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const sizes = new Map<number, number>();
  for (const sequence of await sequencesIn(folder)) {
    const size = await sizeOf(join(folder, fileName(sequence)));
    sizes.set(sequence, size);
    budget.charge(size);
  }
  const forget = async (sequence: number) => {
    await removeHrlFile(join(folder, fileName(sequence)));
    budget.release(sizes.get(sequence) ?? 0);
    sizes.delete(sequence);
  };
  return {
    async write(order) {
      const written: number[] = [];
      try {
        return await writeLogs({ ...deps, sizes, written }, order);
      } catch (error) {
        for (const sequence of written) await forget(sequence);
        throw isFull(error) ? new SpoolFullError('the file system of the spool is full', { cause: error }) : error;
      }
    },
    async load(sequence) {
      return loadLog(join(folder, fileName(sequence)));
    },
    remove: forget,
    async keepOnly(after, upTo) {
      const there = new Set(await sequencesIn(folder));
      for (const sequence of there) if (sequence <= after || sequence > upTo) await forget(sequence);
      await syncFolder(folder);
      const damaged: number[] = [];
      for (let sequence = after + 1; sequence <= upTo; sequence += 1) {
        if (!there.has(sequence) || !(await isClosed(join(folder, fileName(sequence))))) damaged.push(sequence);
      }
      return damaged;
    },
    usedBytes: () => [...sizes.values()].reduce((sum, size) => sum + size, 0),
  };
}

type WriteDeps = {
  readonly folder: string;
  readonly budget: SpoolBudget;
  readonly nowMs: () => number;
  readonly sizes: Map<number, number>;
  readonly written: number[];
};

async function writeLogs(deps: WriteDeps, order: SpoolOrder) {
  let lastSequence = order.previousSequence;
  let lastLogId = order.previousLogId;
  for (const extents of splitExtents(order.extents, spoolLogDataBytesMax)) {
    const sequence = lastSequence + 1;
    const sizeMax = hrlImageBytesMax(totalBytes(extents), blockBytes);
    if (!deps.budget.reserve(sizeMax)) throw new SpoolFullError('the bound of the spool is reached');
    deps.sizes.set(sequence, sizeMax);
    deps.written.push(sequence);
    const uniqueId = randomUUID();
    const identity = {
      uniqueId,
      previousUniqueId: lastLogId,
      dataWriteId: generationId(order.generation),
      createdAtMs: deps.nowMs(),
    };
    const file = await createHrlFile(join(deps.folder, fileName(sequence)), identity, deps.nowMs);
    const { sizeBytes } = await fill(file, extents, order.read);
    deps.budget.release(sizeMax);
    deps.budget.charge(sizeBytes);
    deps.sizes.set(sequence, sizeBytes);
    lastSequence = sequence;
    lastLogId = uniqueId;
  }
  return { lastSequence, lastLogId };
}

async function fill(file: HrlFileWriter, extents: readonly Extent[], read: SpoolOrder['read']) {
  try {
    for await (const piece of readAhead(extents, read)) await file.append(piece.offsetBytes, piece.data);
    return await file.seal();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** Stands where Hyper-V keeps a disk's write id: both tell one history of the source from another. */
function generationId(generation: number): string {
  return `00000000-0000-0000-0000-${generation.toString(16).padStart(12, '0')}`;
}

/** Groups extents so that none has more than `bytesMax`; a long extent is cut. */
export function splitExtents(extents: readonly Extent[], bytesMax: number): Extent[][] {
  const groups: Extent[][] = [];
  let group: Extent[] = [];
  let room = bytesMax;
  for (const extent of extents) {
    for (let done = 0; done < extent.lengthBytes; ) {
      const lengthBytes = Math.min(room, extent.lengthBytes - done);
      group.push({ offsetBytes: extent.offsetBytes + done, lengthBytes });
      done += lengthBytes;
      room -= lengthBytes;
      if (room > 0) continue;
      groups.push(group);
      group = [];
      room = bytesMax;
    }
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

async function loadLog(path: string): Promise<{ image: Buffer; contentDigest: Buffer }> {
  try {
    const [image, index] = await Promise.all([readFile(path), readFile(hrlIndexPath(path))]);
    checkAgainstIndex(image, index, decodeHrlHeader(image).uniqueId);
    // Our own logs hold whole blocks in order, each once: there is nothing to coalesce.
    return { image, contentDigest: contentDigestOfWrites(readHrl(image).records) };
  } catch (cause) {
    if (cause instanceof OutageError || isAbsent(cause)) {
      throw new SpoolDamagedError(`the spooled log ${path} is missing or damaged`, { cause });
    }
    throw new OutageError(`read the spooled log ${path}`, { cause, retryable: true });
  }
}

/** Looks at header and size only; the content is checked when it is sent. */
async function isClosed(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
  if (file === undefined) return false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(hrlHeaderBytes), 0, hrlHeaderBytes, 0);
    return decodeHrlHeader(buffer.subarray(0, bytesRead)).endOfLogBytes === (await file.stat()).size;
  } catch (error) {
    if (error instanceof OutageError) return false;
    throw error;
  } finally {
    await file.close();
  }
}

async function sequencesIn(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return [...new Set(names.flatMap((name) => filePattern.exec(name)?.[1] ?? []))].map(Number).sort((a, b) => a - b);
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    // Only a sidecar is left of it: a removal that was interrupted.
    if (isAbsent(error)) return 0;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

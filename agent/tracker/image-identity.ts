import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { SourceBusyError } from './change-tracker.ts';

/** What shows that a file was not written in between: any write changes its times. Numbers as text: they exceed 2^53. */
const imageIdentity = z.object({
  device: z.string(),
  inode: z.string(),
  sizeBytes: z.number(),
  modifiedNs: z.string(),
  changedNs: z.string(),
});
export type ImageIdentity = z.infer<typeof imageIdentity>;

const recordSchema = z.object({
  format: z.literal('lifeboat-image-record/1'),
  generation: z.number().int().min(1),
  images: z.record(z.string(), imageIdentity),
});
/** The files as they were at the last acknowledged capture. */
export type ImageRecord = z.infer<typeof recordSchema>;

/**
 * A file's times move in steps of the kernel's tick (at most 10 ms): a second write in the same step cannot be seen. So a file counts
 * as identified only when its last change is clearly older.
 */
const tickMs = 50;
const settleTriesMax = 5;

export async function identityOf(handle: FileHandle): Promise<ImageIdentity> {
  const found = await handle.stat({ bigint: true });
  return {
    device: String(found.dev),
    inode: String(found.ino),
    sizeBytes: Number(found.size),
    modifiedNs: String(found.mtimeNs),
    changedNs: String(found.ctimeNs),
  };
}

/** The identity of a file that was not written within the last tick; waits for that, a few times. */
export async function settledIdentity(handle: FileHandle, file: string): Promise<ImageIdentity> {
  for (let attempt = 0; attempt < settleTriesMax; attempt++) {
    const identity = await identityOf(handle);
    const changedMs = Number(BigInt(identity.changedNs) / 1_000_000n);
    if (Math.abs(Date.now() - changedMs) > tickMs) return identity;
    await delay(tickMs);
  }
  throw new SourceBusyError(`${file} is being written all the time`);
}

export function sameIdentity(a: ImageIdentity, b: ImageIdentity): boolean {
  return (
    a.device === b.device &&
    a.inode === b.inode &&
    a.sizeBytes === b.sizeBytes &&
    a.modifiedNs === b.modifiedNs &&
    a.changedNs === b.changedNs
  );
}

/** The record, or undefined when there is none that can be read: then everything counts as unknown. */
export async function readImageRecord(recordPath: string): Promise<ImageRecord | undefined> {
  let text: string;
  try {
    text = await readFile(recordPath, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return recordSchema.safeParse(JSON.parse(text)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Replaces the record whole: after a power cut there is the old one or the new one. */
export async function writeImageRecord(recordPath: string, record: ImageRecord): Promise<void> {
  const newPath = `${recordPath}.new`;
  const handle = await open(newPath, 'w', 0o600);
  try {
    await handle.writeFile(JSON.stringify(record));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(newPath, recordPath);
}

export async function removeImageRecord(recordPath: string): Promise<void> {
  await rm(recordPath, { force: true });
  await rm(`${recordPath}.new`, { force: true });
}

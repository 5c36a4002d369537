import { type FileHandle, link, lstat, open, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { totalBytes } from '../../domain/extent.ts';
import { OutageError } from '../../domain/outage.ts';
import { formatBytes } from '../../domain/units.ts';
import { syncFolder } from '../../protocol/durable-file.ts';
import type { DiskReader } from '../vault/vault.ts';
import { readStoredPieces } from './disk-pieces.ts';
import { isCode } from './process-search.ts';

export type RestoreRequest = {
  readonly reader: DiskReader;
  /** A file that does not exist yet, in a folder that does. */
  readonly toPath: string;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
};

/**
 * Writes a disk of a recovery point as a plain raw image: sparse, and durable when it resolves.
 *
 * The image appears under its name only when it is whole; before that it has the name with `.partial` at its end, and a failure
 * leaves nothing. Throws OutageError when the name is taken, the space does not suffice, or the vault cannot give a byte.
 */
export async function restoreImage({ reader, toPath, onProgress }: RestoreRequest): Promise<{ writtenBytes: number }> {
  const target = path.resolve(toPath);
  const storedBytes = totalBytes(reader.allocated());
  await refuseTaken(target);
  await refuseTooLittleSpace(target, storedBytes);
  const partial = `${target}.${process.pid}.partial`;
  const file = await createFile(partial, target);
  try {
    await file.truncate(reader.sizeBytes);
    await fill(file, reader, (doneBytes) => onProgress?.(doneBytes, storedBytes));
    await file.sync();
    await giveName(partial, target);
  } catch (cause) {
    throw restoreFailure(target, cause);
  } finally {
    await file.close();
    await rm(partial, { force: true });
  }
  await syncFolder(path.dirname(target));
  return { writtenBytes: storedBytes };
}

async function fill(file: FileHandle, reader: DiskReader, onDone: (doneBytes: number) => void): Promise<void> {
  let doneBytes = 0;
  await readStoredPieces(reader, async (data, offsetBytes) => {
    for (let at = 0; at < data.length; ) {
      at += (await file.write(data, at, data.length - at, offsetBytes + at)).bytesWritten;
    }
    doneBytes += data.length;
    onDone(doneBytes);
  });
}

async function refuseTaken(target: string): Promise<void> {
  try {
    await lstat(target);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw new OutageError(`look at ${target}`, { cause: error, retryable: false });
  }
  throw nameTaken(target);
}

function nameTaken(target: string): OutageError {
  return new OutageError(`restore to ${target}: there is a file already, and it was left as it is`, {
    retryable: false,
    nextStep: 'Give a name that does not exist yet.',
  });
}

async function refuseTooLittleSpace(target: string, neededBytes: number): Promise<void> {
  const folder = path.dirname(target);
  const space = await statfs(folder).catch((cause: unknown) => {
    const nextStep = 'Make the folder first, or give another one.';
    throw new OutageError(`restore into ${folder}`, { cause, retryable: false, nextStep });
  });
  const freeBytes = space.bavail * space.bsize;
  if (freeBytes >= neededBytes) return;
  throw new OutageError(
    `restore to ${target}: it needs ${formatBytes(neededBytes)} and ${folder} has ${formatBytes(freeBytes)} free`,
    { retryable: false, nextStep: 'Free space there, or restore to another folder.' },
  );
}

async function createFile(partial: string, target: string): Promise<FileHandle> {
  try {
    return await open(partial, 'wx', 0o600);
  } catch (cause) {
    throw new OutageError(`restore to ${target}: ${partial} cannot be made`, { cause, retryable: false });
  }
}

/** A link fails when the name was taken in the meantime, where a rename would replace what is there. */
async function giveName(partial: string, target: string): Promise<void> {
  try {
    await link(partial, target);
  } catch (error) {
    if (isCode(error, 'EEXIST')) throw nameTaken(target);
    throw error;
  }
}

function restoreFailure(target: string, cause: unknown): OutageError {
  if (cause instanceof OutageError) return cause;
  const isFull = isCode(cause, 'ENOSPC', 'EDQUOT');
  const what = isFull ? `restore to ${target}: the disk is full; nothing was left behind` : `restore to ${target}`;
  return new OutageError(what, {
    cause,
    retryable: !isFull,
    ...(isFull ? { nextStep: 'Free space there, or restore to another folder.' } : {}),
  });
}

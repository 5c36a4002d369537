import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, type FileHandle, link, mkdir, open, readdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { OutageError } from '../../domain/outage.ts';
import { syncFolder } from '../../protocol/durable-file.ts';
import type { BlobStore, ByteRange } from './blob-store.ts';

const temporaryFolder = 'tmp';
const nameLengthMax = 512;
/** A temporary file that is older than this belongs to a writer that died. */
const staleAfterMs = 3_600_000;

/**
 * A vault in a directory of a local file system: each blob a file, written once.
 *
 * A blob is written to `tmp/`, flushed, linked under its name (a link never replaces), then the folders are flushed:
 * after a power cut it is there completely or not at all.
 *
 * @throws OutageError when the directory is missing or cannot be written
 */
export async function openDirectoryStore(directory: string): Promise<BlobStore> {
  const path = resolve(directory);
  await checkDirectory(path);
  await run(`prepare the vault directory ${path}`, () => mkdir(join(path, temporaryFolder), { recursive: true }));
  await removeStaleTemporaryFiles(path);
  const durableFolders = new Set<string>();
  return {
    description: path,
    put: async (name, content) => put({ root: path, durableFolders }, checkedName(name), content),
    get: async (name, range) => get(path, checkedName(name), range),
    head: async (name) => head(path, checkedName(name)),
    list: (prefix) => list(path, prefix),
    delete: async (name) => remove(path, checkedName(name)),
    check: () => checkDirectory(path),
  };
}

/** Makes the directory (and its parents) for a new vault, durably. */
export async function createDirectoryStore(path: string): Promise<BlobStore> {
  await run(`create the vault directory ${path}`, () => makeFolders(path));
  return openDirectoryStore(path);
}

/** Folders whose own entries this process has seen flushed: another writer may have made them a moment ago. */
type Place = { readonly root: string; readonly durableFolders: Set<string> };

async function put(place: Place, name: string, content: readonly Uint8Array[]): Promise<'created' | 'exists'> {
  const { root } = place;
  const target = join(root, name);
  const temporary = join(root, temporaryFolder, `${process.pid}-${randomBytes(8).toString('hex')}`);
  return run(`write the blob ${name}`, async () => {
    try {
      await makeFoldersDurable(place, dirname(target));
      if (await exists(target)) return await existing(target);
      await writeDurably(temporary, content);
      await link(temporary, target);
    } catch (error) {
      await unlink(temporary).catch(ignoreMissing);
      if (codeOf(error) === 'EEXIST') return await existing(target);
      throw error;
    }
    await syncFolder(dirname(target));
    await unlink(temporary);
    return 'created';
  });
}

/** Its writer may not have flushed the folder yet; whoever hears `exists` relies on the blob. */
async function existing(target: string): Promise<'exists'> {
  await syncFolder(dirname(target));
  return 'exists';
}

async function makeFoldersDurable(place: Place, folder: string): Promise<void> {
  if (folder === place.root || place.durableFolders.has(folder)) return;
  await makeFoldersDurable(place, dirname(folder));
  await mkdir(folder).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  await syncFolder(dirname(folder));
  place.durableFolders.add(folder);
}

async function writeDurably(path: string, content: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'wx', 0o640);
  try {
    await writeAll(file, content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** At most so many buffers go to one system call (Linux: IOV_MAX is 1,024). */
const buffersPerWrite = 512;

async function writeAll(file: FileHandle, content: readonly Uint8Array[]): Promise<void> {
  for (let at = 0; at < content.length; at += buffersPerWrite) {
    const some = content.slice(at, at + buffersPerWrite).filter((piece) => piece.length > 0);
    const wanted = some.reduce((sum, piece) => sum + piece.length, 0);
    const { bytesWritten } = await file.writev(some);
    // A short write means that the disk became full in the middle: writing the rest gives the error.
    if (bytesWritten < wanted) await file.writeFile(Buffer.concat(some).subarray(bytesWritten));
  }
}

async function get(root: string, name: string, range?: ByteRange): Promise<Buffer | undefined> {
  const file = await openExisting(root, name);
  if (file === undefined) return undefined;
  return run(`read the blob ${name}`, async () => {
    try {
      const { offsetBytes, lengthBytes } = range ?? { offsetBytes: 0, lengthBytes: (await file.stat()).size };
      const buffer = Buffer.allocUnsafe(lengthBytes);
      let done = 0;
      while (done < lengthBytes) {
        const { bytesRead } = await file.read(buffer, done, lengthBytes - done, offsetBytes + done);
        if (bytesRead === 0) throw rangePastEnd(name, { offsetBytes, lengthBytes });
        done += bytesRead;
      }
      return buffer;
    } finally {
      await file.close();
    }
  });
}

function rangePastEnd(name: string, range: ByteRange): OutageError {
  const { offsetBytes, lengthBytes } = range;
  return new OutageError(`read ${lengthBytes} bytes at ${offsetBytes} of ${name}: the blob ends before`, {
    retryable: false,
    nextStep: 'The blob was cut short. Run a full verification of the vault.',
  });
}

async function openExisting(root: string, name: string): Promise<FileHandle | undefined> {
  try {
    return await open(join(root, name), constants.O_RDONLY);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw outage(`read the blob ${name}`, error);
  }
}

async function head(root: string, name: string): Promise<{ sizeBytes: number } | undefined> {
  try {
    const found = await stat(join(root, name));
    return found.isFile() ? { sizeBytes: found.size } : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw outage(`look for the blob ${name}`, error);
  }
}

/** Walks folder by folder in name order: only what is asked for is read. */
async function* list(root: string, prefix: string): AsyncGenerator<{ name: string; sizeBytes: number }> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  if (folder !== '') checkedName(folder.slice(0, -1));
  yield* walk(root, folder, prefix);
}

async function* walk(
  root: string,
  folder: string,
  prefix: string,
): AsyncGenerator<{ name: string; sizeBytes: number }> {
  for (const entry of await namesIn(root, folder)) {
    const name = folder + entry;
    if (name === `${temporaryFolder}/`) continue;
    // A folder matters when it is under the prefix, or the prefix is under it.
    const matters = name.startsWith(prefix) || prefix.startsWith(name);
    if (!matters) continue;
    if (name.endsWith('/')) {
      yield* walk(root, name, prefix);
      continue;
    }
    const found = await head(root, name);
    // Deleted since the folder was read: not there any more.
    if (found !== undefined && name.startsWith(prefix)) yield { name, sizeBytes: found.sizeBytes };
  }
}

/** The folder's entries in byte order of the blob names they lead to: folders end in `/`. */
async function namesIn(root: string, folder: string): Promise<string[]> {
  try {
    const entries = await readdir(join(root, folder), { withFileTypes: true });
    const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
    return names.sort((a, b) => (a < b ? -1 : 1));
  } catch (error) {
    if (isMissing(error)) return [];
    throw outage(`list the vault directory ${join(root, folder)}`, error);
  }
}

async function remove(root: string, name: string): Promise<'deleted' | 'absent'> {
  try {
    await unlink(join(root, name));
  } catch (error) {
    if (isMissing(error)) return 'absent';
    throw outage(`delete the blob ${name}`, error);
  }
  await run(`delete the blob ${name}`, () => syncFolder(dirname(join(root, name))));
  return 'deleted';
}

async function checkDirectory(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new OutageError(`open the vault directory ${path}`, {
      cause,
      retryable: true,
      nextStep: 'Mount the vault, or correct its path.',
    });
  });
  if (!found.isDirectory()) {
    throw new OutageError(`open the vault directory ${path}: it is not a directory`, {
      retryable: false,
      nextStep: 'Correct the path of the vault.',
    });
  }
  await access(path, constants.R_OK | constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw new OutageError(`write to the vault directory ${path}`, { cause, retryable: true, nextStep: readOnlyStep });
  });
}

const readOnlyStep = 'Remount the file system for writing, or give this program’s user the right to write there.';

async function removeStaleTemporaryFiles(root: string): Promise<void> {
  const folder = join(root, temporaryFolder);
  const names = await run(`list ${folder}`, () => readdir(folder));
  for (const name of names) {
    const found = await stat(join(folder, name)).catch(ignoreMissing);
    const stale = found !== undefined && (Date.now() - found.mtimeMs > staleAfterMs || !isRunning(name));
    if (stale) await unlink(join(folder, name)).catch(ignoreMissing);
  }
}

/** Temporary files start with their writer's process number. Another host's writer looks dead only by its age. */
function isRunning(temporaryName: string): boolean {
  const pid = Number.parseInt(temporaryName, 10);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** Makes missing folders and flushes each folder that got a new entry, so that they survive a power cut. */
async function makeFolders(path: string): Promise<void> {
  if (await exists(path)) return;
  await makeFolders(dirname(path));
  await mkdir(path).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  await syncFolder(dirname(path));
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(ignoreMissing)) !== undefined;
}

function checkedName(name: string): string {
  const parts = name.split('/');
  const valid = parts.every((part) => /^[a-zA-Z0-9._-]+$/.test(part) && part !== '.' && part !== '..');
  if (!valid || name.length > nameLengthMax || parts[0] === temporaryFolder) {
    throw new OutageError(`use the blob name "${name.slice(0, 80)}": it is not one`, { retryable: false });
  }
  return name;
}

async function run<Result>(what: string, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    throw error instanceof OutageError ? error : outage(what, error);
  }
}

function outage(what: string, cause: unknown): OutageError {
  const code = codeOf(cause) ?? '';
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const nextStep = 'The vault is full. Free space or enlarge it; replication then goes on by itself.';
    return new OutageError(what, { cause, retryable: true, nextStep });
  }
  const readOnly = ['EROFS', 'EACCES', 'EPERM'].includes(code);
  return new OutageError(what, { cause, retryable: true, nextStep: readOnly ? readOnlyStep : ioStep });
}

const ioStep = 'Check the vault’s file system and the kernel log of this host.';

function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes names in a folder survive a power cut: what was created, renamed or removed in it until now. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Writes a file that must not exist yet, durably: content first, then its name. Rejects with EEXIST when it is there. */
export async function createDurably(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  await write(path, content, { mode, flag: 'wx' });
  await syncFolder(dirname(path));
}

/** Replaces a file in one step: after a power cut it has the old content or the new, never a part. */
export async function replaceDurably(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  // Two programs that replace the same file do not share the unfinished one; what a killed one left is overwritten later.
  const unfinished = `${path}.${process.pid}.new`;
  try {
    await write(unfinished, content, { mode, flag: 'w' });
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

async function write(
  path: string,
  content: string | Uint8Array,
  how: { readonly mode: number; readonly flag: 'w' | 'wx' },
): Promise<void> {
  const file = await open(path, how.flag, how.mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

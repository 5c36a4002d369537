import { constants, copyFile, mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { OutageError } from '../../domain/outage.ts';

/** Reflinked copies of one image, beside it and therefore on its file system: `<folder>/<image name>.<generation>`. */
export type CloneShelf = { readonly folder: string; readonly imagePath: string };

/** @param trackingId the machine's id; each machine has its own folder, so that machines do not touch each other's clones */
export function cloneShelf(imagePath: string, trackingId: string): CloneShelf {
  return { folder: path.join(path.dirname(imagePath), `.lifeboat-${trackingId}`), imagePath };
}

export function clonePath(shelf: CloneShelf, generation: number): string {
  return path.join(shelf.folder, `${path.basename(shelf.imagePath)}.${generation}`);
}

const unsupportedCodes = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOSYS', 'ENOTTY']);

/** Clones the image at this instant; `unsupported` when its file system has no reflinks. */
export async function takeClone(shelf: CloneShelf, generation: number): Promise<'cloned' | 'unsupported'> {
  const target = clonePath(shelf, generation);
  await mkdir(shelf.folder, { recursive: true, mode: 0o700 });
  await rm(target, { force: true });
  try {
    await copyFile(shelf.imagePath, target, constants.COPYFILE_FICLONE_FORCE);
    return 'cloned';
  } catch (error) {
    await rm(target, { force: true });
    if (error instanceof Error && 'code' in error && unsupportedCodes.has(String(error.code))) {
      await removeEmptyShelf(shelf);
      return 'unsupported';
    }
    throw new OutageError(`clone ${shelf.imagePath}`, {
      cause: error,
      retryable: true,
      nextStep: `See whether the agent may write to ${shelf.folder} and whether the file system has room.`,
    });
  }
}

/** Generations of which a clone of this image exists. */
export async function listClones(shelf: CloneShelf): Promise<number[]> {
  const prefix = `${path.basename(shelf.imagePath)}.`;
  const names = await namesIn(shelf.folder);
  return names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)));
}

/** Deletes all clones of the image but one. */
export async function keepOnlyClone(shelf: CloneShelf, generation: number | undefined): Promise<void> {
  for (const found of await listClones(shelf)) {
    if (found !== generation) await rm(clonePath(shelf, found), { force: true });
  }
  await removeEmptyShelf(shelf);
}

async function removeEmptyShelf(shelf: CloneShelf): Promise<void> {
  if ((await namesIn(shelf.folder)).length === 0) await rmdir(shelf.folder).catch(ignoreMissing);
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    ignoreMissing(error);
    return [];
  });
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}

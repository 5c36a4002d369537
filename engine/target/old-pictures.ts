import { opendir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { dayMs } from '../../domain/units.ts';
import { picturesFolder } from './drill-folder.ts';
import { isCode } from './process-search.ts';

/** As long as a report can look back. */
export const picturesKeptMs = 400 * dayMs;
/** One round removes so many; the next one goes on. */
export const removedPicturesMax = 1000;

/**
 * Removes console pictures, and what the machines wrote to their serial ports, of runs that are long over.
 *
 * @param nowMs by the clock of this host, as the files' times are
 * @returns how many files
 */
export async function removeOldPictures(
  stateFolder: string,
  nowMs: number,
  countMax = removedPicturesMax,
): Promise<number> {
  let count = 0;
  for (const file of await keptFiles(picturesFolder(stateFolder))) {
    if (count >= countMax) break;
    if (nowMs - (await changedAtMs(file, nowMs)) <= picturesKeptMs) continue;
    await rm(file, { force: true });
    count += 1;
  }
  return count;
}

/** Only what we call so: whoever puts something else there keeps it. */
const keptName = /^run_[0-9A-Z]+\.(png|serial\.log)$/;

async function keptFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  try {
    for await (const entry of await opendir(folder)) {
      if (entry.isFile() && keptName.test(entry.name)) files.push(path.join(folder, entry.name));
    }
  } catch (error) {
    // Nothing was ever started here.
    if (!isCode(error, 'ENOENT')) throw error;
  }
  return files;
}

/** Somebody may have removed it meanwhile: then there is nothing left to do. */
async function changedAtMs(file: string, nowMs: number): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return nowMs;
    throw error;
  }
}

import { readFile } from 'node:fs/promises';
import { OutageError } from '../../domain/outage.ts';

/** What says that there is no such file; of /proc: that the process has ended meanwhile. */
const absent = new Set(['ENOENT', 'ENOTDIR', 'ESRCH']);

/** The file's text, or an empty one when there is no such file. */
export async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && absent.has(String(cause.code))) return '';
    throw new OutageError(`read ${file}`, { cause, retryable: false, nextStep: 'Check who may read this file.' });
  }
}

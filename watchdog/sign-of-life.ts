import { readFile, stat } from 'node:fs/promises';

const fileBytesMax = 65_536;

/** A watched file as it is now; undefined when it says nothing that can be understood. */
export type Sign = {
  /** Another text is a new sign of life. */
  readonly text: string;
  /** By the wall clock when it was written; only good for a first guess. */
  readonly writtenAtMs: number;
};

/** Reads a sign of life. Nothing about the file can make this fail: what is missing, huge or garbled is no sign. */
export async function readSign(file: string): Promise<Sign | undefined> {
  try {
    const { size, mtimeMs } = await stat(file);
    if (size > fileBytesMax) return undefined;
    const text = await readFile(file, 'utf8');
    const content: unknown = JSON.parse(text);
    const hasTime = typeof content === 'object' && content !== null && 'atMs' in content;
    return hasTime && typeof content.atMs === 'number' ? { text, writtenAtMs: mtimeMs } : undefined;
  } catch {
    // Whatever is wrong with it: nobody has said that he is alive, and that is all we want to know.
    return undefined;
  }
}

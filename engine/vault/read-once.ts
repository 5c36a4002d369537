import { isDamage, isMissingBlob } from './segment-reads.ts';

/** Reads a blob, or gives what an earlier look at it gave. */
export type ReadOnce<Result> = (name: string, read: () => Promise<Result>) => Promise<Result>;

/**
 * Remembers what was read of blobs, and what was found damaged: they are written once, so a second look need not read them again.
 * That one is missing is not remembered: it may only have been listed too early.
 */
export function createReadOnce<Result>(): ReadOnce<Result> {
  const known = new Map<string, () => Result>();
  return async (name, read) => {
    const before = known.get(name);
    if (before !== undefined) return before();
    try {
      const result = await read();
      known.set(name, () => result);
      return result;
    } catch (error) {
      if (isDamage(error) && !isMissingBlob(error)) {
        known.set(name, () => {
          throw error;
        });
      }
      throw error;
    }
  };
}

import { invariant } from './invariant.ts';

/**
 * How far one disk's replication has come: a number that can be compared, never a flag.
 *
 * `sequence` counts the disk's sealed segments from 1 and never restarts; 0 means that nothing is stored.
 * `epoch` counts the machine's failovers from 1. `digest` is the SHA-256 (lower-case hex) of that segment,
 * which chains over all segments before it; 64 zeros at sequence 0.
 */
export type Position = { readonly epoch: number; readonly sequence: number; readonly digest: string };

export const emptyDigest = '0'.repeat(64);

/** The position of a disk of which nothing has been stored yet. */
export function startPosition(epoch: number): Position {
  invariant(Number.isSafeInteger(epoch) && epoch >= 1, `epoch ${epoch} counts from 1`);
  return { epoch, sequence: 0, digest: emptyDigest };
}

/** True when both name the same segment with the same content. */
export function samePosition(a: Position, b: Position): boolean {
  return a.epoch === b.epoch && a.sequence === b.sequence && a.digest === b.digest;
}

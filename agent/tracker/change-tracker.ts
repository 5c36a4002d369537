import type { Extent } from '../../domain/extent.ts';
import type { MachineHardware } from '../../protocol/point-manifest.ts';

/**
 * A disk of a source, as its tracker names it. `key` is stable over restarts (`disk0`, a QEMU drive's id, a file's path).
 */
export type SourceDisk = { readonly key: string; readonly sizeBytes: number };

/**
 * What changed on a disk since the last acknowledged capture.
 *
 * `everything-unknown`: the record of changes is missing, inconsistent or of another generation, so the disk needs a
 * resynchronisation by hash scan; `why` is shown to people. A first capture is `everything-unknown` too.
 */
export type Changes =
  | { readonly kind: 'extents'; readonly extents: readonly Extent[] }
  | { readonly kind: 'everything-unknown'; readonly why: string };

/** One disk inside a capture: the same instant for all disks of it. */
export type CapturedDisk = {
  readonly disk: SourceDisk;
  /** Sorted, merged, rounded out to 64 KiB blocks, clipped to the disk's end. */
  readonly changes: Changes;
  /**
   * Reads from the point-in-time view. Rejects with SnapshotBrokenError when the view had to be given up.
   *
   * @param into memory of at least that length for the answer, which the caller uses again once it is done with it; a view that
   *   has its own may answer with that
   */
  read(offsetBytes: number, lengthBytes: number, into?: Buffer): Promise<Buffer>;
  /** Extents that are known to hold only zeros need not be read; the rest is allocated. Sorted. */
  allocated(): AsyncIterable<Extent>;
};

/**
 * A point-in-time view of all disks of a machine, with what changed since the capture that was acknowledged last.
 *
 * Exactly one of `acknowledge` and `abandon` is called, once. Both give back what the view held (filters, fleece files).
 * `acknowledge`: the changes are durable elsewhere; the next capture starts from this one.
 * `abandon`: the changes stay recorded and appear again in the next capture (merged with newer ones).
 */
export type Capture = {
  /** Wall clock of the agent's host just before the view was taken: no later write is in the view. */
  readonly takenAtMs: number;
  /** How long the machine stood still for it. */
  readonly pauseMs: number;
  readonly disks: readonly CapturedDisk[];
  acknowledge(): Promise<void>;
  abandon(): Promise<void>;
};

export type ShutdownOrder = { readonly limitMs: number; readonly signal: AbortSignal };
export type ShutdownOutcome =
  /** It has switched itself off, and its disks can still be read. */
  | { readonly kind: 'stopped'; readonly how: string }
  /** `message`: why, for people. */
  | { readonly kind: 'not-stopped'; readonly message: string; readonly isRunning: boolean };

/** A hand on the machine's power switch. Source: A10, RELIABILITY I3 */
export type PowerControl = {
  isRunning(): Promise<boolean>;
  /** Asks the machine to switch itself off and waits; it is never killed. One that obeys later must be started again by the caller. */
  shutDown(order: ShutdownOrder): Promise<ShutdownOutcome>;
  /** Has it running again, from the start if it is switched off. Safe to call twice. */
  start(): Promise<void>;
  /** Stops it where it is, at once. */
  hold(): Promise<void>;
};

/**
 * Follows the changes of one machine's disks.
 *
 * `generation` is the capture that the caller has made durable last (0: none). A tracker whose own record belongs to another
 * generation must answer `everything-unknown`, never guess. Every tracker passes tests/agent/tracker-suite.ts.
 */
export type ChangeTracker = {
  readonly kind: 'qemu-guest' | 'disk-image';
  /** What a person is told about how changes are found, e.g. "QEMU dirty bitmaps" or "hash scan (no reflink here)". */
  describe(): Promise<string>;
  /** In boot order. */
  disks(): Promise<readonly SourceDisk[]>;
  hardware(): Promise<MachineHardware>;
  /** @throws SourceBusyError when no point-in-time view can be had (another writer holds the file). */
  capture(generation: number): Promise<Capture>;
  /** Undefined where there is no machine to switch, e.g. for image files. */
  readonly power?: PowerControl | undefined;
  /** Forgets all tracking and leaves nothing behind in the source (protection is disabled). */
  remove(): Promise<void>;
  close(): Promise<void>;
};

/** The point-in-time view was given up so that the machine was not harmed; the capture is abandoned and tried again. */
export class SnapshotBrokenError extends Error {
  override name = 'SnapshotBrokenError';
}

/** The source cannot give a point-in-time view now; the message says who holds it. */
export class SourceBusyError extends Error {
  override name = 'SourceBusyError';
}

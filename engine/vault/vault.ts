import type { DiskId, MachineId } from '../../domain/ids.ts';
import type { Position } from '../../domain/position.ts';
import type { PointManifest } from '../../protocol/point-manifest.ts';

/**
 * The vault as the data plane, the engine and a target see it: disks as logs of sealed segments, and signed points.
 *
 * It describes itself: everything here works from the blobs and the vault's keys alone. Source: DESIGN 3, REPLICATION 2.
 */
export type Vault = {
  readonly id: string;
  readonly description: string;

  /** How far a disk has come: its newest durable segment. Read from the blobs, then kept in memory. */
  position(diskId: DiskId): Promise<Position>;

  /**
   * SHA-256 of each 64 KiB block of the disk at its newest position: 32 bytes a block, 32 zero bytes for a block of zeros.
   * A short last block is hashed as it is, without padding. At most 65,536 blocks a call.
   */
  digests(diskId: DiskId, firstBlock: number, count: number): Promise<Buffer>;

  /** Seals one batch of changes into the next segment. Resolves only when the segment is durable. */
  append(diskId: DiskId, batch: ChangeBatch): Promise<AppendOutcome>;

  /** A read-only view of the disk exactly as it was at a position. Every byte it returns was authenticated. */
  openDisk(diskId: DiskId, at: Position): Promise<DiskReader>;

  /**
   * Reads back and authenticates every segment in `(after, upTo]`; an empty list means that all is well. Condemned segments are passed
   * over, but as long as `upTo` lies before the comparison that followed, they are findings.
   */
  verifySegments(diskId: DiskId, after: Position, upTo: Position): Promise<readonly VaultFinding[]>;

  /**
   * Takes damaged segments out of use, so that the next comparison with the source ships again what they held. What is found is read
   * once more first; a segment that is sound stays. From then on the disk reads as if they had never been; the disk's position moves on, so that its
   * sender must compare everything before it can go on. Safe to run twice, safe to be killed.
   */
  condemn(diskId: DiskId, findings: readonly VaultFinding[]): Promise<void>;
  /** What was taken out of use, by this process or another one. */
  condemned(diskId: DiskId): Promise<readonly CondemnedSegments[]>;

  /** Signs and writes a point manifest: the blob that makes the point exist. `exists`: this point id was written before. */
  putPoint(manifest: PointManifest): Promise<'created' | 'exists'>;
  /** All points in the vault whose signature is right, oldest first by machine; a wrong one throws OutageError. */
  points(machineId?: MachineId): AsyncIterable<PointManifest>;
  /** Removes an expired point's manifest. Its segments stay until `compact` finds them unreferenced. */
  deletePoint(manifest: PointManifest): Promise<void>;

  /**
   * Gives back the space of what no point needs: coalesces the disk's segments up to `oldestNeeded` (the newest version of each
   * block), then deletes those that it replaced. Never touches a segment after `oldestNeeded`. Safe to run twice, safe to be killed.
   */
  compact(
    diskId: DiskId,
    oldestNeeded: Position,
  ): Promise<{ readonly deletedBytes: number; readonly writtenBytes: number }>;

  /** A full read of everything. Source: RELIABILITY (restic's lesson: a quick check finds no bit flip). */
  verifyAll(anchors: VaultAnchors, onProgress?: (doneBytes: number, totalBytes: number) => void): Promise<VaultReport>;
};

/** Changed blocks of one disk, as one agent sent them. */
export type ChangeBatch = {
  readonly epoch: number;
  /** The position that this batch follows, as the sender knows it. */
  readonly previous: Position;
  readonly diskSizeBytes: number;
  /**
   * What the sender says that the writes are (hex; protocol/content-digest.ts): they are checked against it before anything is
   * stored, and a repeated send of the same batch is recognised by it.
   */
  readonly contentDigest: string;
  /** Sorted by offset, non-overlapping, whole 64 KiB blocks (the disk's last block may be short). */
  readonly writes: readonly { readonly offsetBytes: number; readonly data: Buffer }[];
};

export type AppendOutcome =
  | { readonly kind: 'appended'; readonly position: Position; readonly storedBytes: number }
  /** The same batch was stored before; nothing was written. */
  | { readonly kind: 'already-there'; readonly position: Position }
  /** The writes are not those that the content digest names; nothing was written. */
  | { readonly kind: 'content-mismatch' }
  /** The disk is somewhere else; the sender starts again from there. */
  | { readonly kind: 'position-mismatch'; readonly position: Position };

export type DiskReader = {
  readonly sizeBytes: number;
  /**
   * Rejects with OutageError when a frame is missing, changed or of another segment: never returns such bytes.
   *
   * @param allocate memory for the answer, which the caller recycles; a reader that has its own may answer with that
   */
  read(offsetBytes: number, lengthBytes: number, allocate?: (lengthBytes: number) => Buffer): Promise<Buffer>;
  /** Sorted runs of blocks that were ever written with something other than zeros; all else reads as zeros. */
  allocated(): readonly { readonly offsetBytes: number; readonly lengthBytes: number }[];
  close(): Promise<void>;
};

/** Something in the vault that is not as it must be. */
export type VaultFinding = {
  readonly blob: string;
  readonly problem: 'missing' | 'truncated' | 'changed' | 'swapped' | 'rolled-back' | 'unsigned' | 'unreadable';
  /** A sentence for a person: what is wrong and what it means for recovery. */
  readonly detail: string;
};

/** Segments that are out of use. Positions from `firstSequence` on, before `repairedFrom`, can never be restored. */
export type CondemnedSegments = {
  /** The (first) segment's blob; it may be missing. */
  readonly blob: string;
  readonly epoch: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly problem: VaultFinding['problem'];
  /** From this sequence on positions count again: their sender has compared the whole disk. Undefined: not yet. */
  readonly repairedFrom: number | undefined;
};

/** What is known outside the vault, so that a removed tail is found too. */
export type VaultAnchors = {
  /** The newest point that was committed, per machine. */
  readonly newestPoints: readonly {
    readonly machineId: MachineId;
    readonly pointId: string;
    readonly manifestDigest: string;
  }[];
};

export type VaultReport = {
  readonly segmentCount: number;
  readonly pointCount: number;
  readonly readBytes: number;
  readonly findings: readonly VaultFinding[];
  /** For people: what was lost before and is out of use. Nothing needs to be done about it. */
  readonly condemned: readonly VaultFinding[];
};

import type { DiskId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import type { Position } from '../../domain/position.ts';
import { diskNames, parseBlobName } from './blob-names.ts';
import type { DiskMap } from './disk-map.ts';
import { mapFromFooters } from './disk-view.ts';
import { covers, type LogListing, listLog, logListing } from './log-listing.ts';
import { writeMap } from './map-checkpoint.ts';
import { readSegmentEnds, type SegmentReadDeps, type StoredSegment } from './segment-reads.ts';
import { readTrashNote, writeTrashNote } from './trash-note.ts';

export type DeletionDeps = SegmentReadDeps & {
  readonly keyEncryptionKey: Buffer;
  readonly trashGraceMs: number;
  readonly nowMs: () => number;
};

/** The disk as it must still read at the oldest needed position after the deletion. */
export type Deletion = { readonly diskId: DiskId; readonly at: Position; readonly map: DiskMap };

/**
 * Deletes the segments that lie inside a wider one, once their time of grace is over.
 *
 * @returns the bytes that came back
 */
export async function deleteReplaced(deps: DeletionDeps, deletion: Deletion): Promise<number> {
  const { diskId, at } = deletion;
  const listing = await listLog(deps, diskId);
  const due = new Map<string, StoredSegment>();
  const notes: string[] = [];
  for (const wide of await replacements(deps, listing, at)) {
    const note = diskNames(deps.vaultId, diskId).trash(wide.epoch, wide.lastSequence);
    if (!(await isDue(deps, note, wide.name))) continue;
    for (const narrow of [...listing.segments, ...listing.unused])
      if (covers(wide, narrow)) due.set(narrow.name, narrow);
    notes.push(note);
  }
  if (due.size === 0) return 0;
  await checkWhole(
    deps,
    deletion,
    logListing(
      listing.segments.filter(({ name }) => !due.has(name)),
      listing.condemned,
    ),
  );
  for (const name of due.keys()) await deps.store.delete(name);
  for (const name of notes) await deps.store.delete(name);
  await replaceMaps(deps, deletion);
  return [...due.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Authentic segments that stand for narrower ones and give every position from `at` on. */
async function replacements(deps: DeletionDeps, listing: LogListing, at: Position): Promise<StoredSegment[]> {
  const found: StoredSegment[] = [];
  for (const wide of listing.segments) {
    const single = wide.firstSequence === wide.lastSequence || wide.lastSequence > at.sequence;
    if (single || !listing.segments.some((narrow) => covers(wide, narrow))) continue;
    const { header } = await readSegmentEnds(deps, wide);
    if (header.validFromSequence <= at.sequence) found.push(wide);
  }
  return found;
}

/** The first time a note is left; when its time has come, the segments may go. */
async function isDue(deps: DeletionDeps, noteName: string, replacedBy: string): Promise<boolean> {
  const known = await readTrashNote(deps, noteName);
  if (known !== undefined) return deps.nowMs() >= known.deleteAfterMs;
  await writeTrashNote(deps, noteName, { replacedBy, deleteAfterMs: deps.nowMs() + deps.trashGraceMs });
  return deps.trashGraceMs === 0;
}

/** The last look before a deletion: what stays must give the same disk, block for block. */
async function checkWhole(deps: DeletionDeps, { diskId, at, map }: Deletion, kept: LogListing): Promise<void> {
  const left = await mapFromFooters(deps, { diskId, at, listing: kept });
  if (left.digests.equals(map.digests)) return;
  throw new OutageError(`compact the disk ${diskId}: without the replaced segments it would read differently`, {
    retryable: false,
    nextStep: 'Nothing was deleted. Run a full verification of the vault and report this.',
  });
}

/** Stored maps up to that position name segments that are gone: one new map takes their place. */
async function replaceMaps(deps: DeletionDeps, { diskId, at }: Deletion): Promise<void> {
  const old: string[] = [];
  for await (const { name } of deps.store.list(diskNames(deps.vaultId, diskId).mapFolder)) {
    const parsed = parseBlobName(deps.vaultId, name);
    if (parsed.kind === 'map' && parsed.sequence <= at.sequence) old.push(name);
  }
  for (const name of old) await deps.store.delete(name);
  const fresh = await mapFromFooters(deps, { diskId, at, listing: await listLog(deps, diskId) });
  await writeMap(deps, diskId, fresh);
}

import type { DiskId } from '../../domain/ids.ts';
import { describeCauses } from '../../domain/outage.ts';
import { type Position, samePosition } from '../../domain/position.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import type { SegmentEnds } from '../../protocol/segment.ts';
import { diskNames } from './blob-names.ts';
import { isLost, passOver } from './condemned.ts';
import { type LogListing, listLog } from './log-listing.ts';
import { readWholeSegment, type SegmentReadDeps, type StoredSegment } from './segment-reads.ts';
import type { CondemnedSegments, VaultFinding } from './vault.ts';

/** The segments of one disk that were read back: authentic ones by name, and what was wrong with the others. */
export type CheckedSegments = {
  readonly sound: ReadonlyMap<string, SegmentEnds>;
  readonly findings: VaultFinding[];
};

/** Reads back the segments. @param read every byte of one */
export async function checkSegments(
  read: (segment: StoredSegment) => Promise<SegmentEnds>,
  segments: readonly StoredSegment[],
  onRead: (bytes: number) => void,
): Promise<CheckedSegments> {
  const sound = new Map<string, SegmentEnds>();
  const findings: VaultFinding[] = [];
  for (const segment of segments) {
    try {
      sound.set(segment.name, await read(segment));
    } catch (error) {
      findings.push(findingOf(segment.name, error));
    }
    onRead(segment.sizeBytes);
  }
  return { sound, findings };
}

/** Reads back the segments of `(after, upTo]` and follows the chain between the two. */
export async function verifySegments(
  deps: SegmentReadDeps,
  diskId: DiskId,
  range: { readonly after: Position; readonly upTo: Position },
): Promise<VaultFinding[]> {
  const { after, upTo } = range;
  const listing = await listLog(deps, diskId);
  const inRange = listing.segments.filter(
    ({ epoch, lastSequence }) => epoch <= upTo.epoch && lastSequence > after.sequence && lastSequence <= upTo.sequence,
  );
  const readBack = async (segment: StoredSegment) => (await readWholeSegment(deps, segment)).ends;
  const checked = await checkSegments(readBack, inRange, () => undefined);
  const lost = listing.condemned.filter((each) => isLost(each, upTo)).map(condemnedFinding);
  return [...lost, ...checked.findings, ...chainFindings(deps.vaultId, { diskId, listing, ...range }, checked)];
}

type ChainRange = {
  readonly diskId: DiskId;
  readonly listing: LogListing;
  readonly after: Position;
  readonly upTo: Position;
};

/** Follows the back pointers from `upTo`; it stops at a segment that was found damaged already. */
function chainFindings(vaultId: string, range: ChainRange, checked: CheckedSegments): VaultFinding[] {
  const { listing, after, upTo, diskId } = range;
  let position = passOver(listing.condemned, upTo);
  while (position.sequence > after.sequence) {
    const link = linkTo(vaultId, diskId, { listing, checked, position, viewSequence: upTo.sequence });
    if (link.kind === 'broken') return link.finding === undefined ? [] : [link.finding];
    position = passOver(listing.condemned, link.ends.header.previous);
  }
  // A coalesced segment may reach back beyond `after`: then its digest cannot be compared any more.
  const meets = position.sequence < after.sequence || position.sequence === 0 || samePosition(position, after);
  if (meets) return [];
  const blob = segmentNameAt(vaultId, diskId, after);
  return [finding(blob, 'rolled-back', 'The disk’s log goes back to another segment than the one known before.')];
}

type Link =
  | { readonly kind: 'sound'; readonly ends: SegmentEnds }
  | { readonly kind: 'broken'; readonly finding: VaultFinding | undefined };

export type LinkSearch = {
  readonly listing: LogListing;
  readonly checked: CheckedSegments;
  readonly position: Position;
  /** The view that the chain is followed for: segments that lost versions which it needs do not count. */
  readonly viewSequence: number;
};

/** The authentic segment at a position; without one, what is wrong (nothing, when that is known already). */
export function linkTo(vaultId: string, diskId: DiskId, search: LinkSearch): Link {
  const { listing, checked, position } = search;
  const candidates = listing.endingAt(position.epoch, position.sequence);
  const sound = candidates
    .flatMap((segment) => checked.sound.get(segment.name) ?? [])
    .filter((ends) => ends.header.validFromSequence <= search.viewSequence);
  const match = sound.find((ends) => samePosition(ends.position, position));
  if (match !== undefined) return { kind: 'sound', ends: match };
  const blob = segmentNameAt(vaultId, diskId, position);
  if (sound.length > 0) {
    const detail = `Another segment than ${position.digest.slice(0, 12)}… stands here: it was put back or replaced.`;
    return { kind: 'broken', finding: finding(candidates[0]?.name ?? blob, 'rolled-back', detail) };
  }
  const isKnown = candidates.some((segment) => !checked.sound.has(segment.name));
  const detail = 'The segment is gone: the disk cannot be restored to this position or a later one.';
  return { kind: 'broken', finding: isKnown ? undefined : finding(blob, 'missing', detail) };
}

/** What a person is told of segments that are out of use. */
export function condemnedFinding(condemned: CondemnedSegments): VaultFinding {
  const { blob, problem, firstSequence, lastSequence, repairedFrom } = condemned;
  const which =
    firstSequence === lastSequence ? `Segment ${lastSequence}` : `Segments ${firstSequence} to ${lastSequence}`;
  const until = repairedFrom === undefined ? 'the disk is compared with its source' : `sequence ${repairedFrom}`;
  return finding(blob, problem, `${which} was lost: positions from there on, before ${until}, cannot be restored.`);
}

/** The name of the plain segment that ends at a position. */
export function segmentNameAt(vaultId: string, diskId: DiskId, { epoch, sequence }: Position): string {
  return diskNames(vaultId, diskId).segment({ epoch, firstSequence: sequence, lastSequence: sequence });
}

/** What a person is told of an error that a damaged blob caused; anything else is thrown on. */
export function findingOf(blob: string, error: unknown): VaultFinding {
  if (!(error instanceof DamagedBlobError)) throw error;
  return finding(error.blob ?? blob, error.damage, `${consequence(blob)} (${describeCauses(error)})`);
}

export function finding(blob: string, problem: VaultFinding['problem'], detail: string): VaultFinding {
  return { blob, problem, detail };
}

function consequence(blob: string): string {
  if (blob.endsWith('.seg')) return 'Points from this segment on cannot be restored for the blocks that it holds.';
  if (blob.endsWith('.map')) return 'This map is only a shortcut: recovery works without it, a little slower.';
  if (blob.endsWith('.key')) return 'Without this key nothing of the disk can be read.';
  if (blob.endsWith('.pt')) return 'This recovery point cannot be trusted and is not offered.';
  return 'It is not as the vault wrote it.';
}

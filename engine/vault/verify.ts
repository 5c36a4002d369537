import type { DiskId } from '../../domain/ids.ts';
import type { PointManifest } from '../../protocol/point-manifest.ts';
import type { SegmentEnds } from '../../protocol/segment.ts';
import { readAuditAnchor } from './audit-anchors.ts';
import { type BlobName, parseBlobName, vaultFileName, vaultFolder } from './blob-names.ts';
import { type Condemned, isLost, listCondemned, passOver } from './condemned.ts';
import { createDiskKeys, readDiskKey } from './disk-keys.ts';
import { mapFromFooters } from './disk-view.ts';
import { covers, type LogListing, logListing } from './log-listing.ts';
import { readMap } from './map-checkpoint.ts';
import type { PointDeps } from './point-store.ts';
import { createReadOnce, type ReadOnce } from './read-once.ts';
import { isDamage, readWholeSegment, type SegmentReadDeps, type StoredSegment } from './segment-reads.ts';
import { readTrashNote } from './trash-note.ts';
import type { VaultAnchors, VaultFinding, VaultReport } from './vault.ts';
import { readVaultFile } from './vault-file.ts';
import type { VaultKeys } from './vault-keys.ts';
import { anchorFindings, checkPoints, type PointReads, type StoredPoint } from './verify-points.ts';
import {
  type CheckedSegments,
  checkSegments,
  condemnedFinding,
  finding,
  findingOf,
  linkTo,
} from './verify-segments.ts';

export type VerifyDeps = Omit<SegmentReadDeps, 'diskKeys'> & { readonly keys: VaultKeys; readonly points: PointDeps };

type ListedBlob = { readonly name: string; readonly sizeBytes: number; readonly parsed: BlobName };
type Progress = (bytes: number) => void;

/** What one look at the vault leaves for the next one. */
type Known = {
  readonly points: PointReads;
  readonly segments: ReadOnce<SegmentEnds>;
  readonly files: ReadOnce<readonly VaultFinding[]>;
};

const looksMax = 3;

/**
 * Reads and authenticates every byte of the vault, with nothing remembered from before.
 *
 * Nobody stops writing for it: blobs come and go while they are listed and read. Where that looks like damage, the vault is listed anew, and only
 * what is still wrong then is told. Blobs that were read are not read again.
 */
export async function verifyAll(
  deps: VerifyDeps,
  anchors: VaultAnchors,
  onProgress: (doneBytes: number, totalBytes: number) => void,
): Promise<VaultReport> {
  const known: Known = {
    points: { manifests: createReadOnce(), notes: createReadOnce() },
    segments: createReadOnce(),
    files: createReadOnce(),
  };
  const first = await lookAtAll(deps, { anchors, known, onProgress });
  let { findings } = first;
  let newest = first;
  for (let look = 2; look <= looksMax && findings.length > 0; look += 1) {
    newest = await lookAtAll(deps, { anchors, known, onProgress: () => undefined });
    const places = new Set(findings.flatMap(placesOf));
    const still = newest.findings.filter((each) => placesOf(each).some((place) => places.has(place)));
    const isSettled = still.length === findings.length;
    findings = still;
    if (isSettled) break;
  }
  return { ...newest, readBytes: first.readBytes, findings };
}

type Look = {
  readonly anchors: VaultAnchors;
  readonly known: Known;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
};

async function lookAtAll(deps: VerifyDeps, { anchors, known, onProgress }: Look): Promise<VaultReport> {
  const blobs: ListedBlob[] = [];
  for await (const { name, sizeBytes } of deps.store.list(vaultFolder(deps.vaultId))) {
    blobs.push({ name, sizeBytes, parsed: parseBlobName(deps.vaultId, name) });
  }
  const totalBytes = blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0);
  let doneBytes = 0;
  const onRead: Progress = (bytes) => {
    doneBytes += bytes;
    onProgress(doneBytes, totalBytes);
  };
  const fileFindings = await checkVaultFile(deps, blobs, onRead);
  const checked = await checkPoints(deps.points, { points: pointsOf(blobs), reads: known.points }, onRead);
  const diskFindings: VaultFinding[] = [];
  const condemned: VaultFinding[] = [];
  for (const diskId of disksOf(blobs, checked.manifests)) {
    const ofDisk = blobs.filter(({ parsed }) => 'diskId' in parsed && parsed.diskId === diskId);
    const disk = await checkDisk(deps, { diskId, blobs: ofDisk, manifests: checked.manifests, known }, onRead);
    diskFindings.push(...disk.findings);
    condemned.push(...disk.condemned);
  }
  const anchorProblems = await checkAuditAnchors(deps, blobs, onRead);
  const strange = blobs.filter(({ parsed }) => parsed.kind === 'unknown');
  const findings = [
    ...fileFindings,
    ...strange.map(({ name }) =>
      finding(name, 'unreadable', 'This is nothing that the vault writes; recovery ignores it.'),
    ),
    ...checked.findings,
    ...anchorFindings(deps.vaultId, anchors, checked),
    ...anchorProblems,
    ...diskFindings,
  ];
  const segmentCount = blobs.filter(({ parsed }) => parsed.kind === 'segment').length;
  const pointCount = checked.manifests.length;
  return { segmentCount, pointCount, readBytes: doneBytes, findings: distinct(findings), condemned };
}

async function checkVaultFile(
  deps: VerifyDeps,
  blobs: readonly ListedBlob[],
  onRead: Progress,
): Promise<VaultFinding[]> {
  const name = vaultFileName(deps.vaultId);
  try {
    await readVaultFile(deps.store, deps.vaultId, deps.keys);
    return [];
  } catch (error) {
    return [findingOf(name, error)];
  } finally {
    onRead(blobs.find((blob) => blob.name === name)?.sizeBytes ?? 0);
  }
}

/** Whether the audit trail is as long as its newest anchor says is for whoever has the trail: the engine's database. */
async function checkAuditAnchors(
  deps: VerifyDeps,
  blobs: readonly ListedBlob[],
  onRead: Progress,
): Promise<VaultFinding[]> {
  const findings: VaultFinding[] = [];
  for (const { name, sizeBytes, parsed } of blobs) {
    if (parsed.kind !== 'audit-anchor') continue;
    await readAuditAnchor(deps.points, name).catch((error: unknown) => findings.push(findingOf(name, error)));
    onRead(sizeBytes);
  }
  return findings;
}

type DiskToCheck = {
  readonly diskId: DiskId;
  readonly blobs: readonly ListedBlob[];
  readonly manifests: readonly PointManifest[];
  readonly known: Known;
};

type CheckedDisk = { readonly findings: readonly VaultFinding[]; readonly condemned: readonly VaultFinding[] };

async function checkDisk(deps: VerifyDeps, disk: DiskToCheck, onRead: Progress): Promise<CheckedDisk> {
  const { store, vaultId } = deps;
  const keyDeps = { store, vaultId, keyEncryptionKey: deps.keys.keyEncryptionKey };
  // Keys are unwrapped anew: one that is gone from the vault must not be found in memory.
  const readDeps = { store, vaultId, diskKeys: createDiskKeys(keyDeps) };
  const findings: VaultFinding[] = [];
  const segments: StoredSegment[] = [];
  for (const { name, sizeBytes, parsed } of disk.blobs) {
    if (parsed.kind === 'segment') segments.push({ ...parsed, name, sizeBytes });
    if (parsed.kind === 'condemned' || parsed.kind === 'condemned-end') onRead(sizeBytes);
    if (parsed.kind !== 'key' && parsed.kind !== 'trash') continue;
    const check =
      parsed.kind === 'key' ? readDiskKey(keyDeps, parsed.diskId, parsed.keyId) : readTrashNote(keyDeps, name);
    await check.catch((error: unknown) => findings.push(findingOf(name, error)));
    onRead(sizeBytes);
  }
  const condemned = await listCondemned(readDeps, disk.diskId).catch((error: unknown) => {
    findings.push(findingOf(`${disk.diskId}/condemned`, error));
    return [];
  });
  const listing = logListing(segments, condemned);
  for (const { sizeBytes } of listing.unused) onRead(sizeBytes);
  const readSegment = (segment: StoredSegment) =>
    disk.known.segments(segment.name, async () => (await readWholeSegment(readDeps, segment)).ends);
  const checked = await checkSegments(readSegment, listing.segments, onRead);
  findings.push(...checked.findings, ...orderFindings(vaultId, disk, { listing, checked }));
  for (const { name, sizeBytes, parsed } of disk.blobs) {
    if (parsed.kind !== 'map') continue;
    findings.push(...(await disk.known.files(name, () => mapFindings(readDeps, disk.diskId, { name, listing }))));
    onRead(sizeBytes);
  }
  return { findings, condemned: condemned.map((each) => lostFinding(each, disk)) };
}

/** Says which points were lost with a condemned segment. */
function lostFinding(condemned: Condemned, { diskId, manifests }: DiskToCheck): VaultFinding {
  const told = condemnedFinding(condemned);
  const lost = manifests.filter(({ disks }) =>
    disks.some((disk) => disk.diskId === diskId && isLost(condemned, disk.position)),
  );
  if (lost.length === 0) return told;
  return {
    ...told,
    detail: `${told.detail} Recovery points lost with it: ${lost.map((each) => each.pointId).join(', ')}.`,
  };
}

type Log = { readonly listing: LogListing; readonly checked: CheckedSegments };

/** Checks that every segment follows one that is there, and that every point's position is there. */
function orderFindings(vaultId: string, disk: DiskToCheck, { listing, checked }: Log): VaultFinding[] {
  const { segments, condemned } = listing;
  const search = { listing, checked };
  const findings: VaultFinding[] = [];
  for (const segment of segments) {
    const ends = checked.sound.get(segment.name);
    if (ends === undefined || ends.header.firstSequence === 1 || isCovered(segment, segments)) continue;
    const position = passOver(condemned, ends.header.previous);
    if (position.sequence === 0) continue;
    const link = linkTo(vaultId, disk.diskId, { ...search, position, viewSequence: Number.MAX_SAFE_INTEGER });
    if (link.kind === 'broken' && link.finding !== undefined) findings.push(link.finding);
  }
  for (const manifest of disk.manifests) {
    const position = manifest.disks.find(({ diskId }) => diskId === disk.diskId)?.position;
    if (position === undefined || position.sequence === 0) continue;
    // Told with the segment that was lost.
    if (condemned.some((each) => isLost(each, position))) continue;
    const link = linkTo(vaultId, disk.diskId, { ...search, position, viewSequence: position.sequence });
    if (link.kind === 'sound' || link.finding === undefined) continue;
    const detail = `${link.finding.detail} Recovery point ${manifest.pointId} of ${manifest.machineName} needs it.`;
    findings.push({ ...link.finding, detail });
  }
  return findings;
}

/** A segment inside a wider one was replaced and waits for deletion; what was before it may be gone already. */
function isCovered(segment: StoredSegment, segments: readonly StoredSegment[]): boolean {
  return segments.some((other) => covers(other, segment));
}

/** A stored map must say the same as the footers, when the segments up to it are still there one by one. */
async function mapFindings(
  deps: SegmentReadDeps,
  diskId: DiskId,
  { name, listing }: { name: string; listing: LogListing },
): Promise<VaultFinding[]> {
  try {
    const stored = await readMap(deps, diskId, name);
    // It was written before something was lost, and is not used any more.
    if (listing.condemned.some((each) => isLost(each, stored.position))) return [];
    const start = { diskId, at: stored.position, listing };
    const rebuilt = await mapFromFooters(deps, start).catch((error: unknown) => {
      // Its segments were coalesced (or are damaged, which is reported there): nothing to compare with.
      if (isDamage(error)) return undefined;
      throw error;
    });
    if (rebuilt === undefined || rebuilt.digests.equals(stored.digests)) return [];
    return [
      finding(
        name,
        'unreadable',
        'This stored map says something else than the segments. Delete it: it is only a shortcut.',
      ),
    ];
  } catch (error) {
    return [findingOf(name, error)];
  }
}

function pointsOf(blobs: readonly ListedBlob[]): StoredPoint[] {
  return blobs.flatMap(({ name, sizeBytes, parsed }) =>
    parsed.kind === 'point' || parsed.kind === 'gone' ? [{ ...parsed, kind: parsed.kind, name, sizeBytes }] : [],
  );
}

/** The disks that have a blob, and those that only a point speaks of: they were removed altogether. */
function disksOf(blobs: readonly ListedBlob[], manifests: readonly PointManifest[]): ReadonlySet<DiskId> {
  const stored = blobs.flatMap(({ parsed }) => ('diskId' in parsed ? [parsed.diskId] : []));
  const named = manifests.flatMap((manifest) => manifest.disks.map(({ diskId }) => diskId));
  return new Set([...stored, ...named]);
}

function distinct(findings: readonly VaultFinding[]): VaultFinding[] {
  return [...new Map(findings.map((each) => [keyOf(each), each])).values()];
}

/** What was damaged in one look may be gone in the next, and then goes by the name of what should be there. */
function placesOf({ blob }: VaultFinding): string[] {
  const folder = blob.slice(0, blob.lastIndexOf('/') + 1);
  // `<first>-<last>` of a segment, `<number>-<point>` of a point.
  const parts = blob
    .slice(folder.length)
    .replace(/\.\w+$/, '')
    .split('-');
  const telling = blob.endsWith('.seg') ? parts.slice(-1) : parts.filter((part) => part !== 'unknown');
  return telling.map((part) => folder + part);
}

function keyOf({ blob, problem }: VaultFinding): string {
  return `${blob} ${problem}`;
}

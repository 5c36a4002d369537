import { manifestDigest, type PointManifest } from '../../protocol/point-manifest.ts';
import { type PointName, pointName } from './blob-names.ts';
import { type GoneNote, type PointDeps, readGoneNote, readPoint } from './point-store.ts';
import type { ReadOnce } from './read-once.ts';
import type { VaultAnchors, VaultFinding } from './vault.ts';
import { finding, findingOf } from './verify-segments.ts';

export type StoredPoint = PointName & {
  readonly kind: 'point' | 'gone';
  readonly name: string;
  readonly sizeBytes: number;
};

export type CheckedPoints = { readonly manifests: readonly PointManifest[]; readonly findings: VaultFinding[] };

export type PointReads = { readonly manifests: ReadOnce<PointManifest>; readonly notes: ReadOnce<GoneNote> };

/** Reads back every manifest, then checks that no number is missing in between and that each names the one before. */
export async function checkPoints(
  deps: PointDeps,
  { points, reads }: { readonly points: readonly StoredPoint[]; readonly reads: PointReads },
  onRead: (bytes: number) => void,
): Promise<CheckedPoints> {
  const manifests: PointManifest[] = [];
  const notes: GoneNote[] = [];
  const findings: VaultFinding[] = [];
  for (const point of points) {
    try {
      const { kind, name } = point;
      if (kind === 'point') manifests.push(await reads.manifests(name, () => readPoint(deps, name)));
      else notes.push(await reads.notes(name, () => readGoneNote(deps, name)));
    } catch (error) {
      findings.push(findingOf(point.name, error));
    }
    onRead(point.sizeBytes);
  }
  const machines = new Set(points.map((point) => point.machineId));
  for (const machineId of machines) {
    const ofMachine = points.filter((point) => point.machineId === machineId);
    findings.push(...numberFindings(deps.vaultId, ofMachine, { manifests, notes }));
  }
  return { manifests, findings };
}

type Known = { readonly manifests: readonly PointManifest[]; readonly notes: readonly GoneNote[] };

/** @param points of one machine, in order of number */
function numberFindings(vaultId: string, points: readonly StoredPoint[], known: Known): VaultFinding[] {
  const findings: VaultFinding[] = [];
  const numbers = new Set(points.map((point) => point.number));
  const highest = Math.max(...numbers);
  for (let number = Math.min(...numbers); number < highest; number += 1) {
    const { machineId } = points[0]!;
    if (!numbers.has(number)) {
      const blob = pointName(vaultId, { machineId, number, pointId: 'unknown' }, 'pt');
      findings.push(finding(blob, 'missing', `Recovery point number ${number} was removed by nobody that may.`));
      continue;
    }
    findings.push(...linkFindings(vaultId, { machineId, number }, known));
  }
  return findings;
}

/** Compares what the next point says of this one with this one. */
function linkFindings(vaultId: string, at: Pick<PointName, 'machineId' | 'number'>, known: Known): VaultFinding[] {
  const isAt = (number: number) => (each: { machineId: string; number: number }) =>
    each.machineId === at.machineId && each.number === number;
  const manifest = known.manifests.find(isAt(at.number));
  const note = known.notes.find(isAt(at.number));
  const next = known.manifests.find(isAt(at.number + 1));
  const digest = manifest === undefined ? note?.manifestDigest : manifestDigest(manifest);
  if (next === undefined || digest === undefined || next.previousDigest === digest) return [];
  const pointId = manifest?.pointId ?? note?.pointId ?? 'unknown';
  const blob = pointName(vaultId, { ...at, pointId }, manifest === undefined ? 'gone' : 'pt');
  return [finding(blob, 'rolled-back', 'The next recovery point names another one before it: this one was put back.')];
}

/** Compares with what is known outside the vault: so a removed newest point is found too. */
export function anchorFindings(vaultId: string, anchors: VaultAnchors, checked: CheckedPoints): VaultFinding[] {
  return anchors.newestPoints.flatMap(({ machineId, pointId, manifestDigest: expected }) => {
    const manifest = checked.manifests.find((each) => each.machineId === machineId && each.pointId === pointId);
    if (manifest === undefined) {
      const isKnown = checked.findings.some(({ blob }) => blob.includes(`/${machineId}/`) && blob.includes(pointId));
      const detail = `The newest recovery point of ${machineId} is not in the vault any more.`;
      return isKnown ? [] : [finding(`v1/${vaultId}/grp/${machineId}/${pointId}.pt`, 'missing', detail)];
    }
    if (manifestDigest(manifest) === expected) return [];
    const detail = 'This recovery point is signed, but it is not the one that was committed.';
    return [finding(pointName(vaultId, manifest, 'pt'), 'rolled-back', detail)];
  });
}

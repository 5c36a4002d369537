import { type DiskId, isId, type MachineId } from '../../domain/ids.ts';
import type { SegmentRange } from '../../protocol/disk-map-body.ts';

/** Where each kind of blob of a vault lies. Format: docs/formats/vault.md */

const epochDigits = 6;
const sequenceDigits = 12;

/** The folder of everything that one vault holds. */
export function vaultFolder(vaultId: string): string {
  return `v1/${vaultId}/`;
}

export function vaultFileName(vaultId: string): string {
  return `${vaultFolder(vaultId)}vault.json`;
}

/** Names of one disk's blobs. */
export type DiskNames = {
  readonly folder: string;
  readonly keyFolder: string;
  readonly logFolder: string;
  readonly mapFolder: string;
  readonly trashFolder: string;
  readonly condemnedFolder: string;
  key(keyId: string): string;
  epochFolder(epoch: number): string;
  segment(range: SegmentRange): string;
  map(epoch: number, sequence: number): string;
  trash(epoch: number, lastSequence: number): string;
  /** `bad`: the range is out of use; `end`: from which position on the disk was compared without it. */
  condemned(range: SegmentRange, kind: 'bad' | 'end'): string;
};

export function diskNames(vaultId: string, diskId: DiskId): DiskNames {
  const folder = `${vaultFolder(vaultId)}${diskId}/`;
  const epochFolder = (epoch: number) => `${folder}log/${padded(epoch, epochDigits)}/`;
  const rangeText = ({ firstSequence, lastSequence }: SegmentRange) =>
    `${padded(firstSequence, sequenceDigits)}-${padded(lastSequence, sequenceDigits)}`;
  const segment = (range: SegmentRange) => `${epochFolder(range.epoch)}${rangeText(range)}.seg`;
  const numbered = (kind: string, epoch: number, sequence: number) =>
    `${folder}${kind}/${padded(epoch, epochDigits)}/${padded(sequence, sequenceDigits)}`;
  return {
    folder,
    keyFolder: `${folder}key/`,
    logFolder: `${folder}log/`,
    mapFolder: `${folder}map/`,
    trashFolder: `${folder}trash/`,
    condemnedFolder: `${folder}condemned/`,
    key: (keyId) => `${folder}key/${keyId}.key`,
    epochFolder,
    segment,
    map: (epoch, sequence) => `${numbered('map', epoch, sequence)}.map`,
    trash: (epoch, lastSequence) => `${numbered('trash', epoch, lastSequence)}.json`,
    condemned: (range, kind) => `${folder}condemned/${padded(range.epoch, epochDigits)}/${rangeText(range)}.${kind}`,
  };
}

export function pointFolder(vaultId: string, machineId?: MachineId): string {
  return machineId === undefined ? `${vaultFolder(vaultId)}grp/` : `${vaultFolder(vaultId)}grp/${machineId}/`;
}

export type PointName = { readonly machineId: MachineId; readonly number: number; readonly pointId: string };

/** `kind`: the point's manifest, or the note that it was removed on purpose. */
export function pointName(vaultId: string, point: PointName, kind: 'pt' | 'gone'): string {
  return `${pointFolder(vaultId, point.machineId)}${padded(point.number, sequenceDigits)}-${point.pointId}.${kind}`;
}

/** Anchors of the audit trail. */
export function auditFolder(vaultId: string): string {
  return `${vaultFolder(vaultId)}audit/`;
}

/** One for each hour (UTC), so that names are in order of time. */
export function auditAnchorName(vaultId: string, atMs: number): string {
  return `${auditFolder(vaultId)}${new Date(atMs).toISOString().slice(0, 13).replace(/[-T]/g, '')}.json`;
}

/** What a blob's name says that it is. */
export type BlobName =
  | { readonly kind: 'vault-file' }
  | { readonly kind: 'key'; readonly diskId: DiskId; readonly keyId: string }
  | ({ readonly kind: 'segment' | 'condemned' | 'condemned-end'; readonly diskId: DiskId } & SegmentRange)
  | { readonly kind: 'map' | 'trash'; readonly diskId: DiskId; readonly epoch: number; readonly sequence: number }
  | ({ readonly kind: 'point' | 'gone' } & PointName)
  | { readonly kind: 'audit-anchor' }
  | { readonly kind: 'unknown' };

/** Reads a name; `unknown` for anything that this vault's code does not write. */
export function parseBlobName(vaultId: string, name: string): BlobName {
  const folder = vaultFolder(vaultId);
  if (!name.startsWith(folder)) return { kind: 'unknown' };
  const path = name.slice(folder.length);
  if (path === 'vault.json') return { kind: 'vault-file' };
  if (/^audit\/\d{10}\.json$/.test(path)) return { kind: 'audit-anchor' };
  return parsePoint(path) ?? parseDiskBlob(path) ?? { kind: 'unknown' };
}

function parsePoint(path: string): BlobName | undefined {
  const match = /^grp\/(mch_\w{10})\/(\d{12})-(rp_\w{10})\.(pt|gone)$/.exec(path);
  const [, machineId, number, pointId, extension] = match ?? [];
  if (machineId === undefined || !isId('machine', machineId) || pointId === undefined) return undefined;
  return { kind: extension === 'pt' ? 'point' : 'gone', machineId, number: Number(number), pointId };
}

function parseDiskBlob(path: string): BlobName | undefined {
  const [, diskId, rest] = /^(dsk_\w{10})\/(.+)$/.exec(path) ?? [];
  if (diskId === undefined || rest === undefined || !isId('disk', diskId)) return undefined;
  const key = /^key\/(k\d{6})\.key$/.exec(rest)?.[1];
  if (key !== undefined) return { kind: 'key', diskId, keyId: key };
  const ranged = /^(log\/.+seg|condemned\/.+bad|condemned\/.+end)$/.test(rest)
    ? /^[a-z]+\/(\d{6})\/(\d{12})-(\d{12})\.(seg|bad|end)$/.exec(rest)
    : undefined;
  if (ranged) {
    const [epoch, firstSequence, lastSequence] = ranged.slice(1, 4).map(Number) as [number, number, number];
    const kind = ({ seg: 'segment', bad: 'condemned', end: 'condemned-end' } as const)[
      ranged[4] as 'seg' | 'bad' | 'end'
    ];
    return { kind, diskId, epoch, firstSequence, lastSequence };
  }
  const numbered = /^(map|trash)\/(\d{6})\/(\d{12})\.(?:map|json)$/.exec(rest);
  if (!numbered) return undefined;
  const kind = numbered[1] === 'map' ? 'map' : 'trash';
  return { kind, diskId, epoch: Number(numbered[2]), sequence: Number(numbered[3]) };
}

function padded(count: number, digits: number): string {
  return String(count).padStart(digits, '0');
}

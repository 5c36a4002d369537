import { type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import type { MachineId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import {
  canonicalText,
  manifestDigest,
  type PointManifest,
  pointManifestSchema,
} from '../../protocol/point-manifest.ts';
import { type PointName, parseBlobName, pointFolder, pointName } from './blob-names.ts';
import type { BlobStore } from './blob-store.ts';

export const signatureText = z.string().regex(/^[A-Za-z0-9_-]{86}$/);
const pointBlobSchema = z.strictObject({ manifest: pointManifestSchema, signature: signatureText });
const goneSchema = z.strictObject({
  format: z.literal('lifeboat-point-gone/1'),
  vaultId: z.string(),
  machineId: z.string(),
  number: z.number().int(),
  pointId: z.string(),
  manifestDigest: z.string().regex(/^[0-9a-f]{64}$/),
});
/** Says that a point between others was removed on purpose. */
export type GoneNote = z.infer<typeof goneSchema>;
const goneBlobSchema = z.strictObject({ note: goneSchema, signature: signatureText });
const pointBytesMax = 262_144;

export type PointDeps = {
  readonly store: BlobStore;
  readonly vaultId: string;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject | undefined;
};

/** Signs and writes a manifest. `exists`: it was written before. @throws OutageError when its number is taken */
export async function putPoint(deps: PointDeps, manifest: PointManifest): Promise<'created' | 'exists'> {
  const signed = { manifest: pointManifestSchema.parse(manifest), signature: '' };
  if (manifest.vaultId !== deps.vaultId) {
    throw new OutageError(`write the point ${manifest.pointId}: it belongs to another vault`, { retryable: false });
  }
  const name = pointName(deps.vaultId, manifest, 'pt');
  for await (const taken of pointNames(deps, manifest.machineId)) {
    if (taken.kind === 'point' && taken.number === manifest.number && taken.pointId !== manifest.pointId) {
      throw new OutageError(`write the point ${name}: its number is that of ${taken.pointId}`, { retryable: false });
    }
  }
  const text = canonicalText({ ...signed, signature: signText(deps, canonicalText(manifest)) });
  return deps.store.put(name, [Buffer.from(text)]);
}

/** All points, by machine, oldest first. @throws DamagedBlobError at the first one that is not as it was signed */
export async function* readPoints(deps: PointDeps, machineId?: MachineId): AsyncGenerator<PointManifest> {
  for await (const { kind, name } of pointNames(deps, machineId)) {
    if (kind === 'point') yield await readPoint(deps, name);
  }
}

/** Reads one manifest and checks signature, form and name. @throws DamagedBlobError */
export async function readPoint(deps: PointDeps, name: string): Promise<PointManifest> {
  const { manifest, signature } = await readSigned(deps, name, pointBlobSchema);
  checkSignature(deps, name, { text: canonicalText(manifest), signature });
  if (pointName(manifest.vaultId, manifest, 'pt') !== name) throw swapped(name, manifest);
  return manifest;
}

/** Reads the note of a removed point and checks it. @throws DamagedBlobError */
export async function readGoneNote(deps: PointDeps, name: string): Promise<GoneNote> {
  const { note, signature } = await readSigned(deps, name, goneBlobSchema);
  checkSignature(deps, name, { text: canonicalText(note), signature });
  const parsed = parseBlobName(note.vaultId, name);
  const same =
    parsed.kind === 'gone' &&
    parsed.machineId === note.machineId &&
    parsed.number === note.number &&
    parsed.pointId === note.pointId;
  if (!same) throw swapped(name, note);
  return note;
}

/**
 * Removes a point. When older points stay, a signed note stays too, so that the gap is known to be meant;
 * notes before the oldest point are not needed and are cleared away.
 */
export async function deletePoint(deps: PointDeps, manifest: PointManifest): Promise<void> {
  const { vaultId, store } = deps;
  const names: NamedPoint[] = [];
  for await (const each of pointNames(deps, manifest.machineId)) names.push(each);
  const older = names.some((each) => each.kind === 'point' && each.number < manifest.number);
  if (older) {
    const { machineId, number, pointId } = manifest;
    const digest = manifestDigest(manifest);
    const note = { format: 'lifeboat-point-gone/1', vaultId, machineId, number, pointId, manifestDigest: digest };
    const text = canonicalText({ note, signature: signText(deps, canonicalText(note)) });
    await store.put(pointName(vaultId, manifest, 'gone'), [Buffer.from(text)]);
  }
  await store.delete(pointName(vaultId, manifest, 'pt'));
  const left = names.filter((each) => each.kind === 'point' && each.number !== manifest.number);
  const oldest = Math.min(...left.map((each) => each.number));
  for (const each of names) if (each.kind === 'gone' && each.number < oldest) await store.delete(each.name);
}

export type NamedPoint = PointName & { readonly kind: 'point' | 'gone'; readonly name: string };

async function* pointNames(deps: PointDeps, machineId?: MachineId): AsyncGenerator<NamedPoint> {
  for await (const { name } of deps.store.list(pointFolder(deps.vaultId, machineId))) {
    const parsed = parseBlobName(deps.vaultId, name);
    if (parsed.kind === 'point' || parsed.kind === 'gone') yield { ...parsed, name };
  }
}

/** Reads a signed blob of the vault; its signature is still to be checked. @throws DamagedBlobError */
export async function readSigned<Schema extends z.ZodType>(
  deps: PointDeps,
  name: string,
  schema: Schema,
): Promise<z.infer<Schema>> {
  const bytes = await deps.store.get(name);
  if (bytes === undefined) throw new DamagedBlobError('missing', `read the point ${name}`);
  if (bytes.length > pointBytesMax) throw new DamagedBlobError('changed', `read the point ${name}: it is too long`);
  try {
    const blob = schema.parse(JSON.parse(bytes.toString('utf8')));
    if (!Buffer.from(canonicalText(blob)).equals(bytes)) throw new Error('it is not in canonical form');
    return blob;
  } catch (cause) {
    throw new DamagedBlobError(isCut(bytes) ? 'truncated' : 'changed', `read the point ${name}`, { cause });
  }
}

function isCut(bytes: Buffer): boolean {
  return bytes.at(-1) !== '}'.charCodeAt(0);
}

/** @throws DamagedBlobError unless the text was signed with this vault's key */
export function checkSignature(deps: PointDeps, name: string, signed: { text: string; signature: string }): void {
  const signature = Buffer.from(signed.signature, 'base64url');
  const canonical = signature.toString('base64url') === signed.signature;
  if (canonical && verify(null, Buffer.from(signed.text), deps.publicKey, signature)) return;
  throw new DamagedBlobError('unsigned', `check the signature of ${name}: it is not this vault's`);
}

function swapped(name: string, actual: { machineId: string; number: number; pointId: string }): DamagedBlobError {
  return new DamagedBlobError('swapped', `read ${name}: it is point ${actual.number} of ${actual.machineId}`);
}

/** @throws OutageError when this program does not have the signing key */
export function signText(deps: PointDeps, text: string): string {
  if (deps.signingKey === undefined) {
    throw new OutageError('sign a recovery point: this program does not have the signing key', {
      retryable: false,
      nextStep: 'Points are made by the engine; give it the signing key file.',
    });
  }
  return sign(null, Buffer.from(text), deps.signingKey).toString('base64url');
}

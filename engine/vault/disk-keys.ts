import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { DiskId } from '../../domain/ids.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import { deriveSegmentKeys, type SegmentKeys } from '../../protocol/segment-frame.ts';
import { diskNames } from './blob-names.ts';
import type { BlobStore } from './blob-store.ts';
import { unwrapKey, wrapKey } from './key-wrap.ts';

const hexOf = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
const keyFileSchema = z.strictObject({
  format: z.literal('lifeboat-key/1'),
  vaultId: z.string(),
  diskId: z.string(),
  keyId: z.string(),
  nonce: hexOf(12),
  wrapped: hexOf(32),
  tag: hexOf(16),
});

/** The keys of a vault's disks: wrapped in the vault, unwrapped only in memory. */
export type DiskKeys = {
  /** The key that new segments of the disk are sealed with; made on first use. */
  forWriting(diskId: DiskId): Promise<{ readonly keyId: string; readonly keys: SegmentKeys }>;
  /** @throws DamagedBlobError when the key blob is missing or changed */
  forReading(diskId: DiskId, keyId: string): Promise<SegmentKeys>;
};

export type DiskKeyDeps = { readonly store: BlobStore; readonly vaultId: string; readonly keyEncryptionKey: Buffer };

export function createDiskKeys(deps: DiskKeyDeps): DiskKeys {
  const known = new Map<string, SegmentKeys>();
  const newest = new Map<DiskId, string>();
  async function forReading(diskId: DiskId, keyId: string): Promise<SegmentKeys> {
    const cached = known.get(`${diskId}/${keyId}`);
    if (cached !== undefined) return cached;
    const keys = deriveSegmentKeys(await readDiskKey(deps, diskId, keyId));
    known.set(`${diskId}/${keyId}`, keys);
    return keys;
  }
  async function forWriting(diskId: DiskId) {
    const keyId = newest.get(diskId) ?? (await newestKeyId(deps, diskId)) ?? (await makeKey(deps, diskId));
    newest.set(diskId, keyId);
    return { keyId, keys: await forReading(diskId, keyId) };
  }
  return { forReading, forWriting };
}

/** Reads, checks and unwraps one key blob. @throws DamagedBlobError */
export async function readDiskKey(deps: DiskKeyDeps, diskId: DiskId, keyId: string): Promise<Buffer> {
  const name = diskNames(deps.vaultId, diskId).key(keyId);
  const bytes = await deps.store.get(name);
  const nextStep = `Restore ${name} from a copy of the vault. Without it this disk’s segments cannot be read.`;
  if (bytes === undefined)
    throw new DamagedBlobError('missing', `read the disk key ${name}: it is missing`, { nextStep, blob: name });
  const file = parse(bytes, name);
  const isOurs = file.vaultId === deps.vaultId && file.diskId === diskId && file.keyId === keyId;
  // Its own words decide the context, so that a whole key blob of another disk is known as such.
  const dataKey = unwrapKey(deps.keyEncryptionKey, contextOf(file.vaultId, file.diskId, file.keyId), file);
  if (dataKey === undefined)
    throw new DamagedBlobError('changed', `unwrap the disk key ${name}`, { nextStep, blob: name });
  if (!isOurs)
    throw new DamagedBlobError('swapped', `read ${name}: it is the key of ${file.diskId}`, { nextStep, blob: name });
  return dataKey;
}

function parse(bytes: Buffer, name: string): z.infer<typeof keyFileSchema> {
  try {
    const file = keyFileSchema.parse(JSON.parse(bytes.toString('utf8')));
    if (canonicalText(file) !== bytes.toString('latin1')) throw new Error('it is not in canonical form');
    return file;
  } catch (cause) {
    throw new DamagedBlobError(isCut(bytes) ? 'truncated' : 'changed', `read the disk key ${name}`, {
      cause,
      blob: name,
    });
  }
}

function isCut(bytes: Buffer): boolean {
  return bytes.at(-1) !== '}'.charCodeAt(0);
}

async function newestKeyId(deps: DiskKeyDeps, diskId: DiskId): Promise<string | undefined> {
  let newest: string | undefined;
  for await (const { name } of deps.store.list(diskNames(deps.vaultId, diskId).keyFolder)) {
    newest = /\/(k\d{6})\.key$/.exec(name)?.[1] ?? newest;
  }
  return newest;
}

async function makeKey(deps: DiskKeyDeps, diskId: DiskId): Promise<string> {
  const { vaultId, keyEncryptionKey } = deps;
  const keyId = 'k000001';
  const wrapped = wrapKey(keyEncryptionKey, contextOf(vaultId, diskId, keyId), randomBytes(32));
  const file = { format: 'lifeboat-key/1', vaultId, diskId, keyId, ...wrapped };
  // `exists`: another process server was faster; its key is read next.
  await deps.store.put(diskNames(vaultId, diskId).key(keyId), [Buffer.from(canonicalText(file))]);
  return keyId;
}

function contextOf(vaultId: string, diskId: string, keyId: string): string {
  return `lifeboat-key/1\n${vaultId}\n${diskId}\n${keyId}`;
}

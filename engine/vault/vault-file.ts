import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import { vaultFileName, vaultFolder } from './blob-names.ts';
import type { BlobStore } from './blob-store.ts';
import { keyCheckValue, vaultFileMac } from './key-wrap.ts';
import { publicKeyText, type VaultKeys } from './vault-keys.ts';

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const vaultFileSchema = z.strictObject({
  format: z.literal('lifeboat-vault/1'),
  vaultId: z.string().regex(/^[0-9a-z-]{1,64}$/),
  /** Ed25519, DER (SPKI), base64: whose signature makes a point. */
  signingPublicKey: z.string().max(200),
  keyCheck: hex32,
  mac: hex32,
});
type VaultFile = z.infer<typeof vaultFileSchema>;

export type VaultIdentity = { readonly vaultId: string; readonly pointPublicKey: KeyObject };

/** The id of the vault in a store; undefined when there is none. Names come in order, so one is enough. */
export async function findVaultId(store: BlobStore): Promise<string | undefined> {
  for await (const { name } of store.list('v1/')) return name.split('/')[1];
  return undefined;
}

/** Writes vault.json: after this the vault exists. @throws OutageError when the store has a vault already */
export async function writeVaultFile(store: BlobStore, vaultId: string, keys: VaultKeys): Promise<void> {
  if (keys.signingKey === undefined) {
    throw new OutageError('create a vault: the signing key is missing', {
      retryable: false,
      nextStep: 'Create the vault where both keys are, then give process servers the key encryption key alone.',
    });
  }
  const body = {
    format: 'lifeboat-vault/1' as const,
    vaultId,
    signingPublicKey: publicKeyText(keys.signingKey),
    keyCheck: keyCheckValue(keys.keyEncryptionKey, vaultId),
  };
  const mac = vaultFileMac(keys.keyEncryptionKey, canonicalText(body));
  const outcome = await store.put(vaultFileName(vaultId), [Buffer.from(canonicalText({ ...body, mac }))]);
  if (outcome === 'exists') {
    throw new OutageError(`create the vault ${vaultId} in ${store.description}: it is there already`, {
      retryable: false,
      nextStep: 'Open it instead.',
    });
  }
}

/** Reads and authenticates vault.json. @throws OutageError when it is missing, damaged, or belongs to another key */
export async function readVaultFile(store: BlobStore, vaultId: string, keys: VaultKeys): Promise<VaultIdentity> {
  const name = vaultFileName(vaultId);
  const bytes = await store.get(name);
  if (bytes === undefined) {
    throw new DamagedBlobError('missing', `open the vault in ${store.description}: ${name} is missing`, {
      nextStep: `Restore ${name} from a copy; it never changes. Nothing under ${vaultFolder(vaultId)} is lost.`,
    });
  }
  const file = parse(bytes, name);
  checkKey(file, keys, vaultId, store.description);
  return { vaultId, pointPublicKey: publicKeyOf(file) };
}

function parse(bytes: Buffer, name: string): VaultFile {
  try {
    const file = vaultFileSchema.parse(JSON.parse(bytes.toString('utf8')));
    if (canonicalText(file) !== bytes.toString('latin1')) throw new Error('it is not in canonical form');
    return file;
  } catch (cause) {
    throw new DamagedBlobError(bytes.at(-1) === 125 ? 'changed' : 'truncated', `read ${name}`, {
      cause,
      nextStep: `Restore ${name} from a copy; it is small and never changes.`,
    });
  }
}

function checkKey(file: VaultFile, keys: VaultKeys, vaultId: string, where: string): void {
  const { mac, ...body } = file;
  const macFits = vaultFileMac(keys.keyEncryptionKey, canonicalText(body)) === mac;
  if (macFits && file.vaultId === vaultId) return;
  if (file.keyCheck !== keyCheckValue(keys.keyEncryptionKey, file.vaultId)) {
    throw new DamagedBlobError(
      'changed',
      `open the vault ${vaultId} in ${where}: this key does not belong to this vault`,
      {
        nextStep:
          'Use the key encryption key that was made with this vault. (Or vault.json was changed: compare with a copy.)',
      },
    );
  }
  throw new DamagedBlobError('changed', `open the vault ${vaultId} in ${where}: vault.json was changed`);
}

function publicKeyOf(file: VaultFile): KeyObject {
  return createPublicKey({ key: Buffer.from(file.signingPublicKey, 'base64'), format: 'der', type: 'spki' });
}

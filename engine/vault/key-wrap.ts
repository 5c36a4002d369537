import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** AES-256-GCM around a 32-byte key; the context says which key of which disk of which vault it is. */
export type WrappedKey = { readonly nonce: string; readonly wrapped: string; readonly tag: string };

const keyBytes = 32;

/** Encrypts a data encryption key under the key encryption key. */
export function wrapKey(keyEncryptionKey: Buffer, context: string, dataKey: Buffer): WrappedKey {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', wrappingKey(keyEncryptionKey), nonce);
  cipher.setAAD(Buffer.from(context));
  const wrapped = Buffer.concat([cipher.update(dataKey), cipher.final()]);
  return {
    nonce: nonce.toString('hex'),
    wrapped: wrapped.toString('hex'),
    tag: cipher.getAuthTag().toString('hex'),
  };
}

/** The data encryption key; undefined when key, context or wrapped bytes are not those of `wrapKey`. */
export function unwrapKey(keyEncryptionKey: Buffer, context: string, key: WrappedKey): Buffer | undefined {
  const decipher = createDecipheriv('aes-256-gcm', wrappingKey(keyEncryptionKey), Buffer.from(key.nonce, 'hex'));
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(Buffer.from(key.tag, 'hex'));
  const dataKey = decipher.update(Buffer.from(key.wrapped, 'hex'));
  try {
    decipher.final();
  } catch {
    // The one expected failure: authentication. The caller names the blob and the damage.
    return undefined;
  }
  return dataKey.length === keyBytes ? dataKey : undefined;
}

/** Shows, without revealing the key, whether two programs hold the same key encryption key for a vault. */
export function keyCheckValue(keyEncryptionKey: Buffer, vaultId: string): string {
  return createHmac('sha256', derived(keyEncryptionKey, 'lifeboat/vault/1/key-check')).update(vaultId).digest('hex');
}

/** Authenticates vault.json under the key encryption key. */
export function vaultFileMac(keyEncryptionKey: Buffer, text: string): string {
  return createHmac('sha256', derived(keyEncryptionKey, 'lifeboat/vault/1/vault-file')).update(text).digest('hex');
}

function wrappingKey(keyEncryptionKey: Buffer): Buffer {
  return derived(keyEncryptionKey, 'lifeboat/vault/1/wrap');
}

function derived(keyEncryptionKey: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', keyEncryptionKey, '', info, keyBytes));
}

/** Authenticates a trash note under the key encryption key. */
export function trashNoteMac(keyEncryptionKey: Buffer, text: string): string {
  return createHmac('sha256', derived(keyEncryptionKey, 'lifeboat/vault/1/trash-note')).update(text).digest('hex');
}

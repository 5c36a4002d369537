import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OutageError } from '../../domain/outage.ts';
import { createDurably } from '../../protocol/durable-file.ts';

/**
 * The vault's two secrets, in files of their own: never in the vault, never in Postgres.
 *
 * The key encryption key opens every disk's data. The signing key makes points; a process server does not have it.
 */
export type VaultKeys = { readonly keyEncryptionKey: Buffer; readonly signingKey: KeyObject | undefined };

export const keyEncryptionKeyFile = 'vault-kek.key';
export const signingKeyFile = 'vault-signing.pem';
const keyBytes = 32;

/** Makes both keys in a folder (mode 0700, files 0600), durably. @throws OutageError when keys are there already */
export async function createVaultKeys(folder: string): Promise<VaultKeys> {
  await attempt(`create the key folder ${folder}`, () => mkdir(folder, { recursive: true, mode: 0o700 }));
  const keyEncryptionKey = randomBytes(keyBytes);
  const signingKey = generateKeyPairSync('ed25519').privateKey;
  const pem = signingKey.export({ type: 'pkcs8', format: 'pem' });
  await writeSecret(join(folder, keyEncryptionKeyFile), keyEncryptionKey);
  await writeSecret(join(folder, signingKeyFile), Buffer.from(pem));
  return { keyEncryptionKey, signingKey };
}

/** Reads the keys; without a signing key file the vault can be written and read, but makes no points. */
export async function loadVaultKeys(folder: string): Promise<VaultKeys> {
  const path = join(folder, keyEncryptionKeyFile);
  const keyEncryptionKey = await readFileIfThere(path);
  if (keyEncryptionKey === undefined) throw keyProblem(`load the vault’s key ${path}: there is no such file`);
  if (keyEncryptionKey.length !== keyBytes)
    throw keyProblem(`load the vault’s key ${path}: it is not a key of 32 bytes`);
  const pem = await readFileIfThere(join(folder, signingKeyFile));
  return { keyEncryptionKey, signingKey: pem === undefined ? undefined : parseSigningKey(pem, folder) };
}

/** The public half, as it stands in vault.json: DER (SPKI) in base64. */
export function publicKeyText(signingKey: KeyObject): string {
  return createPublicKey(signingKey).export({ type: 'spki', format: 'der' }).toString('base64');
}

function parseSigningKey(pem: Buffer, folder: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw keyProblem(`load the signing key ${join(folder, signingKeyFile)}`, cause);
  }
}

function keyProblem(message: string, cause?: unknown): OutageError {
  return new OutageError(message, {
    cause,
    retryable: false,
    nextStep:
      'Restore the key files from their safe copy. Without the key encryption key nothing in the vault can be read.',
  });
}

async function readFileIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw keyProblem(`read ${path}`, cause);
  });
}

function writeSecret(path: string, content: Buffer): Promise<void> {
  return attempt(`write the key file ${path}`, () => createDurably(path, content, 0o600));
}

async function attempt(what: string, action: () => Promise<unknown>): Promise<void> {
  await action().catch((cause: unknown) => {
    const nextStep = 'Existing keys are never replaced: use them, or choose another folder.';
    throw new OutageError(what, { cause, retryable: false, nextStep });
  });
}

import { createPublicKey } from 'node:crypto';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OutageError } from '../domain/outage.ts';
import { hourMs } from '../domain/units.ts';
import { replaceDurably } from '../protocol/durable-file.ts';
import { type Identity, isIdentityName } from '../protocol/identity.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type IssuedKeyPair,
  loadCertificateAuthority,
} from './certificate-authority.ts';
import type { EngineConfig } from './config.ts';
import { createVault, type OpenVault, openVault } from './vault/open-vault.ts';
import { findVaultId } from './vault/vault-file.ts';
import { createVaultKeys, keyEncryptionKeyFile, loadVaultKeys, type VaultKeys } from './vault/vault-keys.ts';
import { openBlobStore } from './vault/vault-location.ts';
import { vaultAnchorFile } from './vault-anchor.ts';

/** Where the engine keeps what is its own, below the state folder. */
export function foldersOf(config: EngineConfig) {
  const inState = (...parts: string[]) => join(config.stateFolder, ...parts);
  return {
    keys: inState('keys'),
    certificateAuthority: inState('certificate-authority'),
    people: inState('people'),
    bot: inState('bot'),
    processServer: inState('process-server'),
    /** Drills while they run, and the console pictures that stay. */
    target: inState('engine'),
    anchors: inState('engine', 'vault-anchors.json'),
  };
}

export type Installation = {
  readonly certificateAuthority: CertificateAuthority;
  readonly keys: VaultKeys;
  readonly vault: OpenVault;
  readonly serverKey: IssuedKeyPair;
};

/**
 * Makes what a first start needs and finds it again at every later one: certificate authority, vault keys, the vault itself, and fresh
 * certificates for the engine, the local process server and the local administrator. Nothing that is there is ever replaced but certificates.
 */
export async function prepareInstallation(config: EngineConfig, nowMs: number): Promise<Installation> {
  const folders = foldersOf(config);
  for (const folder of [folders.people, folders.bot, folders.processServer, folders.target]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  const certificateAuthority =
    (await loadCertificateAuthority(folders.certificateAuthority)) ??
    (await createCertificateAuthority(folders.certificateAuthority, nowMs));
  const { vault, keys } = await ensureVault(config);
  const hostNames = [new URL(config.url).hostname];
  const serverKey = await certificateAuthority.issueKeyPair(
    { kind: 'engine', name: config.name },
    { nowMs, hostNames },
  );
  await writeLocalCredentials(config, { certificateAuthority, keys, nowMs });
  return { certificateAuthority, keys, vault, serverKey };
}

type VaultAndKeys = { readonly vault: OpenVault; readonly keys: VaultKeys };

/**
 * Opens the vault with its keys. Only the very first start makes them: later, a new key or an empty vault would hide that the old one is
 * gone, so an engine that has put recovery points into a vault never starts with another one.
 */
async function ensureVault(config: EngineConfig): Promise<VaultAndKeys> {
  const folders = foldersOf(config);
  const isInUse = (await vaultAnchorFile(folders.anchors).read()).newestPoints.length > 0;
  const store = await openBlobStore(config.vault, isInUse ? 'must-exist' : 'create');
  if ((await findVaultId(store)) !== undefined) {
    const keys = await loadVaultKeys(folders.keys);
    return { keys, vault: await openVault({ store, keys }) };
  }
  if (isInUse) {
    throw new OutageError(`open the vault in ${store.description}: it is empty, but recovery points were put into it`, {
      retryable: false,
      nextStep: `Mount or restore the vault. To give it up and begin with an empty one, remove ${folders.anchors}.`,
    });
  }
  const keys = (await hasKeys(folders.keys)) ? await loadVaultKeys(folders.keys) : await createVaultKeys(folders.keys);
  return { keys, vault: await createVault({ store, keys }) };
}

async function hasKeys(folder: string): Promise<boolean> {
  return stat(join(folder, keyEncryptionKeyFile)).then(
    () => true,
    () => false,
  );
}

type LocalCredentials = {
  readonly certificateAuthority: CertificateAuthority;
  readonly keys: VaultKeys;
  readonly nowMs: number;
};

/**
 * Writes new certificates for the programs and the persons of the engine's own host. They live a week, so the engine
 * calls this at every start and twice a day.
 */
export async function writeLocalCredentials(config: EngineConfig, local: LocalCredentials): Promise<void> {
  const folders = foldersOf(config);
  for (const name of new Set(['admin', ...(await personsOnHost(config))])) {
    await writePersonCredentials(config, local, name);
  }
  await writeConnection(config, folders.bot, { name: 'bot', pair: await issue(local, { kind: 'bot', name: 'bot' }) });
  await writeKeyPair(
    folders.processServer,
    'server',
    await issue(local, { kind: 'process-server', name: config.name }),
  );
  if (local.keys.signingKey !== undefined) {
    const publicKey = createPublicKey(local.keys.signingKey).export({ type: 'spki', format: 'pem' });
    await replaceDurably(join(folders.processServer, 'grant-public-key.pem'), String(publicKey));
  }
}

/** Writes a person's certificate, key and connection file; what they may do is decided at each request. */
export async function writePersonCredentials(
  config: EngineConfig,
  local: Omit<LocalCredentials, 'keys'>,
  name: string,
): Promise<string> {
  const pair = await issue(local, { kind: 'person', name });
  return writeConnection(config, foldersOf(config).people, { name, pair });
}

/** Those who have a connection file there: removing it ends the renewal. */
async function personsOnHost(config: EngineConfig): Promise<string[]> {
  const files = await readdir(foldersOf(config).people);
  const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
  return names.filter(isIdentityName);
}

async function writeConnection(
  config: EngineConfig,
  folder: string,
  { name, pair }: { readonly name: string; readonly pair: IssuedKeyPair },
): Promise<string> {
  const files = await writeKeyPair(folder, name, pair);
  const file = join(folder, `${name}.json`);
  await replaceDurably(file, `${JSON.stringify({ engineUrl: config.url, name, ...files }, null, 2)}\n`);
  return file;
}

export const credentialRenewalMs = 12 * hourMs;

function issue(local: Omit<LocalCredentials, 'keys'>, identity: Identity): Promise<IssuedKeyPair> {
  return local.certificateAuthority.issueKeyPair(identity, { nowMs: local.nowMs });
}

async function writeKeyPair(folder: string, name: string, pair: IssuedKeyPair) {
  const files = {
    certificateFile: join(folder, `${name}.crt`),
    keyFile: join(folder, `${name}.key`),
    certificateAuthorityFile: join(folder, 'certificate-authority.crt'),
  };
  await replaceDurably(files.keyFile, pair.privateKey);
  await replaceDurably(files.certificateFile, pair.certificate);
  await replaceDurably(files.certificateAuthorityFile, pair.certificateAuthority);
  return files;
}

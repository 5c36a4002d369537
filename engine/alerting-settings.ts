import { join } from 'node:path';
import { OutageError } from '../domain/outage.ts';
import type { AlertingDeps } from './alerting/duties.ts';
import type { EngineConfig } from './config.ts';
import { foldersOf, type Installation } from './installation.ts';
import type { BlobStore } from './vault/blob-store.ts';
import { findVaultId } from './vault/vault-file.ts';
import { openBlobStore, type VaultLocation } from './vault/vault-location.ts';

type About = Pick<AlertingDeps, 'heartbeatEveryMs' | 'nowMs' | 'log'> & {
  readonly config: EngineConfig;
  readonly installation: Installation;
};

/** Where the engine says that it is alive; the watchdog's configuration names the same file. */
export function aliveFileOf(config: Pick<EngineConfig, 'stateFolder'>): string {
  return join(config.stateFolder, 'engine', 'alive.json');
}

/** What this installation's alerts watch. */
export function alertingOf({ config, installation, heartbeatEveryMs, nowMs, log }: About): Omit<AlertingDeps, 'store'> {
  const folders = foldersOf(config);
  const { certificateAuthority, vault } = installation;
  const vaultFolder = config.vault.kind === 'directory' ? [{ name: 'The vault', path: config.vault.folder }] : [];
  const certificate = (name: string, path: string, isRenewedByItself: boolean) => ({ name, path, isRenewedByItself });
  return {
    engineName: config.name,
    heartbeatEveryMs,
    pagerUrl: config.pagerUrl,
    aliveFile: aliveFileOf(config),
    nowMs,
    log,
    probeTargets: {
      vault: { description: vault.description, read: vaultReader(config.vault) },
      processServers: config.processServers,
      clientKey: () =>
        certificateAuthority.issueKeyPair({ kind: 'engine', name: config.name }, { nowMs: nowMs(), lifeMs: 600_000 }),
      folders: [{ name: 'The state folder', path: config.stateFolder }, ...vaultFolder],
      certificates: [
        certificate(
          'The certificate authority',
          join(folders.certificateAuthority, 'certificate-authority.crt'),
          false,
        ),
        certificate('The certificate of admin', join(folders.people, 'admin.crt'), true),
      ],
    },
  };
}

/** Lists the first name in the storage itself: an open vault answers much from memory. */
function vaultReader(location: VaultLocation): () => Promise<void> {
  let opened: Promise<BlobStore> | undefined;
  return async () => {
    try {
      opened ??= openBlobStore(location, 'must-exist');
      if ((await findVaultId(await opened)) !== undefined) return;
    } catch (error) {
      opened = undefined;
      throw error;
    }
    throw new OutageError('the vault is empty', { retryable: true, nextStep: 'See that its storage is mounted.' });
  };
}

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { openVault } from '../vault/open-vault.ts';
import { loadVaultKeys } from '../vault/vault-keys.ts';
import { openBlobStore, vaultLocation } from '../vault/vault-location.ts';
import { recoveryDiskConfig, serveRecoveryDisks } from './recovery-disk-server.ts';

/**
 * The process of one drill's recovery disks: `node recovery-disk-main.ts --recovery-disks <config.json>`.
 *
 * It lives apart from the engine, so that a drill goes on when the engine is stopped, killed or upgraded. It ends on SIGTERM, and by
 * itself when its drill's folder is gone.
 */
const vaultAccess = z.object({ location: vaultLocation, keysFolder: z.string() });

/** Frames of the vault that are kept opened for the machine's next reads. */
const frameCacheBytesMax = 134_217_728;

async function run(configFile: string): Promise<void> {
  const config = recoveryDiskConfig.parse(JSON.parse(readFileSync(configFile, 'utf8')));
  const { location, keysFolder } = vaultAccess.parse(config.vault);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  // Whoever can read the socket can read the disks.
  process.umask(0o077);
  const [store, keys] = await Promise.all([openBlobStore(location, 'must-exist'), loadVaultKeys(keysFolder)]);
  const vault = await openVault({ store, keys, sealerThreads: 0, frameCacheBytesMax });
  try {
    await serveRecoveryDisks(config, { openDisk: vault.openDisk, log, signal: stop.signal });
  } finally {
    await vault.close();
  }
}

function log(line: string): void {
  console.log(`${new Date().toISOString()} ${line}`);
}

try {
  await run(process.argv.at(-1) ?? '');
} catch (error) {
  const nextStep = error instanceof OutageError && error.nextStep !== undefined ? ` Next: ${error.nextStep}` : '';
  log(`failed: ${describeCauses(error)}.${nextStep}`);
  process.exitCode = 1;
}

import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { invariant } from '../domain/invariant.ts';
import { recoveryDisksOption } from '../engine/target/disk-server-process.ts';
import type { RecoveryDiskConfig } from '../engine/target/recovery-disk-server.ts';
import { startProcess } from './background-process.ts';
import type { BootSource } from './boot.ts';
import type { LifeboatSite } from './lifeboat-site.ts';
import { waitUntil } from './measure.ts';
import type { NbdServerContender, RunningNbdServer } from './nbd-servers.ts';

const program = join(import.meta.dirname, '../engine/target/recovery-disk-main.ts');
const exportName = 'disk0';
const startLimitMs = 60_000;

/** The process that serves a drill's disks, as a server to be measured: the site's newest point, from the vault. */
export function vaultServer(site: LifeboatSite, folder: string): NbdServerContender {
  return {
    name: 'lifeboat, vault',
    version: process.version,
    start: (socketPath) => startVaultServer(site, folder, socketPath),
  };
}

/** The site's newest point as a guest's disk, before a byte of it was restored. */
export function vaultSource(site: LifeboatSite, folder: string): BootSource {
  return {
    async start() {
      const socketPath = join(tmpdir(), `lifeboat-bench-${process.pid}.boot`);
      const server = await startVaultServer(site, folder, socketPath);
      const backing = ['-F', 'raw', '-b', `nbd+unix:///${exportName}?socket=${socketPath}`];
      return { backing, stop: server.stop };
    },
  };
}

async function startVaultServer(site: LifeboatSite, folder: string, socketPath: string): Promise<RunningNbdServer> {
  const [disk] = site.newestPoint().disks;
  invariant(disk, 'a point has a disk');
  const drillFolder = join(folder, 'drill');
  const readyPath = join(drillFolder, 'ready');
  const configFile = join(drillFolder, 'disks.json');
  await mkdir(drillFolder, { recursive: true });
  const config: RecoveryDiskConfig = {
    drillFolder,
    socketPath,
    readyPath,
    disks: [{ name: exportName, diskId: disk.diskId, position: disk.position, sizeBytes: disk.sizeBytes }],
    vault: { location: { kind: 'directory', folder: site.vaultFolder }, keysFolder: site.keysFolder },
  };
  await writeFile(configFile, JSON.stringify(config));
  const words = [process.execPath, program, recoveryDisksOption, configFile];
  const server = startProcess(words, join(folder, 'disk-server.log'));
  await waitUntil('the disk server to be ready', startLimitMs, () => {
    server.check();
    return existsSync(readyPath);
  });
  return {
    exportName,
    cpuSeconds: server.cpuSeconds,
    async stop() {
      await server.stop();
      await rm(drillFolder, { recursive: true, force: true });
    },
  };
}

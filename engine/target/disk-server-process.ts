import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { OutageError } from '../../domain/outage.ts';
import { type DrillFolder, exportName, lastLines } from './drill-folder.ts';
import { endProcess, type FoundProcess, findProcesses, isCode, startDetached } from './process-search.ts';
import type { RecoveryDiskConfig } from './recovery-disk-server.ts';
import type { DrillPlan } from './target.ts';

/** How a process of recovery disks is started, and what it needs to open the vault. */
export type DiskServerLaunch = {
  /** Program and first arguments, e.g. `[node, …/engine/target/recovery-disk-main.ts]`. */
  readonly command: readonly string[];
  /** Written into its JSON file as `vault`; its main file reads it. Paths, not secrets. */
  readonly vault: unknown;
};

/** The argument before the configuration's path: the two together are how the process is found again. */
export const recoveryDisksOption = '--recovery-disks';

/** Opening a disk at a point reads its map from the vault; a big one over a slow line takes a while. */
const readyLimitMs = 120_000;
const pollMs = 20;
const endLimitMs = 3_000;

export function findDiskServers(paths: DrillFolder): Promise<FoundProcess[]> {
  return findProcesses([recoveryDisksOption, paths.diskServerConfig]);
}

/** Starts the drill's disk server unless it runs, and waits until its disks can be read. */
export async function ensureDiskServer(plan: DrillPlan, paths: DrillFolder, launch: DiskServerLaunch): Promise<void> {
  const running = await findDiskServers(paths);
  if (running.length > 0) {
    await waitUntilReady(paths, async () => (await findDiskServers(paths)).length === 0);
    return;
  }
  await rm(paths.diskServerReady, { force: true });
  await writeConfig(plan, paths, launch);
  const command = [...launch.command, recoveryDisksOption, paths.diskServerConfig];
  const child = await startDetached(command, paths.diskServerLog);
  await waitUntilReady(paths, async () => child.hasEnded());
}

export async function endDiskServers(paths: DrillFolder): Promise<void> {
  for (const server of await findDiskServers(paths)) await endProcess(server, endLimitMs);
}

async function writeConfig(plan: DrillPlan, paths: DrillFolder, launch: DiskServerLaunch): Promise<void> {
  const config: RecoveryDiskConfig = {
    drillFolder: paths.folder,
    socketPath: paths.diskSocket,
    readyPath: paths.diskServerReady,
    disks: plan.disks.map(({ diskId, position, sizeBytes }, index) => ({
      name: exportName(index),
      diskId,
      position,
      sizeBytes,
    })),
    vault: launch.vault,
  };
  await writeFile(`${paths.diskServerConfig}.new`, JSON.stringify(config, null, 2), { mode: 0o600 });
  await rename(`${paths.diskServerConfig}.new`, paths.diskServerConfig);
}

async function waitUntilReady(paths: DrillFolder, hasEnded: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + readyLimitMs;
  while (performance.now() < deadline) {
    if (await isReady(paths)) return;
    if (await hasEnded()) throw await notReady(paths, 'it ended at once');
    await pause(pollMs);
  }
  throw await notReady(paths, 'it is not ready in time');
}

/** Ready is only who runs now: a file left by one that was killed says nothing. */
async function isReady(paths: DrillFolder): Promise<boolean> {
  const pid = await readPid(paths.diskServerReady);
  if (pid === undefined) return false;
  return (await findDiskServers(paths)).some((server) => server.pid === pid);
}

async function readPid(file: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(file, 'utf8'), 10);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function notReady(paths: DrillFolder, why: string): Promise<OutageError> {
  const words = await lastLines(paths.diskServerLog, 1000);
  return new OutageError(`start the recovery disk server: ${why}. It said: ${words}`, {
    retryable: true,
    nextStep: 'Check that the vault can be read from this host, then try again.',
  });
}

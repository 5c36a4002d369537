import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type DrillId, isId, type RunId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { isCode } from './process-search.ts';
import type { DrillPlan } from './target.ts';

/** Where everything of one drill lies. The sockets have a folder of their own, because their paths must be short. */
export type DrillFolder = {
  readonly folder: string;
  readonly socketFolder: string;
  readonly diskSocket: string;
  readonly qmpSocket: string;
  readonly diskServerConfig: string;
  readonly diskServerReady: string;
  readonly diskServerLog: string;
  readonly machineRecord: string;
  readonly machineLog: string;
  readonly serialLog: string;
  readonly firmwareVariables: string;
  /** QEMU writes console dumps here; short-lived. */
  readonly screenDump: string;
  readonly textDump: string;
  overlay(diskIndex: number): string;
  /** These two stay when the drill is removed. */
  readonly keptPicture: string;
  readonly keptSerialLog: string;
};

/** Linux's sockaddr_un has 108 bytes, one of them for the end mark. */
export const socketPathBytesMax = 107;
const longestSocketName = '/qmp.sock';

/** Where a plan's machine lies: a drill's among the drills, a failed-over one apart from what may be thrown away. */
export function placeOf(stateFolder: string, plan: DrillPlan): DrillFolder {
  const { drillId, runId } = plan;
  return plan.purpose === 'failover'
    ? pathsIn(path.join(stateFolder, 'machines'), { stateFolder, drillId, runId })
    : drillFolder(stateFolder, drillId, runId);
}

export function drillFolder(stateFolder: string, drillId: DrillId, runId: RunId): DrillFolder {
  return pathsIn(drillsFolder(stateFolder), { stateFolder, drillId, runId });
}

function pathsIn(parent: string, place: { stateFolder: string; drillId: DrillId; runId: RunId }): DrillFolder {
  const { stateFolder, drillId, runId } = place;
  const folder = path.join(parent, drillId);
  const socketFolder = shortSocketFolder(stateFolder, drillId);
  const kept = path.join(picturesFolder(stateFolder), runId);
  return {
    folder,
    socketFolder,
    diskSocket: path.join(socketFolder, 'nbd.sock'),
    qmpSocket: path.join(socketFolder, 'qmp.sock'),
    diskServerConfig: path.join(folder, 'disk-server.json'),
    diskServerReady: path.join(folder, 'disk-server.ready'),
    diskServerLog: path.join(folder, 'disk-server.log'),
    machineRecord: path.join(folder, 'machine.json'),
    machineLog: path.join(folder, 'machine.log'),
    serialLog: path.join(folder, 'serial.log'),
    firmwareVariables: path.join(folder, 'firmware-variables.fd'),
    screenDump: path.join(folder, 'screen.ppm'),
    textDump: path.join(folder, 'screen-text.bin'),
    overlay: (diskIndex) => path.join(folder, `overlay${diskIndex}.qcow2`),
    keptPicture: `${kept}.png`,
    keptSerialLog: `${kept}.serial.log`,
  };
}

/** What is kept of drills and failovers when they are over. */
export function picturesFolder(stateFolder: string): string {
  return path.join(stateFolder, 'pictures');
}

function drillsFolder(stateFolder: string): string {
  return path.join(stateFolder, 'drills');
}

/** The first of the system's temporary folders in which a socket's path is short enough. */
export function shortSocketFolder(
  stateFolder: string,
  drillId: DrillId,
  roots = [os.tmpdir(), '/tmp', '/run'],
): string {
  const name = `lb-${createHash('sha256')
    .update(`${path.resolve(stateFolder)}\n${drillId}`)
    .digest('hex')
    .slice(0, 16)}`;
  const folders = roots.map((root) => path.join(root, name));
  const fitting = folders.find((folder) => Buffer.byteLength(folder + longestSocketName) <= socketPathBytesMax);
  if (fitting !== undefined) return fitting;
  throw new OutageError(`make a socket folder for drill ${drillId}: every temporary folder has too long a path`, {
    retryable: false,
    nextStep: 'Set TMPDIR to a folder with a path of at most 70 characters and start the engine again.',
  });
}

/** Makes the drill's folders, for their owner only. Refuses a socket folder that somebody else has put there. */
export async function makeDrillFolder(paths: DrillFolder): Promise<void> {
  await mkdir(paths.folder, { recursive: true, mode: 0o700 });
  await mkdir(path.dirname(paths.keptPicture), { recursive: true, mode: 0o700 });
  await mkdir(paths.socketFolder, { recursive: true, mode: 0o700 });
  const status = await lstat(paths.socketFolder);
  const isOurs = status.isDirectory() && status.uid === process.getuid?.() && (status.mode & 0o077) === 0;
  if (isOurs) return;
  throw new OutageError(`use ${paths.socketFolder} for sockets: it is not a private folder of our own`, {
    retryable: false,
    nextStep: `See who made ${paths.socketFolder}, remove it, and start the drill again.`,
  });
}

export async function deleteDrillFolder(paths: DrillFolder): Promise<void> {
  await rm(paths.socketFolder, { recursive: true, force: true });
  await rm(paths.folder, { recursive: true, force: true });
}

export async function drillsIn(stateFolder: string): Promise<DrillId[]> {
  try {
    return (await readdir(drillsFolder(stateFolder))).filter((name) => isId('drill', name));
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The name under which disk number n is served to the drill's machine. */
export function exportName(diskIndex: number): string {
  return `disk${diskIndex}`;
}

/** The last lines of a text file, at most so many bytes of it; empty when there is no such file. */
export async function lastLines(file: string, bytesMax = 2000): Promise<string> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const start = Math.max(0, size - bytesMax);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
      return buffer.toString('utf8', 0, bytesRead).trim();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isCode(error, 'ENOENT')) return '';
    throw error;
  }
}

import { rename, stat, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { type DiskId, idPattern } from '../../domain/ids.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { Position } from '../../domain/position.ts';
import { positionSchema } from '../../protocol/point-manifest.ts';
import type { DiskReader } from '../vault/vault.ts';
import { exportOf } from './nbd-export.ts';
import { type NbdServer, startNbdServer } from './nbd-server.ts';
import { isCode } from './process-search.ts';

/** What one process of recovery disks is told in its JSON file; `vault` is read by the main file alone. */
export const recoveryDiskConfig = z.object({
  /** When this folder is gone, so is the drill: the process ends by itself. */
  drillFolder: z.string().min(1),
  socketPath: z.string().min(1),
  /** Written when the disks can be read; holds the process's pid. */
  readyPath: z.string().min(1),
  disks: z
    .array(
      z.object({
        name: z.string().min(1),
        diskId: z.custom<DiskId>((value) => typeof value === 'string' && idPattern('disk').test(value)),
        position: positionSchema,
        sizeBytes: z.number().int().min(1),
      }),
    )
    .min(1)
    .max(64),
  vault: z.unknown(),
});
export type RecoveryDiskConfig = z.infer<typeof recoveryDiskConfig>;

export type RecoveryDiskDeps = {
  readonly openDisk: (diskId: DiskId, at: Position) => Promise<DiskReader>;
  /** One line of the process's log, which is what a failed boot is explained with. */
  readonly log: (line: string) => void;
  /** Ends the server. */
  readonly signal: AbortSignal;
};

const folderCheckMs = 500;
/** A guest may read a broken place again and again. */
const readErrorLineMax = 500;

/** Serves a point's disks until told to end, or until the drill's folder is gone. */
export async function serveRecoveryDisks(config: RecoveryDiskConfig, deps: RecoveryDiskDeps): Promise<void> {
  const readers = await openReaders(config, deps);
  try {
    const server = await startNbdServer({
      socketPath: config.socketPath,
      exports: config.disks.map((disk, index) => exportOf(disk.name, readers[index]!)), // one reader per disk
      onReadError: readErrorLog(deps.log),
      onClientError: (error) => deps.log(`client cut off: ${describeCauses(error)}`),
    });
    await serveUntilOver(server, config, deps);
  } finally {
    await Promise.all(readers.map((reader) => reader.close()));
  }
}

async function openReaders(config: RecoveryDiskConfig, deps: RecoveryDiskDeps): Promise<DiskReader[]> {
  const readers: DiskReader[] = [];
  for (const { diskId, position, sizeBytes } of config.disks) {
    const reader = await deps.openDisk(diskId, position);
    readers.push(reader);
    if (reader.sizeBytes === sizeBytes) continue;
    throw new OutageError(`open disk ${diskId}: the vault has ${reader.sizeBytes} bytes, the point says ${sizeBytes}`, {
      retryable: false,
      nextStep: 'Choose another recovery point and verify the vault.',
    });
  }
  return readers;
}

async function serveUntilOver(server: NbdServer, config: RecoveryDiskConfig, deps: RecoveryDiskDeps): Promise<void> {
  try {
    await writeFile(`${config.readyPath}.new`, `${process.pid}\n`, { mode: 0o600 });
    await rename(`${config.readyPath}.new`, config.readyPath);
    deps.log(`serving ${config.disks.length} disks on ${config.socketPath}`);
    while (!deps.signal.aborted && (await isThere(config.drillFolder))) {
      await pause(folderCheckMs, undefined, { signal: deps.signal }).catch(ignoreAbort);
    }
  } finally {
    await server.close();
    deps.log('ended');
  }
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}

async function isThere(folder: string): Promise<boolean> {
  try {
    await stat(folder);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** How a refused read is logged; `recentReadErrors` finds these lines again. */
const readErrorMark = 'cannot read';

function readErrorLog(log: (line: string) => void) {
  let count = 0;
  return (failure: { exportName: string; offsetBytes: number; lengthBytes: number; error: unknown }) => {
    count += 1;
    if (count > readErrorLineMax) return;
    const place = `${failure.exportName} bytes ${failure.offsetBytes}+${failure.lengthBytes}`;
    log(`${readErrorMark} ${place}: ${describeCauses(failure.error)}`);
    if (count === readErrorLineMax) log('further read errors are not logged');
  };
}

/** The last refused read in the log's text, as it was logged; undefined when there is none. */
export function lastReadError(logText: string): string | undefined {
  return logText
    .split('\n')
    .filter((line) => line.includes(readErrorMark))
    .at(-1);
}

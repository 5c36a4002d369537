import { statfs } from 'node:fs/promises';
import type { SpoolReport } from '../protocol/agent-api.ts';
import type { SpoolBudget } from './hrl-spool.ts';

/** How full the spool is, and the file system that it lies on. */
export async function spoolRoom(budget: SpoolBudget, folder: string): Promise<SpoolReport> {
  return { usedBytes: budget.usedBytes(), bytesMax: budget.bytesMax, fileSystem: await fileSystemOf(folder) };
}

async function fileSystemOf(folder: string): Promise<SpoolReport['fileSystem']> {
  try {
    const { bsize, blocks, bfree, bavail } = await statfs(folder);
    return { usedBytes: (blocks - bfree) * bsize, freeBytes: bavail * bsize };
  } catch {
    // The spool's own writes say what is wrong with it; a heartbeat must not fail because of it.
    return null;
  }
}

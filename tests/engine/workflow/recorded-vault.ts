import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Vault } from '../../../engine/vault/vault.ts';

/** The end of each disk's log as a file: what a workflow sees of a vault. It keeps the contract of vault.ts: a repeated batch is found again. */
export function recordedVault(folder: string): Pick<Vault, 'append'> {
  return {
    async append(diskId, { epoch, previous, contentDigest }) {
      const logs = join(folder, 'logs');
      await mkdir(logs, { recursive: true });
      const file = join(logs, diskId);
      const position = { epoch, sequence: previous.sequence + 1, digest: contentDigest };
      const end = await readFile(file, 'utf8').catch(() => undefined);
      if (end === JSON.stringify(position)) return { kind: 'already-there', position };
      if (end !== undefined) return { kind: 'position-mismatch', position: JSON.parse(end) };
      await writeFile(file, JSON.stringify(position));
      return { kind: 'appended', position, storedBytes: 0 };
    },
  };
}

/** The epoch that a disk's log ended with; undefined while it was not closed. */
export async function closedEpoch(folder: string, diskId: string): Promise<number | undefined> {
  const end = await readFile(join(folder, 'logs', diskId), 'utf8').catch(() => undefined);
  return end === undefined ? undefined : JSON.parse(end).epoch;
}

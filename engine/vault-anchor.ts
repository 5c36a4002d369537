import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { idPattern, type MachineId } from '../domain/ids.ts';
import { OutageError } from '../domain/outage.ts';
import { replaceDurably } from '../protocol/durable-file.ts';
import type { VaultAnchors } from './vault/vault.ts';

const anchorFile = z.object({
  newestPoints: z.array(
    z.object({
      machineId: z.custom<MachineId>((value) => typeof value === 'string' && idPattern('machine').test(value)),
      pointId: z.string(),
      /** Of the point in its machine's chain. */
      number: z.number().int().min(1),
      manifestDigest: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});
type Anchor = z.infer<typeof anchorFile>['newestPoints'][number];

/**
 * The newest recovery point of each machine, kept outside the vault: a vault that was rolled back, or whose newest
 * points were
 * removed, cannot look whole. Source: RELIABILITY 2 (tail truncation)
 */
export type VaultAnchorFile = {
  /** Durable when it resolves. An older point than the one that is kept changes nothing. */
  note(anchor: Anchor): Promise<void>;
  read(): Promise<VaultAnchors>;
};

/** @param file absolute path; its folder is made when it is missing */
export function vaultAnchorFile(file: string): VaultAnchorFile {
  let last: Promise<void> = Promise.resolve();
  const noteNow = async (anchor: Anchor) => {
    const anchors = await readAnchors(file);
    const known = anchors.find((other) => other.machineId === anchor.machineId);
    if (known !== undefined && known.number >= anchor.number) return;
    const newestPoints = [...anchors.filter((other) => other !== known), anchor];
    newestPoints.sort((a, b) => (a.machineId < b.machineId ? -1 : 1));
    await replaceFile(file, { newestPoints });
  };
  return {
    note(anchor) {
      // One writer at a time.
      const done = last.then(() => noteNow(anchor));
      // Told to that caller already; the next one starts from the file.
      last = done.catch(() => undefined);
      return done;
    },
    async read() {
      return { newestPoints: await readAnchors(file) };
    },
  };
}

async function readAnchors(file: string): Promise<Anchor[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return '{"newestPoints":[]}';
    throw new OutageError(`read the vault's anchors from ${file}`, { cause, retryable: true });
  });
  try {
    return anchorFile.parse(JSON.parse(text)).newestPoints;
  } catch (cause) {
    throw new OutageError(`the vault's anchors in ${file} cannot be understood`, {
      cause,
      retryable: false,
      nextStep: 'Compare the newest points with the vault by hand (`lifeboat vault verify`), then remove the file.',
    });
  }
}

async function replaceFile(file: string, content: z.infer<typeof anchorFile>): Promise<void> {
  try {
    await mkdir(path.dirname(file), { recursive: true });
    await replaceDurably(file, JSON.stringify(content));
  } catch (cause) {
    throw new OutageError(`write the vault's anchors to ${file}`, {
      cause,
      retryable: true,
      nextStep: 'Check that the state folder has space left and can be written.',
    });
  }
}

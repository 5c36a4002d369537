import { randomBytes } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { blockBytes } from '../../../domain/extent.ts';
import { type DiskId, idFromBytes } from '../../../domain/ids.ts';
import { type Position, startPosition } from '../../../domain/position.ts';
import { mebibyte } from '../../../domain/units.ts';
import { createDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { createVault, type OpenVault } from '../../../engine/vault/open-vault.ts';
import type { ChangeBatch } from '../../../engine/vault/vault.ts';
import { createVaultKeys } from '../../../engine/vault/vault-keys.ts';
import { contentDigestOfWrites } from '../../../protocol/content-digest.ts';

export type TestVault = {
  readonly vault: OpenVault;
  readonly folder: string;
  /** What recovery-disk-main.ts is told of it. */
  readonly access: object;
};

export async function createTestVault(parent: string): Promise<TestVault> {
  const [folder, keysFolder] = [path.join(parent, 'vault'), path.join(parent, 'keys')];
  const store = await createDirectoryStore(folder);
  const vault = await createVault({ store, keys: await createVaultKeys(keysFolder) });
  return { vault, folder, access: { location: { kind: 'directory', folder }, keysFolder } };
}

const batchBytes = 8 * mebibyte;

/** Seals an image file into the vault as an initial replication would: blocks that are not zeros, in several segments. */
export async function replicate(vault: OpenVault, imagePath: string) {
  const diskId = idFromBytes('disk', randomBytes(10));
  const file = await open(imagePath);
  const { size: diskSizeBytes } = await file.stat();
  let position = startPosition(1);
  for (let at = 0; at < diskSizeBytes; at += batchBytes) {
    const length = Math.min(batchBytes, diskSizeBytes - at);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, at);
    position = await appendWrites(vault, diskId, { previous: position, diskSizeBytes, writes: blocksOf(buffer, at) });
  }
  await file.close();
  return { diskId, position, sizeBytes: diskSizeBytes };
}

async function appendWrites(
  vault: OpenVault,
  diskId: DiskId,
  batch: Pick<ChangeBatch, 'previous' | 'diskSizeBytes' | 'writes'>,
): Promise<Position> {
  if (batch.writes.length === 0) return batch.previous;
  const contentDigest = contentDigestOfWrites(batch.writes).toString('hex');
  const outcome = await vault.append(diskId, { ...batch, epoch: 1, contentDigest });
  if (outcome.kind !== 'appended') throw new Error(`the vault answered ${outcome.kind}`);
  return outcome.position;
}

function blocksOf(buffer: Buffer, startBytes: number): { offsetBytes: number; data: Buffer }[] {
  const zeros = Buffer.alloc(blockBytes);
  const writes: { offsetBytes: number; data: Buffer }[] = [];
  for (let at = 0; at < buffer.length; at += blockBytes) {
    const data = buffer.subarray(at, at + blockBytes);
    if (!data.equals(zeros.subarray(0, data.length))) writes.push({ offsetBytes: startBytes + at, data });
  }
  return writes;
}

/** The vault's segment files of a disk, in order. */
export async function segmentFiles(vaultFolder: string, diskId: DiskId): Promise<string[]> {
  const names = await readdir(vaultFolder, { recursive: true });
  return names
    .filter((name) => name.includes(diskId) && name.endsWith('.seg'))
    .sort()
    .map((name) => path.join(vaultFolder, name));
}

import { createHash, type Hash } from 'node:crypto';
import { counterOffsetBytes, guestCounter } from '../../demo/guest/guest-disk.ts';
import type { Layout } from '../../demo/layout.ts';
import { blockBytes, type Extent } from '../../domain/extent.ts';
import { readEngineConfig } from '../../engine/config.ts';
import { type OpenVault, openVault } from '../../engine/vault/open-vault.ts';
import type { DiskReader } from '../../engine/vault/vault.ts';
import { loadVaultKeys } from '../../engine/vault/vault-keys.ts';
import { openBlobStore } from '../../engine/vault/vault-location.ts';
import type { PointManifest } from '../../protocol/point-manifest.ts';

/** The vault of a site, opened beside its engine, as an auditor would: from the blobs and the keys alone. */
export async function openVaultOf(layout: Layout): Promise<OpenVault> {
  const config = await readEngineConfig(layout.engineConfig);
  const keys = await loadVaultKeys(`${layout.state}/keys`);
  return openVault({ store: await openBlobStore(config.vault, 'must-exist'), keys, sealerThreads: 0 });
}

export type PointContent = { readonly digest: string; readonly counters: readonly number[] };

const readBytes = 1_048_576;
const zeros = Buffer.alloc(blockBytes);

/** SHA-256 over every block of every disk of a point that is not all zeros, and the guest's counter on each disk. */
export async function contentOf(vault: OpenVault, manifest: PointManifest): Promise<PointContent> {
  const hash = createHash('sha256');
  const counters: number[] = [];
  for (const disk of manifest.disks) {
    const reader = await vault.openDisk(disk.diskId, disk.position);
    for (const extent of reader.allocated()) await hashExtent(hash, reader, extent);
    hash.update(disk.key);
    counters.push(guestCounter(await reader.read(counterOffsetBytes, 512)));
    await reader.close();
  }
  return { digest: hash.digest('hex'), counters };
}

async function hashExtent(hash: Hash, reader: DiskReader, extent: Extent): Promise<void> {
  for (let done = 0; done < extent.lengthBytes; done += readBytes) {
    const data = await reader.read(extent.offsetBytes + done, Math.min(readBytes, extent.lengthBytes - done));
    for (let at = 0; at < data.length; at += blockBytes) {
      const block = data.subarray(at, at + blockBytes);
      // A block of zeros may be stored or left out: that is not content.
      if (!block.equals(zeros.subarray(0, block.length)))
        hash.update(`${extent.offsetBytes + done + at}`).update(block);
    }
  }
}

export async function manifestOf(vault: OpenVault, pointId: string): Promise<PointManifest> {
  for await (const manifest of vault.points()) if (manifest.pointId === pointId) return manifest;
  throw new Error(`point ${pointId} is not in the vault`);
}

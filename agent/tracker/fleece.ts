import { open, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';

/**
 * The file that takes what the guest overwrites while a view is open: an empty qcow2 image, as large as the disk, on a raw node of a
 * fixed size. When that is full, QEMU gives up the view and the guest goes on.
 */

const clusterBits = 16;
const clusterBytes = 1 << clusterBits;
const entryBytes = 8;
/** Bytes of disk that one entry of the first table maps: 8,192 clusters of 64 KiB. */
const firstLevelEntryBytes = (clusterBytes / entryBytes) * clusterBytes;
const headerBytes = 104;
const firstLevelTableOffset = 3 * clusterBytes;

/** Where one disk's fleece file lies. */
export function fleecePath(folder: string, trackingId: string, index: number): string {
  return path.join(folder, `lifeboat-fleece-${trackingId}-${index}.qcow2`);
}

/** Makes the file; `capacityBytes` is its fixed size (sparse), beyond which QEMU gets "no space". */
export async function createFleeceFile(file: string, diskBytes: number, capacityBytes: number): Promise<void> {
  const image = emptyQcow2(diskBytes);
  invariant(capacityBytes >= image.length, `a fleece file has room for its own ${image.length} bytes of tables`);
  try {
    const handle = await open(file, 'w', 0o600);
    try {
      await handle.write(image);
      await handle.truncate(capacityBytes);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new OutageError(`make the fleece file ${file}`, {
      cause,
      retryable: true,
      nextStep: 'See whether the agent may write to this folder and whether it has room.',
    });
  }
}

/** Deletes all fleece files of a machine, also those of an agent that was killed. */
export async function removeFleeceFiles(folder: string, trackingId: string): Promise<void> {
  const names = await readdir(folder);
  const ours = names.filter((name) => name.startsWith(`lifeboat-fleece-${trackingId}-`));
  for (const name of ours) await rm(path.join(folder, name), { force: true });
}

/**
 * An image without data: header, one refcount table, one refcount block and the first-level table, in clusters of 64 KiB.
 *
 * Written here instead of by qemu-img, because a process for each disk of each capture costs more than the capture.
 * Source: qemu docs/interop/qcow2.txt
 */
export function emptyQcow2(diskBytes: number): Buffer {
  const entryCount = Math.ceil(diskBytes / firstLevelEntryBytes);
  const tableClusters = Math.max(1, Math.ceil((entryCount * entryBytes) / clusterBytes));
  const usedClusters = 3 + tableClusters;
  const image = Buffer.alloc(usedClusters * clusterBytes);
  image.write('QFI\xfb', 0, 'latin1');
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(clusterBits, 20);
  image.writeBigUInt64BE(BigInt(diskBytes), 24);
  image.writeUInt32BE(entryCount, 36);
  image.writeBigUInt64BE(BigInt(firstLevelTableOffset), 40);
  image.writeBigUInt64BE(BigInt(clusterBytes), 48);
  image.writeUInt32BE(1, 56);
  // 16-bit reference counts.
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(headerBytes, 100);
  image.writeBigUInt64BE(BigInt(2 * clusterBytes), clusterBytes);
  for (let cluster = 0; cluster < usedClusters; cluster++) image.writeUInt16BE(1, 2 * clusterBytes + 2 * cluster);
  return image;
}

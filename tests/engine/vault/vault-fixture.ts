import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blockBytes, blockCount } from '../../../domain/extent.ts';
import { type DiskId, idFromBytes, type MachineId, type RecoveryPointId } from '../../../domain/ids.ts';
import type { Position } from '../../../domain/position.ts';
import type { BlobStore } from '../../../engine/vault/blob-store.ts';
import { createDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { createVault, type OpenVault, openVault, type VaultOptions } from '../../../engine/vault/open-vault.ts';
import type { ChangeBatch, Vault } from '../../../engine/vault/vault.ts';
import { createVaultKeys, type VaultKeys } from '../../../engine/vault/vault-keys.ts';
import { contentDigestOfWrites } from '../../../protocol/content-digest.ts';
import { manifestDigest, type PointManifest } from '../../../protocol/point-manifest.ts';

export const newDiskId = (): DiskId => idFromBytes('disk', randomBytes(10));
export const newMachineId = (): MachineId => idFromBytes('machine', randomBytes(10));
export const newPointId = (): RecoveryPointId => idFromBytes('recoveryPoint', randomBytes(10));

export type VaultFixture = {
  readonly folder: string;
  /** Where the vault's blobs lie as files. */
  readonly root: string;
  readonly keysFolder: string;
  readonly store: BlobStore;
  readonly keys: VaultKeys;
  readonly vault: OpenVault;
  /** Another process's view: nothing in memory is shared. */
  reopen(options?: Partial<VaultOptions>): Promise<OpenVault>;
  remove(): Promise<void>;
};

export async function vaultFixture(options: Partial<VaultOptions> = {}): Promise<VaultFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-vault-'));
  const root = join(folder, 'vault');
  const keysFolder = join(folder, 'keys');
  const store = await createDirectoryStore(root);
  const keys = await createVaultKeys(keysFolder);
  const defaults = { store, keys, sealerThreads: 0, trashGraceMs: 0 };
  const vault = await createVault({ ...defaults, ...options });
  const opened = [vault];
  return {
    folder,
    root,
    keysFolder,
    store,
    keys,
    vault,
    async reopen(more = {}) {
      const another = await openVault({ ...defaults, ...options, ...more });
      opened.push(another);
      return another;
    },
    async remove() {
      await Promise.all(opened.map((each) => each.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One change of a disk as a test says it: a block and a byte to fill it from; 0 makes it zeros. */
export type BlockFill = { readonly block: number; readonly fill: number };

/** Content that no two fills share and that packs somewhat. */
export function filledBlock(fill: number, lengthBytes: number): Buffer {
  if (fill === 0) return Buffer.alloc(lengthBytes);
  const seed = createHash('sha512').update(`fill ${fill}`).digest();
  const block = Buffer.alloc(lengthBytes);
  for (let at = 0; at < lengthBytes; at += 128) seed.copy(block, at, 0, Math.min(64, lengthBytes - at));
  block.writeUInt8(fill % 251, lengthBytes - 1);
  return block;
}

/** A plain image that gets the same changes as the vault: the oracle. */
export class OracleDisk {
  image: Buffer;
  constructor(sizeBytes: number) {
    this.image = Buffer.alloc(sizeBytes);
  }
  /** Applies fills and gives the batch that says the same. Later fills of one block win. */
  batch(previous: Position, fills: readonly BlockFill[], epoch = previous.epoch): ChangeBatch {
    const latest = new Map(fills.map(({ block, fill }) => [block % blockCount(this.image.length), fill]));
    const writes = [...latest]
      .sort(([a], [b]) => a - b)
      .map(([block, fill]) => {
        const offsetBytes = block * blockBytes;
        const data = filledBlock(fill, Math.min(blockBytes, this.image.length - offsetBytes));
        data.copy(this.image, offsetBytes);
        return { offsetBytes, data };
      });
    const contentDigest = contentDigestOfWrites(writes).toString('hex');
    return { epoch, previous, diskSizeBytes: this.image.length, contentDigest, writes };
  }
  /** Changes the size; what is added reads as zeros. */
  resize(sizeBytes: number): void {
    const image = Buffer.alloc(sizeBytes);
    this.image.copy(image);
    this.image = image;
  }
}

/** Appends and returns the new position; any other outcome fails the test. */
export async function appended(vault: Vault, diskId: DiskId, batch: ChangeBatch): Promise<Position> {
  const outcome = await vault.append(diskId, batch);
  if (outcome.kind !== 'appended') throw new Error(`the batch was not appended: ${outcome.kind}`);
  return outcome.position;
}

/** The whole disk as a reader gives it, read in uneven pieces. */
export async function readImage(vault: Vault, diskId: DiskId, at: Position, pieceBytes = 300_001): Promise<Buffer> {
  const reader = await vault.openDisk(diskId, at);
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < reader.sizeBytes; offset += pieceBytes) {
    pieces.push(await reader.read(offset, Math.min(pieceBytes, reader.sizeBytes - offset)));
  }
  await reader.close();
  return Buffer.concat(pieces);
}

export type PointOfTest = {
  readonly machineId: MachineId;
  readonly number: number;
  readonly disks: readonly { readonly diskId: DiskId; readonly sizeBytes: number; readonly position: Position }[];
  readonly previous?: PointManifest | undefined;
};

export function manifestOf(vault: Vault, point: PointOfTest): PointManifest {
  return {
    format: 'lifeboat-point/1',
    vaultId: vault.id,
    pointId: newPointId(),
    machineId: point.machineId,
    machineName: 'vm-7',
    number: point.number,
    epoch: 1,
    kind: 'crash-consistent',
    takenAtMs: 1_700_000_000_000 + point.number,
    reason: '',
    hardware: { memoryBytes: 268_435_456, cpuCount: 1, firmware: 'bios' },
    disks: point.disks.map((disk, index) => ({ ...disk, key: `disk${index}` })),
    previousDigest: point.previous === undefined ? '0'.repeat(64) : manifestDigest(point.previous),
  };
}

/** Every file under a folder, with its path from there, in order. */
export async function namesIn(store: BlobStore, prefix = ''): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(prefix)) names.push(name);
  return names;
}

/** Byte for byte; quick on large images, and says where they differ first. */
export function expectSameBytes(actual: Buffer | undefined, expected: Buffer): void {
  if (actual?.equals(expected)) return;
  const at = expected.findIndex((byte, index) => byte !== actual?.[index]);
  throw new Error(`bytes differ from ${at} on (${actual?.length} bytes, expected ${expected.length})`);
}

import { randomBytes } from 'node:crypto';
import type { DiskId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import type { Position } from '../../domain/position.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { type AuditAnchors, createAuditAnchors } from './audit-anchors.ts';
import type { BlobStore } from './blob-store.ts';
import { compact } from './compaction.ts';
import { isLost, listCondemned } from './condemned.ts';
import { digestsOf } from './disk-digests.ts';
import { createDiskKeys } from './disk-keys.ts';
import { copyForReading, type DiskMap } from './disk-map.ts';
import { createDiskReader } from './disk-reader.ts';
import { createDiskStates } from './disk-state.ts';
import { loadDiskMap } from './disk-view.ts';
import { createFrameCache } from './frame-cache.ts';
import { createFrameSealer } from './frame-sealer.ts';
import { deletePoint, putPoint, readPoints } from './point-store.ts';
import type { SegmentReadDeps } from './segment-reads.ts';
import type { DiskReader, Vault } from './vault.ts';
import { findVaultId, readVaultFile, type VaultIdentity, writeVaultFile } from './vault-file.ts';
import { publicKeyText, type VaultKeys } from './vault-keys.ts';
import { verifyAll } from './verify.ts';
import { verifySegments } from './verify-segments.ts';

export type VaultOptions = {
  readonly store: BlobStore;
  readonly keys: VaultKeys;
  /** Which vault of the store; without it, the first one. */
  readonly vaultId?: string;
  /** Memory for opened frames, shared by all readers. */
  readonly frameCacheBytesMax?: number;
  /** Memory for the maps of disks that are being replicated. */
  readonly mapBytesMax?: number;
  /** How long a segment that a compaction replaced stays, so that open readers need not look again. */
  readonly trashGraceMs?: number;
  /** After so many segments a disk's map is stored as a shortcut. */
  readonly segmentsPerMap?: number;
  /** Threads that pack and encrypt; 0: none. */
  readonly sealerThreads?: number;
  readonly nowMs?: () => number;
};

/** A vault with the threads that it holds. */
export type OpenVault = Vault & AuditAnchors & { close(): Promise<void> };

const frameCacheBytesDefault = 134_217_728;
const mapBytesDefault = 268_435_456;
const segmentsPerMapDefault = 64;
const trashGraceDefaultMs = 600_000;

/** Makes a new vault in a store and opens it. @throws OutageError when the store has one, or cannot be written */
export async function createVault(options: VaultOptions): Promise<OpenVault> {
  await options.store.check();
  const found = options.vaultId ?? (await findVaultId(options.store));
  const vaultId = found ?? `vlt-${randomBytes(5).toString('hex')}`;
  await writeVaultFile(options.store, vaultId, options.keys);
  return openVault({ ...options, vaultId });
}

/**
 * Opens the vault of a store with its keys.
 *
 * @throws OutageError when there is no vault, it cannot be reached, or the keys belong to another one
 */
export async function openVault(options: VaultOptions): Promise<OpenVault> {
  const { store, keys } = options;
  await store.check();
  const vaultId = options.vaultId ?? (await findVaultId(store));
  if (vaultId === undefined) {
    throw new OutageError(`open the vault in ${store.description}: there is none`, {
      retryable: false,
      nextStep: 'Correct the place of the vault, or create a new vault there.',
    });
  }
  const identity = await readVaultFile(store, vaultId, keys);
  checkSigningKey(identity, keys, store.description);
  return assembleVault(options, identity);
}

function checkSigningKey(identity: VaultIdentity, keys: VaultKeys, where: string): void {
  if (keys.signingKey === undefined) return;
  const expected = identity.pointPublicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  if (publicKeyText(keys.signingKey) === expected) return;
  throw new OutageError(`open the vault in ${where}: this signing key does not belong to this vault`, {
    retryable: false,
    nextStep: 'Use the signing key that was made with this vault.',
  });
}

function assembleVault(options: VaultOptions, identity: VaultIdentity): OpenVault {
  const { store, keys } = options;
  const { vaultId } = identity;
  const diskKeys = createDiskKeys({ store, vaultId, keyEncryptionKey: keys.keyEncryptionKey });
  const sealer = createFrameSealer(options.sealerThreads);
  const cache = createFrameCache(options.frameCacheBytesMax ?? frameCacheBytesDefault);
  const nowMs = options.nowMs ?? Date.now;
  const deps = {
    store,
    vaultId,
    diskKeys,
    sealer,
    cache,
    nowMs,
    mapBytesMax: options.mapBytesMax ?? mapBytesDefault,
    segmentsPerMap: options.segmentsPerMap ?? segmentsPerMapDefault,
    keyEncryptionKey: keys.keyEncryptionKey,
    trashGraceMs: options.trashGraceMs ?? trashGraceDefaultMs,
  };
  const states = createDiskStates(deps);
  const pointDeps = { store, vaultId, publicKey: identity.pointPublicKey, signingKey: keys.signingKey };

  async function readerAt(diskId: DiskId, at: Position, load: () => Promise<DiskMap>): Promise<DiskReader> {
    const remembered = states.rememberedMap(diskId, at);
    const map = remembered === undefined ? await load() : copyForReading(remembered);
    return createDiskReader(deps, { diskId, map }, load);
  }
  async function openDisk(diskId: DiskId, at: Position): Promise<DiskReader> {
    await checkNotLost(deps, diskId, at);
    return readerAt(diskId, at, async () => {
      await checkNotLost(deps, diskId, at);
      return loadDiskMap(deps, diskId, at);
    });
  }
  async function digests(diskId: DiskId, firstBlock: number, count: number): Promise<Buffer> {
    const map = await states.newestMap(diskId);
    const { position } = map;
    return digestsOf(map, { firstBlock, count }, () =>
      readerAt(diskId, position, () => loadDiskMap(deps, diskId, position)),
    );
  }
  return {
    id: vaultId,
    description: `vault ${vaultId} in ${store.description}`,
    position: states.position,
    append: states.append,
    digests,
    openDisk,
    putPoint: (manifest) => putPoint(pointDeps, manifest),
    points: (machineId) => readPoints(pointDeps, machineId),
    ...createAuditAnchors(pointDeps),
    deletePoint: (manifest) => deletePoint(pointDeps, manifest),
    condemn: (diskId, findings) => states.condemn(diskId, new Set(findings.map(({ blob }) => blob))),
    condemned: (diskId) => listCondemned(deps, diskId),
    verifySegments: (diskId, after, upTo) => verifySegments(deps, diskId, { after, upTo }),
    verifyAll: (anchors, onProgress) =>
      verifyAll({ store, vaultId, keys, points: pointDeps }, anchors, onProgress ?? (() => undefined)),
    async compact(diskId, oldestNeeded) {
      const compacted = await compact(deps, diskId, oldestNeeded);
      states.forget(diskId);
      return compacted;
    },
    close: () => sealer.close(),
  };
}

/** @throws DamagedBlobError when what is left of the disk at that position may not be the disk */
async function checkNotLost(deps: SegmentReadDeps, diskId: DiskId, at: Position): Promise<void> {
  const lost = (await listCondemned(deps, diskId)).find((each) => isLost(each, at));
  if (lost === undefined) return;
  const message = `open the disk ${diskId} at sequence ${at.sequence}: ${lost.blob} was lost (${lost.problem})`;
  throw new DamagedBlobError(lost.problem, message, {
    nextStep: 'Use a recovery point from before it, or one that was taken after the disk was compared with its source.',
  });
}

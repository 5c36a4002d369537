import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { blockBytes } from '../../domain/extent.ts';
import type { AgentId, DiskId, MachineId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import type { Position } from '../../domain/position.ts';
import { createPointKeeper, type PointKeeper, type PointKeeperDeps } from '../../engine/recovery-points.ts';
import { listGuests, saveGuests } from '../../engine/store/agents.ts';
import { consumeToken, insertToken } from '../../engine/store/enrolment.ts';
import { enableMachine, findMachine } from '../../engine/store/machines.ts';
import { newId } from '../../engine/store/new-id.ts';
import type { Store } from '../../engine/store/open.ts';
import { listPoints } from '../../engine/store/points.ts';
import { openDirectoryStore } from '../../engine/vault/directory-store.ts';
import { createVault, type OpenVault, openVault } from '../../engine/vault/open-vault.ts';
import { createVaultKeys, type VaultKeys } from '../../engine/vault/vault-keys.ts';
import { type VaultAnchorFile, vaultAnchorFile } from '../../engine/vault-anchor.ts';
import type { AnnouncePointRequest } from '../../protocol/agent-api.ts';
import { contentDigestOfWrites } from '../../protocol/content-digest.ts';
import { manifestDigest } from '../../protocol/point-manifest.ts';

const diskSizeBytes = 4 * blockBytes;

/** A vault in a folder, as the data plane fills it and the engine reads it. */
export type TestVault = {
  readonly vault: OpenVault;
  readonly anchors: VaultAnchorFile;
  readonly folder: string;
  /** Another process's view of the same vault. */
  reopen(): Promise<OpenVault>;
  remove(): Promise<void>;
};

export async function makeTestVault(): Promise<TestVault> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-points-'));
  const folder = path.join(root, 'vault');
  await mkdir(folder);
  const keys: VaultKeys = await createVaultKeys(path.join(root, 'keys'));
  // What a compaction replaced may go at once: nobody reads meanwhile.
  const options = async () => ({ store: await openDirectoryStore(folder), keys, sealerThreads: 0, trashGraceMs: 0 });
  const vault = await createVault(await options());
  const others: OpenVault[] = [];
  return {
    vault,
    anchors: vaultAnchorFile(path.join(root, 'anchors.json')),
    folder,
    async reopen() {
      const other = await openVault(await options());
      others.push(other);
      return other;
    },
    async remove() {
      await Promise.all([vault, ...others].map((each) => each.close()));
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** A machine with two disks that is being replicated into the vault, as its agent sees it. */
export type TestMachine = {
  readonly agentId: AgentId;
  readonly machineId: MachineId;
  readonly diskIds: readonly DiskId[];
  /** Ships changes of both disks and gives back what the agent would announce then. */
  capture(more?: Partial<AnnouncePointRequest>): Promise<AnnouncePointRequest>;
  /** What the disk holds after the capture of that number, from 1. */
  contentAfter(captureNumber: number, disk: number): Buffer;
};

export async function replicateMachine(store: Store, vault: OpenVault, name: string): Promise<TestMachine> {
  const agentId = newId('agent');
  const machineId = await store.write((db) => enable(db, agentId, name));
  const machine = await store.read((db) => findMachine(db, machineId));
  invariant(machine, 'just enabled');
  const diskIds = machine.disks.map((disk) => disk.id);
  const contents = diskIds.map(() => [Buffer.alloc(diskSizeBytes)]);
  const ship = async (diskId: DiskId, disk: number): Promise<Position> => {
    const previous = await vault.position(diskId);
    const data = randomBytes(blockBytes);
    const history = contents[disk];
    invariant(history, 'a disk of the machine');
    const offsetBytes = ((history.length - 1) % 4) * blockBytes;
    const next = Buffer.from(history.at(-1) ?? '');
    data.copy(next, offsetBytes);
    history.push(next);
    const writes = [{ offsetBytes, data }];
    const contentDigest = contentDigestOfWrites(writes).toString('hex');
    const outcome = await vault.append(diskId, { epoch: 1, previous, diskSizeBytes, contentDigest, writes });
    invariant(outcome.kind === 'appended', 'nobody else writes this disk');
    return outcome.position;
  };
  return {
    agentId,
    machineId,
    diskIds,
    async capture(more = {}) {
      const disks = [];
      for (const [disk, diskId] of diskIds.entries()) disks.push({ diskId, position: await ship(diskId, disk) });
      const facts = { kind: 'crash-consistent' as const, pauseMs: 1, changedBytes: 2 * blockBytes, reason: '' };
      return { machineId, epoch: 1, captureId: randomUUID(), takenAtMs: Date.now(), ...facts, disks, ...more };
    },
    contentAfter: (captureNumber, disk) => contents[disk]?.[captureNumber] ?? Buffer.alloc(0),
  };
}

async function enable(db: Parameters<typeof listGuests>[0], agentId: AgentId, name: string): Promise<MachineId> {
  const tokenHash = randomBytes(32).toString('hex');
  const hostName = `host-of-${name}`;
  await insertToken(db, { tokenHash, hostName, createdBy: 'ana', lifeMs: 60_000 });
  const certificate = { certificateFingerprint: tokenHash, certificateExpiresAtMs: Date.now() + 60_000 };
  await consumeToken(db, { tokenHash, hostName, agentId, ...certificate });
  const disks = ['disk0', 'disk1'].map((key) => ({ key, sizeBytes: diskSizeBytes }));
  const hardware = { memoryBytes: 64 * 1024 * 1024, cpuCount: 1, firmware: 'bios' as const };
  await saveGuests(db, agentId, [{ name, kind: 'disk-image', tracking: 'test', disks, hardware }]);
  const guest = (await listGuests(db)).find((each) => each.agentId === agentId);
  invariant(guest, 'just reported');
  const outcome = await enableMachine(db, { guest, policyName: 'default', enabledBy: 'ana' });
  invariant(outcome.kind === 'enabled', 'a new name');
  return outcome.machineId;
}

/** A keeper whose troubles fail the test that looks at them. */
export function keeperOf(deps: Omit<PointKeeperDeps, 'onTrouble'>): PointKeeper & { readonly troubles: unknown[] } {
  const troubles: unknown[] = [];
  return { ...createPointKeeper({ ...deps, onTrouble: (error) => troubles.push(error) }), troubles };
}

/** Goes on, as the schedule does, until no point of the machine is on its way. */
export async function settle(store: Store, keepers: readonly PointKeeper[], machineId: MachineId): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline) {
    for (const keeper of keepers) {
      await keeper.continueAll();
      await keeper.idle();
    }
    const points = await store.read((db) => listPoints(db, machineId));
    if (points.every((point) => ['available', 'damaged'].includes(point.state))) return;
  }
  throw new Error('points are still on their way');
}

/**
 * What is wrong with a machine's points, in words: each one is available, numbered without a gap, chained, and in the
 * vault exactly as
 * its row says; the anchor is the newest one; and a full read of the vault finds nothing.
 */
export async function unsound(store: Store, vault: TestVault, machineId: MachineId): Promise<string[]> {
  const wrong: string[] = [];
  const rows = (await store.read((db) => listPoints(db, machineId))).filter((point) => point.manifest !== null);
  const byNumber = rows.sort((a, b) => (a.manifest?.number ?? 0) - (b.manifest?.number ?? 0));
  let previousDigest = '0'.repeat(64);
  for (const [index, { manifest, manifestDigest: digest, state, id }] of byNumber.entries()) {
    if (state !== 'available') wrong.push(`${id} is ${state}`);
    if (manifest?.number !== index + 1) wrong.push(`${id} has number ${manifest?.number}, not ${index + 1}`);
    if (manifest?.previousDigest !== previousDigest) wrong.push(`${id} does not follow the one before`);
    previousDigest = digest ?? '';
  }
  const inVault = new Map<string, string>();
  for await (const manifest of vault.vault.points(machineId)) inVault.set(manifest.pointId, manifestDigest(manifest));
  for (const row of byNumber)
    if (inVault.get(row.id) !== row.manifestDigest) wrong.push(`${row.id} is not in the vault as its row says`);
  if (inVault.size !== byNumber.length) wrong.push(`${inVault.size} manifests, ${byNumber.length} rows`);
  const anchors = await vault.anchors.read();
  const anchor = anchors.newestPoints.find((each) => each.machineId === machineId);
  if (anchor?.pointId !== byNumber.at(-1)?.id) wrong.push('the anchor is not the newest point');
  const { findings } = await vault.vault.verifyAll(anchors);
  return [...wrong, ...findings.map((found) => `${found.blob}: ${found.detail}`)];
}

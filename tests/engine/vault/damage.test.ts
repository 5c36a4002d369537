import { randomBytes } from 'node:crypto';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import type { DiskId } from '../../../domain/ids.ts';
import { OutageError } from '../../../domain/outage.ts';
import { type Position, startPosition } from '../../../domain/position.ts';
import { openDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { openVault } from '../../../engine/vault/open-vault.ts';
import type { Vault, VaultAnchors, VaultFinding } from '../../../engine/vault/vault.ts';
import { manifestDigest, type PointManifest } from '../../../protocol/point-manifest.ts';
import {
  appended,
  expectSameBytes,
  manifestOf,
  namesIn,
  newDiskId,
  newMachineId,
  OracleDisk,
  readImage,
  type VaultFixture,
  vaultFixture,
} from './vault-fixture.ts';

const sizeBytes = 10 * blockBytes + 123;
const machineId = newMachineId();
const disks: readonly DiskId[] = [newDiskId(), newDiskId()];

let fixture: VaultFixture;
let names: string[];
let anchors: VaultAnchors;
const manifests: PointManifest[] = [];
/** What each disk must read as at each point. */
const images = new Map<string, Buffer>();

const imageKey = (diskId: DiskId, position: Position) => `${diskId} ${position.digest}`;

beforeAll(async () => {
  fixture = await vaultFixture({ segmentsPerMap: 4 });
  await fill(fixture.vault);
  names = await namesIn(fixture.store);
  const newest = manifests.at(-1);
  if (newest === undefined) throw new Error('no point');
  anchors = { newestPoints: [{ machineId, pointId: newest.pointId, manifestDigest: manifestDigest(newest) }] };
});
afterAll(() => fixture.remove());

/** Two disks of one machine, 12 batches, a stored map and a point after every fourth. */
async function fill(vault: Vault): Promise<void> {
  const oracles = disks.map(() => new OracleDisk(sizeBytes));
  const positions = disks.map(() => startPosition(1));
  for (let round = 1; round <= 12; round += 1) {
    for (const [index, diskId] of disks.entries()) {
      const oracle = oracles[index] ?? new OracleDisk(0);
      const fills = [{ block: round % 11, fill: round * 2 + index }];
      positions[index] = await appended(vault, diskId, oracle.batch(positions[index] ?? startPosition(1), fills));
      images.set(imageKey(diskId, positions[index]), Buffer.from(oracle.image));
    }
    if (round % 4 !== 0) continue;
    const ofPoint = disks.map((diskId, index) => ({
      diskId,
      sizeBytes,
      position: positions[index] ?? startPosition(1),
    }));
    const point = { machineId, number: round / 4, disks: ofPoint, previous: manifests.at(-1) };
    const manifest = manifestOf(vault, point);
    manifests.push(manifest);
    expect(await vault.putPoint(manifest)).toBe('created');
  }
}

/** Does damage, looks, and puts the files back. */
async function withDamage<Result>(
  damaged: readonly string[],
  damage: () => Promise<unknown>,
  look: () => Promise<Result>,
): Promise<Result> {
  const originals = await Promise.all(damaged.map((name) => readFile(join(fixture.root, name))));
  try {
    await damage();
    return await look();
  } finally {
    await Promise.all(damaged.map((name, index) => writeFile(join(fixture.root, name), originals[index] ?? '')));
  }
}

async function findings(): Promise<readonly VaultFinding[]> {
  const vault = fixture.vault;
  return (await vault.verifyAll(anchors)).findings;
}

/**
 * Restores every point as a stranger would, from the blobs and keys alone. Each disk either comes back exactly or is refused.
 *
 * @returns how many were refused
 */
async function refusedRestores(): Promise<number> {
  let refused = 0;
  try {
    const vault = await fixture.reopen();
    for (const manifest of manifests) {
      for (const { diskId, position } of manifest.disks) {
        const image = await readImage(vault, diskId, position).catch((error: unknown) => {
          expect(error).toBeInstanceOf(OutageError);
          return undefined;
        });
        if (image === undefined) refused += 1;
        else expectSameBytes(image, images.get(imageKey(diskId, position)) ?? Buffer.alloc(0));
      }
    }
  } catch (error) {
    expect(error).toBeInstanceOf(OutageError);
    refused += 1;
  }
  return refused;
}

const one = (suffix: string): string => {
  const found = names.find((name) => name.endsWith(suffix));
  if (found === undefined) throw new Error(`nothing ends with ${suffix}`);
  return found;
};
const segment = (diskId: DiskId, sequence: number): string => {
  const number = String(sequence).padStart(12, '0');
  return one(`${diskId}/log/000001/${number}-${number}.seg`);
};
const path = (name: string) => join(fixture.root, name);

it('finds nothing in a sound vault, and counts what it read', async () => {
  const report = await fixture.vault.verifyAll(anchors);
  expect(report.findings).toEqual([]);
  expect(report).toMatchObject({ segmentCount: 24, pointCount: 3 });
  let listedBytes = 0;
  for await (const { sizeBytes: bytes } of fixture.store.list('')) listedBytes += bytes;
  expect(report.readBytes).toBe(listedBytes);
  expect(await refusedRestores()).toBe(0);
});

describe.each(['.seg', '.map', '.key', '.pt', 'vault.json'])('a %s blob', (suffix) => {
  it('with one bit flipped is found, at each of 30 places, and never served', async () => {
    const name = one(suffix);
    const original = await readFile(path(name));
    for (let run = 0; run < 30; run += 1) {
      const at =
        run < 4
          ? ([0, 8, original.length - 1, original.length - 40][run] ?? 0)
          : randomBytes(4).readUInt32LE() % original.length;
      const copy = Buffer.from(original);
      copy.writeUInt8((copy[at] ?? 0) ^ (1 << (run % 8)), at);
      const found = await withDamage([name], () => writeFile(path(name), copy), findings);
      expect(
        found.map(({ blob }) => blob),
        `bit of byte ${at}`,
      ).toContain(name);
    }
    const middle = Buffer.from(original);
    // Of a segment, a byte of its data: its header alone is not needed for reading when a map is stored.
    const at = suffix === '.seg' ? 400 : 200;
    middle.writeUInt8((middle[at] ?? 0) ^ 16, at);
    const refused = await withDamage([name], () => writeFile(path(name), middle), refusedRestores);
    // A map is only a shortcut; a manifest was given to us by the test, so its disks still open.
    if (suffix !== '.map' && suffix !== '.pt') expect(refused).toBeGreaterThan(0);
  }, 60_000);

  it('that was cut short is found and never served', async () => {
    const name = one(suffix);
    const original = await readFile(path(name));
    for (const length of [0, 1, 100, 330, Math.floor(original.length / 2), original.length - 1]) {
      if (length >= original.length) continue;
      const damage = () => writeFile(path(name), original.subarray(0, length));
      const found = await withDamage([name], damage, findings);
      const problem = found.find(({ blob }) => blob === name)?.problem;
      expect(['truncated', 'changed'], `cut to ${length}`).toContain(problem);
      await withDamage([name], damage, refusedRestores);
    }
  }, 60_000);
});

describe('a segment', () => {
  it('copied over another is found as swapped and never served', async () => {
    const [a, b] = disks as [DiskId, DiskId];
    for (const [from, to] of [
      [segment(a, 3), segment(a, 10)],
      [segment(b, 10), segment(a, 10)],
      [segment(a, 12), segment(a, 11)],
    ] as const) {
      const damage = async () => writeFile(path(to), await readFile(path(from)));
      const found = await withDamage([to], damage, findings);
      expect(found).toContainEqual(expect.objectContaining({ blob: to, problem: 'swapped' }));
      const refused = await withDamage(
        [to, ...names.filter((name) => name.endsWith('.map'))],
        async () => {
          await damage();
          for (const name of names) if (name.endsWith('.map')) await rm(path(name));
        },
        refusedRestores,
      );
      expect(refused).toBeGreaterThan(0);
    }
  });

  it('that is missing, in the middle or at the end, is found and never passed over', async () => {
    const [a] = disks as [DiskId, DiskId];
    for (const name of [segment(a, 1), segment(a, 6), segment(a, 12)]) {
      const found = await withDamage([name], () => rm(path(name)), findings);
      expect(found).toContainEqual(expect.objectContaining({ blob: name, problem: 'missing' }));
    }
    const refused = await withDamage([segment(a, 12)], () => rm(path(segment(a, 12))), refusedRestores);
    expect(refused).toBe(1);
  });

  it('rolled back to another authentic one of the same name is found and never served', async () => {
    const [a] = disks as [DiskId, DiskId];
    const other = await otherHistory(async (vault) => {
      const previous = await vault.position(a);
      await appended(vault, a, new OracleDisk(sizeBytes).batch(previous, [{ block: 4, fill: 4_444 }]));
    });
    const name = segment(a, 12);
    const bytes = await readFile(join(other, name));
    await rm(other, { recursive: true });
    const damage = () => writeFile(path(name), bytes);
    const found = await withDamage([name], damage, findings);
    expect(found).toContainEqual(expect.objectContaining({ blob: name, problem: 'rolled-back' }));
    expect(await withDamage([name], damage, refusedRestores)).toBe(1);
  });

  it('is read back in verifySegments too', async () => {
    const [a] = disks as [DiskId, DiskId];
    const upTo = manifests[2]?.disks[0]?.position ?? startPosition(1);
    const after = manifests[1]?.disks[0]?.position ?? startPosition(1);
    const verify = async () => (await fixture.reopen()).verifySegments(a, after, upTo);
    expect(await verify()).toEqual([]);
    const inside = segment(a, 10);
    const bytes = await readFile(path(inside));
    bytes.writeUInt8((bytes[400] ?? 0) ^ 1, 400);
    const flipped = await withDamage([inside], () => writeFile(path(inside), bytes), verify);
    expect(flipped).toEqual([expect.objectContaining({ blob: inside, problem: 'changed' })]);
    const gone = await withDamage([inside], () => rm(path(inside)), verify);
    expect(gone).toEqual([expect.objectContaining({ blob: inside, problem: 'missing' })]);
    const before = segment(a, 7);
    expect(await withDamage([before], () => rm(path(before)), verify)).toEqual([]);
    expect(await (await fixture.reopen()).verifySegments(a, { ...after, digest: '5'.repeat(64) }, upTo)).toEqual([
      expect.objectContaining({ problem: 'rolled-back' }),
    ]);
  });
});

/** The vault as it was before its last batch and point, then with another history, made with the same keys. */
async function otherHistory(change: (vault: Vault) => Promise<unknown>): Promise<string> {
  const root = join(fixture.folder, `other-${randomBytes(4).toString('hex')}`);
  await cp(fixture.root, root, { recursive: true });
  for (const diskId of disks) await rm(join(root, segment(diskId, 12)));
  for (const name of names) if (name.endsWith('.pt') && name.includes('000000000003')) await rm(join(root, name));
  const vault = await openVault({ store: await openDirectoryStore(root), keys: fixture.keys, sealerThreads: 0 });
  await change(vault);
  await vault.close();
  return root;
}

describe('a recovery point', () => {
  const pointName = (index: number) => one(`-${manifests[index]?.pointId}.pt`);

  it('that is missing is found, the newest one by what is known outside the vault', async () => {
    for (const index of [1, 2]) {
      const name = pointName(index);
      const found = await withDamage([name], () => rm(path(name)), findings);
      expect(found).toContainEqual(
        expect.objectContaining({ problem: 'missing', blob: expect.stringContaining('/grp/') }),
      );
    }
  });

  it('put back in an older form is found', async () => {
    const [newest] = manifests.slice(-1);
    if (newest === undefined) throw new Error('no point');
    const other = await otherHistory((vault) => vault.putPoint({ ...newest, reason: 'as it was before' }));
    const bytes = await readFile(join(other, pointName(2)));
    await rm(other, { recursive: true });
    const found = await withDamage([pointName(2)], () => writeFile(path(pointName(2)), bytes), findings);
    expect(found).toEqual([expect.objectContaining({ blob: pointName(2), problem: 'rolled-back' })]);
  });

  it('copied over another is found as swapped, and the list of points stops there', async () => {
    const damage = async () => writeFile(path(pointName(1)), await readFile(path(pointName(0))));
    const found = await withDamage([pointName(1)], damage, findings);
    expect(found).toContainEqual(expect.objectContaining({ blob: pointName(1), problem: 'swapped' }));
    const list = async () => {
      const points: PointManifest[] = [];
      for await (const point of fixture.vault.points()) points.push(point);
      return points;
    };
    expect(await list()).toEqual(manifests);
    await expect(withDamage([pointName(1)], damage, list)).rejects.toThrow(OutageError);
  });

  it('that another key signed is found as unsigned', async () => {
    const stranger = await vaultFixture();
    const vault = await openVault({ store: stranger.store, keys: stranger.keys });
    const [, second] = manifests;
    if (second === undefined) throw new Error('no point');
    await vault.putPoint({ ...second, vaultId: vault.id });
    const bytes = await readFile(join(stranger.root, pointName(1).replace(fixture.vault.id, vault.id)));
    const forged = Buffer.from(bytes.toString().replace(vault.id, fixture.vault.id));
    const found = await withDamage([pointName(1)], () => writeFile(path(pointName(1)), forged), findings);
    expect(found).toContainEqual(expect.objectContaining({ blob: pointName(1), problem: 'unsigned' }));
    await vault.close();
    await stranger.remove();
  });
});

describe('keys, maps and strange files', () => {
  it('a disk key that is missing or another disk’s is found, and the disk is refused', async () => {
    const [a, b] = disks as [DiskId, DiskId];
    const [keyA, keyB] = [one(`${a}/key/k000001.key`), one(`${b}/key/k000001.key`)];
    const missing = await withDamage([keyA], () => rm(path(keyA)), findings);
    expect(missing).toContainEqual(expect.objectContaining({ blob: keyA, problem: 'missing' }));
    const swap = async () => writeFile(path(keyA), await readFile(path(keyB)));
    expect(await withDamage([keyA], swap, findings)).toContainEqual(
      expect.objectContaining({ blob: keyA, problem: 'swapped' }),
    );
    expect(await withDamage([keyA], swap, refusedRestores)).toBe(3);
  });

  it('a map of another disk or another position is found, and reading goes on without it', async () => {
    const maps = names.filter((name) => name.endsWith('.map'));
    const [mapA, mapB] = maps as [string, string];
    const swap = async () => writeFile(path(mapA), await readFile(path(mapB)));
    expect(await withDamage([mapA], swap, findings)).toEqual([
      expect.objectContaining({ blob: mapA, problem: 'swapped' }),
    ]);
    expect(await withDamage([mapA], swap, refusedRestores)).toBe(0);
  });

  it('vault.json that is missing is found, and the vault does not open', async () => {
    const name = one('vault.json');
    expect(await withDamage([name], () => rm(path(name)), findings)).toEqual([
      expect.objectContaining({ blob: name, problem: 'missing' }),
    ]);
    expect(await withDamage([name], () => rm(path(name)), refusedRestores)).toBe(1);
  });

  it('a file that the vault did not write is reported', async () => {
    const name = `v1/${fixture.vault.id}/notes.txt`;
    await writeFile(path(name), 'hello');
    expect(await findings()).toEqual([expect.objectContaining({ blob: name, problem: 'unreadable' })]);
    await rm(path(name));
  });
});

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import type { DiskId } from '../../../domain/ids.ts';
import { type Position, startPosition } from '../../../domain/position.ts';
import type { BlobStore } from '../../../engine/vault/blob-store.ts';
import { manifestDigest, type PointManifest } from '../../../protocol/point-manifest.ts';
import {
  appended,
  manifestOf,
  namesIn,
  newDiskId,
  newMachineId,
  OracleDisk,
  type VaultFixture,
  vaultFixture,
} from './vault-fixture.ts';

const sizeBytes = 10 * blockBytes;
const machineId = newMachineId();

let fixture: VaultFixture;
let diskId: DiskId;
let oracle: OracleDisk;
let position: Position;
let manifests: PointManifest[];

beforeAll(async () => {
  fixture = await vaultFixture({ segmentsPerMap: 4 });
});
afterAll(() => fixture.remove());

beforeEach(async () => {
  for (const name of await namesIn(fixture.store)) if (!name.endsWith('vault.json')) await fixture.store.delete(name);
  diskId = newDiskId();
  oracle = new OracleDisk(sizeBytes);
  position = startPosition(1);
  manifests = [];
  for (let round = 1; round <= 8; round += 1) await writePoint();
});

/** One more change, and a point of it. */
async function writePoint(): Promise<void> {
  const number = manifests.length + 1;
  position = await appended(fixture.vault, diskId, oracle.batch(position, [{ block: number % 2, fill: number }]));
  const disks = [{ diskId, sizeBytes, position }];
  const manifest = manifestOf(fixture.vault, { machineId, number, disks, previous: manifests.at(-1) });
  await fixture.vault.putPoint(manifest);
  manifests.push(manifest);
}

/** The five oldest points expire, and their space comes back. */
async function expireAndFold(): Promise<void> {
  for (const manifest of manifests.slice(0, 5)) await fixture.vault.deletePoint(manifest);
  const oldest = manifests[5]?.disks[0]?.position ?? startPosition(1);
  expect((await fixture.vault.compact(diskId, oldest)).deletedBytes).toBeGreaterThan(0);
}

/** Lists and reads as ever; but once, at a certain moment, something else happens first. */
function interrupted(moment: { readonly afterListing?: string; readonly beforeReading?: string }, deed: () => unknown) {
  let isDone = false;
  const once = async (isNow: boolean) => {
    if (!isNow || isDone) return;
    isDone = true;
    await deed();
  };
  const store: BlobStore = {
    ...fixture.store,
    async *list(prefix) {
      for await (const blob of fixture.store.list(prefix)) {
        yield blob;
        await once(blob.name === moment.afterListing);
      }
    },
    async get(name, range) {
      await once(moment.beforeReading !== undefined && name.endsWith(moment.beforeReading));
      return fixture.store.get(name, range);
    },
  };
  return { store, wasDone: () => isDone };
}

async function findingsWith({ store, wasDone }: ReturnType<typeof interrupted>, anchors: readonly PointManifest[]) {
  const vault = await fixture.reopen({ store });
  const newestPoints = anchors.map((each) => ({ ...each, manifestDigest: manifestDigest(each) }));
  const { findings } = await vault.verifyAll({ newestPoints });
  expect(wasDone()).toBe(true);
  return findings;
}

/** Points are listed after the disks: here the disk has grown in between. */
const lastOfDisk = async () => (await namesIn(fixture.store)).filter((name) => name.includes(`/${diskId}/`)).at(-1);

it('a point that is written while the vault is being listed is no finding', async () => {
  const afterListing = (await lastOfDisk()) ?? '';
  expect(await findingsWith(interrupted({ afterListing }, writePoint), manifests.slice(-1))).toEqual([]);
});

it.each(['.pt', '.seg', '.map'])('points that expire before the first %s is read are no finding', async (kind) => {
  expect(await findingsWith(interrupted({ beforeReading: kind }, expireAndFold), manifests.slice(-1))).toEqual([]);
});

it('points that expire between their disk and themselves being listed are no finding', async () => {
  const afterListing = (await lastOfDisk()) ?? '';
  expect(await findingsWith(interrupted({ afterListing }, expireAndFold), manifests.slice(-1))).toEqual([]);
});

it('a segment or a point that somebody takes away meanwhile is found all the same', async () => {
  const names = await namesIn(fixture.store);
  const [point] = names.filter((name) => name.endsWith('.pt')).slice(3);
  const [segment] = names.filter((name) => name.endsWith('.seg')).slice(4);
  const remove = (name = '') => fixture.store.delete(name);
  const takeAway = () => Promise.all([remove(point), remove(segment)]);
  const findings = await findingsWith(interrupted({ beforeReading: '.pt' }, takeAway), manifests.slice(-1));
  const missing = findings.filter(({ problem }) => problem === 'missing').map(({ blob }) => blob);
  expect(missing.toSorted()).toEqual([segment, expect.stringMatching(/grp\/.*\/000000000004/)]);
});

it('a folded segment and the newest point that somebody takes away meanwhile are found all the same', async () => {
  await expireAndFold();
  const names = await namesIn(fixture.store);
  const newest = names.filter((name) => name.endsWith('.pt')).at(-1);
  const folded = names.find((name) => name.endsWith('000000000001-000000000006.seg'));
  expect(folded).toBeDefined();
  const remove = (name = '') => fixture.store.delete(name);
  const takeAway = () => Promise.all([remove(newest), remove(folded)]);
  const findings = await findingsWith(interrupted({ beforeReading: '.pt' }, takeAway), manifests.slice(-1));
  expect(findings.map(({ blob }) => blob).toSorted()).toEqual([
    expect.stringMatching(/000000000006\.seg$/),
    expect.stringContaining(`${manifests.at(-1)?.pointId}.pt`),
  ]);
});

import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { rebuildCatalogue } from '../../engine/catalogue.ts';
import { listMachines } from '../../engine/store/machines.ts';
import type { Store } from '../../engine/store/open.ts';
import { listPoints } from '../../engine/store/points.ts';
import { vaultAnchorFile } from '../../engine/vault-anchor.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { keeperOf, makeTestVault, replicateMachine, settle, type TestVault, unsound } from './point-fixture.ts';

vi.setConfig({ testTimeout: 60_000 });

let postgres: TestPostgres;
let vault: TestVault;

beforeAll(async () => {
  postgres = await startTestPostgres();
  vault = await makeTestVault();
});
afterAll(async () => {
  await vault.remove();
  await postgres.stop();
});

/** What a person needs of the catalogue to recover, without what the vault does not know. */
async function catalogueOf(store: Store) {
  const machines = await store.read(listMachines);
  return Promise.all(
    machines.map(async ({ id, name, epoch, protection, hardware, disks, lastPointNumber, lastManifestDigest }) => {
      const points = await store.read((db) => listPoints(db, id));
      return {
        ...{ id, name, epoch, protection, hardware, disks, lastPointNumber, lastManifestDigest },
        points: points.map(
          ({ captureId: _capture, announcedAtMs: _announced, changedBytes: _changed, ...point }) => point,
        ),
      };
    }),
  );
}

test('with the database gone, the same catalogue comes out of the vault alone, every point read back; and again', async () => {
  const lost = await postgres.freshStore();
  const keeper = keeperOf({ store: lost, vault: vault.vault, anchors: vault.anchors });
  const machineIds = [];
  for (const name of ['vm-7', 'vm-8']) {
    const machine = await replicateMachine(lost, vault.vault, name);
    machineIds.push(machine.machineId);
    for (const reason of ['', 'before the update', '']) {
      await keeper.announce(machine.agentId, await machine.capture({ reason }));
      await settle(lost, [keeper], machine.machineId);
    }
  }
  const before = await catalogueOf(lost);
  const empty = await postgres.freshStore();
  const deps = { store: empty, vault: await vault.reopen(), anchors: vaultAnchorFile(`${vault.folder}-anchors.json`) };
  const counts = { machineCount: 2, availableCount: 6, damagedCount: 0 };
  expect(await rebuildCatalogue(deps)).toEqual({ ...counts, adoptedCount: 6 });
  expect(await catalogueOf(empty)).toEqual(before);
  const changed = await empty.read((db) => db.execute(sql`select distinct changed_bytes from recovery_points`));
  expect(changed.rows, 'what only the agents knew is unknown now, not 0').toEqual([{ changed_bytes: null }]);
  for (const id of machineIds) expect(await unsound(empty, vault, id)).toEqual([]);
  expect(await deps.anchors.read()).toEqual(await vault.anchors.read());
  expect(await rebuildCatalogue(deps)).toEqual({ ...counts, adoptedCount: 0 });
  expect(await catalogueOf(empty)).toEqual(before);
});

test('a machine that was protected anew under its old name stays, and the old one comes back beside it', async () => {
  const store = await postgres.freshStore();
  await replicateMachine(store, vault.vault, 'vm-7');
  await rebuildCatalogue({ store, vault: vault.vault, anchors: vault.anchors });
  const names = (await store.read(listMachines)).map((machine) => machine.name);
  expect(names).toEqual(['vm-7', expect.stringMatching(/^vm-7-[0-9A-Z]{4}$/), 'vm-8']);
});

test('the comparison sees a point that is missing', async () => {
  const store = await postgres.freshStore();
  await rebuildCatalogue({ store, vault: vault.vault, anchors: vault.anchors });
  const before = await catalogueOf(store);
  await store.read((db) => db.execute(sql`delete from recovery_points where number = 2`));
  expect(await catalogueOf(store)).not.toEqual(before);
});

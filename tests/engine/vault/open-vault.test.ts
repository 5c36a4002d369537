import { randomBytes } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import { OutageError } from '../../../domain/outage.ts';
import { startPosition } from '../../../domain/position.ts';
import { createAzureContainer, openAzureBlobStore } from '../../../engine/vault/azure-blob-store.ts';
import { createDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { createVault, openVault } from '../../../engine/vault/open-vault.ts';
import { createVaultKeys, loadVaultKeys } from '../../../engine/vault/vault-keys.ts';
import { startAzurite } from './azurite.ts';
import {
  appended,
  expectSameBytes,
  namesIn,
  newDiskId,
  OracleDisk,
  readImage,
  type VaultFixture,
  vaultFixture,
} from './vault-fixture.ts';

let fixture: VaultFixture;
beforeEach(async () => {
  fixture = await vaultFixture();
});
afterEach(() => fixture.remove());

it('keeps its keys outside the vault, readable by their owner only, and never replaces them', async () => {
  for (const name of ['vault-kek.key', 'vault-signing.pem']) {
    expect((await stat(join(fixture.keysFolder, name))).mode & 0o777).toBe(0o600);
  }
  expect((await namesIn(fixture.store)).map((name) => name.split('/').at(-1))).toEqual(['vault.json']);
  const before = await readFile(join(fixture.keysFolder, 'vault-kek.key'));
  await expect(createVaultKeys(fixture.keysFolder)).rejects.toThrow(OutageError);
  expect(await readFile(join(fixture.keysFolder, 'vault-kek.key'))).toEqual(before);
});

it('opens with the keys as they were stored', async () => {
  const keys = await loadVaultKeys(fixture.keysFolder);
  const vault = await fixture.reopen({ keys });
  expect(vault.id).toBe(fixture.vault.id);
});

it('says that a key does not belong to this vault', async () => {
  const others = await createVaultKeys(join(fixture.folder, 'other-keys'));
  await expect(fixture.reopen({ keys: others })).rejects.toMatchObject({
    message: expect.stringContaining('this key does not belong to this vault'),
    nextStep: expect.stringContaining('made with this vault'),
  });
  const keys = { ...fixture.keys, signingKey: others.signingKey };
  await expect(fixture.reopen({ keys })).rejects.toThrow('this signing key does not belong to this vault');
});

it('says what is wrong with missing or spoilt key files', async () => {
  await expect(loadVaultKeys(join(fixture.folder, 'nowhere'))).rejects.toThrow('there is no such file');
  await writeFile(join(fixture.keysFolder, 'vault-kek.key'), 'short');
  await expect(loadVaultKeys(fixture.keysFolder)).rejects.toThrow('not a key of 32 bytes');
});

it('opens for a process server that has no signing key', async () => {
  await rm(join(fixture.keysFolder, 'vault-signing.pem'));
  const keys = await loadVaultKeys(fixture.keysFolder);
  expect(keys.signingKey).toBeUndefined();
  const vault = await fixture.reopen({ keys });
  const diskId = newDiskId();
  await appended(vault, diskId, new OracleDisk(blockBytes).batch(startPosition(1), [{ block: 0, fill: 1 }]));
});

it('says that there is no vault, and does not make a second one over the first', async () => {
  const store = await createDirectoryStore(join(fixture.folder, 'empty'));
  await expect(openVault({ store, keys: fixture.keys })).rejects.toThrow('there is none');
  await expect(createVault({ store: fixture.store, keys: fixture.keys })).rejects.toThrow('it is there already');
});

it('says that vault.json is corrupt', async () => {
  await writeFile(join(fixture.root, 'v1', fixture.vault.id, 'vault.json'), randomBytes(200));
  await expect(fixture.reopen()).rejects.toMatchObject({ nextStep: expect.stringContaining('Restore') });
});

it('works the same in Azure Blob Storage (Azurite): append, read, compact, verify', async () => {
  const azurite = await startAzurite();
  try {
    const place = {
      kind: 'connection-string' as const,
      connectionString: azurite.connectionString,
      container: 'vault',
    };
    await createAzureContainer(place);
    const options = { store: openAzureBlobStore(place), keys: fixture.keys, trashGraceMs: 0, segmentsPerMap: 8 };
    const vault = await createVault(options);
    const diskId = newDiskId();
    const disk = new OracleDisk(6 * blockBytes + 11);
    let position = startPosition(1);
    for (let count = 1; count <= 20; count += 1) {
      position = await appended(vault, diskId, disk.batch(position, [{ block: count % 7, fill: count }]));
    }
    expectSameBytes(await readImage(await openVault(options), diskId, position), disk.image);
    expect((await vault.compact(diskId, position)).deletedBytes).toBeGreaterThan(0);
    expectSameBytes(await readImage(await openVault(options), diskId, position), disk.image);
    expect((await vault.verifyAll({ newestPoints: [] })).findings).toEqual([]);
    await vault.close();
  } finally {
    await azurite.stop();
  }
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeCauses, OutageError } from '../../../domain/outage.ts';
import { createAzureContainer, openAzureBlobStore } from '../../../engine/vault/azure-blob-store.ts';
import { type Azurite, startAzurite } from './azurite.ts';
import { blobStoreSuite } from './blob-store-suite.ts';

let azurite: Azurite;
beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite.stop());

const placeOf = (container: string) => ({
  kind: 'connection-string' as const,
  connectionString: azurite.connectionString,
  container,
});

blobStoreSuite('Azure Blob Storage (Azurite)', async () => {
  await createAzureContainer(placeOf('suite'));
  return { store: openAzureBlobStore(placeOf('suite')), close: async () => undefined };
});

it('says that the container is missing, with a next step and without a secret', async () => {
  const store = openAzureBlobStore(placeOf('missing'));
  const error: unknown = await store.check().catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(OutageError);
  expect(error).toHaveProperty('nextStep', expect.stringContaining('Create the container'));
  expect(describeCauses(error)).not.toContain('Eby8vdM02');
});

it('turns a wrong account key into an outage that names no secret', async () => {
  const wrong = azurite.connectionString.replace('Eby8vdM02', 'AAAAAAAAA');
  const store = openAzureBlobStore({ kind: 'connection-string', connectionString: wrong, container: 'suite' });
  const error: unknown = await store.put('x', [Buffer.from('x')]).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(OutageError);
  expect(describeCauses(error)).toContain('403');
  expect(describeCauses(error)).not.toContain('AAAAAAAAA');
});

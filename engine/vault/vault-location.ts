import { z } from 'zod';
import type { BlobStore } from './blob-store.ts';
import { createDirectoryStore, openDirectoryStore } from './directory-store.ts';

/** Where a vault's blobs are: the same words in the engine's and a process server's configuration. */
export const vaultLocation = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('directory'), folder: z.string().startsWith('/', 'must be an absolute path') }),
  /** Signed in with `@azure/identity`: managed identity, workload identity, service principal or `az login`. */
  z.strictObject({ kind: z.literal('azure-blob'), containerUrl: z.url() }),
]);
export type VaultLocation = z.infer<typeof vaultLocation>;

/** Opens the store of a vault. `create` makes a directory or container that is missing; `must-exist` says that it is gone. */
export async function openBlobStore(location: VaultLocation, missing: 'create' | 'must-exist'): Promise<BlobStore> {
  if (location.kind === 'directory') {
    return missing === 'create' ? createDirectoryStore(location.folder) : openDirectoryStore(location.folder);
  }
  // Azure's libraries take a while to load, and a vault in a directory does not need them.
  const { createAzureContainer, openAzureBlobStore } = await import('./azure-blob-store.ts');
  const place = { kind: 'identity' as const, containerUrl: location.containerUrl };
  if (missing === 'create') await createAzureContainer(place);
  return openAzureBlobStore(place);
}

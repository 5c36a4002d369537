import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startLocalPostgres } from '../../engine/store/local-postgres.ts';
import { openStore, type Store } from '../../engine/store/open.ts';
import { freshenSite, type SiteSize, seedSite } from './seed-site.ts';

export type SeededStore = {
  readonly store: Store;
  /** Everything was heard of just now again. */
  readonly freshen: () => Promise<void>;
};

/** A database of its own with a site of that size in it, as long as it is used. */
export async function withSeededStore<Result>(
  size: SiteSize,
  use: (seeded: SeededStore) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-console-bench-'));
  await chmod(folder, 0o755);
  const server = await startLocalPostgres({ folder, log: () => undefined });
  const { connectionString } = server;
  try {
    const store = await openStore({ connectionString });
    try {
      await seedSite(connectionString, size);
      return await use({ store, freshen: () => freshenSite(connectionString, size) });
    } finally {
      await store.close();
    }
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

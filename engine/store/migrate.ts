import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import type { PoolClient } from 'pg';
import { defaultPolicy } from '../../domain/replication-policy.ts';
import { replicationPolicies } from './schema.ts';

const migrationsFolder = fileURLToPath(new URL('../../migrations', import.meta.url));
/** Any constant of ours: two engines that start on a fresh database must not both create the tables. */
const migrationLock = 7_204_113_001;

/** Brings the database's tables up to this program's version and makes sure that the default policy is there. */
export async function migrateDatabase(client: PoolClient): Promise<void> {
  await client.query('select pg_advisory_lock($1)', [migrationLock]);
  try {
    const db = drizzle(client);
    await migrate(db, { migrationsFolder });
    await db.insert(replicationPolicies).values(defaultPolicy).onConflictDoNothing();
  } finally {
    await client.query('select pg_advisory_unlock($1)', [migrationLock]);
  }
}

import { asc, eq } from 'drizzle-orm';
import type { ReplicationPolicy } from '../../domain/replication-policy.ts';
import type { Database } from './database.ts';
import { replicationPolicies } from './schema.ts';

export async function findPolicy(db: Database, name: string): Promise<ReplicationPolicy | undefined> {
  const [row] = await db.select().from(replicationPolicies).where(eq(replicationPolicies.name, name));
  return row;
}

export async function listPolicyNames(db: Database): Promise<string[]> {
  const rows = await db
    .select({ name: replicationPolicies.name })
    .from(replicationPolicies)
    .orderBy(asc(replicationPolicies.name));
  return rows.map((row) => row.name);
}

/** Makes or changes a policy; the database refuses impossible figures. */
export async function savePolicy(db: Database, policy: ReplicationPolicy): Promise<void> {
  const { name: _name, ...figures } = policy;
  await db
    .insert(replicationPolicies)
    .values(policy)
    .onConflictDoUpdate({ target: replicationPolicies.name, set: figures });
}

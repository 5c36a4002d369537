import { eq, gte, lt, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { executors } from './schema.ts';

/** Says that this engine is alive, by the database's clock. */
export async function beatExecutor(db: Database, id: string): Promise<void> {
  await db
    .insert(executors)
    .values({ id })
    .onConflictDoUpdate({ target: executors.id, set: { heartbeatAt: sql`now()` } });
}

/** Engines that have said nothing for so long that others take over their runs. */
export async function staleExecutors(db: Database, silentForMs: number): Promise<string[]> {
  const rows = await db
    .select({ id: executors.id })
    .from(executors)
    .where(lt(executors.heartbeatAt, sql`now() - make_interval(secs => ${silentForMs / 1000})`));
  return rows.map((row) => row.id);
}

/** Forgets an engine that has stopped in order, or whose runs were all taken over. */
export async function removeExecutor(db: Database, id: string): Promise<void> {
  await db.delete(executors).where(eq(executors.id, id));
}

/** Engines that were heard of within that time, by the database's clock. */
export async function liveExecutors(db: Database, silentForMs: number): Promise<string[]> {
  const rows = await db
    .select({ id: executors.id })
    .from(executors)
    .where(gte(executors.heartbeatAt, sql`now() - make_interval(secs => ${silentForMs / 1000})`));
  return rows.map((row) => row.id);
}

/**
 * Says that this engine is still alive. `fenced`: others took it for dead and removed its row; it must not do
 * anything any more.
 * In a transaction, nobody can take its runs over until that ends.
 */
export async function renewExecutor(db: Database, id: string): Promise<'renewed' | 'fenced'> {
  const renewed = await db
    .update(executors)
    .set({ heartbeatAt: sql`now()` })
    .where(eq(executors.id, id))
    .returning({ id: executors.id });
  return renewed.length === 1 ? 'renewed' : 'fenced';
}

import { eq, sql } from 'drizzle-orm';
import { auditChecks } from './alert-schema.ts';
import type { Database } from './database.ts';

/** Keeps what a check of the audit trail found, until the next one. Whoever evaluates alerts tells people of it. */
export async function saveAuditCheck(db: Database, problem: string | undefined): Promise<void> {
  const found = { problem: problem ?? null, checkedAt: sql`now()` };
  await db
    .insert(auditChecks)
    .values({ id: 1, ...found })
    .onConflictDoUpdate({ target: auditChecks.id, set: found });
}

/** Why the audit trail cannot be trusted, by its last check; undefined when it can. */
export async function auditProblem(db: Database): Promise<string | undefined> {
  const [row] = await db.select({ problem: auditChecks.problem }).from(auditChecks).where(eq(auditChecks.id, 1));
  return row?.problem ?? undefined;
}

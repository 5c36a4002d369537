import { and, eq, isNull, lt, sql } from 'drizzle-orm';
import { endSessionsOf } from './console-sessions.ts';
import type { Database } from './database.ts';
import { authenticators, burnedCodes } from './people-schema.ts';

export type AuthenticatorRecord = { readonly sealedSecret: string; readonly isConfirmed: boolean };

export async function findAuthenticator(db: Database, person: string): Promise<AuthenticatorRecord | undefined> {
  const [row] = await db.select().from(authenticators).where(eq(authenticators.person, person));
  return row && { sealedSecret: row.sealedSecret, isConfirmed: row.confirmedAt !== null };
}

/** Keeps a new secret, in place of one that was never confirmed; `confirmed`: there is a good one, which stays. */
export async function beginAuthenticator(
  db: Database,
  person: string,
  sealedSecret: string,
): Promise<'begun' | 'confirmed'> {
  const kept = await db
    .insert(authenticators)
    .values({ person, sealedSecret })
    .onConflictDoUpdate({
      target: authenticators.person,
      set: { sealedSecret, createdAt: sql`now()` },
      setWhere: isNull(authenticators.confirmedAt),
    })
    .returning({ person: authenticators.person });
  return kept.length === 1 ? 'begun' : 'confirmed';
}

export async function confirmAuthenticator(db: Database, person: string): Promise<void> {
  await db
    .update(authenticators)
    .set({ confirmedAt: sql`coalesce(${authenticators.confirmedAt}, now())` })
    .where(eq(authenticators.person, person));
}

/**
 * Takes a person's authenticator away, e.g. when the telephone is lost, and ends their sessions at the web console: whoever holds one of
 * them could else set up the next authenticator. Burned codes stay burned. Call it in a transaction.
 */
export async function removeAuthenticator(db: Database, person: string): Promise<void> {
  await endSessionsOf(db, person, 'authenticator-reset');
  await db.delete(authenticators).where(eq(authenticators.person, person));
}

/** Uses up the code of one 30 s step; `used`: it was used before. */
export async function burnCode(db: Database, person: string, step: number): Promise<'burned' | 'used'> {
  // No code this old is taken any more.
  await db
    .delete(burnedCodes)
    .where(and(eq(burnedCodes.person, person), lt(burnedCodes.burnedAt, sql`now() - interval '1 day'`)));
  const burned = await db.insert(burnedCodes).values({ person, step }).onConflictDoNothing().returning();
  return burned.length === 1 ? 'burned' : 'used';
}

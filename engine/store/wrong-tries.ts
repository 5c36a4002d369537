import { eq, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { wrongTries } from './people-schema.ts';

/** So many wrong tries within so long, and then none is taken for as long. */
export type TryLimits = { readonly triesMax: number; readonly waitSeconds: number };
const oneGuesser: TryLimits = { triesMax: 5, waitSeconds: 15 * 60 };

/**
 * Whether this guesser may try now. Their tries come one after the other until the transaction ends, so that guesses at the same
 * time are not more than five either. Source: CHAT 5.2 (4)
 *
 * @param guesser what is guessed and by whom, e.g. `code of ana`
 */
export async function mayTry(db: Database, guesser: string): Promise<boolean> {
  await db.insert(wrongTries).values({ guesser, count: 0 }).onConflictDoNothing();
  const [row] = await db
    .select({ isLocked: sql<boolean>`coalesce(${wrongTries.lockedUntil} > clock_timestamp(), false)` })
    .from(wrongTries)
    .where(eq(wrongTries.guesser, guesser))
    .for('update');
  return row?.isLocked === false;
}

/** Counts a wrong try; unless it is said otherwise, the fifth one within a quarter of an hour begins the wait. */
export async function noteWrongTry(db: Database, guesser: string, limits = oneGuesser): Promise<void> {
  const { triesMax, waitSeconds } = limits;
  const wait = sql.raw(`interval '${waitSeconds} seconds'`);
  // After a pause as long as the wait the count begins anew.
  const count = sql`case when ${wrongTries.lastAt} < clock_timestamp() - ${wait} then 1 else ${wrongTries.count} + 1 end`;
  await db
    .update(wrongTries)
    .set({
      count: sql`case when ${count} >= ${triesMax} then 0 else ${count} end`,
      lockedUntil: sql`case when ${count} >= ${triesMax} then clock_timestamp() + ${wait} end`,
      lastAt: sql`clock_timestamp()`,
    })
    .where(eq(wrongTries.guesser, guesser));
}

/** A right try: the count begins anew. */
export async function forgetWrongTries(db: Database, guesser: string): Promise<void> {
  // The row stays: whoever waits for it must find it.
  await db.update(wrongTries).set({ count: 0, lockedUntil: null }).where(eq(wrongTries.guesser, guesser));
}

import { eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import { alertRules, keyOf, type Watch } from '../../domain/alert.ts';
import { invariant } from '../../domain/invariant.ts';
import { alertLooks, alertWatches, aliveChecks } from './alert-schema.ts';
import { type Database, databaseNowMs } from './database.ts';

const severity = z.enum(['warning', 'critical']);
const watchSchema = z.object({
  rule: z.enum(alertRules),
  scope: z.string(),
  badSinceMs: z.number().nullable(),
  // An older engine wrote other fields in their place.
  clearSinceMs: z.number().nullable().default(null),
  lowerSinceMs: z.number().nullable().default(null),
  taken: severity.nullable(),
  takenAtMs: z.number(),
  transitionsMs: z.array(z.number()),
  isFlapping: z.boolean(),
  mutedWhy: z.string().nullable(),
  quietUntilMs: z.number(),
});

/** What the last look remembered. */
export async function loadWatches(db: Database): Promise<Watch[]> {
  return (await db.select().from(alertWatches)).map((row) => watchSchema.parse(row.watch));
}

/** Keeps what the next look needs; only what has changed is written. */
export async function saveWatches(db: Database, before: readonly Watch[], next: readonly Watch[]): Promise<void> {
  const texts = new Map(before.map((watch) => [keyOf(watch), JSON.stringify(watch)]));
  const written = next.filter((watch) => texts.get(keyOf(watch)) !== JSON.stringify(watch));
  const kept = new Set(next.map(keyOf));
  for (const { rule, scope } of before.filter((watch) => !kept.has(keyOf(watch)))) {
    await db.delete(alertWatches).where(sql`${alertWatches.rule} = ${rule} and ${alertWatches.scope} = ${scope}`);
  }
  if (written.length === 0) return;
  await db
    .insert(alertWatches)
    .values(written.map((watch) => ({ rule: watch.rule, scope: watch.scope, watch })))
    .onConflictDoUpdate({ target: [alertWatches.rule, alertWatches.scope], set: { watch: sql`excluded.watch` } });
}

export type Look = {
  readonly nowMs: number;
  readonly resumedAtMs: number;
  /** Nobody looked for a while before this. */
  readonly isAfterGap: boolean;
  readonly queuedBytesBefore: number;
};

/**
 * After so long without a look, what is known of the time before says nothing about the others. An engine that has just been started knows
 * that it was away, so less is enough. Not shorter for the others: slow looks must not count as none for ever.
 */
const gapMs = { afterStart: 15_000, later: 45_000 } as const;

/** Begins a look, by the database's clock; looks wait for each other. */
export async function beginLook(
  db: Database,
  facts: { readonly queuedBytes: number; readonly isFirstOfEngine: boolean },
): Promise<Look> {
  const { queuedBytes, isFirstOfEngine } = facts;
  const [before] = await db.select().from(alertLooks).for('update');
  const nowMs = await databaseNowMs(db);
  const isAfterGap =
    before === undefined || nowMs - before.lookedAt.getTime() > gapMs[isFirstOfEngine ? 'afterStart' : 'later'];
  const resumedAtMs = isAfterGap ? nowMs : before.resumedAt.getTime();
  const columns = { lookedAt: new Date(nowMs), resumedAt: new Date(resumedAtMs), queuedBytes };
  await db
    .insert(alertLooks)
    .values({ id: 1, ...columns })
    .onConflictDoUpdate({ target: alertLooks.id, set: columns });
  return { nowMs, resumedAtMs, isAfterGap, queuedBytesBefore: before?.queuedBytes ?? 0 };
}

/**
 * Writes to the database, reads it back, and says how long ago alerts were evaluated; undefined before the first time. Call it in a
 * transaction.
 */
export async function checkAlive(db: Database, engine: string): Promise<{ readonly lookAgoMs: number | undefined }> {
  const [written] = await db
    .insert(aliveChecks)
    .values({ engine })
    .onConflictDoUpdate({ target: aliveChecks.engine, set: { checkedAt: sql`clock_timestamp()` } })
    .returning({ at: aliveChecks.checkedAt });
  const [row] = await db.select().from(aliveChecks).where(eq(aliveChecks.engine, engine));
  invariant(row?.checkedAt.getTime() === written?.at.getTime(), 'the database gives back what was written');
  const [look] = await db.select({ at: alertLooks.lookedAt }).from(alertLooks).where(eq(alertLooks.id, 1));
  return { lookAgoMs: look === undefined ? undefined : (await databaseNowMs(db)) - look.at.getTime() };
}

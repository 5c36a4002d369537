import { and, asc, desc, eq, gt, inArray, isNull, like, lt, or, type SQL, sql } from 'drizzle-orm';
import type { SessionId } from '../../domain/ids.ts';
import { consoleAddresses, consoleLinks, consoleSessions, type sessionEnds } from './console-schema.ts';
import type { Database } from './database.ts';
import { lockInTransaction } from './database.ts';
import { linkCodes, wrongTries } from './people-schema.ts';
import { idOf } from './rows.ts';

/** Sessions of the web console and the one-time links to it. What expires goes by the database's clock. Source: issue 4 item 1 */

export type SessionEnd = (typeof sessionEnds)[number];
export type FoundLink =
  | { readonly kind: 'good'; readonly person: string; readonly madeVia: string }
  | { readonly kind: 'used' | 'expired'; readonly person: string }
  | { readonly kind: 'unknown' };

/** How long a person may be seen to have signed in; the audit trail keeps it for ever. */
const keepDays = 30;
/** A session's last use is written down at most so often. */
const touchEverySeconds = 60;

/** Keeps the hash of a link's code. An older link that the person asked for in the same way is good no more. */
export async function insertConsoleLink(
  db: Database,
  link: { readonly codeHash: string; readonly person: string; readonly madeVia: string; readonly lifeMs: number },
): Promise<{ readonly expiresAtMs: number }> {
  const { codeHash, person, madeVia, lifeMs } = link;
  const isOlder = and(eq(consoleLinks.person, person), eq(consoleLinks.madeVia, madeVia), isNull(consoleLinks.usedAt));
  const isForgotten = lt(consoleLinks.expiresAt, sql`now() - interval '1 day'`);
  await db.delete(consoleLinks).where(or(isOlder, isForgotten));
  const [row] = await db
    .insert(consoleLinks)
    .values({ codeHash, person, madeVia, expiresAt: sql`now() + make_interval(secs => ${lifeMs / 1000})` })
    .returning({ expiresAt: consoleLinks.expiresAt });
  return { expiresAtMs: row?.expiresAt.getTime() ?? 0 };
}

/** Looks a link up and holds it until the transaction ends, so that two cannot use it. */
export async function lockConsoleLink(db: Database, codeHash: string): Promise<FoundLink> {
  const [row] = await db
    .select({ link: consoleLinks, isExpired: sql<boolean>`${consoleLinks.expiresAt} <= now()` })
    .from(consoleLinks)
    .where(eq(consoleLinks.codeHash, codeHash))
    .for('update');
  if (row === undefined) return { kind: 'unknown' };
  const { person, madeVia, usedAt } = row.link;
  if (usedAt !== null) return { kind: 'used', person };
  return row.isExpired ? { kind: 'expired', person } : { kind: 'good', person, madeVia };
}

export async function burnConsoleLink(db: Database, codeHash: string): Promise<void> {
  await db.update(consoleLinks).set({ usedAt: sql`now()` }).where(eq(consoleLinks.codeHash, codeHash));
}

export type NewSession = {
  readonly id: SessionId;
  readonly tokenHash: string;
  readonly person: string;
  readonly address: string;
  readonly lifeMs: number;
  readonly idleLimitMs: number;
  /** So many of a person live at once; the oldest ones end for a new one. */
  readonly countMax: number;
};

/**
 * Sign-ins of a person, and what ends all their sessions, come one after the other until the transaction ends: nobody slips in while they
 * are shut out. Take it after the code that is redeemed is held.
 */
export async function lockSessionsOf(db: Database, person: string): Promise<void> {
  await lockInTransaction(db, `console sessions of ${person}`);
}

/** Begins a session. Call it in a transaction: a person's sign-ins wait for each other, so that the limit holds. */
export async function insertSession(db: Database, session: NewSession): Promise<{ readonly expiresAtMs: number }> {
  const { id, tokenHash, person, address, lifeMs, idleLimitMs } = session;
  await lockSessionsOf(db, person);
  await db.delete(consoleSessions).where(lt(consoleSessions.expiresAt, sql.raw(`now() - interval '${keepDays} days'`)));
  const living = await db
    .select({ id: consoleSessions.id })
    .from(consoleSessions)
    .where(and(eq(consoleSessions.person, person), isLiving(idleLimitMs)))
    .orderBy(asc(consoleSessions.createdAt), asc(consoleSessions.id));
  const tooMany = living.slice(0, Math.max(0, living.length - session.countMax + 1)).map((each) => each.id);
  if (tooMany.length > 0) await endWhere(db, inArray(consoleSessions.id, tooMany), 'too-many');
  const [row] = await db
    .insert(consoleSessions)
    .values({ id, tokenHash, person, address, expiresAt: sql`now() + make_interval(secs => ${lifeMs / 1000})` })
    .returning({ expiresAt: consoleSessions.expiresAt });
  return { expiresAtMs: row?.expiresAt.getTime() ?? 0 };
}

export type FoundSession =
  | { readonly kind: 'living'; readonly id: SessionId; readonly person: string; readonly isTouchDue: boolean }
  | { readonly kind: 'ended'; readonly why: string; readonly person: string }
  | { readonly kind: 'expired' | 'idle'; readonly person: string }
  | { readonly kind: 'unknown' };

/** Whose session a token is, and whether it still counts. */
export async function findSession(
  db: Database,
  wanted: { readonly tokenHash: string; readonly idleLimitMs: number },
): Promise<FoundSession> {
  const { lastUsedAt, expiresAt } = consoleSessions;
  const [row] = await db
    .select({
      session: consoleSessions,
      isExpired: sql<boolean>`${expiresAt} <= now()`,
      isIdle: sql<boolean>`${lastUsedAt} + make_interval(secs => ${wanted.idleLimitMs / 1000}) <= now()`,
      isTouchDue: sql<boolean>`${lastUsedAt} + make_interval(secs => ${touchEverySeconds}) <= now()`,
    })
    .from(consoleSessions)
    .where(eq(consoleSessions.tokenHash, wanted.tokenHash));
  if (row === undefined) return { kind: 'unknown' };
  const { id, person, endedAt, endedWhy } = row.session;
  if (endedAt !== null) return { kind: 'ended', why: endedWhy ?? '', person };
  if (row.isExpired) return { kind: 'expired', person };
  if (row.isIdle) return { kind: 'idle', person };
  return { kind: 'living', id: idOf('session', id), person, isTouchDue: row.isTouchDue };
}

/** Notes that a session was used; of several requests at once one does it. */
export async function touchSession(db: Database, id: SessionId): Promise<void> {
  const isDue = lt(consoleSessions.lastUsedAt, sql`now() - make_interval(secs => ${touchEverySeconds - 1})`);
  await db
    .update(consoleSessions)
    .set({ lastUsedAt: sql`now()` })
    .where(and(eq(consoleSessions.id, id), isNull(consoleSessions.endedAt), isDue));
}

/** Ends one session; nothing changes for one that has ended. */
export async function endSession(db: Database, id: SessionId, why: SessionEnd): Promise<void> {
  await endWhere(db, eq(consoleSessions.id, id), why);
}

/** How many sessions of a person still count. */
export function countLivingSessions(db: Database, person: string, idleLimitMs: number): Promise<number> {
  return db.$count(consoleSessions, and(eq(consoleSessions.person, person), isLiving(idleLimitMs)));
}

/** Ends every session of a person, and takes back the links and codes that were not used: they sign in too. Call it in a transaction. */
export async function endSessionsOf(db: Database, person: string, why: SessionEnd): Promise<void> {
  await db.delete(consoleLinks).where(and(eq(consoleLinks.person, person), isNull(consoleLinks.usedAt)));
  await db.delete(linkCodes).where(and(eq(linkCodes.person, person), isNull(linkCodes.usedAt)));
  await lockSessionsOf(db, person);
  await endWhere(db, eq(consoleSessions.person, person), why);
}

function isLiving(idleLimitMs: number) {
  const { endedAt, expiresAt, lastUsedAt } = consoleSessions;
  const isUsed = gt(lastUsedAt, sql`now() - make_interval(secs => ${idleLimitMs / 1000})`);
  return and(isNull(endedAt), gt(expiresAt, sql`now()`), isUsed);
}

async function endWhere(db: Database, condition: SQL, why: SessionEnd): Promise<void> {
  await db
    .update(consoleSessions)
    .set({ endedAt: sql`now()`, endedWhy: why })
    .where(and(condition, isNull(consoleSessions.endedAt)));
}

/** Where a bot's console is reached. */
export async function saveConsoleAddress(db: Database, botName: string, url: string): Promise<void> {
  const reportedAt = sql`now()`;
  await db
    .insert(consoleAddresses)
    .values({ botName, url })
    .onConflictDoUpdate({ target: consoleAddresses.botName, set: { url, reportedAt } });
}

/** Where the console is that was heard of last; undefined when none has said so for this long. */
export async function consoleAddress(db: Database, withinMs: number): Promise<string | undefined> {
  const [row] = await db
    .select({ url: consoleAddresses.url })
    .from(consoleAddresses)
    .where(gt(consoleAddresses.reportedAt, sql`now() - make_interval(secs => ${withinMs / 1000})`))
    .orderBy(desc(consoleAddresses.reportedAt))
    .limit(1);
  return row?.url;
}

/** Guessers who have been quiet for an hour are forgotten: anybody may come with any address. */
export async function forgetQuietGuessers(db: Database, prefix: string): Promise<void> {
  const isQuiet = lt(wrongTries.lastAt, sql`now() - interval '1 hour'`);
  const quiet = db
    .select({ guesser: wrongTries.guesser })
    .from(wrongTries)
    .where(and(like(wrongTries.guesser, `${prefix}%`), isQuiet))
    .for('update', { skipLocked: true });
  await db.delete(wrongTries).where(inArray(wrongTries.guesser, quiet));
}

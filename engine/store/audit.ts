import { createHash } from 'node:crypto';
import { and, asc, desc, eq, gt, isNull, lte, or, sql } from 'drizzle-orm';
import type { AuditView } from '../../protocol/people-api.ts';
import { auditChain, auditEntries } from './audit-schema.ts';
import type { Database } from './database.ts';

export type AuditEntry = {
  /** The person, or a chat user who is none, or a part of this program. */
  readonly who: string;
  /** E.g. `certificate`, `slack:T1:U1`, `schedule`. */
  readonly via: string;
  readonly what: string;
  /** A machine's name or an id. */
  readonly target: string;
  readonly detail: string;
};

/**
 * Adds a row to the audit trail. Call it in the transaction that changes the state, before the change: what cannot be written
 * down is not done. Its number and digest come with `linkAudit`. Source: RELIABILITY 2
 */
export async function appendAudit(db: Database, entry: AuditEntry): Promise<void> {
  const { who, via, what, target, detail } = entry;
  await db.insert(auditEntries).values({ who, via, what, target, detail });
}

/** Chains what was committed since the last time. Every reader of the trail does it first; the schedule does it every few seconds. */
export async function linkAudit(db: Database): Promise<void> {
  await db.execute(sql`select audit_link_entries()`);
}

/**
 * SHA-256 (hex) over the digest before and this row. The function of migration 0002 computes the same in SQL; this one is what
 * the trail is checked with.
 */
export function auditDigest(previousDigest: string, row: Omit<AuditView, 'digest'>): string {
  const fields = [`${row.number}`, `${row.atMs}`, row.who, row.via, row.what, row.target, row.detail];
  const text = fields.map((field) => `${Buffer.byteLength(field)}:${field}`).join('');
  return createHash('sha256').update(`lifeboat-audit/1${previousDigest}${text}`).digest('hex');
}

/** The digest before the first row. */
export const firstAuditDigest = '0'.repeat(64);

export type AuditHead = { readonly number: number; readonly digest: string };

/** The newest row's number and digest; number 0 for an empty trail. */
export async function auditHead(db: Database): Promise<AuditHead> {
  await linkAudit(db);
  const [row] = await db
    .select({ number: auditChain.number, digest: auditChain.digest })
    .from(auditChain)
    .orderBy(desc(auditChain.number))
    .limit(1);
  return row ?? { number: 0, digest: firstAuditDigest };
}

/** The digest of one number; undefined when the trail does not reach so far. */
export async function auditDigestAt(db: Database, number: number): Promise<string | undefined> {
  const [row] = await db.select({ digest: auditChain.digest }).from(auditChain).where(eq(auditChain.number, number));
  return row?.digest;
}

/**
 * The newest entries first.
 *
 * @param about an id, a machine or a person, also found in the details; or an entry's number; everything if left out
 */
export async function listAudit(
  db: Database,
  query: { readonly about?: string | undefined; readonly countMax: number },
): Promise<AuditView[]> {
  const { about } = query;
  await linkAudit(db);
  const rows = await selectLinked(db).where(isAbout(about)).orderBy(desc(auditChain.number)).limit(query.countMax);
  return rows.map(auditViewOf);
}

function isAbout(about: string | undefined) {
  if (about === undefined) return undefined;
  const named = or(eq(auditEntries.target, about), eq(auditEntries.who, about));
  // Every detail has digits in it somewhere.
  if (/^\d{1,15}$/.test(about)) return or(named, eq(auditChain.number, Number(about)));
  return or(named, sql`position(${about} in ${auditEntries.detail}) > 0`);
}

/** What is wrong with the trail itself, the first thing only. Source: RELIABILITY 2 (tamper-evident audit) */
export type ChainCheck =
  | { readonly kind: 'whole'; readonly head: AuditHead }
  | { readonly kind: 'broken'; readonly head: AuditHead; readonly number: number; readonly problem: string };

const pageRows = 5000;

/**
 * Follows the chain to its newest row: all of it, or what came after a row up to which it was followed before. Entries that stand outside the
 * chain are looked for only when all of it is followed.
 */
export async function checkAuditChain(db: Database, after?: AuditHead): Promise<ChainCheck> {
  const head = await auditHead(db);
  let known: AuditHead = after ?? { number: 0, digest: firstAuditDigest };
  while (known.number < head.number) {
    const last = Math.min(head.number, known.number + pageRows);
    const page = await selectLinked(db)
      .where(and(gt(auditChain.number, known.number), lte(auditChain.number, last)))
      .orderBy(asc(auditChain.number));
    const [next, problem] = followPage(known, page.map(auditViewOf));
    if (problem !== undefined) return { kind: 'broken', head, number: next.number + 1, problem };
    known = next;
  }
  const loose = after === undefined ? await looseEntryCount(db) : 0;
  if (loose === 0) return { kind: 'whole', head };
  return { kind: 'broken', head, number: head.number + 1, problem: `${loose} entries stand outside the chain` };
}

/** How far the rows follow one after the other, and why no further. */
function followPage(from: AuditHead, page: readonly AuditView[]): [AuditHead, string?] {
  let known = from;
  if (page.length === 0) return [known, `entry ${known.number + 1} is missing`];
  for (const row of page) {
    if (row.number !== known.number + 1) return [known, `entry ${known.number + 1} is missing`];
    if (row.digest !== auditDigest(known.digest, row)) return [known, `entry ${row.number} was changed`];
    known = { number: row.number, digest: row.digest };
  }
  return [known];
}

/** Entries that no link of the chain names, though their transactions must have ended: somebody put them where no link is looked for. */
async function looseEntryCount(db: Database): Promise<number> {
  const rows = await db
    .select({ id: auditEntries.id })
    .from(auditEntries)
    .leftJoin(auditChain, eq(auditChain.entryId, auditEntries.id))
    .where(and(isNull(auditChain.number), sql`${auditEntries.at} < now() - interval '5 minutes'`))
    .limit(1000);
  return rows.length;
}

function selectLinked(db: Database) {
  return db
    .select({ entry: auditEntries, number: auditChain.number, digest: auditChain.digest })
    .from(auditChain)
    .innerJoin(auditEntries, eq(auditChain.entryId, auditEntries.id))
    .$dynamic();
}

type LinkedRow = { entry: typeof auditEntries.$inferSelect; number: number; digest: string };

function auditViewOf({ entry, number, digest }: LinkedRow): AuditView {
  const { who, via, what, target, detail } = entry;
  return { number, atMs: entry.at.getTime(), who, via, what, target, detail, digest };
}

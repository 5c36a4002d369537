import { and, eq, isNull, lt, sql } from 'drizzle-orm';
import type { AuditEntry } from './audit.ts';
import { auditEntries } from './audit-schema.ts';
import type { Database } from './database.ts';
import { commandAnswers } from './schema.ts';

export type Claim =
  /** The caller does the command now, then keeps its answer. */
  | { readonly kind: 'claimed' }
  | { readonly kind: 'answered'; readonly status: number; readonly answer: unknown }
  /** Somebody does it at this moment. */
  | { readonly kind: 'in-progress' }
  /** The key belongs to another request or person. */
  | { readonly kind: 'other-request' };

/** A claim without an answer is given up after this time: whoever had it has died. Commands are safe to do again. */
const claimMs = 30_000;

/**
 * Asks for the right to carry out the command of an idempotency key. Whoever gets it stands in the audit trail with the command, in the same
 * statement: what cannot be written down is not carried out.
 */
export async function claimCommand(
  db: Database,
  command: { readonly key: string; readonly person: string; readonly requestDigest: string },
  entry: AuditEntry,
): Promise<Claim> {
  const claim = db
    .insert(commandAnswers)
    .values(command)
    .onConflictDoUpdate({
      target: commandAnswers.key,
      set: { claimedAt: sql`now()` },
      setWhere: sql`${commandAnswers.status} is null
        and ${commandAnswers.claimedAt} < now() - make_interval(secs => ${claimMs / 1000})
        and ${commandAnswers.requestDigest} = ${command.requestDigest}
        and ${commandAnswers.person} = ${command.person}`,
    })
    .returning({ key: commandAnswers.key });
  const claimed = await db.execute(
    sql`with claimed as ${claim}, noted as (${entryInsert(entry)} from claimed) select key from claimed`,
  );
  if (claimed.rows.length === 1) return { kind: 'claimed' };
  const [row] = await db.select().from(commandAnswers).where(eq(commandAnswers.key, command.key));
  if (row === undefined) return { kind: 'in-progress' };
  if (row.person !== command.person || row.requestDigest !== command.requestDigest) return { kind: 'other-request' };
  return row.status === null ? { kind: 'in-progress' } : { kind: 'answered', status: row.status, answer: row.answer };
}

/** Keeps the answer of a claimed command for whoever asks with the key again; the trail gets what there is to tell of it. */
export async function keepAnswer(
  db: Database,
  key: string,
  answer: { readonly status: number; readonly body: unknown; readonly entry: AuditEntry | undefined },
): Promise<void> {
  const keep = db
    .update(commandAnswers)
    .set({ status: answer.status, answer: answer.body })
    .where(eq(commandAnswers.key, key));
  if (answer.entry === undefined) await keep;
  else await db.execute(sql`with kept as ${keep} ${entryInsert(answer.entry)}`);
}

/** One statement takes one turn of the connection instead of four: commands come in storms. */
function entryInsert({ who, via, what, target, detail }: AuditEntry) {
  return sql`insert into ${auditEntries} (who, via, what, target, detail)
    select ${who}::text, ${via}::text, ${what}::text, ${target}::text, ${detail}::text`;
}

/** Gives a claim back when the command could not be carried out now, so that the same key may try again. */
export async function releaseClaim(db: Database, key: string): Promise<void> {
  await db.delete(commandAnswers).where(and(eq(commandAnswers.key, key), isNull(commandAnswers.status)));
}

/** Forgets old answers. */
export async function deleteOldAnswers(db: Database, retentionMs: number): Promise<void> {
  await db
    .delete(commandAnswers)
    .where(lt(commandAnswers.claimedAt, sql`now() - make_interval(secs => ${retentionMs / 1000})`));
}

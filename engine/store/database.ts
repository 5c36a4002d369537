import { sql } from 'drizzle-orm';
import type { NodePgQueryResultHKT } from 'drizzle-orm/node-postgres';
import type { PgDatabase } from 'drizzle-orm/pg-core';
import { OutageError } from '../../domain/outage.ts';

/** A connection or an open transaction: every function of the store takes one first. */
export type Database = PgDatabase<NodePgQueryResultHKT, Record<string, never>>;

/** The database's clock: what every decision about expiry goes by. Epoch milliseconds. */
export async function databaseNowMs(db: Database): Promise<number> {
  const { rows } = await db.execute<{ now_ms: string }>(
    sql`select (extract(epoch from clock_timestamp()) * 1000)::bigint::text as now_ms`,
  );
  return Number(rows[0]?.now_ms);
}

/**
 * Takes a lock that lasts until the transaction ends; waits for whoever holds it.
 *
 * @param name what is locked, e.g. `points of mch_…`; names share one space of 64-bit hashes
 */
export async function lockInTransaction(db: Database, name: string): Promise<void> {
  await db.execute(sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`);
}

const connectionErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  // Server starting, stopping or crashed; too many connections; connection exceptions.
  '57P01',
  '57P02',
  '57P03',
  '53300',
  '08000',
  '08001',
  '08003',
  '08004',
  '08006',
]);
const retryableErrors = new Set(['40001', '40P01', '55P03', '53100', '53200', '25006']);
const connectionWords = /connection terminated|timeout exceeded when trying to connect|connection error|not queryable/i;

/**
 * Says what a failed statement means: an OutageError when Postgres did not do its part, else the error as it came.
 *
 * @param where the server, without any password
 */
export function asOutage(error: unknown, where: string): unknown {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth += 1) {
    if (current instanceof OutageError) return current;
    const code = 'code' in current && typeof current.code === 'string' ? current.code : '';
    if (connectionErrors.has(code) || connectionWords.test(current.message)) {
      return new OutageError(`Postgres at ${where} does not answer`, {
        cause: current,
        retryable: true,
        nextStep: 'Check that the server runs and can be reached; the work goes on by itself when it answers again.',
      });
    }
    if (retryableErrors.has(code)) {
      return new OutageError(`Postgres at ${where} could not do the change now`, { cause: current, retryable: true });
    }
  }
  return error;
}

/** The constraint that a statement broke, or undefined when it failed for another reason. */
export function brokenConstraint(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth += 1) {
    if ('constraint' in current && typeof current.constraint === 'string') return current.constraint;
  }
  return undefined;
}

import { sql } from 'drizzle-orm';
import { bigint, bigserial, check, index, pgTable, text } from 'drizzle-orm/pg-core';
import { instant } from './schema.ts';

/**
 * The audit trail: rows are added and never changed or removed (triggers of migration 0002 forbid it, also to our own code).
 * Source: CHAT 5.2 (8), RELIABILITY 2
 */
export const auditEntries = pgTable(
  'audit_entries',
  {
    id: bigserial({ mode: 'number' }).primaryKey(),
    at: instant('at').notNull().defaultNow(),
    who: text().notNull(),
    via: text().notNull(),
    what: text().notNull(),
    target: text().notNull(),
    detail: text().notNull(),
  },
  (table) => [index('audit_entries_target').on(table.target), index('audit_entries_who').on(table.who)],
);

/**
 * Chains the entries: each digest covers its entry and the digest before. An entry is linked within seconds, and before anybody
 * reads the trail; not in its own transaction, in which all commands would wait for each other. What the chain can prove is the same:
 * of its end, whatever is younger than the newest anchor in the vault could be cut off in both cases.
 */
export const auditChain = pgTable(
  'audit_chain',
  {
    /** From 1, without a gap. */
    number: bigint({ mode: 'number' }).primaryKey(),
    entryId: bigint('entry_id', { mode: 'number' })
      .notNull()
      .unique()
      .references(() => auditEntries.id),
    digest: text().notNull(),
  },
  (table) => [
    check('audit_chain_number', sql`${table.number} >= 1`),
    check('audit_chain_digest', sql`${table.digest} ~ '^[0-9a-f]{64}$'`),
  ],
);

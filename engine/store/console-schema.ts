import { sql } from 'drizzle-orm';
import { check, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import { persons } from './people-schema.ts';
import { instant, oneOf } from './schema.ts';

/** Who is signed in at the web console, and the one-time links by which they come. Source: issue 4 item 1 */

/** Why a session is over before its time. */
export const sessionEnds = [
  'signed-out',
  'signed-out-everywhere',
  'too-many',
  'disabled',
  'unlinked',
  'authenticator-reset',
] as const;

export const consoleLinks = pgTable(
  'console_links',
  {
    /** SHA-256 of the code, hex; the code itself is stored nowhere. */
    codeHash: text('code_hash').primaryKey(),
    person: text()
      .notNull()
      .references(() => persons.name),
    /** How the person asked for it: `certificate`, or the chat user. */
    madeVia: text('made_via').notNull(),
    createdAt: instant('created_at').notNull().defaultNow(),
    expiresAt: instant('expires_at').notNull(),
    usedAt: instant('used_at'),
  },
  (table) => [
    index('console_links_person').on(table.person),
    check('console_links_hash', sql`${table.codeHash} ~ '^[0-9a-f]{64}$'`),
    check('console_links_used_in_time', sql`${table.usedAt} is null or ${table.usedAt} <= ${table.expiresAt}`),
  ],
);

export const consoleSessions = pgTable(
  'console_sessions',
  {
    id: text().primaryKey(),
    /** SHA-256 of the token, hex; the token is in the browser's cookie only. */
    tokenHash: text('token_hash').notNull(),
    person: text()
      .notNull()
      .references(() => persons.name),
    /** Where the browser was when it signed in, as the bot saw it. */
    address: text().notNull(),
    createdAt: instant('created_at').notNull().defaultNow(),
    /** Behind by up to a minute: not every request is written down. */
    lastUsedAt: instant('last_used_at').notNull().defaultNow(),
    /** However busy it is. */
    expiresAt: instant('expires_at').notNull(),
    endedAt: instant('ended_at'),
    endedWhy: text('ended_why'),
  },
  (table) => [
    uniqueIndex('console_sessions_token').on(table.tokenHash),
    index('console_sessions_person').on(table.person),
    check('console_sessions_hash', sql`${table.tokenHash} ~ '^[0-9a-f]{64}$'`),
    check('console_sessions_life', sql`${table.expiresAt} > ${table.createdAt}`),
    check('console_sessions_end', sql`(${table.endedAt} is null) = (${table.endedWhy} is null)`),
    check('console_sessions_ended_why', oneOf(table.endedWhy, sessionEnds)),
  ],
);

/** Where each bot's console is reached; it says so every minute. */
export const consoleAddresses = pgTable(
  'console_addresses',
  {
    botName: text('bot_name').primaryKey(),
    url: text().notNull(),
    reportedAt: instant('reported_at').notNull().defaultNow(),
  },
  (table) => [check('console_addresses_url', sql`${table.url} like 'https://%'`)],
);

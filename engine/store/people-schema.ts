import { sql } from 'drizzle-orm';
import { boolean, check, foreignKey, index, integer, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import { roles } from '../../domain/access.ts';
import { instant, oneOf } from './schema.ts';

/** People: what each may do, by which chat users they are known, and how they prove themselves. Source: CHAT 5.2 (3), (4) */
const surfaces = ['slack', 'teams'] as const;

/** A person's id is the name: certificates and chat users of one name are one person, who counts once. */
export const persons = pgTable(
  'persons',
  {
    name: text().primaryKey(),
    createdBy: text('created_by').notNull(),
    createdAt: instant('created_at').notNull().defaultNow(),
    /** A disabled person can do nothing; the row stays, because approvals and the audit trail name it. */
    disabledAt: instant('disabled_at'),
  },
  (table) => [check('persons_name', sql`${table.name} ~ '^[a-z0-9][a-z0-9._-]{0,62}$'`)],
);

export const grants = pgTable(
  'grants',
  {
    person: text()
      .notNull()
      .references(() => persons.name),
    role: text().notNull(),
    scopeKind: text('scope_kind').notNull(),
    /** A machine's name or a tag; empty for everything. */
    scopeValue: text('scope_value').notNull(),
    grantedBy: text('granted_by').notNull(),
    grantedAt: instant('granted_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.person, table.role, table.scopeKind, table.scopeValue] }),
    check('grants_role', oneOf(table.role, roles)),
    check('grants_scope', oneOf(table.scopeKind, ['everything', 'machine', 'tag'])),
    check('grants_scope_value', sql`(${table.scopeKind} = 'everything') = (${table.scopeValue} = '')`),
  ],
);

/** Which chat user is which person. The same user number in another tenant is somebody else. */
export const chatLinks = pgTable(
  'chat_links',
  {
    surface: text().notNull(),
    tenant: text().notNull(),
    user: text('chat_user').notNull(),
    person: text()
      .notNull()
      .references(() => persons.name),
    displayName: text('display_name').notNull().default(''),
    linkedAt: instant('linked_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.surface, table.tenant, table.user] }),
    index('chat_links_person').on(table.person),
    check('chat_links_surface', oneOf(table.surface, surfaces)),
    check('chat_links_identity', sql`${table.tenant} <> '' and ${table.user} <> ''`),
  ],
);

/** One-time codes; a code is typed on the other side than the one that it was made on. */
export const linkCodes = pgTable(
  'link_codes',
  {
    /** SHA-256 of the code, hex; the code itself is stored nowhere. */
    codeHash: text('code_hash').primaryKey(),
    /** Made by a person with a certificate, to be typed in chat ... */
    person: text().references(() => persons.name),
    /** ... or by a chat user, to be typed in a terminal. */
    surface: text(),
    tenant: text(),
    user: text('chat_user'),
    displayName: text('display_name').notNull().default(''),
    isSetUp: boolean('is_set_up').notNull().default(false),
    createdAt: instant('created_at').notNull().defaultNow(),
    expiresAt: instant('expires_at').notNull(),
    usedAt: instant('used_at'),
  },
  (table) => [
    check('link_codes_hash', sql`${table.codeHash} ~ '^[0-9a-f]{64}$'`),
    check('link_codes_one_side', sql`(${table.person} is null) = (${table.user} is not null)`),
    check(
      'link_codes_chat_side',
      sql`(${table.user} is null) = (${table.surface} is null) and (${table.user} is null) = (${table.tenant} is null)`,
    ),
    check('link_codes_used_in_time', sql`${table.usedAt} is null or ${table.usedAt} <= ${table.expiresAt}`),
  ],
);

/** Who is told when something must not wait; 0 is asked first. */
export const onCall = pgTable(
  'on_call',
  {
    position: integer().primaryKey(),
    person: text()
      .notNull()
      .references(() => persons.name),
    /** Who put the person on the list; null: before this was kept. */
    setBy: text('set_by'),
    setAt: instant('set_at').notNull().defaultNow(),
  },
  (table) => [unique('on_call_person').on(table.person), check('on_call_position', sql`${table.position} >= 0`)],
);

export const authenticators = pgTable(
  'authenticators',
  {
    person: text()
      .primaryKey()
      .references(() => persons.name),
    /** AES-256-GCM under the installation's key, bound to the person. */
    sealedSecret: text('sealed_secret').notNull(),
    createdAt: instant('created_at').notNull().defaultNow(),
    /** When the first code proved that the person's device has the secret; before that it is no authenticator. */
    confirmedAt: instant('confirmed_at'),
  },
  (table) => [check('authenticators_sealed', sql`${table.sealedSecret} ~ '^[0-9a-f]{24}\\.[0-9a-f]+\\.[0-9a-f]{32}$'`)],
);

/** A six-digit code that was used is good for nothing more. `step`: its 30 s since 1970. Source: RFC 6238 5.2 */
export const burnedCodes = pgTable(
  'burned_codes',
  {
    person: text().notNull(),
    step: integer().notNull(),
    burnedAt: instant('burned_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.person, table.step] }),
    foreignKey({ name: 'burned_codes_person', columns: [table.person], foreignColumns: [persons.name] }),
  ],
);

/** Wrong guesses, counted for each guesser: after five of them comes a wait. */
export const wrongTries = pgTable(
  'wrong_tries',
  {
    /** What is guessed and by whom, e.g. `code of ana`. */
    guesser: text().primaryKey(),
    count: integer().notNull(),
    lastAt: instant('last_at').notNull().defaultNow(),
    lockedUntil: instant('locked_until'),
  },
  (table) => [check('wrong_tries_count', sql`${table.count} >= 0`)],
);

/** Tags of machines, by name: also of guests that nobody protects yet. */
export const machineTags = pgTable(
  'machine_tags',
  {
    machineName: text('machine_name').notNull(),
    tag: text().notNull(),
    taggedBy: text('tagged_by').notNull(),
    taggedAt: instant('tagged_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.machineName, table.tag] }),
    index('machine_tags_tag').on(table.tag),
    check('machine_tags_tag', sql`${table.tag} ~ '^[a-z0-9][a-z0-9:._-]{0,59}$'`),
  ],
);

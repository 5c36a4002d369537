import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
} from 'drizzle-orm/pg-core';
import { instant, oneOf } from './schema.ts';

const surfaceNames = ['slack', 'teams'] as const;

/** Chat platforms that a bot has reported from. Source: CHAT 5.2 (7) */
export const chatSurfaces = pgTable(
  'chat_surfaces',
  {
    surface: text().notNull(),
    tenant: text().notNull(),
    isHealthy: boolean('is_healthy').notNull(),
    detail: text().notNull().default(''),
    reportedAt: instant('reported_at').notNull().defaultNow(),
    changedAt: instant('changed_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.surface, table.tenant] }),
    check('chat_surfaces_surface', oneOf(table.surface, surfaceNames)),
  ],
);

/** Where the bot can write first, with what the platform wants for that (Teams: the conversation reference). */
export const chatPlaces = pgTable(
  'chat_places',
  {
    surface: text().notNull(),
    tenant: text().notNull(),
    place: text().notNull(),
    reference: jsonb().notNull().default({}),
    savedAt: instant('saved_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.surface, table.tenant, table.place] }),
    check('chat_places_surface', oneOf(table.surface, surfaceNames)),
  ],
);

export const severities = ['info', 'warning', 'critical'] as const;

/** Which channels are shown what happens; without a host: everything. */
export const subscriptions = pgTable(
  'subscriptions',
  {
    surface: text().notNull(),
    tenant: text().notNull(),
    place: text().notNull(),
    /** Empty: everything; `site:<name>`: every host of that site. */
    host: text().notNull().default(''),
    severityMin: text('severity_min').notNull(),
    subscribedBy: text('subscribed_by').notNull(),
    subscribedAt: instant('subscribed_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.surface, table.tenant, table.place, table.host] }),
    check('subscriptions_surface', oneOf(table.surface, surfaceNames)),
    check('subscriptions_severity', oneOf(table.severityMin, severities)),
  ],
);

export const messageKinds = ['copy', 'note', 'picture', 'direct', 'digest'] as const;

/**
 * What people should see in chat, stored with the state that it tells of. A `copy` is a topic's message in one place, drawn again whenever
 * its wanted revision is ahead of the delivered one; notes and pictures stand in a copy's thread; `direct` notes stand alone; a `digest` lists
 * what its members would have said. Source: CHAT 5.2 (6, 7), 5.3
 */
export const messages = pgTable(
  'messages',
  {
    id: text().primaryKey(),
    /** Orders what was wanted at the same instant. */
    number: bigserial({ mode: 'number' }).notNull().unique(),
    surface: text().notNull(),
    tenant: text().notNull(),
    place: text().notNull(),
    kind: text().notNull(),
    topic: text(),
    /** The copy in whose thread it stands. */
    parentId: text('parent_id'),
    /** The digest that tells of it instead. */
    digestId: text('digest_id'),
    /** A note's words, or a picture's path; copies and digests are drawn from what is true when they are claimed. */
    content: jsonb(),
    severity: text().notNull(),
    isNotifying: boolean('is_notifying').notNull().default(false),
    state: text().notNull().default('live'),
    wantedRevision: bigint('wanted_revision', { mode: 'number' }).notNull().default(1),
    deliveredRevision: bigint('delivered_revision', { mode: 'number' }).notNull().default(0),
    /** Where it stands, in the platform's own words. */
    ref: jsonb(),
    /** Since when something of it is undelivered. */
    wantedAt: instant('wanted_at').notNull().defaultNow(),
    /** Not before: coalescing, and the pause after a failure. */
    dueAt: instant('due_at').notNull().defaultNow(),
    leasedUntil: instant('leased_until'),
    leasedRevision: bigint('leased_revision', { mode: 'number' }),
    attemptCount: integer('attempt_count').notNull().default(0),
    lastError: text('last_error'),
    createdAt: instant('created_at').notNull().defaultNow(),
    deliveredAt: instant('delivered_at'),
    endedAt: instant('ended_at'),
  },
  (table) => [
    foreignKey({ columns: [table.parentId], foreignColumns: [table.id] }).onDelete('cascade'),
    foreignKey({ columns: [table.digestId], foreignColumns: [table.id] }).onDelete('set null'),
    uniqueIndex('messages_one_copy')
      .on(table.surface, table.tenant, table.place, table.topic)
      .where(sql`${table.kind} = 'copy'`),
    index('messages_topic').on(table.topic),
    index('messages_undelivered')
      .on(table.surface, table.tenant, table.dueAt)
      .where(sql`${table.state} = 'live' and ${table.deliveredRevision} < ${table.wantedRevision}`),
    index('messages_created').on(table.surface, table.tenant, table.createdAt),
    index('messages_thread').on(table.parentId),
    check('messages_surface', oneOf(table.surface, surfaceNames)),
    check('messages_kind', oneOf(table.kind, messageKinds)),
    check('messages_severity', oneOf(table.severity, severities)),
    check('messages_state', oneOf(table.state, ['live', 'superseded', 'undeliverable'])),
    check('messages_revision', sql`${table.deliveredRevision} between 0 and ${table.wantedRevision}`),
    check('messages_copy', sql`(${table.kind} = 'copy') <= (${table.topic} is not null and ${table.content} is null)`),
    check('messages_in_thread', sql`${oneOf(table.kind, ['note', 'picture'])} = (${table.parentId} is not null)`),
    check(
      'messages_content',
      sql`${oneOf(table.kind, ['note', 'picture', 'direct'])} = (${table.content} is not null)`,
    ),
    check('messages_lease', sql`(${table.leasedUntil} is null) = (${table.leasedRevision} is null)`),
    check('messages_delivered', sql`(${table.deliveredRevision} > 0) <= (${table.ref} is not null)`),
    check('messages_ended', sql`(${table.state} = 'live') = (${table.endedAt} is null)`),
  ],
);

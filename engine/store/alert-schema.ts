import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
} from 'drizzle-orm/pg-core';
import { alertRules } from '../../domain/alert.ts';
import { instant, oneOf } from './schema.ts';

/** What people are told of without asking: one row that is not over for each rule and scope. Source: CHAT 5.3 */
export const alerts = pgTable(
  'alerts',
  {
    id: text().primaryKey(),
    rule: text().notNull(),
    scope: text().notNull(),
    severity: text().notNull(),
    state: text().notNull().default('open'),
    title: text().notNull(),
    text: text().notNull(),
    nextStep: text('next_step').notNull(),
    machineNames: jsonb('machine_names').notNull(),
    members: jsonb().notNull(),
    host: text(),
    /** The common cause, when it stands for several. */
    groupScope: text('group_scope'),
    revision: bigint({ mode: 'number' }).notNull().default(1),
    /** How often it came back within a short time. */
    occurrences: integer().notNull().default(1),
    openedAt: instant('opened_at').notNull().defaultNow(),
    changedAt: instant('changed_at').notNull().defaultNow(),
    wordsAt: instant('words_at').notNull().defaultNow(),
    recoveredAt: instant('recovered_at'),
    owner: text(),
    /** When its owner said last that somebody is at work on it. */
    confirmedAt: instant('confirmed_at'),
    reminderCount: integer('reminder_count').notNull().default(0),
    remindedAt: instant('reminded_at').notNull().defaultNow(),
    snoozedUntil: instant('snoozed_until'),
    muteKind: text('mute_kind'),
    muteWhy: text('mute_why'),
    /** How often people should have been told of it by now, though its severity is the same. */
    step: integer().notNull().default(0),
    escalationLevel: integer('escalation_level').notNull().default(0),
    escalatesFrom: instant('escalates_from').notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex('alerts_one_open').on(table.rule, table.scope).where(sql`${table.state} <> 'recovered'`),
    index('alerts_opened').on(table.openedAt),
    check('alerts_rule', oneOf(table.rule, alertRules)),
    check('alerts_severity', oneOf(table.severity, ['warning', 'critical'])),
    check('alerts_state', oneOf(table.state, ['open', 'acknowledged', 'snoozed', 'muted', 'recovered'])),
    check('alerts_recovered', sql`(${table.state} = 'recovered') = (${table.recoveredAt} is not null)`),
    check('alerts_snoozed', sql`(${table.state} = 'snoozed') = (${table.snoozedUntil} is not null)`),
    check('alerts_acknowledged', sql`(${table.state} = 'acknowledged') = (${table.confirmedAt} is not null)`),
    check('alerts_owned', sql`${table.state} not in ('acknowledged', 'snoozed') or ${table.owner} is not null`),
    check('alerts_muted', sql`(${table.state} = 'muted') = (${table.muteKind} is not null)`),
    check('alerts_mute_why', sql`(${table.muteKind} is null) = (${table.muteWhy} is null)`),
    check('alerts_mute_kind', oneOf(table.muteKind, ['person', 'maintenance', 'grouped'])),
    check('alerts_escalation', sql`${table.escalationLevel} between 0 and 3`),
  ],
);

/** What one look at a rule and scope remembers for the next one, whichever engine that is. */
export const alertWatches = pgTable(
  'alert_watches',
  { rule: text().notNull(), scope: text().notNull(), watch: jsonb().notNull() },
  (table) => [primaryKey({ columns: [table.rule, table.scope] })],
);

/** One row: when alerts were evaluated last. */
export const alertLooks = pgTable(
  'alert_looks',
  {
    id: integer().primaryKey(),
    lookedAt: instant('looked_at').notNull(),
    /** Since when looks have followed each other without a gap. */
    resumedAt: instant('resumed_at').notNull(),
    /** The bytes that waited for the process servers at the last looks. */
    queuedBytes: bigint('queued_bytes', { mode: 'number' }).notNull().default(0),
  },
  (table) => [check('alert_looks_one', sql`${table.id} = 1`)],
);

/** One row for each engine, written by its check of itself: a database that only reads is not alive. */
export const aliveChecks = pgTable('alive_checks', {
  engine: text().primaryKey(),
  checkedAt: instant('checked_at').notNull().defaultNow(),
});

/** Calls of the pager webhook that were wanted, and how they went. */
export const pagerCalls = pgTable(
  'pager_calls',
  {
    id: text().primaryKey(),
    /** An alert's or an approval's id. */
    about: text().notNull(),
    title: text().notNull(),
    text: text().notNull(),
    wantedAt: instant('wanted_at').notNull().defaultNow(),
    dueAt: instant('due_at').notNull().defaultNow(),
    attemptCount: integer('attempt_count').notNull().default(0),
    sentAt: instant('sent_at'),
    givenUpAt: instant('given_up_at'),
    lastError: text('last_error'),
  },
  (table) => [
    index('pager_calls_wanted').on(table.dueAt).where(sql`${table.sentAt} is null and ${table.givenUpAt} is null`),
    check('pager_calls_ended', sql`${table.sentAt} is null or ${table.givenUpAt} is null`),
  ],
);

/** What bots need to go on working, and until when it is good, as they say it themselves. */
export const botCredentials = pgTable(
  'bot_credentials',
  {
    botName: text('bot_name').notNull(),
    host: text().notNull(),
    name: text().notNull(),
    expiresAt: instant('expires_at').notNull(),
    isRenewedByItself: boolean('is_renewed_by_itself').notNull(),
    nextStep: text('next_step').notNull(),
    reportedAt: instant('reported_at').notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.botName, table.host, table.name] })],
);

/** One row: what the last check of the audit trail found. */
export const auditChecks = pgTable(
  'audit_checks',
  {
    id: integer().primaryKey(),
    checkedAt: instant('checked_at').notNull().defaultNow(),
    /** Why it cannot be trusted; null when it can. */
    problem: text(),
  },
  (table) => [check('audit_checks_one', sql`${table.id} = 1`)],
);

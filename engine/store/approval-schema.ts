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
import { endedStates, openStates } from '../../domain/approval.ts';
import { instant, oneOf, protectedMachines } from './schema.ts';

/**
 * What needs another person's agreement. The triggers of migration 0003 forbid what must never be, also to our own code: a change of
 * what was asked for, a step that the states do not have, a beginning without enough persons' approval or after its time, a vote of
 * whoever asked, and a planned failover that is not word for word the approved one. Those of the migration `role_changes` forbid a vote
 * about one's own rights. None guards the grants themselves: it could not know who sets them. Source: CHAT 5.2, RELIABILITY 2b, I4
 */
export const approvals = pgTable(
  'approvals',
  {
    id: text().primaryKey(),
    revision: integer().notNull().default(1),
    operation: text().notNull(),
    /** What it is about: a machine (only its name when it is about its tags: those are of guests that nobody protects, too) ... */
    machineId: text('machine_id').references(() => protectedMachines.id),
    machineName: text('machine_name'),
    /** ... or a person, who may not be there yet. */
    concerns: text(),
    state: text().notNull().default('pending'),
    /** SHA-256 over the canonical text of `params`. */
    digest: text().notNull(),
    /** Everything that will be done. */
    params: jsonb().notNull(),
    neededCount: integer('needed_count').notNull(),
    reason: text().notNull(),
    requestedBy: text('requested_by').notNull(),
    requestedVia: text('requested_via').notNull(),
    requestedAt: instant('requested_at').notNull().defaultNow(),
    expiresAt: instant('expires_at').notNull(),
    /** It begins at this time and not before; null: as soon as it is approved. */
    notBefore: instant('not_before'),
    /** What people were shown when it was asked for: control-api sentences, checks and labelled values. */
    shown: jsonb().notNull(),
    isBreakGlass: boolean('is_break_glass').notNull().default(false),
    decidedBy: text('decided_by'),
    decidedAt: instant('decided_at'),
    decisionReason: text('decision_reason'),
    /** Recovery point and time objectives as they were measured, when its run has succeeded. */
    measured: jsonb(),
    reviewDueAt: instant('review_due_at'),
    reviewedBy: text('reviewed_by'),
    reviewedAt: instant('reviewed_at'),
    reviewNote: text('review_note'),
  },
  (table) => [
    uniqueIndex('approvals_one_open')
      .on(table.machineId, table.operation)
      .where(sql`${oneOf(table.state, openStates)}`),
    uniqueIndex('approvals_one_open_of_person')
      .on(table.concerns)
      .where(sql`${oneOf(table.state, openStates)}`),
    uniqueIndex('approvals_one_open_of_tags')
      .on(table.machineName)
      .where(sql`${table.machineId} is null and ${oneOf(table.state, openStates)}`),
    index('approvals_requested').on(table.requestedAt),
    check('approvals_operation', oneOf(table.operation, ['planned-failover', 'raise-threshold', 'change-approvers'])),
    check(
      'approvals_about',
      sql`(${table.operation} = 'change-approvers') = (${table.machineId} is null)
        and (${table.machineId} is null or ${table.concerns} is null) and (${table.machineName} is null) = (${table.concerns} is not null)`,
    ),
    check('approvals_concerns', sql`${table.concerns} ~ '^[a-z0-9][a-z0-9._-]{0,62}$'`),
    check('approvals_state', oneOf(table.state, [...openStates, ...endedStates])),
    check('approvals_digest', sql`${table.digest} ~ '^[0-9a-f]{64}$'`),
    check('approvals_needed', sql`${table.neededCount} >= 1`),
    check('approvals_revision', sql`${table.revision} >= 1`),
    check('approvals_reason', sql`${table.reason} <> ''`),
    check('approvals_expire', sql`${table.expiresAt} > ${table.requestedAt}`),
    check('approvals_not_before', sql`${table.notBefore} is null or ${table.notBefore} < ${table.expiresAt}`),
    check(
      'approvals_decided',
      sql`(${table.state} = 'pending') = (${table.decidedAt} is null) and (${table.decidedAt} is null) = (${table.decidedBy} is null)`,
    ),
    check('approvals_rejected', sql`${table.state} <> 'rejected' or ${table.decisionReason} <> ''`),
    check('approvals_measured', sql`${table.measured} is null or ${table.state} = 'succeeded'`),
    check('approvals_break_glass', sql`${table.isBreakGlass} = (${table.reviewDueAt} is not null)`),
    check('approvals_break_glass_machine', sql`not ${table.isBreakGlass} or ${table.machineId} is not null`),
    check(
      'approvals_reviewed',
      sql`(${table.reviewedBy} is null) = (${table.reviewedAt} is null) and (${table.reviewedBy} is null) = (${table.reviewNote} is null)
        and (${table.reviewedBy} is null or (${table.isBreakGlass} and ${table.reviewedBy} <> ${table.requestedBy}))`,
    ),
  ],
);

export const approvalVotes = pgTable(
  'approval_votes',
  {
    approvalId: text('approval_id')
      .notNull()
      .references(() => approvals.id),
    /** The person, not the chat user: Slack, Teams and terminal of one human are one vote. */
    person: text().notNull(),
    decision: text().notNull(),
    at: instant('at').notNull().defaultNow(),
    via: text().notNull(),
    reason: text().notNull(),
    stepUp: text('step_up').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.approvalId, table.person] }),
    check('approval_votes_decision', oneOf(table.decision, ['approve', 'reject'])),
    check('approval_votes_step_up', oneOf(table.stepUp, ['totp', 'none'])),
    check('approval_votes_proven', sql`${table.decision} = 'reject' or ${table.stepUp} = 'totp'`),
    check('approval_votes_reason', sql`${table.decision} = 'approve' or ${table.reason} <> ''`),
  ],
);

/** From which lag on people are told of a machine, when that is not what its policy says. */
export const machineThresholds = pgTable(
  'machine_thresholds',
  {
    machineId: text('machine_id')
      .primaryKey()
      .references(() => protectedMachines.id),
    warnMs: bigint('warn_ms', { mode: 'number' }).notNull(),
    criticalMs: bigint('critical_ms', { mode: 'number' }).notNull(),
    setBy: text('set_by').notNull(),
    setAt: instant('set_at').notNull().defaultNow(),
  },
  (table) => [
    check('machine_thresholds_order', sql`${table.warnMs} >= 1000 and ${table.criticalMs} > ${table.warnMs}`),
  ],
);

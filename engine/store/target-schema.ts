import { sql } from 'drizzle-orm';
import { check, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import { instant, oneOf, protectedMachines, recoveryPoints, runs } from './schema.ts';

/** What runs at targets: machines of drills, and machines that were failed over. See schema.ts. */
export const drills = pgTable(
  'drills',
  {
    id: text().primaryKey(),
    machineId: text('machine_id')
      .notNull()
      .references(() => protectedMachines.id),
    runId: text('run_id')
      .notNull()
      .unique()
      .references(() => runs.id),
    /** While the drill is open its point cannot be removed: this reference forbids it. Null once closed. */
    pinnedPointId: text('pinned_point_id').references(() => recoveryPoints.id),
    /** The point as people are shown it (control-api pointView); it outlives the point. */
    point: jsonb().notNull(),
    state: text().notNull(),
    vmName: text('vm_name').notNull(),
    /** What the target needs to find the machine again; opaque to the store. */
    handle: jsonb(),
    startedAt: instant('started_at').notNull().defaultNow(),
    expiresAt: instant('expires_at').notNull(),
    closedAt: instant('closed_at'),
  },
  (table) => [
    check('drills_state', oneOf(table.state, ['starting', 'open', 'cleaning', 'closed'])),
    check('drills_closed', sql`(${table.state} = 'closed') = (${table.closedAt} is not null)`),
    check('drills_pin', sql`(${table.state} = 'closed') = (${table.pinnedPointId} is null)`),
    check('drills_expire', sql`${table.expiresAt} > ${table.startedAt}`),
    uniqueIndex('drills_one_open').on(table.machineId).where(sql`${table.state} <> 'closed'`),
    uniqueIndex('drills_one_vm_name').on(table.vmName).where(sql`${table.state} <> 'closed'`),
  ],
);

/** Machines that were failed over for real: what the target has of them, from the reservation on. */
export const failovers = pgTable(
  'failovers',
  {
    /** Names the machine's place at the target. */
    id: text().primaryKey(),
    machineId: text('machine_id')
      .notNull()
      .references(() => protectedMachines.id),
    runId: text('run_id')
      .notNull()
      .unique()
      .references(() => runs.id),
    state: text().notNull(),
    /** While the machine reads from the vault, its point cannot be removed: this reference forbids it. */
    pinnedPointId: text('pinned_point_id').references(() => recoveryPoints.id),
    /** The point as people are shown it (control-api pointView); known once the source has stopped. */
    point: jsonb(),
    vmName: text('vm_name').notNull(),
    /** What the target needs to find the machine again; opaque to the store. */
    handle: jsonb(),
    startedAt: instant('started_at').notNull().defaultNow(),
    endedAt: instant('ended_at'),
  },
  (table) => [
    check('failovers_state', oneOf(table.state, ['starting', 'hydrating', 'local', 'removing', 'removed'])),
    check('failovers_ended', sql`(${table.state} = 'removed') = (${table.endedAt} is not null)`),
    check(
      'failovers_pin',
      sql`case when ${table.state} = 'hydrating' then ${table.pinnedPointId} is not null and ${table.handle} is not null
        when ${oneOf(table.state, ['local', 'removed'])} then ${table.pinnedPointId} is null else true end`,
    ),
    uniqueIndex('failovers_one_open').on(table.machineId).where(sql`${table.state} <> 'removed'`),
  ],
);

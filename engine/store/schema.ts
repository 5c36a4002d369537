import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  check,
  doublePrecision,
  index,
  integer,
  jsonb,
  type PgColumn,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/**
 * The engine's tables. Their constraints make a wrong state impossible to store, whatever the code above them does.
 *
 * Unions are a `kind` column with jsonb beside it, parsed by zod when read (rows.ts). Times are decided by the
 * database's clock.
 * Change this file, then run `npx drizzle-kit generate`: migrations only ever go forward.
 */
export const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' });
const byteCount = (name: string) => bigint(name, { mode: 'number' });

/** `column in ('a', 'b')`, with the values from our own source only. */
export function oneOf(column: PgColumn, values: readonly string[]) {
  return sql`(${column} in (${sql.raw(values.map((value) => `'${value}'`).join(', '))}))`;
}

export const agents = pgTable(
  'agents',
  {
    id: text().primaryKey(),
    hostName: text('host_name').notNull(),
    /** Where the host stands, as its agent's configuration says. Source: A4 */
    siteName: text('site_name').notNull().default('main'),
    agentVersion: text('agent_version').notNull().default(''),
    certificateFingerprint: text('certificate_fingerprint').notNull(),
    certificateExpiresAt: instant('certificate_expires_at').notNull(),
    /** The running agent's own number, the one that it replaced, and one that was refused: see agents.ts. */
    instanceId: uuid('instance_id'),
    replacedInstanceId: uuid('replaced_instance_id'),
    refusedInstanceId: uuid('refused_instance_id'),
    lastSeenAt: instant('last_seen_at'),
    /** How full its spool is: agent-api spoolReport; null when its agent does not say. */
    spool: jsonb(),
    enrolledAt: instant('enrolled_at').notNull().defaultNow(),
    revokedAt: instant('revoked_at'),
  },
  (table) => [
    uniqueIndex('agents_one_per_host').on(table.hostName).where(sql`${table.revokedAt} is null`),
    check('agents_fingerprint', sql`${table.certificateFingerprint} ~ '^[0-9a-f]{64}$'`),
  ],
);

export const enrolmentTokens = pgTable(
  'enrolment_tokens',
  {
    /** SHA-256 of the token, hex; the token itself is stored nowhere. */
    tokenHash: text('token_hash').primaryKey(),
    hostName: text('host_name').notNull(),
    createdBy: text('created_by').notNull(),
    createdAt: instant('created_at').notNull().defaultNow(),
    expiresAt: instant('expires_at').notNull(),
    usedAt: instant('used_at'),
    usedByAgentId: text('used_by_agent_id').references(() => agents.id),
  },
  (table) => [
    check('enrolment_tokens_hash', sql`${table.tokenHash} ~ '^[0-9a-f]{64}$'`),
    check('enrolment_tokens_expire', sql`${table.expiresAt} > ${table.createdAt}`),
    check('enrolment_tokens_used_once', sql`(${table.usedAt} is null) = (${table.usedByAgentId} is null)`),
    check('enrolment_tokens_used_in_time', sql`${table.usedAt} is null or ${table.usedAt} <= ${table.expiresAt}`),
  ],
);

export const guests = pgTable(
  'guests',
  {
    agentId: text('agent_id')
      .notNull()
      .references(() => agents.id),
    name: text().notNull(),
    kind: text().notNull(),
    tracking: text().notNull(),
    disks: jsonb().notNull(),
    hardware: jsonb().notNull(),
    unsupported: text(),
    reportedAt: instant('reported_at').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.agentId, table.name] }),
    check('guests_kind', oneOf(table.kind, ['qemu-guest', 'disk-image'])),
  ],
);

export const replicationPolicies = pgTable(
  'replication_policies',
  {
    name: text().primaryKey(),
    crashConsistentEveryMs: bigint('crash_consistent_every_ms', { mode: 'number' }).notNull(),
    rpoThresholdMs: bigint('rpo_threshold_ms', { mode: 'number' }).notNull(),
    retentionMs: bigint('retention_ms', { mode: 'number' }).notNull(),
    drillLimitMs: bigint('drill_limit_ms', { mode: 'number' }).notNull(),
  },
  (table) => [
    check('replication_policies_every', sql`${table.crashConsistentEveryMs} >= 1000`),
    check('replication_policies_threshold', sql`${table.rpoThresholdMs} >= ${table.crashConsistentEveryMs}`),
    check('replication_policies_retention', sql`${table.retentionMs} >= ${table.crashConsistentEveryMs}`),
    check('replication_policies_drill', sql`${table.drillLimitMs} >= 1000`),
  ],
);

/** A guest that nobody protects has no row here: `not-protected` is the absence of one. */
export const protectedMachines = pgTable(
  'protected_machines',
  {
    id: text().primaryKey(),
    name: text().notNull().unique(),
    /** Null only for a machine that was rebuilt from the vault and whose agent has not been enrolled again. */
    agentId: text('agent_id').references(() => agents.id),
    policyName: text('policy_name')
      .notNull()
      .references(() => replicationPolicies.name),
    epoch: integer().notNull().default(1),
    kind: text().notNull(),
    protectionKind: text('protection_kind').notNull(),
    /** What is true in that kind of protection: domain ProtectionState without its kind. */
    protection: jsonb().notNull(),
    pausedUntil: instant('paused_until'),
    pauseReason: text('pause_reason'),
    hardware: jsonb().notNull(),
    /** What the agent said it does with the machine, last time: control-api replicationReport, or null. */
    report: jsonb(),
    resyncRequired: text('resync_required'),
    sentBytesTotal: byteCount('sent_bytes_total').notNull().default(0),
    /** The chain of point manifests: the newest one that was sealed. */
    lastPointNumber: bigint('last_point_number', { mode: 'number' }).notNull().default(0),
    lastManifestDigest: text('last_manifest_digest').notNull(),
    enabledBy: text('enabled_by').notNull(),
    enabledAt: instant('enabled_at').notNull().defaultNow(),
    /** The source must stay stopped: another copy of it may be in charge. Source: RELIABILITY I3 */
    isHeld: boolean('is_held').notNull().default(false),
    /** When its agent last found it running all the same. */
    runningAlthoughHeldAt: instant('running_although_held_at'),
  },
  (table) => [
    check('protected_machines_kind', oneOf(table.kind, ['qemu-guest', 'disk-image'])),
    check('protected_machines_epoch', sql`${table.epoch} >= 1`),
    check(
      'protected_machines_protection',
      oneOf(table.protectionKind, ['initial-replication', 'protected', 'failed-over']),
    ),
    check(
      'protected_machines_protection_data',
      sql`case ${table.protectionKind} when 'initial-replication'
        then ${table.protection} ?& array['doneBytes', 'totalBytes', 'bytesPerSecond'] when 'failed-over'
        then ${table.protection} ?& array['runId', 'target', 'vmName', 'atMs', 'disks'] else ${table.protection} = '{}'::jsonb end`,
    ),
    // What runs at the target must not run at its source too.
    check('protected_machines_held', sql`${table.protectionKind} <> 'failed-over' or ${table.isHeld}`),
    check('protected_machines_held_running', sql`${table.runningAlthoughHeldAt} is null or ${table.isHeld}`),
    check('protected_machines_pause', sql`(${table.pausedUntil} is null) = (${table.pauseReason} is null)`),
    check('protected_machines_chain', sql`${table.lastManifestDigest} ~ '^[0-9a-f]{64}$'`),
    check('protected_machines_point_number', sql`${table.lastPointNumber} >= 0`),
  ],
);

export const disks = pgTable(
  'disks',
  {
    id: text().primaryKey(),
    machineId: text('machine_id')
      .notNull()
      .references(() => protectedMachines.id),
    /** The disk's name on its source, e.g. `disk0`. */
    key: text().notNull(),
    /** 0 is the disk that the machine starts from. */
    bootOrder: integer('boot_order').notNull(),
    sizeBytes: byteCount('size_bytes').notNull(),
    /** Everything up to this position was read back from the vault and authenticated. */
    verifiedPosition: jsonb('verified_position'),
    /** Everything up to this position is folded: nothing keeps the segments before it. */
    compactedSequence: bigint('compacted_sequence', { mode: 'number' }).notNull().default(0),
  },
  (table) => [
    unique('disks_key').on(table.machineId, table.key),
    unique('disks_boot_order').on(table.machineId, table.bootOrder),
    check('disks_size', sql`${table.sizeBytes} >= 1`),
  ],
);

export const agentRequests = pgTable(
  'agent_requests',
  {
    id: text().primaryKey(),
    machineId: text('machine_id')
      .notNull()
      .references(() => protectedMachines.id),
    kind: text().notNull(),
    reason: text().notNull(),
    applicationConsistent: boolean('application_consistent').notNull().default(false),
    requestedBy: text('requested_by').notNull(),
    /** Power requests belong to a run, which asks for each of them once. */
    runId: text('run_id').references(() => runs.id),
    /** How long the source may take to stop. */
    limitMs: integer('limit_ms'),
    /** How a power request ended, as the agent said it (agent-api powerResults); null when it was withdrawn. */
    result: jsonb(),
    createdAt: instant('created_at').notNull().defaultNow(),
    doneAt: instant('done_at'),
  },
  (table) => [
    check('agent_requests_kind', oneOf(table.kind, ['bookmark', 'resync', 'shutdown', 'power-on'])),
    check(
      'agent_requests_power',
      sql`${oneOf(table.kind, ['shutdown', 'power-on'])} = (${table.runId} is not null) and (${table.kind} = 'shutdown') = (${table.limitMs} is not null)`,
    ),
    check('agent_requests_result', sql`${table.result} is null or ${table.runId} is not null`),
    unique('agent_requests_one_of_run').on(table.runId, table.kind),
    uniqueIndex('agent_requests_one_resync')
      .on(table.machineId)
      .where(sql`${table.kind} = 'resync' and ${table.doneAt} is null`),
  ],
);

export const pointStates = ['receiving', 'sealed', 'verified', 'available', 'damaged', 'expiring'] as const;

export const recoveryPoints = pgTable(
  'recovery_points',
  {
    id: text().primaryKey(),
    /** Orders the announcements: a machine's points are sealed in this order. */
    announced: bigserial({ mode: 'number' }).notNull().unique(),
    machineId: text('machine_id')
      .notNull()
      .references(() => protectedMachines.id),
    captureId: uuid('capture_id').notNull(),
    epoch: integer().notNull(),
    kind: text().notNull(),
    state: text().notNull(),
    takenAt: instant('taken_at').notNull(),
    announcedAt: instant('announced_at').notNull().defaultNow(),
    reason: text().notNull(),
    pauseMs: doublePrecision('pause_ms').notNull(),
    /** Null when the point was found again in the vault alone. */
    changedBytes: byteCount('changed_bytes'),
    /**
     * What the manifest will say of hardware and disks; fixed when the point is announced, so that a repeat writes
     * the same.
     */
    hardware: jsonb().notNull(),
    disks: jsonb().notNull(),
    number: bigint({ mode: 'number' }),
    manifest: jsonb(),
    manifestDigest: text('manifest_digest'),
    verifiedAt: instant('verified_at'),
    /** Why a damaged point is damaged, for people. */
    damage: text(),
  },
  (table) => [
    unique('recovery_points_capture').on(table.machineId, table.captureId),
    unique('recovery_points_number').on(table.machineId, table.number),
    index('recovery_points_machine').on(table.machineId, table.takenAt),
    // The newest of each machine, and how many there are, without reading the points themselves.
    index('recovery_points_available')
      .on(table.machineId, table.takenAt, table.announced)
      .where(sql`${table.state} = 'available'`),
    check('recovery_points_kind', oneOf(table.kind, ['crash-consistent', 'application-consistent'])),
    check('recovery_points_state', oneOf(table.state, pointStates)),
    check('recovery_points_epoch', sql`${table.epoch} >= 1`),
    check(
      'recovery_points_sealed',
      sql`case when ${oneOf(table.state, ['sealed', 'verified', 'available', 'expiring'])} then
        ${table.manifestDigest} is not null and ${table.manifest} is not null and ${table.number} >= 1
        when ${table.state} = 'receiving' then ${table.manifestDigest} is null else true end`,
    ),
    check('recovery_points_digest', sql`${table.manifestDigest} ~ '^[0-9a-f]{64}$'`),
    check(
      'recovery_points_verified',
      sql`not ${oneOf(table.state, ['verified', 'available'])} or ${table.verifiedAt} is not null`,
    ),
    check('recovery_points_damage', sql`(${table.state} = 'damaged') <= (${table.damage} is not null)`),
  ],
);

export const runs = pgTable(
  'runs',
  {
    id: text().primaryKey(),
    kind: text().notNull(),
    machineId: text('machine_id')
      .notNull()
      .references(() => protectedMachines.id),
    requestedBy: text('requested_by').notNull(),
    idempotencyKey: text('idempotency_key').notNull().unique(),
    plan: jsonb().notNull(),
    planDigest: text('plan_digest').notNull(),
    state: text().notNull().default('active'),
    startedAt: instant('started_at').notNull().defaultNow(),
    finishedAt: instant('finished_at'),
    failure: text(),
    result: jsonb(),
    /** The approval that let it run; one approval lets one run. */
    approvalId: text('approval_id').unique(),
  },
  (table) => [
    check('runs_kind', oneOf(table.kind, ['test-failover', 'cleanup', 'planned-failover'])),
    check('runs_approval', sql`(${table.kind} = 'planned-failover') = (${table.approvalId} is not null)`),
    check('runs_state', oneOf(table.state, ['active', 'succeeded', 'failed'])),
    check('runs_plan_digest', sql`${table.planDigest} ~ '^[0-9a-f]{64}$'`),
    check('runs_finished', sql`(${table.state} = 'active') = (${table.finishedAt} is null)`),
    check('runs_failure', sql`(${table.state} = 'failed') = (${table.failure} is not null)`),
    check('runs_result', sql`${table.result} is null or ${table.state} = 'succeeded'`),
    uniqueIndex('runs_one_active').on(table.machineId).where(sql`${table.state} = 'active'`),
    index('runs_of_machine').on(table.machineId, table.startedAt),
    index('runs_started').on(table.startedAt),
  ],
);

export const runSteps = pgTable(
  'run_steps',
  {
    runId: text('run_id')
      .notNull()
      .references(() => runs.id),
    position: integer().notNull(),
    name: text().notNull(),
    state: text().notNull().default('pending'),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
  },
  (table) => [
    primaryKey({ columns: [table.runId, table.position] }),
    unique('run_steps_name').on(table.runId, table.name),
    check('run_steps_state', oneOf(table.state, ['pending', 'running', 'done', 'failed', 'undone'])),
    check('run_steps_started', sql`(${table.state} = 'pending') <= (${table.startedAt} is null)`),
    check(
      'run_steps_finished',
      sql`${oneOf(table.state, ['done', 'failed', 'undone'])} = (${table.finishedAt} is not null)`,
    ),
  ],
);

/** One row for each thing done to the outside world. Key: run id, step and epoch. */
export const effects = pgTable('effects', {
  key: text().primaryKey(),
  runId: text('run_id')
    .notNull()
    .references(() => runs.id),
  at: instant('at').notNull().defaultNow(),
  detail: jsonb(),
});

export const executors = pgTable('executors', {
  id: text().primaryKey(),
  startedAt: instant('started_at').notNull().defaultNow(),
  heartbeatAt: instant('heartbeat_at').notNull().defaultNow(),
});

/** What people are told. Rows are added in the transaction that changes the state they tell of. */
export const events = pgTable(
  'events',
  {
    number: bigserial({ mode: 'number' }).primaryKey(),
    at: instant('at').notNull().defaultNow(),
    machineName: text('machine_name'),
    runId: text('run_id'),
    kind: text().notNull(),
    text: text().notNull(),
  },
  (table) => [index('events_at').on(table.at)],
);

/**
 * The answer that each idempotency key got: the same key gets it again. A row without an answer is a claim in
 * progress.
 */
export const commandAnswers = pgTable(
  'command_answers',
  {
    key: text().primaryKey(),
    person: text().notNull(),
    /** SHA-256 of route and body: the same key with another request is refused. */
    requestDigest: text('request_digest').notNull(),
    claimedAt: instant('claimed_at').notNull().defaultNow(),
    status: integer(),
    answer: jsonb(),
  },
  (table) => [check('command_answers_whole', sql`(${table.status} is null) = (${table.answer} is null)`)],
);

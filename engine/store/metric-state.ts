import { and, count, eq, inArray, isNull, max, ne, notExists, sql } from 'drizzle-orm';
import { openStates } from '../../domain/approval.ts';
import type { ReplicationFacts } from '../../domain/replication-health.ts';
import { alertLooks, alerts } from './alert-schema.ts';
import { approvals, machineThresholds } from './approval-schema.ts';
import { auditChain, auditEntries } from './audit-schema.ts';
import type { Database } from './database.ts';
import { waitingMessages } from './deliveries.ts';
import { protectionOf } from './rows.ts';
import {
  agents,
  events,
  executors,
  guests,
  protectedMachines,
  recoveryPoints,
  replicationPolicies,
  runs,
} from './schema.ts';
import { drills } from './target-schema.ts';

/** What metrics say of now. Every statement goes by an index or over a short table: none grows with the points that are kept. */
export type MetricState = Awaited<ReturnType<typeof readMetricState>>;

export type MetricMachine = Omit<ReplicationFacts, 'heartbeatEveryMs' | 'criticalLagMs'> & {
  readonly name: string;
  readonly hostName: string;
  readonly policyName: string;
  readonly criticalLagMs: number | undefined;
  /** Since the newest point was taken, whatever became of it. */
  readonly newestPointAgeMs: number | undefined;
  readonly spoolBytes: number | undefined;
  readonly sentBytesTotal: number;
  readonly sealedPointCount: number;
  readonly enabledAtMs: number;
};

export async function readMetricState(db: Database) {
  return {
    machines: await readMachines(db),
    unprotectedCount: await countUnprotected(db),
    hosts: await readHosts(db),
    activeRuns: await db
      .select({ kind: runs.kind, count: count() })
      .from(runs)
      .where(eq(runs.state, 'active'))
      .groupBy(runs.kind),
    openDrillCount: await db.$count(drills, ne(drills.state, 'closed')),
    alerts: await db
      .select({ rule: alerts.rule, severity: alerts.severity, state: alerts.state, count: count() })
      .from(alerts)
      .where(ne(alerts.state, 'recovered'))
      .groupBy(alerts.rule, alerts.severity, alerts.state),
    waiting: await waitingMessages(db),
    approvals: await readApprovals(db),
    ...(await readDuties(db)),
  };
}

const ageMs = (instant: ReturnType<typeof sql>) =>
  sql<string | null>`greatest(0, extract(epoch from clock_timestamp() - ${instant}) * 1000)::bigint`;

function numberOf(text: string | null): number | undefined {
  return text === null ? undefined : Number(text);
}

/** The index of points by machine and time ends with the newest: one step for each machine. */
const newestTakenAt = (condition: ReturnType<typeof sql>) =>
  sql`(select max(${recoveryPoints.takenAt}) from ${recoveryPoints}
    where ${recoveryPoints.machineId} = ${protectedMachines.id} and ${condition})`;

const { report } = protectedMachines;
const machineColumns = {
  name: protectedMachines.name,
  hostName: agents.hostName,
  policyName: replicationPolicies.name,
  protectionKind: protectedMachines.protectionKind,
  protection: protectedMachines.protection,
  isPaused: sql<boolean>`coalesce(${protectedMachines.pausedUntil} > now(), false)`,
  pausedUntil: protectedMachines.pausedUntil,
  pauseReason: protectedMachines.pauseReason,
  resyncRequired: protectedMachines.resyncRequired,
  sentBytesTotal: protectedMachines.sentBytesTotal,
  lastPointNumber: protectedMachines.lastPointNumber,
  enabledAt: protectedMachines.enabledAt,
  rpoThresholdMs: replicationPolicies.rpoThresholdMs,
  ownWarnMs: machineThresholds.warnMs,
  ownCriticalMs: machineThresholds.criticalMs,
  // Of a report (control-api replicationReport) only what is shown: a thousand of them need not be parsed whole.
  failing: sql<
    string | null
  >`case when ${report} #>> '{activity,kind}' = 'failing' then ${report} #>> '{activity,message}' end`,
  spoolBytes: sql<string | null>`${report} ->> 'spoolBytes'`,
  agentSilentMs: ageMs(sql`${agents.lastSeenAt}`),
  lagMs: ageMs(newestTakenAt(sql`${recoveryPoints.state} = 'available'`)),
  newestPointAgeMs: ageMs(newestTakenAt(sql`true`)),
};

async function readMachines(db: Database): Promise<MetricMachine[]> {
  const rows = await db
    .select(machineColumns)
    .from(protectedMachines)
    .innerJoin(replicationPolicies, eq(protectedMachines.policyName, replicationPolicies.name))
    .leftJoin(machineThresholds, eq(machineThresholds.machineId, protectedMachines.id))
    .leftJoin(agents, and(eq(agents.id, protectedMachines.agentId), isNull(agents.revokedAt)))
    .orderBy(protectedMachines.name);
  return rows.map(({ protectionKind, protection, isPaused, pausedUntil, pauseReason, ...row }) => ({
    name: row.name,
    hostName: row.hostName ?? 'unknown',
    policyName: row.policyName,
    protection: protectionOf(protectionKind, protection),
    replication:
      isPaused && pausedUntil !== null
        ? { kind: 'paused', untilMs: pausedUntil.getTime(), reason: pauseReason ?? '' }
        : { kind: 'running' },
    lagMs: numberOf(row.lagMs),
    rpoThresholdMs: row.ownWarnMs ?? row.rpoThresholdMs,
    criticalLagMs: row.ownCriticalMs ?? undefined,
    agentSilentMs: numberOf(row.agentSilentMs),
    resyncRequired: row.resyncRequired ?? undefined,
    failing: row.failing ?? undefined,
    newestPointAgeMs: numberOf(row.newestPointAgeMs),
    spoolBytes: numberOf(row.spoolBytes),
    sentBytesTotal: row.sentBytesTotal,
    sealedPointCount: row.lastPointNumber,
    enabledAtMs: row.enabledAt.getTime(),
  }));
}

async function countUnprotected(db: Database): Promise<number> {
  const itsMachine = db
    .select({ id: protectedMachines.id })
    .from(protectedMachines)
    .where(and(eq(protectedMachines.agentId, guests.agentId), eq(protectedMachines.name, guests.name)));
  const [row] = await db
    .select({ count: count() })
    .from(guests)
    .innerJoin(agents, eq(guests.agentId, agents.id))
    .where(and(isNull(agents.revokedAt), notExists(itsMachine)));
  return row?.count ?? 0;
}

async function readHosts(db: Database) {
  const rows = await db
    .select({
      name: agents.hostName,
      silentMs: ageMs(sql`${agents.lastSeenAt}`),
      expiresAt: agents.certificateExpiresAt,
    })
    .from(agents)
    .where(isNull(agents.revokedAt))
    .orderBy(agents.hostName);
  return rows.map(({ name, silentMs, expiresAt }) => ({
    name,
    silentMs: numberOf(silentMs),
    certificateExpiresAtMs: expiresAt.getTime(),
  }));
}

async function readApprovals(db: Database) {
  const rows = await db
    .select({ state: approvals.state, count: count(), oldestMs: ageMs(sql`min(${approvals.requestedAt})`) })
    .from(approvals)
    .where(inArray(approvals.state, [...openStates]))
    .groupBy(approvals.state);
  return rows.map(({ state, oldestMs, ...row }) => ({ state, count: row.count, oldestMs: numberOf(oldestMs) ?? 0 }));
}

/** What the engines must do again and again, and the trails that only grow. */
async function readDuties(db: Database) {
  const [engines] = await db
    .select({ count: count(), oldestMs: ageMs(sql`min(${executors.heartbeatAt})`) })
    .from(executors);
  const [look] = await db.select({ ageMs: ageMs(sql`${alertLooks.lookedAt}`) }).from(alertLooks);
  const [newestEvent] = await db.select({ number: max(events.number) }).from(events);
  const [linked] = await db
    .select({ number: max(auditChain.number), entryId: max(auditChain.entryId) })
    .from(auditChain);
  const [unlinked] = await db
    .select({ count: count() })
    .from(auditEntries)
    .where(sql`${auditEntries.id} > ${linked?.entryId ?? 0}`);
  return {
    executors: { count: engines?.count ?? 0, oldestHeartbeatMs: numberOf(engines?.oldestMs ?? null) },
    alertLookAgeMs: numberOf(look?.ageMs ?? null),
    eventCount: newestEvent?.number ?? 0,
    audit: { linkedCount: linked?.number ?? 0, unlinkedCount: unlinked?.count ?? 0 },
  };
}

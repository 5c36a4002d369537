import { and, count, desc, eq, max, ne, sql } from 'drizzle-orm';
import { endedStates } from '../../domain/approval.ts';
import { approvals } from './approval-schema.ts';
import type { Database } from './database.ts';
import { messages } from './message-schema.ts';
import { protectedMachines, recoveryPoints, runs } from './schema.ts';

/** What metrics count over long tables: read seldom, and never waited for. */
export type MetricCounts = Awaited<ReturnType<typeof readMetricCounts>>;

/** Durations are of so many runs of each kind, the newest. */
const newestRunCount = 100;

export async function readMetricCounts(db: Database) {
  return {
    points: await db
      .select({ machineName: protectedMachines.name, state: recoveryPoints.state, count: count() })
      .from(recoveryPoints)
      .innerJoin(protectedMachines, eq(recoveryPoints.machineId, protectedMachines.id))
      .groupBy(protectedMachines.name, recoveryPoints.state),
    endedRuns: await db
      .select({ kind: runs.kind, state: runs.state, count: count() })
      .from(runs)
      .where(ne(runs.state, 'active'))
      .groupBy(runs.kind, runs.state),
    runDurations: await runDurations(db),
    verifiedDrills: await verifiedDrills(db),
    endedApprovals: await db
      .select({ state: approvals.state, count: count() })
      .from(approvals)
      .where(sql`${approvals.state} in ${[...endedStates]}`)
      .groupBy(approvals.state),
    undeliverable: await db
      .select({ surface: messages.surface, count: count() })
      .from(messages)
      .where(eq(messages.state, 'undeliverable'))
      .groupBy(messages.surface),
  };
}

/** Median, 95th percentile and longest of the newest runs that succeeded. Seconds. */
async function runDurations(db: Database) {
  const seconds = sql<number>`extract(epoch from ${runs.finishedAt} - ${runs.startedAt})`;
  const newest = db
    .select({
      kind: runs.kind,
      seconds: seconds.as('seconds'),
      place: sql<number>`row_number() over (partition by ${runs.kind} order by ${desc(runs.finishedAt)})`.as('place'),
    })
    .from(runs)
    .where(eq(runs.state, 'succeeded'))
    .as('newest');
  const part = (fraction: number) =>
    sql<number>`(percentile_cont(${sql.raw(`${fraction}`)}) within group (order by ${newest.seconds}))::float8`;
  return db
    .select({ kind: newest.kind, median: part(0.5), nineteenOfTwenty: part(0.95), longest: part(1) })
    .from(newest)
    .where(sql`${newest.place} <= ${newestRunCount}`)
    .groupBy(newest.kind);
}

/** When each machine had its newest test failover that was verified. */
async function verifiedDrills(db: Database) {
  const rows = await db
    .select({ machineName: protectedMachines.name, endedAt: max(runs.finishedAt) })
    .from(runs)
    .innerJoin(protectedMachines, eq(runs.machineId, protectedMachines.id))
    .where(
      and(eq(runs.kind, 'test-failover'), eq(runs.state, 'succeeded'), sql`${runs.result} ->> 'verified' = 'true'`),
    )
    .groupBy(protectedMachines.name);
  return rows.flatMap(({ machineName, endedAt }) =>
    endedAt === null ? [] : [{ machineName, atMs: endedAt.getTime() }],
  );
}

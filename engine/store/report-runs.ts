import { and, asc, eq, gte, inArray, lt, sql } from 'drizzle-orm';
import type { ReportedMachine, ReportedRun } from '../../domain/drill-report.ts';
import { invariant } from '../../domain/invariant.ts';
import type { RunView } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { rowSchemas } from './rows.ts';
import { runOf, runViews, selectRuns } from './runs.ts';
import { protectedMachines, runs } from './schema.ts';

/** Runs that began at `fromMs` or later and before `toMs`; epoch milliseconds by the database's clock. */
export type ReportPeriod = {
  /** All machines if undefined. */
  readonly machineName: string | undefined;
  readonly fromMs: number;
  readonly toMs: number;
};

const reportedKinds = ['test-failover', 'planned-failover'] as const;

function isReported({ machineName, fromMs, toMs }: ReportPeriod) {
  return and(
    inArray(runs.kind, [...reportedKinds]),
    machineName === undefined ? undefined : eq(protectedMachines.name, machineName),
    gte(runs.startedAt, new Date(fromMs)),
    lt(runs.startedAt, new Date(toMs)),
  );
}

/** The test failovers and planned failovers of a period, oldest first, with their steps. */
export async function reportedRunViews(db: Database, period: ReportPeriod, limit: number): Promise<RunView[]> {
  const rows = await selectRuns(db).where(isReported(period)).orderBy(asc(runs.startedAt), asc(runs.id)).limit(limit);
  return runViews(db, rows.map(runOf));
}

/** The same runs, and only what a summary needs of each, in no order. */
export async function reportedRuns(db: Database, period: ReportPeriod, limit: number): Promise<ReportedRun[]> {
  const rows = await db
    .select({
      machineName: protectedMachines.name,
      kind: runs.kind,
      state: runs.state,
      isVerified: sql<boolean>`coalesce(${runs.result} ->> 'verified' = 'true', false)`,
      rpoMs: measured('rpoMs', sql`${runs.result} ->> 'pointAgeMs'`),
      rtoMs: measured('rtoMs', sql`(${runs.result} ->> 'secondsToGuestUp')::double precision * 1000`),
    })
    .from(runs)
    .innerJoin(protectedMachines, eq(runs.machineId, protectedMachines.id))
    .where(isReported(period))
    .limit(limit);
  return rows.map((row) => {
    const kind = reportedKinds.find((one) => one === row.kind);
    invariant(kind, 'only these kinds were asked for');
    return { ...row, kind, state: rowSchemas.runState.parse(row.state) };
  });
}

/** What a failover has measured, or what follows for a drill. */
function measured(field: 'rpoMs' | 'rtoMs', ofDrill: ReturnType<typeof sql>) {
  return sql<
    number | null
  >`coalesce((${runs.result} -> 'failover' ->> ${field})::double precision, (${ofDrill})::double precision)`;
}

/** The machines that a report is about, by name. */
export async function reportedMachines(db: Database, machineName: string | undefined): Promise<ReportedMachine[]> {
  return db
    .select({
      name: protectedMachines.name,
      isProtected: sql<boolean>`${protectedMachines.protectionKind} = 'protected'`,
    })
    .from(protectedMachines)
    .where(machineName === undefined ? undefined : eq(protectedMachines.name, machineName))
    .orderBy(asc(protectedMachines.name));
}

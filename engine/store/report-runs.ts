import { and, asc, eq, gte, inArray, isNull, lt, lte, or, sql } from 'drizzle-orm';
import { z } from 'zod';
import { endedStates } from '../../domain/approval.ts';
import type { ReportedMachine, ReportedRun } from '../../domain/drill-report.ts';
import { invariant } from '../../domain/invariant.ts';
import type { ReportView } from '../../protocol/console-api.ts';
import { approvals, machineThresholds } from './approval-schema.ts';
import type { Database } from './database.ts';
import { idOf, rowSchemas } from './rows.ts';
import { runOf, runViews, selectRuns } from './runs.ts';
import { protectedMachines, replicationPolicies, runs } from './schema.ts';
import { drills } from './target-schema.ts';

/** Runs that began at `fromMs` or later and before `toMs`; epoch milliseconds by the database's clock. */
export type ReportPeriod = {
  /** All machines if undefined. */
  readonly machineName: string | undefined;
  readonly fromMs: number;
  readonly toMs: number;
};

/** A run of a report with what its plan and its drill say. */
export type RunEntry = Pick<ReportView['runs'][number], 'run' | 'target' | 'cleanup'>;

const reportedKinds = ['test-failover', 'planned-failover'] as const;

function isReported({ machineName, fromMs, toMs }: ReportPeriod) {
  return and(
    inArray(runs.kind, [...reportedKinds]),
    machineName === undefined ? undefined : eq(protectedMachines.name, machineName),
    gte(runs.startedAt, new Date(fromMs)),
    lt(runs.startedAt, new Date(toMs)),
  );
}

const planned = z.object({ target: z.string().nullable().default(null) });

/** The test failovers and planned failovers of a period, oldest first, with their steps and where they ran. */
export async function reportedRunViews(db: Database, period: ReportPeriod, limit: number): Promise<RunEntry[]> {
  const rows = await selectRuns(db).where(isReported(period)).orderBy(asc(runs.startedAt), asc(runs.id)).limit(limit);
  const views = await runViews(db, rows.map(runOf));
  const targets = new Map(rows.map((row) => [row.id, planned.parse(row.plan).target]));
  const cleanups = await cleanupsOf(db, [...targets.keys()]);
  return views.map((run) => ({
    run,
    target: targets.get(run.id) ?? null,
    cleanup: cleanups.get(run.id) ?? null,
  }));
}

/** The newest clean-up of each drill, by the run that opened it. A machine has one drill at a time: what was cleaned up in its time is it. */
async function cleanupsOf(db: Database, runIds: readonly string[]): Promise<Map<string, RunEntry['cleanup']>> {
  if (runIds.length === 0) return new Map();
  const isInItsTime = and(
    eq(runs.machineId, drills.machineId),
    eq(runs.kind, 'cleanup'),
    gte(runs.startedAt, drills.startedAt),
    or(isNull(drills.closedAt), lte(runs.startedAt, drills.closedAt)),
  );
  const rows = await db
    .select({
      drillRunId: drills.runId,
      runId: runs.id,
      state: runs.state,
      requestedBy: runs.requestedBy,
      startedAt: runs.startedAt,
      note: sql<string | null>`${runs.plan} ->> 'reason'`,
    })
    .from(drills)
    .innerJoin(runs, isInItsTime)
    .where(inArray(drills.runId, [...runIds]))
    .orderBy(asc(runs.startedAt), asc(runs.id));
  return new Map(
    rows.map(({ drillRunId, runId, state, requestedBy, startedAt, note }) => [
      drillRunId,
      {
        runId: idOf('run', runId),
        state: rowSchemas.runState.parse(state),
        requestedBy,
        startedAtMs: startedAt.getTime(),
        note: note ?? '',
      },
    ]),
  );
}

/** The same runs, and only what a summary needs of each, in no order. */
export async function reportedRuns(db: Database, period: ReportPeriod, limit: number): Promise<ReportedRun[]> {
  const rows = await db
    .select({
      machineName: protectedMachines.name,
      kind: runs.kind,
      state: runs.state,
      isFromChosenPoint: sql<boolean>`coalesce(${runs.plan} ->> 'isNewestPoint' = 'false', false)`,
      isBreakGlass: approvals.isBreakGlass,
      reviewedBy: approvals.reviewedBy,
      isVerified: sql<boolean>`coalesce(${runs.result} ->> 'verified' = 'true', false)`,
      rpoMs: measured('rpoMs', sql`${runs.result} ->> 'pointAgeMs'`),
      rtoMs: measured('rtoMs', sql`(${runs.result} ->> 'secondsToGuestUp')::double precision * 1000`),
    })
    .from(runs)
    .innerJoin(protectedMachines, eq(runs.machineId, protectedMachines.id))
    .leftJoin(approvals, eq(runs.approvalId, approvals.id))
    .where(isReported(period))
    .limit(limit);
  return rows.map(({ isBreakGlass, reviewedBy, ...row }) => {
    const kind = reportedKinds.find((one) => one === row.kind);
    invariant(kind, 'only these kinds were asked for');
    const breakGlass = isBreakGlass !== true ? 'none' : reviewedBy === null ? 'unreviewed' : 'reviewed';
    return { ...row, kind, breakGlass, state: rowSchemas.runState.parse(row.state) };
  });
}

/** What a failover has measured, or what follows for a drill. */
function measured(field: 'rpoMs' | 'rtoMs', ofDrill: ReturnType<typeof sql>) {
  return sql<
    number | null
  >`coalesce((${runs.result} -> 'failover' ->> ${field})::double precision, (${ofDrill})::double precision)`;
}

/** The planned failovers that were asked for in a period and ended without a run, oldest first. */
export async function failoversNotRun(db: Database, period: ReportPeriod, limit: number): Promise<string[]> {
  const { machineName, fromMs, toMs } = period;
  const isAsked = and(
    eq(approvals.operation, 'planned-failover'),
    machineName === undefined ? undefined : eq(approvals.machineName, machineName),
    gte(approvals.requestedAt, new Date(fromMs)),
    lt(approvals.requestedAt, new Date(toMs)),
    inArray(approvals.state, [...endedStates]),
    isNull(runs.id),
  );
  const rows = await db
    .select({ id: approvals.id })
    .from(approvals)
    .leftJoin(runs, eq(runs.approvalId, approvals.id))
    .where(isAsked)
    .orderBy(asc(approvals.requestedAt), asc(approvals.id))
    .limit(limit);
  return rows.map((row) => row.id);
}

/** From which lag on people are told of these machines now: a machine's own figure, or its policy's. Nobody recorded what it was before. */
export async function lagLimits(db: Database, machineNames: readonly string[]): Promise<ReportView['lagLimits']> {
  if (machineNames.length === 0) return [];
  const rows = await db
    .select({
      machineName: protectedMachines.name,
      ownMs: machineThresholds.warnMs,
      policyMs: replicationPolicies.rpoThresholdMs,
    })
    .from(protectedMachines)
    .innerJoin(replicationPolicies, eq(protectedMachines.policyName, replicationPolicies.name))
    .leftJoin(machineThresholds, eq(machineThresholds.machineId, protectedMachines.id))
    .where(inArray(protectedMachines.name, [...machineNames]))
    .orderBy(asc(protectedMachines.name));
  return rows.map(({ machineName, ownMs, policyMs }) => ({ machineName, limitMs: ownMs ?? policyMs }));
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

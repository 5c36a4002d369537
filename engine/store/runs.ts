import { and, asc, desc, eq, getTableColumns, inArray, or, sql } from 'drizzle-orm';
import type { ApprovalId, MachineId, RunId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import type { RunView } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf, rowSchemas } from './rows.ts';
import { noteRunEnd } from './run-messages.ts';
import { effects, protectedMachines, runSteps, runs } from './schema.ts';

export type RunKind = RunView['kind'];
export type RunResult = NonNullable<RunView['result']>;
export type StepState = RunView['steps'][number]['state'];

/** One durable job: what it does was decided before it began (`plan`), and everyone can see how far it is. */
export type RunRecord = {
  readonly id: RunId;
  readonly kind: RunKind;
  readonly machineId: MachineId;
  readonly machineName: string;
  readonly requestedBy: string;
  readonly idempotencyKey: string;
  /** As it was given to createRun; parse it with the schema of the plan. */
  readonly plan: unknown;
  readonly planDigest: string;
  readonly state: RunView['state'];
  readonly startedAtMs: number;
  readonly finishedAtMs: number | null;
  readonly failure: string | null;
  readonly result: RunResult | null;
  readonly approvalId: ApprovalId | null;
};

export type NewRun = {
  readonly kind: RunKind;
  readonly machineId: MachineId;
  readonly requestedBy: string;
  readonly idempotencyKey: string;
  readonly plan: unknown;
  /** SHA-256, hex. */
  readonly planDigest: string;
  /** The names of the steps, in order. */
  readonly steps: readonly string[];
  /** What let it run; a planned failover without one cannot be stored. */
  readonly approvalId?: ApprovalId;
};

export type CreateRunOutcome =
  | { readonly kind: 'created'; readonly run: RunRecord }
  /** The key was used before: this is the run that it started. */
  | { readonly kind: 'same-key'; readonly run: RunRecord }
  /** Another run of the machine is active. */
  | { readonly kind: 'busy'; readonly run: RunRecord };

/** Begins a run with its steps, all pending. Call it in a transaction. Source: RELIABILITY I5, I6 */
export async function createRun(db: Database, request: NewRun): Promise<CreateRunOutcome> {
  const { steps, ...columns } = request;
  const [created] = await db
    .insert(runs)
    .values({ ...columns, id: newId('run') })
    .onConflictDoNothing()
    .returning({ id: runs.id });
  if (created === undefined) return existingRun(db, request);
  if (steps.length > 0) {
    await db.insert(runSteps).values(steps.map((name, position) => ({ runId: created.id, position, name })));
  }
  const run = await findRun(db, created.id);
  invariant(run, 'a run that was just created is there');
  return { kind: 'created', run };
}

async function existingRun(db: Database, request: NewRun): Promise<CreateRunOutcome> {
  const sameApproval = request.approvalId === undefined ? undefined : eq(runs.approvalId, request.approvalId);
  const [sameKey] = await selectRuns(db).where(or(eq(runs.idempotencyKey, request.idempotencyKey), sameApproval));
  if (sameKey !== undefined) return { kind: 'same-key', run: runOf(sameKey) };
  const busy = await activeRunOf(db, request.machineId);
  // The run in the way ended between the two statements: there is nothing in the way any more.
  return busy === undefined ? createRun(db, request) : { kind: 'busy', run: busy };
}

/** The run that is at work on the machine, if any; there is never more than one. */
export async function activeRunOf(db: Database, machineId: MachineId): Promise<RunRecord | undefined> {
  const [row] = await selectRuns(db).where(and(eq(runs.machineId, machineId), eq(runs.state, 'active')));
  return row && runOf(row);
}

export async function findRun(db: Database, id: string): Promise<RunRecord | undefined> {
  const [row] = await selectRuns(db).where(eq(runs.id, id));
  return row && runOf(row);
}

/** All runs that are not finished, oldest first: what a starting engine continues. */
export async function activeRuns(db: Database): Promise<RunRecord[]> {
  const rows = await selectRuns(db).where(eq(runs.state, 'active')).orderBy(asc(runs.startedAt));
  return rows.map(runOf);
}

/** Moves a step; its times are kept by the database's clock. Doing the same again changes nothing. */
export async function setStep(
  db: Database,
  step: { readonly runId: string; readonly name: string; readonly state: StepState },
): Promise<void> {
  const { runId, name, state } = step;
  const finished = state === 'done' || state === 'failed' || state === 'undone';
  const changed = await db
    .update(runSteps)
    .set({
      state,
      startedAt: state === 'pending' ? null : sql`coalesce(${runSteps.startedAt}, now())`,
      finishedAt: finished ? sql`coalesce(${runSteps.finishedAt}, now())` : null,
    })
    .where(and(eq(runSteps.runId, runId), eq(runSteps.name, name)))
    .returning({ name: runSteps.name });
  invariant(changed.length === 1, `run ${runId} has the step "${name}"`);
}

export type RunOutcome =
  | { readonly kind: 'succeeded'; readonly result?: RunResult | undefined }
  | { readonly kind: 'failed'; readonly failure: string };

/** Ends a run. Ending it again, also with another outcome, changes nothing: the first end counts. */
export async function finishRun(
  db: Database,
  runId: string,
  outcome: RunOutcome,
): Promise<'finished' | 'was-finished'> {
  const columns =
    outcome.kind === 'succeeded' ? { result: outcome.result ?? null } : { failure: outcome.failure, result: null };
  const changed = await db
    .update(runs)
    .set({ state: outcome.kind, finishedAt: sql`now()`, ...columns })
    .where(and(eq(runs.id, runId), eq(runs.state, 'active')))
    .returning({ id: runs.id });
  if (changed.length === 0) return 'was-finished';
  const run = await findRun(db, runId);
  invariant(run, 'a run that has just ended is there');
  await noteRunEnd(db, run);
  return 'finished';
}

/**
 * Notes that a thing was done to the outside world. `first`: nobody had noted it under this key.
 *
 * @param effect key: run id, step and epoch, e.g. `run_…:start-machine:1`
 */
export async function recordEffect(
  db: Database,
  effect: { readonly key: string; readonly runId: string; readonly detail?: unknown },
): Promise<'first' | 'repeated'> {
  const inserted = await db
    .insert(effects)
    .values({ ...effect, detail: effect.detail ?? null })
    .onConflictDoNothing()
    .returning({ key: effects.key });
  return inserted.length === 1 ? 'first' : 'repeated';
}

/** What was noted with the effect, or undefined when it was never noted. */
export async function findEffect(db: Database, key: string): Promise<{ readonly detail: unknown } | undefined> {
  const [row] = await db.select({ detail: effects.detail }).from(effects).where(eq(effects.key, key));
  return row;
}

/** When a step was begun, by the database's clock; undefined before that. */
export async function stepStartedAtMs(db: Database, runId: string, name: string): Promise<number | undefined> {
  const [row] = await db
    .select({ startedAt: runSteps.startedAt })
    .from(runSteps)
    .where(and(eq(runSteps.runId, runId), eq(runSteps.name, name)));
  return row?.startedAt?.getTime();
}

/** How many effects of a run were noted. */
export async function countEffects(db: Database, runId: string): Promise<number> {
  return db.$count(effects, eq(effects.runId, runId));
}

/** The newest runs first, of one machine or of all. */
export async function listRunViews(db: Database, limit = 100, machineName?: string): Promise<RunView[]> {
  const rows = await selectRuns(db)
    .where(machineName === undefined ? undefined : eq(protectedMachines.name, machineName))
    .orderBy(desc(runs.startedAt), desc(runs.id))
    .limit(limit);
  return runViews(db, rows.map(runOf));
}

/** Those that are active, and the newest ones; newest first. */
export async function currentRunViews(db: Database, newestCount: number): Promise<RunView[]> {
  const newest = db.select({ id: runs.id }).from(runs).orderBy(desc(runs.startedAt), desc(runs.id)).limit(newestCount);
  const rows = await selectRuns(db)
    .where(or(eq(runs.state, 'active'), inArray(runs.id, newest)))
    .orderBy(desc(runs.startedAt), desc(runs.id));
  return runViews(db, rows.map(runOf));
}

export async function findRunView(db: Database, id: string): Promise<RunView | undefined> {
  const run = await findRun(db, id);
  return run && (await runViews(db, [run]))[0];
}

/** These runs with their steps, in the same order. */
export async function runViews(db: Database, records: readonly RunRecord[]): Promise<RunView[]> {
  if (records.length === 0) return [];
  const ids = records.map((run) => run.id);
  const steps = await db.select().from(runSteps).where(inArray(runSteps.runId, ids)).orderBy(asc(runSteps.position));
  const stepsOf = Map.groupBy(steps, (step) => step.runId);
  return records.map((run) => ({
    id: run.id,
    kind: run.kind,
    machineName: run.machineName,
    state: run.state,
    requestedBy: run.requestedBy,
    startedAtMs: run.startedAtMs,
    finishedAtMs: run.finishedAtMs,
    failure: run.failure,
    result: run.result,
    approvalId: run.approvalId,
    steps: (stepsOf.get(run.id) ?? []).map(stepViewOf),
  }));
}

function stepViewOf(step: typeof runSteps.$inferSelect): RunView['steps'][number] {
  return {
    name: step.name,
    // The column's CHECK allows these values only.
    state: step.state as StepState,
    startedAtMs: step.startedAt?.getTime() ?? null,
    finishedAtMs: step.finishedAt?.getTime() ?? null,
  };
}

/** What `runOf` reads; conditions may name the machine's columns too. */
export function selectRuns(db: Database) {
  return db
    .select({ ...getTableColumns(runs), machineName: protectedMachines.name })
    .from(runs)
    .innerJoin(protectedMachines, eq(runs.machineId, protectedMachines.id))
    .$dynamic();
}

export function runOf(row: typeof runs.$inferSelect & { machineName: string }): RunRecord {
  return {
    id: idOf('run', row.id),
    kind: rowSchemas.runKind.parse(row.kind),
    machineId: idOf('machine', row.machineId),
    machineName: row.machineName,
    requestedBy: row.requestedBy,
    idempotencyKey: row.idempotencyKey,
    plan: row.plan,
    planDigest: row.planDigest,
    state: rowSchemas.runState.parse(row.state),
    startedAtMs: row.startedAt.getTime(),
    finishedAtMs: row.finishedAt?.getTime() ?? null,
    failure: row.failure,
    result: rowSchemas.runResult.parse(row.result),
    approvalId: row.approvalId === null ? null : idOf('approval', row.approvalId),
  };
}

/** The run that a request with this idempotency key started before. */
export async function findRunByKey(db: Database, idempotencyKey: string): Promise<RunRecord | undefined> {
  const [row] = await selectRuns(db).where(eq(runs.idempotencyKey, idempotencyKey));
  return row && runOf(row);
}

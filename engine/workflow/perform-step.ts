import type { CleanupPlan, TestFailoverPlan } from '../../domain/failover-plan.ts';
import { assertNever } from '../../domain/invariant.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { endApprovalOfRun } from '../approvals/end-of-run.ts';
import type { Database } from '../store/database.ts';
import { closeDrill, openDrillOf, setDrill } from '../store/drills.ts';
import { appendEvent, type NewEvent } from '../store/events.ts';
import { renewExecutor } from '../store/executors.ts';
import { touchTopic } from '../store/messages.ts';
import { findEffect, finishRun, recordEffect, type StepState, setStep } from '../store/runs.ts';
import { type BoundaryMoment, boundaryName } from './boundaries.ts';
import { settleGivenUpFailover } from './given-up-failover.ts';
import { patiently, targetPatience } from './patience.ts';
import type { RunPlan } from './plan-text.ts';
import { effectKey, persist, type RunContext, restForGood, type Step } from './run-context.ts';

/** What the job engine remembers of a step. Failures are data: they decide what comes next, also after a restart. */
export type StepOutcome = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly failure: string };

/**
 * Does one step, once: what is noted as done is not done again, what may have been half done is repeated and adopted by the target.
 *
 * Each transaction first proves that this engine was not taken for dead, so that a paused engine that wakes up changes nothing.
 */
export async function performStep<Plan extends RunPlan>(run: RunContext<Plan>, step: Step<Plan>): Promise<StepOutcome> {
  const key = effectKey(run, step.name, 'do');
  const noted = await beginStep(run, step.name, { key, state: 'running' });
  if (noted) return { kind: 'done' };
  if (step.kind === 'record') return noteRecord(run, step, key);
  const outcome = await attemptEffect(run, step.name, () => step.do(run));
  if (outcome.kind === 'failed') return outcome;
  reach(run, step.name, 'effect');
  await noteInTransaction(run, async (db) => {
    await markDone(db, run, step, { key, detail: outcome.output });
  });
  reach(run, step.name, 'noted');
  return { kind: 'done' };
}

async function noteRecord<Plan extends RunPlan>(
  run: RunContext<Plan>,
  step: Extract<Step<Plan>, { kind: 'record' }>,
  key: string,
): Promise<StepOutcome> {
  reach(run, step.name, 'effect');
  const outcome = await noteInTransaction(run, async (db) => {
    const recorded = await step.do(run, db);
    if (recorded.kind === 'recorded') await markDone(db, run, step, { key, detail: recorded.detail });
    return recorded;
  });
  reach(run, step.name, 'noted');
  return outcome.kind === 'recorded' ? { kind: 'done' } : outcome;
}

/** Undoes one step that can be, once. A failed undo is remembered and the others still run. */
export async function undoStep<Plan extends RunPlan>(run: RunContext<Plan>, step: Step<Plan>): Promise<StepOutcome> {
  const name = `undo ${step.name}`;
  const key = effectKey(run, step.name, 'undo');
  if (await beginStep(run, undefined, { key, state: 'running' })) return { kind: 'done' };
  if (step.kind === 'record') return undoRecord(run, step, key);
  const outcome = await attemptEffect(run, name, async () => step.undo?.(run));
  if (outcome.kind === 'failed') return outcome;
  reach(run, name, 'effect');
  await noteInTransaction(run, async (db) => {
    await recordEffect(db, { key, runId: run.runId });
  });
  reach(run, name, 'noted');
  return { kind: 'done' };
}

async function undoRecord<Plan extends RunPlan>(
  run: RunContext<Plan>,
  step: Extract<Step<Plan>, { kind: 'record' }>,
  key: string,
): Promise<StepOutcome> {
  const name = `undo ${step.name}`;
  reach(run, name, 'effect');
  const outcome = await noteInTransaction(run, async (db) => {
    const undone = (await step.undo?.(run, db)) ?? { kind: 'recorded' as const };
    if (undone.kind === 'recorded') await recordEffect(db, { key, runId: run.runId, detail: undone.detail });
    return undone;
  });
  reach(run, name, 'noted');
  return outcome.kind === 'recorded' ? { kind: 'done' } : outcome;
}

export type RunFailure = {
  readonly failedStep: string;
  readonly failure: string;
  /** Steps that were done before and are undone now. */
  readonly undone: readonly string[];
  /** What could not be undone, in words. */
  readonly leftovers: readonly string[];
};

const runNames: Record<RunPlan['kind'], string> = {
  cleanup: 'Cleanup',
  'test-failover': 'Test failover',
  'planned-failover': 'Planned failover',
};

/** Ends a run as failed, in one transaction with all that people see of it. */
export async function recordFailure(run: RunContext, end: RunFailure): Promise<void> {
  const { plan, runId } = run;
  await noteInTransaction(run, async (db) => {
    const next = await settleWhatIsLeft(db, run, end);
    const failure = [`${end.failedStep}: ${end.failure}`, ...end.leftovers, next].join(' ');
    for (const name of end.undone) await setStep(db, { runId, name, state: 'undone' });
    await setStep(db, { runId, name: end.failedStep, state: 'failed' });
    if ((await finishRun(db, runId, { kind: 'failed', failure })) === 'was-finished') return;
    await endApprovalOfRun(db, runId, { kind: 'failed', failure });
    await tell(db, run, {
      kind: 'run-failed',
      text: `${runNames[plan.kind]} of ${plan.machineName} failed. ${failure}`,
    });
  });
  reach(run, 'record failure', 'noted');
}

/** What becomes of the run's machine at the target, and what people are to know or do. */
async function settleWhatIsLeft(db: Database, run: RunContext, end: RunFailure): Promise<string> {
  const { plan } = run;
  switch (plan.kind) {
    case 'planned-failover':
      return settleGivenUpFailover(db, { ...run, plan }, end.leftovers.length > 0);
    case 'test-failover':
    case 'cleanup':
      return settleDrill(db, { ...run, plan }, plan.kind === 'cleanup' || end.leftovers.length > 0);
    default:
      return assertNever(plan);
  }
}

/** A drill of which something is left stays open, so that `cleanup` can remove it. */
async function settleDrill(
  db: Database,
  run: RunContext<TestFailoverPlan | CleanupPlan>,
  isSomethingLeft: boolean,
): Promise<string> {
  const { plan } = run;
  const drill = await openDrillOf(db, plan.machineId);
  const ours = drill !== undefined && (plan.kind === 'cleanup' ? drill.id === plan.drillId : drill.runId === run.runId);
  if (ours && isSomethingLeft) await setDrill(db, drill.id, { state: 'open' });
  if (ours && !isSomethingLeft) await closeDrill(db, drill.id);
  return isSomethingLeft ? `Run \`cleanup ${plan.machineName}\` to remove what is left.` : 'Nothing of it is left.';
}

/** True when the effect was noted before. Else the step is shown as running. */
async function beginStep(
  run: RunContext,
  name: string | undefined,
  begin: { readonly key: string; readonly state: StepState },
): Promise<boolean> {
  return noteInTransaction(run, async (db) => {
    if ((await findEffect(db, begin.key)) !== undefined) return true;
    if (name !== undefined) {
      await setStep(db, { runId: run.runId, name, state: begin.state });
      await tell(db, run, { kind: 'run-step', text: `${run.plan.machineName}: ${name} …` });
    }
    return false;
  });
}

async function markDone<Plan extends RunPlan>(
  db: Database,
  run: RunContext<Plan>,
  step: Step<Plan>,
  effect: { readonly key: string; readonly detail: unknown },
): Promise<void> {
  await recordEffect(db, { ...effect, runId: run.runId });
  await setStep(db, { runId: run.runId, name: step.name, state: 'done' });
  const told = step.told?.(run) ?? { kind: 'run-step', text: `${run.plan.machineName}: ${step.name} done.` };
  await tell(db, run, told);
}

async function tell(db: Database, run: RunContext, event: Pick<NewEvent, 'kind' | 'text'>): Promise<void> {
  await touchTopic(db, `run:${run.runId}`);
  await appendEvent(db, { ...event, machineName: run.plan.machineName, runId: run.runId });
}

type EffectOutcome =
  | { readonly kind: 'effected'; readonly output: unknown }
  | { readonly kind: 'failed'; readonly failure: string };

/** The step boundary: the one place where what the outside world throws becomes a sentence for people. */
async function attemptEffect(run: RunContext, name: string, work: () => Promise<unknown>): Promise<EffectOutcome> {
  try {
    const output = await patiently(targetPatience, work, (error, attempt) =>
      run.deps.log.warn(`${run.runId} ${name}, attempt ${attempt}: ${describeCauses(error)}`),
    );
    return { kind: 'effected', output };
  } catch (error) {
    run.deps.log.error(`${run.runId} ${name} failed: ${describeCauses(error)}`);
    const nextStep = error instanceof OutageError && error.nextStep !== undefined ? ` ${error.nextStep}` : '';
    return { kind: 'failed', failure: `${describeCauses(error)}.${nextStep}` };
  }
}

/** A transaction that only an engine that nobody took for dead can commit. */
async function noteInTransaction<T>(run: RunContext, work: (db: Database) => Promise<T>): Promise<T> {
  const { deps } = run;
  const outcome = await persist(deps, async (db) => {
    if ((await renewExecutor(db, deps.executorId)) === 'fenced') return { kind: 'fenced' as const };
    return { kind: 'committed' as const, value: await work(db) };
  });
  if (outcome.kind === 'committed') return outcome.value;
  if (deps.stopping?.aborted !== true) deps.onFenced();
  return restForGood();
}

function reach(run: RunContext, step: string, moment: BoundaryMoment): void {
  run.deps.boundary(boundaryName(run.plan.kind, step, moment));
}

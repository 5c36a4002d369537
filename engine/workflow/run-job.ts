import type { RunId } from '../../domain/ids.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import { findRun } from '../store/runs.ts';
import { type BoundaryMoment, boundaryName } from './boundaries.ts';
import { cleanup } from './cleanup.ts';
import { performStep, recordFailure, type StepOutcome, undoStep } from './perform-step.ts';
import { type RunPlan, runPlan } from './plan-text.ts';
import { plannedFailover } from './planned-failover.ts';
import { persist, type RunContext, type Step, type StepDeps } from './run-context.ts';
import { testFailover } from './test-failover.ts';

/** Does the work and keeps its outcome for good; when it was kept before, answers with that instead. */
export type Remember = (name: string, work: () => Promise<StepOutcome>) => Promise<StepOutcome>;

/** The body of the durable workflow: the same decisions each time, because every outcome of a step is remembered. */
export async function runJob(deps: StepDeps, runId: RunId, remember: Remember): Promise<void> {
  const record = await persist(deps, (db) => findRun(db, runId));
  invariant(record, `run ${runId} has a row`);
  const { startedAtMs, requestedBy } = record;
  const plan = runPlan.parse(record.plan);
  const run = { deps, runId, startedAtMs, requestedBy };
  switch (plan.kind) {
    case 'test-failover':
      return runSteps({ ...run, plan }, testFailover, remember);
    case 'cleanup':
      return runSteps({ ...run, plan }, cleanup, remember);
    case 'planned-failover':
      return runSteps({ ...run, plan }, plannedFailover, remember);
    default:
      return assertNever(plan);
  }
}

async function runSteps<Plan extends RunPlan>(
  run: RunContext<Plan>,
  steps: readonly Step<Plan>[],
  remember: Remember,
): Promise<void> {
  const once = within(run, remember);
  for (const [index, step] of steps.entries()) {
    const outcome = await once(step.name, () => performStep(run, step));
    if (outcome.kind !== 'failed') continue;
    return unwind(run, { begun: steps.slice(0, index + 1), failure: outcome.failure, once });
  }
}

/** The way back: from the step that failed, which may have done half of its work, to the first. */
async function unwind<Plan extends RunPlan>(
  run: RunContext<Plan>,
  end: { readonly begun: readonly Step<Plan>[]; readonly failure: string; readonly once: Remember },
): Promise<void> {
  const { begun, failure, once } = end;
  const leftovers: string[] = [];
  for (const step of [...begun].reverse()) {
    if (step.undo === undefined) continue;
    const outcome = await once(`undo ${step.name}`, () => undoStep(run, step));
    if (outcome.kind === 'failed') leftovers.push(`Undoing "${step.name}" failed too: ${outcome.failure}`);
  }
  const names = begun.map((step) => step.name);
  const failedStep = names.at(-1);
  invariant(failedStep, 'a run fails at a step');
  const undone = run.plan.kind === 'cleanup' ? [] : names.slice(0, -1);
  await once('record failure', async () => {
    await recordFailure(run, { failedStep, failure, undone, leftovers });
    return { kind: 'done' };
  });
}

/** One checkpoint of the durable workflow, between its two boundaries. */
function within(run: RunContext, remember: Remember): Remember {
  return async (name, work) => {
    const reach = (moment: BoundaryMoment) => run.deps.boundary(boundaryName(run.plan.kind, name, moment));
    reach('before');
    const outcome = await remember(name, work);
    reach('after');
    return outcome;
  };
}

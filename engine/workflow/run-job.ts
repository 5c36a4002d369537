import { DBOS } from '@dbos-inc/dbos-sdk';
import type { RunId } from '../../domain/ids.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import { findRun } from '../store/runs.ts';
import { type BoundaryMoment, boundaryName } from './boundaries.ts';
import { cleanup } from './cleanup.ts';
import { performStep, recordFailure, type StepOutcome, undoStep } from './perform-step.ts';
import { type RunPlan, runPlan } from './plan-text.ts';
import { persist, type RunContext, type Step, type StepDeps } from './run-context.ts';
import { testFailover } from './test-failover.ts';

/** The body of the durable workflow: the same decisions each time, because every outcome of a step is remembered by DBOS. */
export async function runJob(deps: StepDeps, runId: RunId): Promise<void> {
  const record = await persist(deps, (db) => findRun(db, runId));
  invariant(record, `run ${runId} has a row`);
  const { startedAtMs, requestedBy } = record;
  const plan = runPlan.parse(record.plan);
  const run = { deps, runId, startedAtMs, requestedBy };
  switch (plan.kind) {
    case 'test-failover':
      return runSteps({ ...run, plan }, testFailover);
    case 'cleanup':
      return runSteps({ ...run, plan }, cleanup);
    default:
      return assertNever(plan);
  }
}

async function runSteps<Plan extends RunPlan>(run: RunContext<Plan>, steps: readonly Step<Plan>[]): Promise<void> {
  for (const [index, step] of steps.entries()) {
    const outcome = await remembered(run, step.name, () => performStep(run, step));
    if (outcome.kind === 'failed') return unwind(run, steps.slice(0, index + 1), outcome.failure);
  }
}

/** The way back: from the step that failed, which may have done half of its work, to the first. */
async function unwind<Plan extends RunPlan>(
  run: RunContext<Plan>,
  begun: readonly Step<Plan>[],
  failure: string,
): Promise<void> {
  const leftovers: string[] = [];
  for (const step of [...begun].reverse()) {
    if (step.kind !== 'effect' || step.undo === undefined) continue;
    const { name, undo } = step;
    const outcome = await remembered(run, `undo ${name}`, () => undoStep(run, { name, undo }));
    if (outcome.kind === 'failed') leftovers.push(`Undoing "${name}" failed too: ${outcome.failure}`);
  }
  const names = begun.map((step) => step.name);
  const failedStep = names.at(-1);
  invariant(failedStep, 'a run fails at a step');
  const undone = run.plan.kind === 'test-failover' ? names.slice(0, -1) : [];
  await remembered(run, 'record failure', async () => {
    await recordFailure(run, { failedStep, failure, undone, leftovers });
    return { kind: 'done' };
  });
}

/** One checkpoint of the durable workflow: done before, it is not done again but answers as it did. */
async function remembered(run: RunContext, name: string, work: () => Promise<StepOutcome>): Promise<StepOutcome> {
  const reach = (moment: BoundaryMoment) => run.deps.boundary(boundaryName(run.plan.kind, name, moment));
  reach('before');
  const outcome = await DBOS.runStep(work, { name });
  reach('after');
  return outcome;
}

import { type ApprovalId, isId, type RunId } from '../../domain/ids.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import type { PlannedFailoverPlan } from '../../domain/planned-failover.ts';
import type { Database } from '../store/database.ts';
import { appendEvent } from '../store/events.ts';
import { touchTopic } from '../store/messages.ts';
import { createRun } from '../store/runs.ts';
import { createdBoundary } from './boundaries.ts';
import type { Executor } from './executor.ts';
import { planDigest } from './plan-text.ts';
import type { StepDeps } from './run-context.ts';

export type CreateApprovedRunOutcome =
  | { readonly kind: 'created'; readonly runId: RunId }
  /** Another run of the machine is at work; a sentence for people. */
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Makes the run of an approval, in the transaction that begins it; one approval makes one run, however often it is called. The run
 * starts when the transaction has committed and somebody calls `startApprovedRun`, or the next engine adopts it.
 */
export async function createApprovedRun(
  db: Database,
  order: { readonly approvalId: ApprovalId | string; readonly plan: PlannedFailoverPlan; readonly requestedBy: string },
): Promise<CreateApprovedRunOutcome> {
  const { approvalId, plan, requestedBy } = order;
  const { kind, machineId, machineName, steps } = plan;
  invariant(isId('approval', approvalId), `${approvalId} names an approval`);
  const run = { kind, machineId, requestedBy, plan, planDigest: planDigest(plan), steps, approvalId };
  const outcome = await createRun(db, { ...run, idempotencyKey: `approval ${approvalId}` });
  switch (outcome.kind) {
    case 'same-key':
      return { kind: 'created', runId: outcome.run.id };
    case 'busy':
      return {
        kind: 'refused',
        message: `Another run of ${machineName} is at work: ${outcome.run.id}, started by ${outcome.run.requestedBy}.`,
      };
    case 'created': {
      const runId = outcome.run.id;
      const text = `Planned failover of ${machineName} started, asked for by ${requestedBy} (${runId}).`;
      await touchTopic(db, `run:${runId}`);
      await appendEvent(db, { kind: 'run-started', machineName, runId, text });
      return { kind: 'created', runId };
    }
    default:
      return assertNever(outcome);
  }
}

/** Hands the run to the job engine, after the commit. */
export async function startApprovedRun(
  deps: Pick<StepDeps, 'boundary'> & { readonly executor: Pick<Executor, 'start'> },
  runId: RunId,
): Promise<void> {
  deps.boundary(createdBoundary('planned-failover'));
  await deps.executor.start(runId);
}

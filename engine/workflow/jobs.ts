import { drillChecks } from '../../domain/drill-checks.ts';
import {
  planCleanup,
  planTestFailover,
  type TestFailoverDecision,
  type TestFailoverPlan,
} from '../../domain/failover-plan.ts';
import { isId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import { admit, type DrillState } from '../../domain/protected-machine.ts';
import type { PlanView } from '../../protocol/control-api.ts';
import type { StartOutcome, Workflow, WorkflowRefusal } from '../api/deps.ts';
import type { Database } from '../store/database.ts';
import { type DrillRecord, openDrillOf, setDrill } from '../store/drills.ts';
import { appendEvent } from '../store/events.ts';
import { findMachineByName, type MachineRecord } from '../store/machines.ts';
import { measuredRuns } from '../store/measured-runs.ts';
import { findPoint, listPoints, newestAvailablePoint, type PointRecord, unsettledPoints } from '../store/points.ts';
import { activeRunOf, type CreateRunOutcome, createRun, findRunByKey, type RunRecord } from '../store/runs.ts';
import type { Target, TargetDescription } from '../target/target.ts';
import { createdBoundary } from './boundaries.ts';
import type { Executor } from './executor.ts';
import { planDigest, type RunPlan } from './plan-text.ts';
import type { StepDeps } from './run-context.ts';

export type JobDeps = Pick<StepDeps, 'store' | 'target' | 'boundary'> & { readonly executor: Pick<Executor, 'start'> };

type Order = { readonly machineName: string; readonly requestedBy: string; readonly idempotencyKey: string };
type Planning = { readonly kind: 'planned'; readonly plan: RunPlan } | WorkflowRefusal;

/** Plans and starts runs for the control API and the schedule. Source: DESIGN 4, RELIABILITY I5 */
export function createJobs(deps: JobDeps): Workflow {
  return {
    async planTestFailover(request) {
      const target = await usableTarget(deps.target);
      if (target.kind === 'refused') return target;
      const nowMs = await deps.store.nowMs();
      return deps.store.read(async (db) => {
        const decision = await decideTestFailover(db, target.description, request);
        if (decision.kind === 'refused') return refusal(decision);
        const { plan } = decision;
        const { memoryBytesMax } = target.description;
        return {
          kind: 'plan',
          plan: {
            ...planFigures(plan, nowMs),
            measured: await measuredRuns(db, { machineId: plan.machineId, kind: 'test-failover' }),
            checks: drillChecks({ plan, memoryBytesMax, activeRun: await activeRunOf(db, plan.machineId) }),
          },
        };
      });
    },

    async startTestFailover(request) {
      const target = await usableTarget(deps.target);
      if (target.kind === 'refused') return target;
      return begin(deps, request, async (db) => {
        const decision = await decideTestFailover(db, target.description, request);
        return decision.kind === 'refused' ? refusal(decision) : decision;
      });
    },

    async startCleanup(request) {
      return begin(deps, request, (db) => decideCleanup(db, request));
    },
  };
}

/** Creates the run with its steps and its first event in one transaction, then hands it to the executor. */
async function begin(deps: JobDeps, order: Order, plan: (db: Database) => Promise<Planning>): Promise<StartOutcome> {
  const outcome = await deps.store.write(async (db): Promise<CreateRunOutcome | WorkflowRefusal> => {
    // A repeated request finds its run first: what it asked for may be impossible now, because it was done.
    const earlier = await findRunByKey(db, order.idempotencyKey);
    if (earlier !== undefined) return { kind: 'same-key', run: earlier };
    const planning = await plan(db);
    return planning.kind === 'refused' ? planning : createPlanned(db, order, planning.plan);
  });
  switch (outcome.kind) {
    case 'refused':
      return outcome;
    case 'busy':
      return busy(outcome.run);
    case 'same-key':
      return sameRun(outcome.run, order.machineName);
    case 'created':
      deps.boundary(createdBoundary(outcome.run.kind));
      await deps.executor.start(outcome.run.id);
      return { kind: 'started', runId: outcome.run.id };
  }
}

async function createPlanned(db: Database, order: Order, plan: RunPlan): Promise<CreateRunOutcome> {
  const { requestedBy, idempotencyKey } = order;
  const { kind, machineId, machineName, steps } = plan;
  const digest = planDigest(plan);
  const outcome = await createRun(db, {
    kind,
    machineId,
    requestedBy,
    idempotencyKey,
    plan,
    planDigest: digest,
    steps,
  });
  if (outcome.kind !== 'created') return outcome;
  if (plan.kind === 'cleanup') await setDrill(db, plan.drillId, { state: 'cleaning' });
  const what = plan.kind === 'cleanup' ? `Cleanup of ${plan.vmName}` : `Test failover of ${machineName}`;
  const text = `${what} started by ${requestedBy} (${outcome.run.id}).`;
  await appendEvent(db, { kind: 'run-started', text, machineName, runId: outcome.run.id });
  return outcome;
}

async function decideTestFailover(
  db: Database,
  target: TargetDescription,
  request: { readonly machineName: string; readonly point: string },
): Promise<TestFailoverDecision> {
  const machine = await findMachineByName(db, request.machineName);
  if (machine === undefined) return { ...unprotected(request.machineName, 'test-failover'), candidates: [] };
  const drill = await openDrillOf(db, machine.id);
  return planTestFailover(
    {
      machine: { ...machine, drill: drillStateOf(drill) },
      points: await pointsToChooseFrom(db, machine, request.point),
      policy: machine.policy,
      target,
    },
    request,
  );
}

/** All that the choice needs: a machine may have thousands of points, and most requests are for the newest. */
async function pointsToChooseFrom(db: Database, machine: MachineRecord, asked: string): Promise<PointRecord[]> {
  const newest = await newestAvailablePoint(db, machine.id);
  const known = newest === undefined ? [] : [newest];
  if (asked === 'latest') return [...known, ...(await unsettledPoints(db, machine.id))];
  const point = isId('recoveryPoint', asked) ? await findPoint(db, asked) : undefined;
  return point?.machineId === machine.id ? [...known, point] : listPoints(db, machine.id);
}

async function decideCleanup(
  db: Database,
  request: { readonly machineName: string; readonly note: string },
): Promise<Planning> {
  const machine = await findMachineByName(db, request.machineName);
  if (machine === undefined) return unprotected(request.machineName, 'cleanup');
  const drill = await openDrillOf(db, machine.id);
  const admission = admit('cleanup', { ...machine, drill: drillStateOf(drill) });
  if (admission.kind === 'refused') return admission;
  invariant(drill && isId('run', drill.runId), 'a clean-up is admitted only with a drill, which a run opened');
  return {
    kind: 'planned',
    plan: planCleanup({
      machineId: machine.id,
      machineName: machine.name,
      epoch: machine.epoch,
      drillId: drill.id,
      drillRunId: drill.runId,
      vmName: drill.vmName,
      reason: request.note,
    }),
  };
}

function drillStateOf(drill: DrillRecord | undefined): DrillState {
  return drill === undefined ? { kind: 'none' } : { kind: 'open', pointTakenAtMs: drill.point.takenAtMs };
}

function unprotected(name: string, action: 'test-failover' | 'cleanup'): WorkflowRefusal {
  const facts = { name, drill: { kind: 'none' }, replication: { kind: 'running' } } as const;
  const admission = admit(action, { ...facts, protection: { kind: 'not-protected' } });
  invariant(admission.kind === 'refused', 'nothing can be failed over that is not protected');
  return admission;
}

type Usable = { readonly kind: 'usable'; readonly description: TargetDescription } | WorkflowRefusal;

/** A host on which no machine can be started is told so before anything begins. */
async function usableTarget(target: Target): Promise<Usable> {
  try {
    await target.check();
    return { kind: 'usable', description: await target.describe() };
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    return { kind: 'refused', message: `No machine can be started here: ${error.message}.`, nextStep: error.nextStep };
  }
}

function planFigures(plan: TestFailoverPlan, nowMs: number): Omit<PlanView, 'measured' | 'checks'> {
  const { machineName, target, vmName, network, accelerator, expiresAfterMs } = plan;
  return {
    ...{ machineName, target, vmName, network, accelerator, expiresAfterMs },
    digest: planDigest(plan),
    point: { ...plan.point, state: 'available' },
    pointAgeMs: Math.max(0, nowMs - plan.point.takenAtMs),
    steps: [...plan.steps],
  };
}

function refusal(decision: Extract<TestFailoverDecision, { kind: 'refused' }>): WorkflowRefusal {
  const { message, candidates } = decision;
  if (candidates.length === 0) return { kind: 'refused', message };
  return { kind: 'refused', message, nextStep: `Points that can be started: ${candidates.join(', ')}.` };
}

const runWords: Record<RunRecord['kind'], string> = {
  cleanup: 'A clean-up',
  'test-failover': 'A test failover',
  'planned-failover': 'A planned failover',
};

function busy(run: RunRecord): WorkflowRefusal {
  return {
    kind: 'refused',
    message: `${runWords[run.kind]} of ${run.machineName} is at work: ${run.id}, started by ${run.requestedBy}.`,
    nextStep: `Follow it with \`show ${run.id}\`, and ask again when it has ended.`,
  };
}

function sameRun(run: RunRecord, machineName: string): StartOutcome {
  if (run.machineName === machineName) return { kind: 'started', runId: run.id };
  return { kind: 'refused', message: `This idempotency key belongs to ${run.id}, a run of ${run.machineName}.` };
}

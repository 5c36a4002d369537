import type { TestFailoverPlan, TestFailoverStep } from '../../domain/failover-plan.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import type { RunView } from '../../protocol/control-api.ts';
import type { Database } from '../store/database.ts';
import { openDrill, openDrillOf, setDrill } from '../store/drills.ts';
import { findEffect, finishRun } from '../store/runs.ts';
import type { DrillPlan } from '../target/target.ts';
import { drillPlanOf, reservedDrill } from './drill-plan.ts';
import { noteOf, startedMachine, verificationNote } from './plan-text.ts';
import { effectKey, type RecordOutcome, type RunContext, type Step } from './run-context.ts';

/**
 * A test failover: a machine is started from a recovery point, beside the running one and cut off from it.
 *
 * ```
 *    step                do                                undo
 * 1  reserve drill       row, point pinned                 (the failure's own transaction closes the row)
 * 2  prepare folder      target                            remove the drill, all of it
 * 3  start disk server   target                            stop it
 * 4  create overlays     target                            (removed with the folder)
 * 5  start machine       target                            stop it
 * 6  verify boot         looks only
 * 7  record result       drill open, run succeeded         none: from here on `cleanup` ends it
 * ```
 * A machine that starts but does not come up is no failed run: the drill has told what it was made for, and stays to be looked at.
 */
export const testFailover: readonly Step<TestFailoverPlan>[] = [
  { name: 'reserve drill', kind: 'record', do: reserveDrill },
  onTarget('prepare folder', {
    do: (run, drill) => run.deps.target.prepareDrill(drill),
    undo: (run, drill) => run.deps.target.removeDrill(drill),
  }),
  onTarget('start disk server', {
    do: (run, drill) => run.deps.target.startDiskServer(drill),
    undo: (run, drill) => run.deps.target.stopDiskServer(drill),
  }),
  onTarget('create overlays', { do: (run, drill) => run.deps.target.createOverlays(drill) }),
  onTarget('start machine', {
    do: (run, drill) => run.deps.target.startMachine(drill),
    undo: (run, drill) => run.deps.target.stopMachine(drill),
  }),
  onTarget('verify boot', { do: verifyBoot }),
  { name: 'record result', kind: 'record', do: recordResult, told: resultEvent },
];

type TargetWork = (run: RunContext<TestFailoverPlan>, drill: DrillPlan) => Promise<unknown>;

function onTarget(
  name: TestFailoverStep,
  work: { readonly do: TargetWork; readonly undo?: TargetWork },
): Step<TestFailoverPlan> {
  const { undo } = work;
  const forward = async (run: RunContext<TestFailoverPlan>) => work.do(run, await reservedDrill(run));
  if (undo === undefined) return { name, kind: 'effect', do: forward };
  const back = async (run: RunContext<TestFailoverPlan>) => {
    await undo(run, await reservedDrill(run));
  };
  return { name, kind: 'effect', do: forward, undo: back };
}

async function reserveDrill(run: RunContext<TestFailoverPlan>, db: Database): Promise<RecordOutcome> {
  const { plan, runId } = run;
  const { machineId, vmName } = plan;
  const point = { ...plan.point, state: 'available' as const };
  const outcome = await openDrill(db, { machineId, runId, point, vmName, limitMs: plan.expiresAfterMs });
  switch (outcome.kind) {
    case 'opened':
    case 'same-run': {
      const { drill } = outcome;
      await setDrill(db, drill.id, { state: 'starting', handle: drillPlanOf(run, drill.id) });
      return { kind: 'recorded', detail: { drillId: drill.id } };
    }
    case 'busy':
      return {
        kind: 'failed',
        failure: `${plan.machineName} already has a test failover open (${outcome.drill.runId}). Run \`cleanup ${plan.machineName}\` first.`,
      };
    case 'point-not-available':
      return {
        kind: 'failed',
        failure: `Recovery point ${plan.point.id} is not available any more. Ask again with \`--point latest\`.`,
      };
    default:
      return assertNever(outcome);
  }
}

async function verifyBoot(run: RunContext<TestFailoverPlan>, drill: DrillPlan): Promise<unknown> {
  const verification = await run.deps.target.verifyBoot(drill, { limitMs: run.plan.verifyLimitMs });
  const nowMs = await run.deps.store.nowMs();
  return noteOf(verification, Math.max(0, nowMs - run.startedAtMs) / 1000);
}

async function recordResult(run: RunContext<TestFailoverPlan>, db: Database): Promise<RecordOutcome> {
  const drill = await openDrillOf(db, run.plan.machineId);
  invariant(drill?.runId === run.runId, `run ${run.runId} still has its drill`);
  await setDrill(db, drill.id, { state: 'open' });
  const result = await resultOf(run, db);
  await finishRun(db, run.runId, { kind: 'succeeded', result });
  return { kind: 'recorded', detail: { verified: result.verified } };
}

async function resultOf(run: RunContext<TestFailoverPlan>, db: Database): Promise<NonNullable<RunView['result']>> {
  const { plan } = run;
  const started = startedMachine.parse((await findEffect(db, effectKey(run, 'start machine', 'do')))?.detail);
  const note = verificationNote.parse((await findEffect(db, effectKey(run, 'verify boot', 'do')))?.detail);
  return {
    point: { ...plan.point, state: 'available' },
    pointAgeMs: Math.max(0, run.startedAtMs - plan.point.takenAtMs),
    secondsToGuestUp: note.secondsToGuestUp,
    marker: note.marker,
    verified: note.verified,
    verification: [note.explanation, ...started.notes].join(' '),
    consolePicture: note.consolePicture,
    vmName: plan.vmName,
    accelerator: started.accelerator,
    ...(plan.isNewestPoint !== undefined && { isNewestPoint: plan.isNewestPoint }),
  };
}

function resultEvent(run: RunContext<TestFailoverPlan>) {
  const { machineName, vmName } = run.plan;
  return {
    kind: 'run-succeeded',
    text: `Test failover of ${machineName} is done: ${vmName} runs until it is cleaned up.`,
  };
}

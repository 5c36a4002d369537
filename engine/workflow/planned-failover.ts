import { assertNever, invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import type { PlannedFailoverPlan, PlannedFailoverStep } from '../../domain/planned-failover.ts';
import { contentDigestOfWrites } from '../../protocol/content-digest.ts';
import type { RunView } from '../../protocol/control-api.ts';
import { endApprovalOfRun } from '../approvals/end-of-run.ts';
import type { Database } from '../store/database.ts';
import { failoverOfRun, pinFailover, reserveFailover, setFailover } from '../store/failovers.ts';
import { fenceSource, liftFence, markFailedOver } from '../store/machines.ts';
import { findPointOfCapture, pointViewOf } from '../store/points.ts';
import { findEffect, finishRun, stepStartedAtMs } from '../store/runs.ts';
import type { DrillPlan } from '../target/target.ts';
import { comparePositions, whyNotNow } from './failover-facts.ts';
import { drillPlan, noteOf, startedMachine, verificationNote } from './plan-text.ts';
import { effectKey, persist, type RecordOutcome, type RunContext, type Step } from './run-context.ts';
import { receiveLastChanges, shutDownSource, startSourceAgain, stoppedSource } from './source-power.ts';

type Run = RunContext<PlannedFailoverPlan>;

/**
 * A planned failover: the source is stopped in order, everything that it wrote is proven to be in the vault, and it starts at the target.
 *
 * ```
 *     step                  do                                    undo
 *  1  reserve machine       row                                   (the failure's own transaction ends the row)
 *  2  shut down source      agent                                 agent starts it again, unless it never stopped
 *  3  receive last changes  looks only
 *  4  prove no loss         row: the point is pinned              (with the row)
 *  5  fence source          epoch + 1, held                       epoch + 1, not held; only once nothing is left at the target
 *  6  prepare folder        target                                remove it, all of it
 *  7  start disk server     target                                stop it
 *  8  create disks          target                                (removed with the folder)
 *  9  start machine         target                                stop it
 * 10  verify boot           looks only; a boot that is not verified fails the run
 * 11  close old epoch       vault: the source's log ends here     (the source then compares its disks with the vault)
 * 12  record failover       failed over, run succeeded            none: the point of no return
 * ```
 * At no time may both run: the source is started again only when the fence is down, and the fence comes down only when the target has
 * proved that it has nothing left. Source: A10, RELIABILITY I3
 */
export const plannedFailover: readonly Step<PlannedFailoverPlan>[] = [
  step('reserve machine', { kind: 'record', do: reserveMachine }),
  step('shut down source', { kind: 'effect', do: shutDownSource, undo: startSourceAgain }),
  step('receive last changes', { kind: 'effect', do: lastChanges }),
  step('prove no loss', { kind: 'record', do: proveNoLoss }),
  step('fence source', { kind: 'record', do: fence, undo: unfence }),
  onTarget('prepare folder', {
    do: (run, place) => run.deps.target.prepareDrill(place),
    undo: (run, place) => run.deps.target.removeDrill(place),
  }),
  onTarget('start disk server', {
    do: (run, place) => run.deps.target.startDiskServer(place),
    undo: (run, place) => run.deps.target.stopDiskServer(place),
  }),
  onTarget('create disks', { do: (run, place) => run.deps.target.createOverlays(place) }),
  onTarget('start machine', {
    do: (run, place) => run.deps.target.startMachine(place),
    undo: (run, place) => run.deps.target.stopMachine(place),
  }),
  onTarget('verify boot', { do: verifyBoot }),
  onTarget('close old epoch', { do: closeOldEpoch }),
  { ...step('record failover', { kind: 'record', do: recordFailover }), told: resultEvent },
];

type Work = {
  readonly [Kind in Step['kind']]: Omit<Extract<Step<PlannedFailoverPlan>, { kind: Kind }>, 'name' | 'told'>;
}[Step['kind']];

function step(name: PlannedFailoverStep, work: Work): Step<PlannedFailoverPlan> {
  return { name, ...work };
}

type TargetWork = (run: Run, place: DrillPlan) => Promise<unknown>;

function onTarget(
  name: PlannedFailoverStep,
  work: { readonly do: TargetWork; readonly undo?: TargetWork },
): Step<PlannedFailoverPlan> {
  const { undo } = work;
  const forward = async (run: Run) => work.do(run, await placeOf(run));
  if (undo === undefined) return { name, kind: 'effect', do: forward };
  const back = async (run: Run) => {
    await undo(run, await placeOf(run));
  };
  return { name, kind: 'effect', do: forward, undo: back };
}

/** What the target is told, as it was decided when the point was pinned. */
async function placeOf(run: Run): Promise<DrillPlan> {
  const failover = await persist(run.deps, (db) => failoverOfRun(db, run.runId));
  return drillPlan.parse(failover?.handle);
}

async function reserveMachine(run: Run, db: Database): Promise<RecordOutcome> {
  const { plan, runId } = run;
  const { machineId, vmName, machineName } = plan;
  const why = await whyNotNow(db, plan);
  if (why !== undefined) return { kind: 'failed', failure: why };
  const outcome = await reserveFailover(db, { machineId, runId, vmName });
  switch (outcome.kind) {
    case 'reserved':
    case 'same-run':
      return { kind: 'recorded', detail: { placeId: outcome.failover.id } };
    case 'busy':
      return { kind: 'failed', failure: `${machineName} has something at the target of ${outcome.failover.runId}.` };
    default:
      return assertNever(outcome);
  }
}

async function lastChanges(run: Run): Promise<unknown> {
  const fromMs = await persist(run.deps, (db) => stepStartedAtMs(db, run.runId, 'receive last changes'));
  return receiveLastChanges(run, fromMs ?? run.startedAtMs);
}

async function proveNoLoss(run: Run, db: Database): Promise<RecordOutcome> {
  const { plan, runId } = run;
  const stopped = await stoppedSource(db, runId);
  const point = await findPointOfCapture(db, plan.machineId, stopped.captureId);
  const failover = await failoverOfRun(db, runId);
  invariant(point && failover, 'the point was waited for, and the place is reserved');
  const compared = comparePositions(plan, point, stopped);
  if (compared.kind === 'different') return { kind: 'failed', failure: compared.message };
  const { machineName, hardware } = plan;
  const place = { drillId: failover.id, purpose: 'failover', runId, machineName, hardware, disks: compared.disks };
  const pinned = await pinFailover(db, runId, { pointId: point.id, point: pointViewOf(point), handle: place });
  if (!pinned) return { kind: 'failed', failure: `Recovery point ${point.id} is not available any more.` };
  return { kind: 'recorded', detail: { proof: compared.proof } };
}

async function fence(run: Run, db: Database): Promise<RecordOutcome> {
  const { machineId, machineName, epoch } = run.plan;
  if (await fenceSource(db, machineId, epoch)) return { kind: 'recorded' };
  return { kind: 'failed', failure: `${machineName} is not in epoch ${epoch} any more: something else took it over.` };
}

/** Only when the target has proved that nothing is left there, or nothing was ever made. */
async function unfence(run: Run, db: Database): Promise<RecordOutcome> {
  const { machineId, machineName, epoch } = run.plan;
  const wasBegun = (await stepStartedAtMs(db, run.runId, 'prepare folder')) !== undefined;
  const isRemoved = (await findEffect(db, effectKey(run, 'prepare folder', 'undo'))) !== undefined;
  if (wasBegun && !isRemoved) {
    return { kind: 'failed', failure: `${machineName} may still run at the target, so its source stays fenced.` };
  }
  await liftFence(db, machineId, epoch);
  return { kind: 'recorded' };
}

async function verifyBoot(run: Run, place: DrillPlan): Promise<unknown> {
  const verification = await run.deps.target.verifyBoot(place, { limitMs: run.plan.verifyLimitMs });
  if (!verification.verified) {
    throw new OutageError(`${run.plan.machineName} did not come up at the target: ${verification.explanation}`, {
      retryable: false,
      nextStep: `Try \`failover ${run.plan.machineName} --test\` until it comes up, then ask again.`,
    });
  }
  const nowMs = await run.deps.store.nowMs();
  const stopMs = await persist(run.deps, (db) => stepStartedAtMs(db, run.runId, 'shut down source'));
  return noteOf(verification, Math.max(0, nowMs - (stopMs ?? run.startedAtMs)) / 1000);
}

/**
 * Ends the log of each disk with an empty segment of the new epoch. The vault takes it only where the point ends, so this proves once
 * more that nothing came after it; and every process server refuses the old sender from here on, without asking anybody.
 */
async function closeOldEpoch(run: Run, place: DrillPlan): Promise<unknown> {
  const contentDigest = contentDigestOfWrites([]).toString('hex');
  for (const { diskId, key, position, sizeBytes } of place.disks) {
    const batch = {
      epoch: run.plan.epoch + 1,
      previous: position,
      diskSizeBytes: sizeBytes,
      contentDigest,
      writes: [],
    };
    const outcome = await run.deps.vault.append(diskId, batch);
    if (outcome.kind === 'appended' || outcome.kind === 'already-there') continue;
    invariant(outcome.kind === 'position-mismatch', 'nothing is what an empty digest names');
    const { sequence } = outcome.position;
    throw new OutageError(
      `${key} was written after the source was stopped: the vault has sequence ${sequence}, the point ${position.sequence}`,
      { retryable: false, nextStep: 'Find out what wrote to the source’s disks, then ask again.' },
    );
  }
  return { epoch: run.plan.epoch + 1 };
}

async function recordFailover(run: Run, db: Database): Promise<RecordOutcome> {
  const { plan, runId } = run;
  const { machineId, machineName, target, vmName } = plan;
  const result = await resultOf(run, db);
  const state = { runId, target, vmName, disks: 'hydrating' } as const;
  if (!(await markFailedOver(db, machineId, state))) {
    return { kind: 'failed', failure: `The source of ${machineName} is not fenced any more.` };
  }
  await setFailover(db, runId, 'hydrating');
  await finishRun(db, runId, { kind: 'succeeded', result });
  const { rpoMs, rtoMs } = result.failover;
  await endApprovalOfRun(db, runId, { kind: 'succeeded', measured: { rpoMs, rtoMs } });
  return { kind: 'recorded', detail: { rpoMs, rtoMs } };
}

type Result = NonNullable<RunView['result']>;

async function resultOf(run: Run, db: Database): Promise<Result & { failover: NonNullable<Result['failover']> }> {
  const { plan, runId } = run;
  const detailOf = async (name: PlannedFailoverStep) => (await findEffect(db, effectKey(run, name, 'do')))?.detail;
  const started = startedMachine.parse(await detailOf('start machine'));
  const note = verificationNote.parse(await detailOf('verify boot'));
  const stopped = await stoppedSource(db, runId);
  const point = await findPointOfCapture(db, plan.machineId, stopped.captureId);
  invariant(point, 'the point is pinned');
  const compared = comparePositions(plan, point, stopped);
  invariant(compared.kind === 'equal', 'what was proven stays so');
  return {
    point: pointViewOf(point),
    pointAgeMs: 0,
    secondsToGuestUp: note.secondsToGuestUp,
    marker: note.marker,
    verified: note.verified,
    verification: [note.explanation, ...started.notes].join(' '),
    consolePicture: note.consolePicture,
    vmName: plan.vmName,
    accelerator: started.accelerator,
    failover: {
      // The point holds everything up to the stop, and nothing was written after it.
      rpoMs: 0,
      rtoMs: Math.round(note.secondsToGuestUp * 1000),
      proof: compared.proof,
      disksComparedCount: compared.disks.length,
    },
  };
}

function resultEvent(run: Run) {
  const { machineName, target, vmName } = run.plan;
  return {
    kind: 'run-succeeded',
    text: `${machineName} was failed over: it runs as ${vmName} on ${target}, nothing was lost, and its source is stopped and fenced.`,
  };
}

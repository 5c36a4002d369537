import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import type { PlannedFailoverPlan } from '../../domain/planned-failover.ts';
import { formatDuration, minuteMs, secondMs } from '../../domain/units.ts';
import type { PowerOutcome } from '../../protocol/agent-api.ts';
import type { Database } from '../store/database.ts';
import { findMachine } from '../store/machines.ts';
import { findPointOfCapture, type PointRecord } from '../store/points.ts';
import { askForPower, powerRequestOf, withdrawShutdown } from '../store/requests.ts';
import { persist, type RunContext } from './run-context.ts';
import { waitFor } from './wait-for.ts';

type Run = RunContext<PlannedFailoverPlan>;
export type Stopped = Extract<PowerOutcome, { kind: 'stopped' }>;

/** Besides the time to stop: captures under way, the last one, and the agent's heartbeats. */
const aroundStopLimitMs = 10 * minuteMs;
/** What the source wrote last must be in the vault and read back within this time, or it runs again. */
const lastChangesLimitMs = 10 * minuteMs;
const powerOnLimitMs = 90 * secondMs;

/** Has the agent shut the source down. @throws OutageError when it does not stop; then the agent has left it running */
export async function shutDownSource(run: Run): Promise<{ readonly how: string }> {
  const { plan, runId, requestedBy, deps } = run;
  // The source is stopped only for a target that can start machines at this moment.
  await deps.target.check();
  const { machineId, machineName, shutdownLimitMs: limitMs } = plan;
  await persist(deps, (db) => askForPower(db, { kind: 'shutdown', machineId, runId, requestedBy, limitMs }));
  const request = await persist(deps, (db) => powerRequestOf(db, runId, 'shutdown'));
  invariant(request, 'a run at work has its request');
  const outcome = await waitFor(run, {
    what: `the agent did not say within ${formatDuration(limitMs + aroundStopLimitMs)} that ${machineName} has stopped`,
    nextStep: 'See whether the agent on its host runs and reaches the engine.',
    untilMs: request.askedAtMs + limitMs + aroundStopLimitMs,
    look: async (db) => (await powerRequestOf(db, runId, 'shutdown'))?.outcome ?? undefined,
  });
  if (outcome.kind === 'stopped') return { how: outcome.how };
  throw new OutageError(outcome.kind === 'failed' ? outcome.message : `${machineName} still runs`, {
    retryable: false,
    nextStep: 'See why it does not stop when it is asked to, then ask again.',
  });
}

/** What the agent said of the stop. */
export async function stoppedSource(db: Database, runId: string): Promise<Stopped> {
  const outcome = (await powerRequestOf(db, runId, 'shutdown'))?.outcome;
  invariant(outcome?.kind === 'stopped', 'the source was stopped before');
  return outcome;
}

/** Waits until what the source wrote last is a recovery point that can be started, and the agent has said where it left the disks. */
export async function receiveLastChanges(run: Run, fromMs: number): Promise<{ readonly pointId: string }> {
  const { plan, runId } = run;
  const look = async (db: Database) => {
    const { captureId, disks } = await stoppedSource(db, runId);
    const point = await findPointOfCapture(db, plan.machineId, captureId);
    if (point !== undefined) refuseLostPoint(point);
    return point?.state === 'available' && disks.length > 0 ? { pointId: point.id } : undefined;
  };
  return waitFor(run, {
    what: `what ${plan.machineName} wrote last is not in the vault and read back after ${formatDuration(lastChangesLimitMs)}`,
    nextStep: `Look at \`show ${plan.machineName}\` for what holds replication up.`,
    untilMs: fromMs + lastChangesLimitMs,
    look,
  });
}

function refuseLostPoint(point: PointRecord): void {
  if (point.state !== 'damaged' && point.state !== 'expiring') return;
  throw new OutageError(`the recovery point taken after the stop, ${point.id}, is ${point.state}`, {
    retryable: false,
    nextStep: 'Check the vault’s storage, wait for a good recovery point, then ask again.',
  });
}

/**
 * Lets the source run again. Nothing when it was never stopped.
 *
 * @throws OutageError while it is fenced (its copy at the target may still run), and when the agent cannot start it
 */
export async function startSourceAgain(run: Run): Promise<void> {
  const { machineName } = run.plan;
  const asked = await persist(run.deps, (db) => askForSource(db, run));
  if (asked === undefined) return;
  const outcome = await waitFor(run, {
    what: `the agent did not say that ${machineName} runs again`,
    nextStep: `It is asked on. Start ${machineName} by hand on its host if it does not run.`,
    untilMs: asked + powerOnLimitMs,
    look: async (db) => (await powerRequestOf(db, run.runId, 'power-on'))?.outcome ?? undefined,
  });
  if (outcome.kind === 'running') return;
  const why = outcome.kind === 'failed' ? outcome.message : outcome.kind;
  throw new OutageError(`the agent could not start ${machineName} again: ${why}`, {
    retryable: false,
    nextStep: `Start ${machineName} by hand on its host.`,
  });
}

/** When the agent was asked to start the source; undefined when there is no need to. */
async function askForSource(db: Database, run: Run): Promise<number | undefined> {
  const { plan, runId, requestedBy } = run;
  const { machineId, machineName } = plan;
  if ((await findMachine(db, machineId))?.isHeld === true) {
    throw new OutageError(`${machineName} stays stopped at its source while its copy at the target may still run`, {
      retryable: false,
    });
  }
  if (!(await wasStopped(db, runId))) return undefined;
  await withdrawShutdown(db, runId);
  await askForPower(db, { kind: 'power-on', machineId, runId, requestedBy, limitMs: null });
  return (await powerRequestOf(db, runId, 'power-on'))?.askedAtMs;
}

/** True when the source was, or may have been, stopped by the run: everything but "never asked" and "it goes on". */
export async function wasStopped(db: Database, runId: string): Promise<boolean> {
  const request = await powerRequestOf(db, runId, 'shutdown');
  if (request === undefined) return false;
  return !(request.outcome?.kind === 'failed' && request.outcome.isRunning);
}

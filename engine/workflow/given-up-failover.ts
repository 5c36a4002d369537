import type { PlannedFailoverPlan } from '../../domain/planned-failover.ts';
import type { Database } from '../store/database.ts';
import { failoverOfRun, setFailover } from '../store/failovers.ts';
import { findMachine, liftFence } from '../store/machines.ts';
import { askForPower, powerRequestOf, withdrawShutdown } from '../store/requests.ts';
import type { RunContext } from './run-context.ts';
import { wasStopped } from './source-power.ts';

/** The end of a failover that was given up: what becomes of its machine at the target, and where the machine runs, in a sentence. */
export async function settleGivenUpFailover(
  db: Database,
  run: RunContext<PlannedFailoverPlan>,
  isSomethingLeft: boolean,
): Promise<string> {
  const { machineName, machineId } = run.plan;
  // What is left is removed by failover-care.ts, however long that takes.
  if ((await failoverOfRun(db, run.runId)) !== undefined) {
    await setFailover(db, run.runId, isSomethingLeft ? 'removing' : 'removed');
  }
  if (!(await wasStopped(db, run.runId))) return `Nothing was changed: ${machineName} goes on at its source.`;
  const answer = (await powerRequestOf(db, run.runId, 'power-on'))?.outcome;
  if (answer?.kind === 'running') return `${machineName} was started again at its source and is replicated as before.`;
  const isHeld = (await findMachine(db, machineId))?.isHeld === true;
  return isHeld
    ? `${machineName} is stopped: it is started at its source by itself as soon as nothing of it is left at the target.`
    : `${machineName} may be stopped at its source; its agent goes on being asked to start it.`;
}

/** The last part of the way back, once the target has proved that nothing is left there: the source is in charge and runs. */
export async function giveBackToSource(
  db: Database,
  given: { readonly runId: string; readonly plan: PlannedFailoverPlan; readonly requestedBy: string },
): Promise<void> {
  const { runId, plan, requestedBy } = given;
  const { machineId, epoch } = plan;
  await liftFence(db, machineId, epoch);
  await setFailover(db, runId, 'removed');
  if (!(await wasStopped(db, runId))) return;
  await withdrawShutdown(db, runId);
  await askForPower(db, { kind: 'power-on', machineId, runId, requestedBy, limitMs: null });
}

import { invariant } from '../../domain/invariant.ts';
import { describeCauses } from '../../domain/outage.ts';
import { appendEvent } from '../store/events.ts';
import { type FailoverRecord, failoversToCareFor, setFailover } from '../store/failovers.ts';
import { findMachine, markDisksLocal } from '../store/machines.ts';
import { touchTopic } from '../store/messages.ts';
import { findRun, type RunRecord } from '../store/runs.ts';
import { giveBackToSource } from './given-up-failover.ts';
import { drillPlan, runPlan } from './plan-text.ts';
import type { StepDeps } from './run-context.ts';

type CareDeps = Pick<StepDeps, 'store' | 'target' | 'log'>;

/**
 * Looks after machines at the target between runs: fills their disks while they run, starts again what died, and ends what a given-up
 * failover left behind. Safe to run twice; any engine goes on with it. Call it every few seconds.
 */
export async function careForFailovers(deps: CareDeps): Promise<void> {
  for (const failover of await deps.store.read(failoversToCareFor)) {
    try {
      await deps.store.alone(`failover ${failover.id}`, () => careFor(deps, failover));
    } catch (error) {
      // One machine's trouble must not keep the others from being looked after; it is tried again at the next call.
      deps.log.warn(`failover of ${failover.vmName} (${failover.runId}): ${describeCauses(error)}`);
    }
  }
}

async function careFor(deps: CareDeps, failover: FailoverRecord): Promise<void> {
  if (failover.state === 'removing') return removeWhatIsLeft(deps, failover);
  const isLocal = (await deps.target.fillDisks(drillPlan.parse(failover.handle))) === 'local';
  if (!isLocal || failover.state === 'local') return;
  const { machineId, runId, vmName } = failover;
  await deps.store.write(async (db) => {
    await setFailover(db, runId, 'local');
    await markDisksLocal(db, machineId, runId);
    await touchTopic(db, `run:${runId}`);
    const machineName = (await findMachine(db, machineId))?.name;
    const text = `All blocks of ${vmName} are at the target now: it needs the vault no more.`;
    await appendEvent(db, { kind: 'disks-local', machineName, runId, text });
  });
}

async function removeWhatIsLeft(deps: CareDeps, failover: FailoverRecord): Promise<void> {
  const { runId, handle } = failover;
  // Without a handle the target was never told of it.
  if (handle !== null) await deps.target.removeDrill(drillPlan.parse(handle));
  const run = await deps.store.read((db) => findRun(db, runId));
  const plan = runPlan.parse(run?.plan);
  invariant(run && plan.kind === 'planned-failover', `${runId} is a planned failover`);
  await deps.store.write(async (db) => {
    await giveBackToSource(db, { runId, plan, requestedBy: run.requestedBy });
    await touchTopic(db, `run:${runId}`);
    await appendEvent(db, { kind: 'failover-removed', machineName: plan.machineName, runId, text: removedText(run) });
  });
}

function removedText({ machineName, id }: RunRecord): string {
  return `Nothing of the given-up failover ${id} is left at the target. ${machineName} is in charge at its source, and is started there.`;
}

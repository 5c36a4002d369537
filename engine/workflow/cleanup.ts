import type { CleanupPlan } from '../../domain/failover-plan.ts';
import type { Database } from '../store/database.ts';
import { closeDrill } from '../store/drills.ts';
import { finishRun } from '../store/runs.ts';
import { drillToRemove } from './drill-plan.ts';
import type { RecordOutcome, RunContext, Step } from './run-context.ts';

/**
 * The end of a test failover: its machine and disks go, its picture and serial log stay.
 *
 * No step has an undo. A clean-up that fails leaves the drill open, so that it can be asked for again and the schedule tries again.
 */
export const cleanup: readonly Step<CleanupPlan>[] = [
  {
    name: 'stop machine',
    kind: 'effect',
    do: async (run) => run.deps.target.stopMachine(await drillToRemove(run)),
  },
  {
    name: 'remove drill',
    kind: 'effect',
    do: async (run) => run.deps.target.removeDrill(await drillToRemove(run)),
  },
  { name: 'close drill', kind: 'record', do: recordEnd, told: endEvent },
];

async function recordEnd(run: RunContext<CleanupPlan>, db: Database): Promise<RecordOutcome> {
  await closeDrill(db, run.plan.drillId);
  await finishRun(db, run.runId, { kind: 'succeeded' });
  return { kind: 'recorded' };
}

function endEvent(run: RunContext<CleanupPlan>) {
  const { machineName, vmName } = run.plan;
  return {
    kind: 'run-succeeded',
    text: `The test failover of ${machineName} is cleaned up: ${vmName} and its disks are gone.`,
  };
}

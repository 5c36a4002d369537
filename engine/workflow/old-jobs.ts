import { DBOS } from '@dbos-inc/dbos-sdk';
import { dayMs } from '../../domain/units.ts';
import type { Store } from '../store/open.ts';
import { activeRuns } from '../store/runs.ts';

/** So long DBOS keeps what it remembers of an ended job: nothing needs it any more, but who looks for a fault may. Runs stay. */
export const endedJobsKeptMs = 7 * dayMs;
/** One round removes so many; the next one goes on. */
export const removedJobsMax = 500;

/** Removes what DBOS keeps of jobs that ended long ago: a row for each, and one for each of its steps. @returns how many jobs */
export async function removeOldJobs(store: Store): Promise<number> {
  const endedBeforeMs = (await store.nowMs()) - endedJobsKeptMs;
  const ended = await DBOS.listWorkflows({
    status: ['SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'],
    completedBefore: new Date(endedBeforeMs).toISOString(),
    limit: removedJobsMax,
    loadInput: false,
    loadOutput: false,
  });
  // A run that its job has left behind is ended by adoption, which must still find how the job ended.
  const active = new Set<string>((await store.read(activeRuns)).map((run) => run.id));
  const old = ended.map(({ workflowID }) => workflowID).filter((id) => !active.has(id));
  if (old.length > 0) await DBOS.deleteWorkflows(old);
  return old.length;
}

import { setTimeout as delay } from 'node:timers/promises';
import { DBOS } from '@dbos-inc/dbos-sdk';
import type { RunId } from '../../domain/ids.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { minuteMs, secondMs } from '../../domain/units.ts';
import { endApprovalOfRun } from '../approvals/end-of-run.ts';
import { openDrillOf, setDrill } from '../store/drills.ts';
import { appendEvent } from '../store/events.ts';
import { beatExecutor, liveExecutors, removeExecutor, renewExecutor, staleExecutors } from '../store/executors.ts';
import { setFailover } from '../store/failovers.ts';
import { openJobPool } from '../store/job-connections.ts';
import { touchTopic } from '../store/messages.ts';
import { openStore, type Store } from '../store/open.ts';
import { activeRuns, findRun, finishRun, type RunRecord } from '../store/runs.ts';
import { deadNeighbours } from './executor-id.ts';
import { removeOldJobs } from './old-jobs.ts';
import { createPulse, type Pulse } from './pulse.ts';
import type { StepDeps } from './run-context.ts';
import { type Remember, runJob } from './run-job.ts';

/** Raise it only with a change of the steps that running jobs cannot bear; a job is continued by engines of its own version only. */
const applicationVersion = 'lifeboat-jobs-1';

export type ExecutorDeps = StepDeps & {
  /** Where DBOS keeps its own tables (schema `dbos`): the engine's database. */
  readonly connectionString: string;
  /** After so long a silence, by the database's clock, others take an engine's runs over. */
  readonly silentForMs?: number;
  readonly beatEveryMs?: number;
};

/** One engine process's part in carrying out runs. */
export type Executor = {
  /** Starts a run whose row is there. Starting it twice, on any engine, runs it once. */
  start(runId: RunId): Promise<void>;
  /** Looks for runs of dead engines now; it is done by itself every few beats. */
  adopt(): Promise<void>;
  /** See old-jobs.ts. */
  removeOldJobs(): Promise<number>;
  stop(): Promise<void>;
};

export const silentForMsDefault = 5 * secondMs;
const beatEveryMsDefault = secondMs;
const launchLimitMs = minuteMs;

/** Starts to work on runs: new ones, and those that dead engines left. DBOS allows one executor in a process. */
export async function startExecutor(given: Omit<ExecutorDeps, 'stopping'>): Promise<Executor> {
  const stopping = new AbortController();
  const deps: ExecutorDeps = { ...given, stopping: stopping.signal };
  const { connectionString, executorId, log } = deps;
  const remember: Remember = (name, work) => DBOS.runStep(work, { name });
  const job = DBOS.registerWorkflow((runId: RunId) => runJob(deps, runId, remember), { name: 'lifeboat-run' });
  const jobPool = openJobPool({
    connectionString,
    connectionCountMax: 5,
    name: `lifeboat-jobs ${executorId}`,
    onTrouble: (error) => log.warn(describeCauses(error)),
  });
  configure(deps, jobPool);
  // Connections of its own: a storm of requests that fills the engine's pool must not make it look dead.
  const store = await openStore({ connectionString, onTrouble: (error) => log.warn(describeCauses(error)) });
  await store.write((db) => beatExecutor(db, executorId));
  const pulse = createPulse(deps.silentForMs ?? silentForMsDefault);
  let isLaunched = false;
  const adopt = () => adoptRuns({ ...deps, store, pulse }, start);
  // From its first row on it must be heard: the launch takes seconds, and longer when it waits for another engine's.
  const duties = keepAlive({ ...deps, store, pulse }, async () => (isLaunched ? adopt() : undefined), stopping.signal);
  const start = async (runId: RunId) => {
    // Its job may have been removed since (old-jobs.ts): what has ended is never done a second time.
    const run = await store.read((db) => findRun(db, runId));
    if (run !== undefined && run.state !== 'active') return;
    const handle = await DBOS.startWorkflow(job, { workflowID: runId })(runId);
    // The run's row tells people how it ended; an error here is our own, and adopt() ends the run for it.
    handle.getResult().catch((error: unknown) => log.error(`${runId}: ${describeCauses(error)}`));
  };
  try {
    await launchAlone(store);
    await adopt();
  } catch (error) {
    stopping.abort();
    await duties;
    await Promise.all([store.close(), jobPool.end()]);
    throw error;
  }
  isLaunched = true;
  return {
    start,
    adopt,
    removeOldJobs: () => removeOldJobs(store),
    async stop() {
      stopping.abort();
      await duties;
      await store.write((db) => removeExecutor(db, executorId));
      await DBOS.shutdown();
      await Promise.all([store.close(), jobPool.end()]);
    },
  };
}

function configure(deps: ExecutorDeps, systemDatabasePool: ReturnType<typeof openJobPool>): void {
  const { log } = deps;
  DBOS.setConfig({
    name: 'lifeboat',
    systemDatabaseUrl: deps.connectionString,
    systemDatabaseSchemaName: 'dbos',
    systemDatabasePool,
    applicationVersion,
    executorID: deps.executorId,
    // Each step logs what matters through ours; DBOS's chatter is for debugging.
    logger: {
      debug: (entry) => log.debug(String(entry)),
      info: (entry) => log.debug(String(entry)),
      warn: (entry) => log.warn(String(entry)),
      error: (entry) => log.error(String(entry)),
    },
    enableOTLP: false,
    listenQueues: [],
    useListenNotify: false,
    schedulerPollingIntervalMs: minuteMs,
  });
}

/** Two engines that start on a fresh database must not both make DBOS's tables. */
async function launchAlone(store: Store): Promise<void> {
  const deadlineMs = performance.now() + launchLimitMs;
  while ((await store.alone('launch of the job engine', () => DBOS.launch())) === 'not-free') {
    if (performance.now() > deadlineMs) {
      throw new OutageError('wait for another engine to make the job tables', {
        retryable: true,
        nextStep: 'Look for an engine that hangs while it starts, and stop it.',
      });
    }
    await delay(100);
  }
}

/**
 * Beats, and adopts what dead engines left, until the engine stops. Two loops: adoption can take longer than the silence after which
 * we are taken for dead ourselves, and must not hold up a beat.
 */
async function keepAlive(deps: DutyDeps, adopt: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const beatEveryMs = deps.beatEveryMs ?? beatEveryMsDefault;
  // Neither is an error of anybody when the database cannot be reached: the next one tries again, and silence speaks for itself.
  const failed = (what: string) => (error: unknown) => deps.log.warn(`${what}: ${describeCauses(error)}`);
  await Promise.all([
    again(beatEveryMs, signal, () => beatOnce(deps).catch(failed('engine heartbeat'))),
    again(2 * beatEveryMs, signal, () => adopt().catch(failed('adoption of runs'))),
  ]);
}

/** Does it after each pause until the signal; never twice at once. */
async function again(everyMs: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await pause(everyMs, signal);
    if (!signal.aborted) await work();
  }
}

/** Waits that long, or until the engine stops. */
function pause(forMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, forMs);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}

async function beatOnce({ store, pulse, executorId, onFenced }: DutyDeps): Promise<void> {
  const renewed = await store.read((db) => renewExecutor(db, executorId));
  if (renewed === 'fenced') onFenced();
  else pulse.beaten();
}

type DutyDeps = ExecutorDeps & { readonly pulse: Pulse };

/** Continues what dead engines left. One engine at a time does it: resuming a job twice would take it from whoever just took it. */
async function adoptRuns(deps: DutyDeps, start: (runId: RunId) => Promise<void>): Promise<void> {
  const silentForMs = deps.silentForMs ?? silentForMsDefault;
  const isWork = await deps.store.read(
    async (db) => (await activeRuns(db)).length > 0 || (await staleExecutors(db, silentForMs)).length > 0,
  );
  if (!isWork) return;
  await deps.store.alone('adoption of runs', async () => {
    const alive = await buryTheDead(deps, silentForMs);
    // We are among the dead ourselves.
    if (!alive.has(deps.executorId)) return deps.onFenced();
    await resumeOrphans(deps, alive);
    for (const run of await deps.store.read(activeRuns)) await settle(deps, run, start);
  });
}

/** @returns ids of the engines that are left */
async function buryTheDead(deps: DutyDeps, silentForMs: number): Promise<ReadonlySet<string>> {
  const { store, pulse, executorId } = deps;
  return store.write(async (db) => {
    const silent = await staleExecutors(db, silentForMs);
    const known = [...silent, ...(await liveExecutors(db, silentForMs))];
    // After the reads: what held these up has held up the others' beats too.
    const dead = new Set([...(pulse.mayJudge() ? silent : []), ...deadNeighbours(executorId, known)]);
    dead.delete(executorId);
    // Its row is its licence: without it a paused engine that wakes up changes nothing (see noteInTransaction).
    for (const id of dead) await removeExecutor(db, id);
    return new Set(known.filter((id) => !dead.has(id)));
  });
}

/** Also jobs whose run has ended already: their engine died between the end of the run and its own note of it. */
async function resumeOrphans(deps: ExecutorDeps, alive: ReadonlySet<string>): Promise<void> {
  const pending = await DBOS.listWorkflows({ status: 'PENDING', loadInput: false, loadOutput: false });
  for (const { workflowID, executorId } of pending) {
    if (executorId !== undefined && alive.has(executorId)) continue;
    deps.log.info(`${workflowID} was left by engine ${executorId}; it goes on`);
    await DBOS.resumeWorkflow(workflowID);
  }
}

/** A run without a job gets one; a run whose job has ended without it is ended. */
async function settle(deps: ExecutorDeps, run: RunRecord, start: (runId: RunId) => Promise<void>): Promise<void> {
  const job = await DBOS.getWorkflowStatus(run.id);
  if (job === null) return start(run.id);
  if (job.status === 'PENDING' || job.status === 'ENQUEUED' || job.status === 'DELAYED') return;
  await abandon(deps, run, job.status);
}

/** The job ended and its run did not: our own fault. People are told, and what is left can be cleaned up. */
async function abandon(deps: ExecutorDeps, run: RunRecord, status: string): Promise<void> {
  const { id: runId, machineId, machineName } = run;
  const left =
    run.kind === 'planned-failover'
      ? `What there is of it at the target is removed by itself, and then ${machineName} is started at its source again.`
      : `Parts of it may still be there: run \`cleanup ${machineName}\`.`;
  const failure = `The job ended as ${status} without a result; this is a fault of Lifeboat, the engine's log says more. ${left}`;
  await deps.store.write(async (db) => {
    // The job may have ended between the two reads: then its run has ended too, and that end counts.
    if ((await finishRun(db, runId, { kind: 'failed', failure })) === 'was-finished') return;
    const drill = await openDrillOf(db, machineId);
    if (drill !== undefined) await setDrill(db, drill.id, { state: 'open' });
    if (run.kind === 'planned-failover') await setFailover(db, runId, 'removing');
    await endApprovalOfRun(db, runId, { kind: 'failed', failure });
    await touchTopic(db, `run:${runId}`);
    await appendEvent(db, { kind: 'run-failed', text: `${machineName}: ${failure}`, machineName, runId });
  });
}

import type { GuestReport, HeartbeatAnswer, HeartbeatRequest, SpoolReport } from '../protocol/agent-api.ts';
import type { AssignedMachines } from './assigned-machines.ts';
import type { ControlClient } from './control-client.ts';
import type { AgentLog } from './machine-context.ts';
import { backoffMs } from './replication-decision.ts';
import type { Wakeup } from './wakeup.ts';

export type HeartbeatDeps = {
  readonly client: Pick<ControlClient, 'heartbeat'>;
  readonly machines: AssignedMachines;
  readonly guests: () => Promise<GuestReport[]>;
  readonly spool: () => Promise<SpoolReport>;
  readonly about: Pick<HeartbeatRequest, 'instanceId' | 'agentVersion' | 'hostName' | 'siteName'>;
  readonly onAnswer: (answer: HeartbeatAnswer) => void;
  readonly monotonicMs: () => number;
  readonly random: () => number;
  readonly log: AgentLog;
  /** Wakes the heartbeats when there is news that should not wait for the next one. */
  readonly wakeup: Wakeup;
  readonly signal: AbortSignal;
};

/**
 * Tells the engine what is, and takes what should be, until the signal comes. An engine that is away changes nothing: captures go on
 * with what was assigned last. Another instance with our certificate stops us: two agents must not send one machine's changes.
 */
export async function runHeartbeats(deps: HeartbeatDeps): Promise<void> {
  let failureCount = 0;
  let nextMs = firstRetryMsMax;
  // No rarer than heartbeats are: a longer pause would cost the engine less and look like an agent that is dead.
  let retryMsMax = nextMs;
  while (!deps.signal.aborted) {
    const startedAtMs = deps.monotonicMs();
    try {
      nextMs = await beat(deps);
      retryMsMax = nextMs;
      if (failureCount > 0) {
        deps.log.info({ failureCount }, 'the engine answers again');
        deps.machines.tryAgain();
      }
      failureCount = 0;
    } catch (error) {
      failureCount += 1;
      nextMs = backoffMs(failureCount, deps.random(), retryMsMax);
      if (failureCount === 1 || failureCount % 20 === 0)
        deps.log.warn({ err: error, failureCount }, 'a heartbeat failed');
    }
    await deps.wakeup.wait(Math.max(50, nextMs - (deps.monotonicMs() - startedAtMs)));
  }
}

/** Until the engine has said how often it wants to hear of us. */
const firstRetryMsMax = 2000;
/** How long a heartbeat that the engine refused waits: only a person can change that. */
const refusedRetryMs = 15_000;

async function beat(deps: HeartbeatDeps): Promise<number> {
  const outcome = await deps.client.heartbeat({
    ...deps.about,
    guests: await deps.guests(),
    machines: deps.machines.reports(),
    doneRequests: deps.machines.doneRequests(),
    powerResults: deps.machines.powerResults(),
    runningAlthoughHeld: deps.machines.runningAlthoughHeld(),
    spool: await deps.spool(),
  });
  switch (outcome.kind) {
    case 'answered':
      deps.onAnswer(outcome.answer);
      await deps.machines.reconcile(outcome.answer.assignments);
      return outcome.answer.nextHeartbeatMs;
    case 'fenced':
      await deps.machines.stop();
      deps.log.warn({ message: outcome.message }, 'this agent was stopped by the engine and replicates nothing');
      return refusedRetryMs;
    case 'refused':
      deps.log.warn({ message: outcome.message }, 'the engine refused the heartbeat');
      return refusedRetryMs;
    default:
      return refusedRetryMs;
  }
}

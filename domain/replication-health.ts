import { assertNever } from './invariant.ts';
import { type ProtectionState, percentDone, type ReplicationSwitch } from './protected-machine.ts';
import { formatDuration } from './units.ts';

/** How a machine's replication is doing. `unknown` is never shown as good. Source: CHAT 5.3, RELIABILITY I7 */
export type ReplicationHealth =
  | { readonly kind: 'healthy' }
  | {
      readonly kind: 'warning' | 'critical' | 'unknown';
      readonly message: string;
      /** It follows from what people asked for, and all goes on as it should: nobody has to look. Source: A6 */
      readonly isExpected?: true;
    };

/** What is known of a machine's replication now; times are durations by the engine's clock. */
export type ReplicationFacts = {
  readonly protection: ProtectionState;
  readonly replication: ReplicationSwitch;
  /** Undefined while there is no available recovery point. */
  readonly lagMs: number | undefined;
  /** T: the lag above which people are told. */
  readonly rpoThresholdMs: number;
  /** The lag above which it is critical; three times T when left out. */
  readonly criticalLagMs?: number;
  /** Since the agent's last heartbeat; undefined when it was never heard. */
  readonly agentSilentMs: number | undefined;
  readonly heartbeatEveryMs: number;
  /** Why the next recovery point needs a full comparison, when it does. */
  readonly resyncRequired: string | undefined;
  /** What the agent cannot do now, when it fails. */
  readonly failing: string | undefined;
};

export const silentHeartbeatsMax = 3;
export const criticalLagFactor = 3;

/** True when so many heartbeats are missing that nothing is known of the agent. */
export function isAgentSilent(facts: Pick<ReplicationFacts, 'agentSilentMs' | 'heartbeatEveryMs'>): boolean {
  return facts.agentSilentMs === undefined || facts.agentSilentMs > silentHeartbeatsMax * facts.heartbeatEveryMs;
}

/**
 * Warning: lag > T, paused, or the agent reports a failure. Critical: lag above the critical threshold or a resynchronisation is required.
 * Unknown: no recovery point yet, or the agent is silent; a pause explains everything else and stays a warning.
 */
export function replicationHealth(facts: ReplicationFacts): ReplicationHealth {
  const { protection } = facts;
  switch (protection.kind) {
    case 'not-protected':
      return { kind: 'unknown', message: 'Not protected.' };
    case 'initial-replication':
      return initialHealth(facts, percentDone(protection));
    case 'protected':
      return protectedHealth(facts);
    case 'failed-over':
      return {
        kind: 'warning',
        message: `Failed over: it runs at ${protection.target} and is not replicated there yet.`,
        isExpected: true,
      };
    default:
      return assertNever(protection);
  }
}

function initialHealth(facts: ReplicationFacts, donePercent: number): ReplicationHealth {
  if (isAgentSilent(facts)) return { kind: 'unknown', message: silence(facts) };
  if (facts.replication.kind === 'paused') return paused(facts.replication.reason, facts);
  if (facts.failing !== undefined) return { kind: 'warning', message: facts.failing };
  const message = `No recovery point yet: initial replication is at ${donePercent} %.`;
  return { kind: 'unknown', message, isExpected: true };
}

function protectedHealth(facts: ReplicationFacts): ReplicationHealth {
  const { lagMs, rpoThresholdMs, replication } = facts;
  if (replication.kind === 'paused') return paused(replication.reason, facts);
  if (lagMs !== undefined && lagMs > (facts.criticalLagMs ?? criticalLagFactor * rpoThresholdMs)) {
    const why = isAgentSilent(facts) ? ` ${silence(facts)}` : facts.failing === undefined ? '' : ` ${facts.failing}`;
    return { kind: 'critical', message: `${behind(lagMs, rpoThresholdMs)}${why}` };
  }
  if (facts.resyncRequired !== undefined) {
    return { kind: 'critical', message: `Resynchronisation required: ${facts.resyncRequired}` };
  }
  if (isAgentSilent(facts)) return { kind: 'unknown', message: silence(facts) };
  if (lagMs === undefined) return { kind: 'unknown', message: 'There is no available recovery point.' };
  if (lagMs > rpoThresholdMs) return { kind: 'warning', message: behind(lagMs, rpoThresholdMs) };
  if (facts.failing !== undefined) return { kind: 'warning', message: facts.failing };
  return { kind: 'healthy' };
}

function paused(reason: string, facts: ReplicationFacts): ReplicationHealth {
  const lag = facts.lagMs === undefined ? '' : `, newest point ${formatDuration(facts.lagMs)} old`;
  return { kind: 'warning', message: `Replication is paused (${reason})${lag}.` };
}

function behind(lagMs: number, thresholdMs: number): string {
  return `The newest recovery point is ${formatDuration(lagMs)} old (threshold ${formatDuration(thresholdMs)}).`;
}

function silence(facts: ReplicationFacts): string {
  return facts.agentSilentMs === undefined
    ? 'The agent has never been heard.'
    : `The agent has been silent for ${formatDuration(facts.agentSilentMs)}.`;
}

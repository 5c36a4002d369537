import { criticalLagFactor } from './replication-health.ts';
import type { ReplicationPolicy } from './replication-policy.ts';
import { formatDuration } from './units.ts';

/** From which lag on people are told of a machine. Milliseconds. Source: CHAT 5.3 */
export type AlertThresholds = { readonly warnMs: number; readonly criticalMs: number };

/** What holds for a machine that has no figures of its own: warning above its goal, critical above three times that. */
export function thresholdsOfPolicy(policy: Pick<ReplicationPolicy, 'rpoThresholdMs'>): AlertThresholds {
  return { warnMs: policy.rpoThresholdMs, criticalMs: criticalLagFactor * policy.rpoThresholdMs };
}

export type ThresholdFacts = {
  readonly machineName: string;
  readonly now: AlertThresholds;
  /** How often a recovery point is taken. */
  readonly pointEveryMs: number;
};

export type ThresholdDecision =
  | { readonly kind: 'refused'; readonly message: string }
  /** Stricter: another person need not agree. */
  | { readonly kind: 'immediate'; readonly text: string }
  | { readonly kind: 'needs-approval'; readonly text: string; readonly impact: readonly string[] };

/** Whether thresholds may be set, and whether that makes the watch weaker: then another admin must agree. Source: CHAT 5.2 */
export function decideThresholds(facts: ThresholdFacts, wanted: AlertThresholds): ThresholdDecision {
  const { machineName, now, pointEveryMs } = facts;
  if (wanted.criticalMs <= wanted.warnMs) {
    return { kind: 'refused', message: 'The critical threshold must be above the warning.' };
  }
  if (wanted.warnMs < pointEveryMs) {
    const every = formatDuration(pointEveryMs);
    return {
      kind: 'refused',
      message: `${machineName} takes a point every ${every}; a warning below that would never end.`,
    };
  }
  if (wanted.warnMs === now.warnMs && wanted.criticalMs === now.criticalMs) {
    return { kind: 'refused', message: `The thresholds of ${machineName} are that already: ${thresholdWords(now)}.` };
  }
  const text = `Thresholds of ${machineName}: ${thresholdWords(wanted)} (before: ${thresholdWords(now)}).`;
  if (wanted.warnMs <= now.warnMs && wanted.criticalMs <= now.criticalMs) return { kind: 'immediate', text };
  const later = (what: string, from: number, to: number) =>
    to > from
      ? [
          `${what} comes ${formatDuration(to - from)} later: at ${formatDuration(to)} instead of ${formatDuration(from)}.`,
        ]
      : [];
  return {
    kind: 'needs-approval',
    text,
    impact: [
      ...later('The warning', now.warnMs, wanted.warnMs),
      ...later('The critical alert', now.criticalMs, wanted.criticalMs),
      `${machineName} is watched less closely; replication itself does not change.`,
    ],
  };
}

function thresholdWords({ warnMs, criticalMs }: AlertThresholds): string {
  return `warning at ${formatDuration(warnMs)}, critical at ${formatDuration(criticalMs)}`;
}

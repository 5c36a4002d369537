import { dayMs, minuteMs, secondMs } from './units.ts';

/**
 * How a machine is replicated. Source: B9, CHAT 5.3.
 *
 * `crashConsistentEveryMs` from 1 s up; `rpoThresholdMs` is the lag above which people are told;
 * points older than `retentionMs` expire, but the newest one never does; a drill that nobody cleans up
 * ends by itself after `drillLimitMs`.
 */
export type ReplicationPolicy = {
  readonly name: string;
  readonly crashConsistentEveryMs: number;
  readonly rpoThresholdMs: number;
  readonly retentionMs: number;
  readonly drillLimitMs: number;
};

export const crashConsistentEveryMsMin = secondMs;

/** The policy that every installation starts with. */
export const defaultPolicy: ReplicationPolicy = {
  name: 'default',
  crashConsistentEveryMs: 15 * secondMs,
  rpoThresholdMs: minuteMs,
  retentionMs: dayMs,
  drillLimitMs: 4 * 60 * minuteMs,
};

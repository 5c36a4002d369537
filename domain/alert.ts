import { assertNever } from './invariant.ts';
import { minuteMs, secondMs } from './units.ts';

/** How often people were told of a credential that ends: see `Condition.step`. From the second time on they are told daily. */
export const expiryStep = { first: 0, again: 1 } as const;

/** What people are told of without asking. Source: CHAT 5.3 */
export const alertRules = [
  'lag',
  'agent-silent',
  'process-server-behind',
  'process-server-silent',
  'resync-required',
  'vault-unreachable',
  'disk-filling',
  'credential-expiring',
  'drill-left-open',
  'undeliverable-message',
  'two-copies',
  'review-due',
  'audit-tampered',
  'flapping',
] as const;
export type AlertRule = (typeof alertRules)[number];
export type AlertSeverity = 'warning' | 'critical';

export type AlertWords = {
  readonly title: string;
  readonly text: string;
  readonly nextStep: string;
};
export type AlertMember = { readonly scope: string; readonly text: string };

/** What one rule found about one scope at one look. */
export type Condition = AlertWords & {
  readonly rule: AlertRule;
  /** A machine's name, a host, a process server, a folder, a place, or the installation. */
  readonly scope: string;
  /** `neutral`: no longer bad, and not good enough to say that it is over. */
  readonly level: 'clear' | 'neutral' | AlertSeverity;
  readonly machineNames: readonly string[];
  /** What it has in common with others, nearest cause first. */
  readonly host?: string | undefined;
  readonly processServer?: string | undefined;
  /** Why nobody is told of it now: its machine is paused, or is being failed over. */
  readonly mutedWhy?: string | undefined;
  /** So long after the end of a mute it may still be bad. */
  readonly graceMs?: number;
  /** How often people should have been told of it by now, though its severity is the same: 0 for the first time only. */
  readonly step?: number;
};

/** What one look remembers of a rule and scope for the next one. Times are epoch milliseconds. */
export type Watch = {
  readonly rule: AlertRule;
  readonly scope: string;
  /** Since when every look found it bad; null when the last one did not. */
  readonly badSinceMs: number | null;
  /** Since when every look found it clear, or less severe than it is taken for; null when the last one did not. */
  readonly clearSinceMs: number | null;
  readonly lowerSinceMs: number | null;
  /** What it is taken for: null, or how bad. One look alone seldom changes it. */
  readonly taken: AlertSeverity | null;
  readonly takenAtMs: number;
  /** When it became bad or good again, lately. */
  readonly transitionsMs: readonly number[];
  readonly isFlapping: boolean;
  readonly mutedWhy: string | null;
  readonly quietUntilMs: number;
};

/** What is measured must have been good for so long, that is three evaluations 30 s apart, before it is over. Source: CHAT 5.3 */
export const measuredClearMs = 60 * secondMs;
/** Two looks; a little less than the time between them, which is not exact. */
const twoLooksMs = 8 * secondMs;

/** How long a rule must have found something bad, and how long clear, before people are told. Source: CHAT 5.3 */
const patience: Record<AlertRule, { readonly holdMs: number; readonly clearMs: number }> = {
  lag: { holdMs: 30 * secondMs, clearMs: measuredClearMs },
  'agent-silent': { holdMs: 10 * secondMs, clearMs: twoLooksMs },
  'process-server-behind': { holdMs: 60 * secondMs, clearMs: measuredClearMs },
  'process-server-silent': { holdMs: 20 * secondMs, clearMs: twoLooksMs },
  'resync-required': { holdMs: 10 * secondMs, clearMs: 0 },
  'vault-unreachable': { holdMs: 20 * secondMs, clearMs: twoLooksMs },
  'disk-filling': { holdMs: 0, clearMs: measuredClearMs },
  'credential-expiring': { holdMs: 0, clearMs: 0 },
  'drill-left-open': { holdMs: 0, clearMs: 0 },
  'undeliverable-message': { holdMs: 0, clearMs: twoLooksMs },
  'two-copies': { holdMs: 0, clearMs: 0 },
  'review-due': { holdMs: 0, clearMs: 0 },
  'audit-tampered': { holdMs: 0, clearMs: 0 },
  flapping: { holdMs: 0, clearMs: 0 },
};
export const flappingTransitionsMax = 4;
export const flappingWithinMs = 30 * minuteMs;
/** So long without a change, and it no longer flaps. */
export const calmAfterMs = 15 * minuteMs;

export function newWatch(condition: Pick<Condition, 'rule' | 'scope'>): Watch {
  return {
    rule: condition.rule,
    scope: condition.scope,
    badSinceMs: null,
    clearSinceMs: null,
    lowerSinceMs: null,
    taken: null,
    takenAtMs: 0,
    transitionsMs: [],
    isFlapping: false,
    mutedWhy: null,
    quietUntilMs: 0,
  };
}

/**
 * What is remembered after one more look: bad only when it stayed bad, good only when it stayed good. While it is muted it can become
 * good, never bad.
 *
 * ```
 * good ──bad for holdMs──▶ bad ──clear for clearMs──▶ good      (more than 4 such changes in 30 min: flapping)
 * ```
 */
export function look(before: Watch, condition: Condition, nowMs: number): Watch {
  const noted = noteMute(before, condition, nowMs);
  const watch = { ...noted, transitionsMs: noted.transitionsMs.filter((atMs) => atMs > nowMs - flappingWithinMs) };
  const isCalm = watch.transitionsMs.every((atMs) => atMs <= nowMs - calmAfterMs);
  const settled = watch.isFlapping && isCalm ? { ...watch, isFlapping: false } : watch;
  switch (condition.level) {
    case 'clear':
      return lookClear(settled, nowMs);
    case 'neutral':
      return { ...settled, badSinceMs: null, clearSinceMs: null, lowerSinceMs: settled.lowerSinceMs ?? nowMs };
    case 'warning':
    case 'critical':
      return lookBad(settled, condition.level, nowMs);
    default:
      return assertNever(condition.level);
  }
}

/** As long as it is muted nobody knows until when. A number that JSON can hold. */
const untilUnmuted = Number.MAX_SAFE_INTEGER;

/** As it is remembered while something else is told instead of it. */
export function muted(watch: Watch, why: string): Watch {
  return { ...watch, mutedWhy: why, quietUntilMs: untilUnmuted };
}

function noteMute(watch: Watch, condition: Condition, nowMs: number): Watch {
  if (condition.mutedWhy !== undefined) return muted(watch, condition.mutedWhy);
  if (watch.quietUntilMs === untilUnmuted) return { ...watch, quietUntilMs: nowMs + (condition.graceMs ?? 0) };
  return nowMs < watch.quietUntilMs ? watch : { ...watch, mutedWhy: null, quietUntilMs: 0 };
}

function lookClear(watch: Watch, nowMs: number): Watch {
  if (watch.taken === null) return { ...watch, badSinceMs: null, clearSinceMs: null, lowerSinceMs: null };
  const clearSinceMs = watch.clearSinceMs ?? nowMs;
  const seen = { ...watch, badSinceMs: null, clearSinceMs, lowerSinceMs: watch.lowerSinceMs ?? nowMs };
  if (nowMs - clearSinceMs < patience[watch.rule].clearMs) return seen;
  return { ...seen, taken: null, takenAtMs: nowMs, clearSinceMs: null, ...withTransition(watch, nowMs) };
}

function lookBad(watch: Watch, level: AlertSeverity, nowMs: number): Watch {
  const badSinceMs = watch.badSinceMs ?? nowMs;
  const seen = { ...watch, badSinceMs, clearSinceMs: null };
  if (watch.taken !== null) return lookWorse({ ...seen, taken: watch.taken }, level, nowMs);
  if (watch.mutedWhy !== null) return { ...seen, badSinceMs: null };
  if (nowMs - badSinceMs < patience[watch.rule].holdMs) return seen;
  return { ...seen, taken: level, takenAtMs: nowMs, lowerSinceMs: null, ...withTransition(watch, nowMs) };
}

/** Worse at once; better only when it has been less severe for as long as it must be clear: a rise rings. */
function lookWorse(watch: Watch & { readonly taken: AlertSeverity }, level: AlertSeverity, nowMs: number): Watch {
  if (level === watch.taken || level === 'critical') return { ...watch, taken: level, lowerSinceMs: null };
  const lowerSinceMs = watch.lowerSinceMs ?? nowMs;
  if (nowMs - lowerSinceMs < measuredClearMs) return { ...watch, lowerSinceMs };
  return { ...watch, taken: level, lowerSinceMs: null };
}

function withTransition(watch: Watch, nowMs: number): Pick<Watch, 'transitionsMs' | 'isFlapping'> {
  const transitionsMs = [...watch.transitionsMs, nowMs];
  return { transitionsMs, isFlapping: watch.isFlapping || transitionsMs.length > flappingTransitionsMax };
}

/** True when nothing of it needs to be remembered. */
export function isForgettable(watch: Watch): boolean {
  const { taken, badSinceMs, transitionsMs, mutedWhy, isFlapping } = watch;
  return taken === null && badSinceMs === null && transitionsMs.length === 0 && mutedWhy === null && !isFlapping;
}

/**
 * After a time in which nobody looked (the engine or its database was away) what was about to become bad starts anew: silence of
 * others in that time says nothing.
 */
export function afterGap(watch: Watch): Watch {
  return { ...watch, badSinceMs: null, clearSinceMs: null, lowerSinceMs: null };
}

/** An alert that is not over, as it is stored. */
export type OpenAlert = AlertWords & {
  readonly id: string;
  readonly rule: AlertRule;
  readonly scope: string;
  readonly severity: AlertSeverity;
  readonly state: 'open' | 'acknowledged' | 'snoozed' | 'muted';
  /** Who muted it: nobody, a person until it is healthy, a pause or failover of its machine, or an alert that stands for it. */
  readonly muteKind: 'person' | 'maintenance' | 'grouped' | null;
  /** The common cause by which it groups others, when it does. */
  readonly groupScope: string | null;
  readonly machineNames: readonly string[];
  readonly members: readonly AlertMember[];
  readonly openedAtMs: number;
  /** When its words were changed last. */
  readonly wordsAtMs: number;
  /** See `Condition`. */
  readonly step: number;
};

/** What is to be changed, in this order. */
export type AlertChange =
  | { readonly kind: 'open'; readonly alert: Desired }
  /** `remind`: it is as severe as before, and people are told of it once more. */
  | { readonly kind: 'raise' | 'lower' | 'update' | 'remind'; readonly id: string; readonly alert: Desired }
  /** More machines have joined a group; it rings when they came together and late. */
  | {
      readonly kind: 'grow';
      readonly id: string;
      readonly alert: Desired;
      readonly joined: readonly AlertMember[];
      readonly isNotifying: boolean;
    }
  | { readonly kind: 'recover'; readonly id: string; readonly alert: OpenAlert }
  | { readonly kind: 'mute'; readonly id: string; readonly by: 'maintenance' | 'grouped'; readonly why: string }
  | { readonly kind: 'unmute'; readonly id: string };

/** An alert as it should be now. */
export type Desired = AlertWords & {
  readonly rule: AlertRule;
  readonly scope: string;
  readonly severity: AlertSeverity;
  readonly machineNames: readonly string[];
  readonly members: readonly AlertMember[];
  readonly host: string | null;
  readonly groupScope: string | null;
  readonly mutedWhy: string | null;
  readonly step: number;
};

export function keyOf(of: { readonly rule: AlertRule; readonly scope: string }): string {
  return `${of.rule} ${of.scope}`;
}

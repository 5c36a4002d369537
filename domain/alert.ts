import { assertNever } from './invariant.ts';
import { minuteMs, secondMs } from './units.ts';

/** What people are told of without asking. Source: CHAT 5.3 */
export type AlertRule =
  | 'lag'
  | 'agent-silent'
  | 'process-server-behind'
  | 'process-server-silent'
  | 'resync-required'
  | 'vault-unreachable'
  | 'disk-filling'
  | 'credential-expiring'
  | 'drill-left-open'
  | 'undeliverable-message'
  | 'two-copies'
  | 'review-due'
  | 'flapping';
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
};

/** What one look remembers of a rule and scope for the next one. Times are epoch milliseconds. */
export type Watch = {
  readonly rule: AlertRule;
  readonly scope: string;
  /** Since when every look found it bad; null when the last one did not. */
  readonly badSinceMs: number | null;
  /** Looks in a row that found it clear, or less severe than it is taken for. */
  readonly clearCount: number;
  readonly lowerCount: number;
  /** What it is taken for: null, or how bad. One look alone seldom changes it. */
  readonly taken: AlertSeverity | null;
  readonly takenAtMs: number;
  /** When it became bad or good again, lately. */
  readonly transitionsMs: readonly number[];
  readonly isFlapping: boolean;
  readonly mutedWhy: string | null;
  readonly quietUntilMs: number;
};

/** How long a rule must have found something bad, and how often clear, before people are told. Source: CHAT 5.3 */
const patience: Record<AlertRule, { readonly holdMs: number; readonly clearLooks: number }> = {
  lag: { holdMs: 30 * secondMs, clearLooks: 3 },
  'agent-silent': { holdMs: 10 * secondMs, clearLooks: 2 },
  'process-server-behind': { holdMs: 60 * secondMs, clearLooks: 3 },
  'process-server-silent': { holdMs: 20 * secondMs, clearLooks: 2 },
  'resync-required': { holdMs: 10 * secondMs, clearLooks: 1 },
  'vault-unreachable': { holdMs: 20 * secondMs, clearLooks: 2 },
  'disk-filling': { holdMs: 0, clearLooks: 3 },
  'credential-expiring': { holdMs: 0, clearLooks: 1 },
  'drill-left-open': { holdMs: 0, clearLooks: 1 },
  'undeliverable-message': { holdMs: 0, clearLooks: 2 },
  'two-copies': { holdMs: 0, clearLooks: 1 },
  'review-due': { holdMs: 0, clearLooks: 1 },
  flapping: { holdMs: 0, clearLooks: 1 },
};
const lowerLooks = 3;
export const flappingTransitionsMax = 4;
export const flappingWithinMs = 30 * minuteMs;
/** So long without a change, and it no longer flaps. */
export const calmAfterMs = 15 * minuteMs;

export function newWatch(condition: Pick<Condition, 'rule' | 'scope'>): Watch {
  return {
    rule: condition.rule,
    scope: condition.scope,
    badSinceMs: null,
    clearCount: 0,
    lowerCount: 0,
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
 * good ──bad for holdMs──▶ bad ──clear at clearLooks looks in a row──▶ good      (more than 4 such changes in 30 min: flapping)
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
      return { ...settled, badSinceMs: null, clearCount: 0, lowerCount: settled.lowerCount + 1 };
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
  const clearCount = watch.clearCount + 1;
  const seen = { ...watch, badSinceMs: null, clearCount, lowerCount: watch.lowerCount + 1 };
  if (watch.taken === null || clearCount < patience[watch.rule].clearLooks) return seen;
  return { ...seen, taken: null, takenAtMs: nowMs, ...withTransition(watch, nowMs) };
}

function lookBad(watch: Watch, level: AlertSeverity, nowMs: number): Watch {
  const badSinceMs = watch.badSinceMs ?? nowMs;
  const seen = { ...watch, badSinceMs, clearCount: 0 };
  if (watch.taken !== null) return lookWorse(seen, watch.taken, level);
  if (watch.mutedWhy !== null) return { ...seen, badSinceMs: null };
  if (nowMs - badSinceMs < patience[watch.rule].holdMs) return seen;
  return { ...seen, taken: level, takenAtMs: nowMs, lowerCount: 0, ...withTransition(watch, nowMs) };
}

function lookWorse(watch: Watch, taken: AlertSeverity, level: AlertSeverity): Watch {
  if (level === taken) return { ...watch, lowerCount: 0 };
  if (level === 'critical') return { ...watch, taken: level, lowerCount: 0 };
  const lowerCount = watch.lowerCount + 1;
  return lowerCount < lowerLooks ? { ...watch, lowerCount } : { ...watch, taken: level, lowerCount: 0 };
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
  return { ...watch, badSinceMs: null, clearCount: 0, lowerCount: 0 };
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
};

/** What is to be changed, in this order. */
export type AlertChange =
  | { readonly kind: 'open'; readonly alert: Desired }
  | { readonly kind: 'raise' | 'lower' | 'update'; readonly id: string; readonly alert: Desired }
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
};

export function keyOf(of: { readonly rule: AlertRule; readonly scope: string }): string {
  return `${of.rule} ${of.scope}`;
}

import { type AlertRule, type AlertSeverity, expiryStep, type OpenAlert } from './alert.ts';
import { assertNever } from './invariant.ts';
import { dayMs, formatDuration, minuteMs } from './units.ts';

/** What decides whether an alert asks for attention again. Times are epoch milliseconds. */
export type AttentionFacts = {
  readonly rule: AlertRule;
  readonly severity: AlertSeverity;
  readonly state: OpenAlert['state'];
  readonly step: number;
  readonly escalationLevel: number;
  /** When escalation began: at its opening, a rise, or when an acknowledgement or snooze ended. */
  readonly escalatesFromMs: number;
  /** When its owner said last that somebody is at work on it; null when nobody is. */
  readonly confirmedAtMs: number | null;
  readonly reminderCount: number;
  readonly snoozedUntilMs: number | null;
  /** When people were reminded of it last, or when it was opened. */
  readonly remindedAtMs: number;
};

export type AttentionDue =
  | { readonly kind: 'none' | 'remind-owner' | 'reopen' | 'wake' | 'remind-daily' }
  | { readonly kind: 'escalate'; readonly level: 1 | 2 | 3 };

/** 1: the first person on call; 2: everybody else on call; 3: the pager. Source: CHAT 5.3 */
export const escalateAfterMs = { 1: 5 * minuteMs, 2: 15 * minuteMs, 3: 30 * minuteMs } as const;
/** Where no chat platform takes messages nobody has seen it: whoever can still be told is told so soon. Source: CHAT 5.2 (7) */
export const escalateUnseenAfterMs = minuteMs;
export const remindOwnerEveryMs = 30 * minuteMs;
const remindersMax = 2;
const dailyRules: readonly AlertRule[] = ['drill-left-open', 'review-due'];

/** The moment in which it is decided. */
export type AttentionLook = {
  readonly nowMs: number;
  /** No chat platform takes messages. */
  readonly isChatDown: boolean;
};

/** What is due for an alert now: at most one thing a look. Acknowledged, snoozed and muted alerts do not escalate. Source: CHAT 5.3 */
export function attentionDue(alert: AttentionFacts, look: AttentionLook): AttentionDue {
  const { nowMs } = look;
  switch (alert.state) {
    case 'open':
      return openDue(alert, look);
    case 'acknowledged':
      return acknowledgedDue(alert, nowMs);
    case 'snoozed':
      return { kind: alert.snoozedUntilMs !== null && nowMs >= alert.snoozedUntilMs ? 'wake' : 'none' };
    case 'muted':
      return { kind: 'none' };
    default:
      return assertNever(alert.state);
  }
}

function openDue(alert: AttentionFacts, { nowMs, isChatDown }: AttentionLook): AttentionDue {
  const next = alert.escalationLevel + 1;
  const afterMs = isChatDown ? { ...escalateAfterMs, 1: escalateUnseenAfterMs } : escalateAfterMs;
  const isDue = (level: 1 | 2 | 3) => nowMs - alert.escalatesFromMs >= afterMs[level];
  if (alert.severity === 'critical') {
    for (const level of [1, 2, 3] as const) if (level === next && isDue(level)) return { kind: 'escalate', level };
  }
  return { kind: isDaily(alert) && nowMs - alert.remindedAtMs >= dayMs ? 'remind-daily' : 'none' };
}

function isDaily({ rule, step }: AttentionFacts): boolean {
  return dailyRules.includes(rule) || (rule === 'credential-expiring' && step >= expiryStep.again);
}

function acknowledgedDue(alert: AttentionFacts, nowMs: number): AttentionDue {
  const silentMs = nowMs - (alert.confirmedAtMs ?? nowMs);
  if (silentMs < remindOwnerEveryMs * (alert.reminderCount + 1)) return { kind: 'none' };
  return { kind: alert.reminderCount < remindersMax ? 'remind-owner' : 'reopen' };
}

// ── what a person may do with an alert ─────────────────────────────────────────────────────────────────────

export type AlertOrder =
  | { readonly kind: 'ack' | 'unack' | 'unsnooze' | 'escalate' }
  | { readonly kind: 'snooze'; readonly forMs: number }
  | { readonly kind: 'mute'; readonly reason: string };

/** The state that an order makes; what it does not name belongs to another state and is empty then. */
export type OrderOutcome =
  | { readonly kind: 'refused'; readonly message: string; readonly nextStep?: string }
  | { readonly kind: 'acknowledged'; readonly isConfirmation: boolean }
  | { readonly kind: 'open'; readonly escalationLevel: 0 | 1 | 2 | 3 }
  | { readonly kind: 'snoozed'; readonly forMs: number }
  | { readonly kind: 'muted'; readonly reason: string };

export const snoozeMsMax = 7 * dayMs;

export type OrderFacts = {
  readonly id: string;
  readonly state: OpenAlert['state'] | 'recovered';
  readonly muteKind: OpenAlert['muteKind'];
  readonly muteWhy: string | null;
  readonly owner: string | null;
  readonly escalationLevel: number;
};

/** Whether a person may do this with the alert now; a refusal says why, and what does it. Source: CHAT 5.3 */
export function decideOrder(alert: OrderFacts, order: AlertOrder): OrderOutcome {
  if (alert.state === 'recovered') return refused(`Alert ${alert.id} is over; there is nothing to do about it.`);
  if (alert.state === 'muted' && alert.muteKind !== 'person') {
    return refused(`Alert ${alert.id} is muted by itself: ${alert.muteWhy ?? ''}`);
  }
  switch (order.kind) {
    case 'ack':
      return { kind: 'acknowledged', isConfirmation: alert.state === 'acknowledged' };
    case 'unack':
      if (alert.state === 'acknowledged' || alert.state === 'muted') return { kind: 'open', escalationLevel: 0 };
      return refused(`Alert ${alert.id} is not acknowledged.`, `\`ack ${alert.id}\` does it.`);
    case 'snooze':
      if (order.forMs <= snoozeMsMax) return { kind: 'snoozed', forMs: order.forMs };
      return refused(`An alert can be snoozed for ${formatDuration(snoozeMsMax)} at most.`);
    case 'unsnooze':
      if (alert.state === 'snoozed') return { kind: 'open', escalationLevel: 0 };
      return refused(`Alert ${alert.id} is not snoozed.`, `\`snooze ${alert.id} 1h\` does it.`);
    case 'escalate':
      return escalate(alert);
    case 'mute':
      if (order.reason.trim() !== '') return { kind: 'muted', reason: order.reason };
      return refused('Muting an alert until it is healthy needs a reason.', `\`mute ${alert.id} --reason …\``);
    default:
      return assertNever(order);
  }
}

function escalate(alert: OrderFacts): OrderOutcome {
  const next = ([1, 2, 3] as const).find((level) => level === alert.escalationLevel + 1);
  if (next !== undefined) return { kind: 'open', escalationLevel: next };
  return refused(
    `Alert ${alert.id} is at the highest level already: everybody on call who can be reached was told, and the pager.`,
  );
}

function refused(message: string, nextStep?: string): OrderOutcome {
  return { kind: 'refused', message, ...(nextStep === undefined ? {} : { nextStep }) };
}

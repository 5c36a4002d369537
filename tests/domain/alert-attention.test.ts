import { describe, expect, test } from 'vitest';
import { type AttentionFacts, attentionDue, decideOrder, type OrderFacts } from '../../domain/alert-attention.ts';

const minute = 60_000;

const critical: AttentionFacts = {
  rule: 'lag',
  severity: 'critical',
  state: 'open',
  step: 0,
  escalationLevel: 0,
  escalatesFromMs: 0,
  confirmedAtMs: null,
  reminderCount: 0,
  snoozedUntilMs: null,
  remindedAtMs: 0,
};

describe('attention', () => {
  test.each<[string, Partial<AttentionFacts>, number, string]>([
    ['a critical alert waits five minutes', {}, 4.9, 'none'],
    ['then the first on call is told', {}, 5, 'escalate 1'],
    ['not twice', { escalationLevel: 1 }, 14.9, 'none'],
    ['then the second', { escalationLevel: 1 }, 15, 'escalate 2'],
    ['then the pager', { escalationLevel: 2 }, 30, 'escalate 3'],
    ['and nobody more', { escalationLevel: 3 }, 600, 'none'],
    ['a late look tells one after the other', {}, 60, 'escalate 1'],
    ['a warning does not escalate', { severity: 'warning' }, 600, 'none'],
    ['an acknowledged one does not', { state: 'acknowledged', confirmedAtMs: 0 }, 29, 'none'],
    ['its owner is reminded', { state: 'acknowledged', confirmedAtMs: 0 }, 30, 'remind-owner'],
    ['twice', { state: 'acknowledged', confirmedAtMs: 0, reminderCount: 1 }, 60, 'remind-owner'],
    ['then it is open again', { state: 'acknowledged', confirmedAtMs: 0, reminderCount: 2 }, 90, 'reopen'],
    ['a snooze lasts', { state: 'snoozed', snoozedUntilMs: 60 * minute }, 59, 'none'],
    ['and ends', { state: 'snoozed', snoozedUntilMs: 60 * minute }, 60, 'wake'],
    ['a muted one says nothing', { state: 'muted' }, 6000, 'none'],
    ['an open drill is told of daily', { rule: 'drill-left-open', severity: 'warning' }, 1440, 'remind-daily'],
    ['not before', { rule: 'drill-left-open', severity: 'warning' }, 1439, 'none'],
    ['a credential is not, at first', { rule: 'credential-expiring', severity: 'warning' }, 1440, 'none'],
    ['in its last week it is', { rule: 'credential-expiring', severity: 'warning', step: 1 }, 1440, 'remind-daily'],
  ])('%s', (_what, changes, minutes, due) => {
    const found = attentionDue({ ...critical, ...changes }, { nowMs: minutes * minute, isChatDown: false });
    expect(found.kind === 'escalate' ? `escalate ${found.level}` : found.kind).toBe(due);
  });

  test('where no platform takes messages, whoever can still be told is told after a minute', () => {
    const at = (nowMs: number) => attentionDue(critical, { nowMs, isChatDown: true });
    expect(at(59_999)).toEqual({ kind: 'none' });
    expect(at(minute)).toEqual({ kind: 'escalate', level: 1 });
    const acknowledged = { ...critical, state: 'acknowledged', confirmedAtMs: 0 } as const;
    expect(attentionDue(acknowledged, { nowMs: minute, isChatDown: true })).toEqual({ kind: 'none' });
  });
});

describe('orders', () => {
  const open: OrderFacts = {
    id: 'alr_1',
    state: 'open',
    muteKind: null,
    muteWhy: null,
    owner: null,
    escalationLevel: 0,
  };
  test.each<[Partial<OrderFacts>, Parameters<typeof decideOrder>[1], string]>([
    [{}, { kind: 'ack' }, 'acknowledged'],
    [{ state: 'acknowledged', owner: 'ana' }, { kind: 'ack' }, 'acknowledged'],
    [{ state: 'snoozed', owner: 'ana' }, { kind: 'ack' }, 'acknowledged'],
    [{ state: 'recovered' }, { kind: 'ack' }, 'refused'],
    [{ state: 'muted', muteKind: 'maintenance', muteWhy: 'paused' }, { kind: 'ack' }, 'refused'],
    [{ state: 'muted', muteKind: 'person', owner: 'ana' }, { kind: 'unack' }, 'open'],
    [{}, { kind: 'unack' }, 'refused'],
    [{ state: 'acknowledged', owner: 'ana' }, { kind: 'unack' }, 'open'],
    [{}, { kind: 'snooze', forMs: 7 * 86_400_000 }, 'snoozed'],
    [{}, { kind: 'snooze', forMs: 7 * 86_400_000 + 1 }, 'refused'],
    [{}, { kind: 'unsnooze' }, 'refused'],
    [{ state: 'snoozed', owner: 'ana' }, { kind: 'unsnooze' }, 'open'],
    [{ escalationLevel: 2 }, { kind: 'escalate' }, 'open'],
    [{ escalationLevel: 3 }, { kind: 'escalate' }, 'refused'],
    [{}, { kind: 'mute', reason: ' ' }, 'refused'],
    [{}, { kind: 'mute', reason: 'known bug' }, 'muted'],
  ])('%o %o: %s', (facts, order, outcome) => {
    expect(decideOrder({ ...open, ...facts }, order).kind).toBe(outcome);
  });
});

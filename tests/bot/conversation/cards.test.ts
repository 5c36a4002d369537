import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressOf, brokenLimits, type Card } from '../../../bot/card.ts';
import { parseLine } from '../../../bot/chat-command.ts';
import { alertCard, alertDetailCard, alertListCard } from '../../../bot/conversation/alert-cards.ts';
import {
  approvalCard,
  approvalDetailCard,
  approvalListCard,
  isMineToDecide,
} from '../../../bot/conversation/approval-cards.ts';
import { auditCard } from '../../../bot/conversation/audit-cards.ts';
import { noteCard, surfaceTroubles } from '../../../bot/conversation/note-cards.ts';
import { authenticatorCard, linkCard, peopleCard, signInLinkCard } from '../../../bot/conversation/people-cards.ts';
import { renderCard } from '../../../bot/terminal/render-card.ts';
import { alertRules } from '../../../domain/alert.ts';
import type { AlertId, ApprovalId, RunId } from '../../../domain/ids.ts';
import { type AlertView, type ApprovalView, approvalState } from '../../../protocol/chat-api.ts';
import { anyText } from '../any-text.ts';
import { nowMs } from '../recorded-answers.ts';

/** Long texts are long by repetition: it is their length that counts. */
const words = (lengthMax: number) =>
  fc
    .tuple(anyText(40), fc.nat(lengthMax))
    .map(([text, length]) => text.repeat(Math.ceil(length / 40)).slice(0, length));
const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,62}$/);
const timeMs = fc.integer({ min: nowMs - 90_000_000, max: nowMs + 90_000_000 });
const nullable = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null });

const approvals: fc.Arbitrary<ApprovalView> = fc.record({
  id: fc.constant('apr_7K3M9Q2WXA' as ApprovalId),
  revision: fc.integer({ min: 1, max: 99 }),
  digest: fc.constant('ab'.repeat(32)),
  operation: fc.constantFrom('planned-failover' as const, 'raise-threshold' as const),
  machineNames: fc.array(name, { minLength: 1, maxLength: 40 }),
  state: fc.constantFrom(...approvalState.options),
  requestedBy: name,
  requestedVia: fc.constantFrom('slack', 'certificate'),
  reason: words(500),
  requestedAtMs: timeMs,
  expiresAtMs: timeMs,
  neededCount: fc.integer({ min: 1, max: 2 }),
  votes: fc.array(
    fc.record({
      person: name,
      decision: fc.constantFrom('approve' as const, 'reject' as const),
      atMs: timeMs,
      via: fc.constant('slack'),
      reason: words(500),
      stepUp: fc.constantFrom('totp' as const, 'none' as const),
    }),
    { maxLength: 6 },
  ),
  eligible: fc.array(name, { maxLength: 60 }),
  impact: fc.array(words(2000), { maxLength: 12 }),
  checks: fc.array(
    fc.record({
      name: words(300),
      state: fc.constantFrom('ok' as const, 'warning' as const, 'failed' as const),
      detail: words(500),
    }),
    { maxLength: 30 },
  ),
  facts: fc.array(fc.record({ label: words(80), value: words(3000) }), { maxLength: 30 }),
  isBreakGlass: fc.boolean(),
  review: nullable(fc.record({ dueAtMs: timeMs, reviewedBy: nullable(name), note: nullable(words(500)) })),
  decidedBy: nullable(name),
  decidedAtMs: nullable(timeMs),
  decisionReason: nullable(words(500)),
  runId: nullable(fc.constant('run_7K3M9Q2WXA' as RunId)),
  measured: nullable(fc.record({ rpoMs: fc.nat(), rtoMs: fc.nat() })),
});

const alerts: fc.Arbitrary<AlertView> = fc.record({
  id: fc.constant('alr_7K3M9Q2WXA' as AlertId),
  revision: fc.integer({ min: 1, max: 99 }),
  rule: fc.constantFrom(...alertRules),
  scope: words(300),
  severity: fc.constantFrom('warning' as const, 'critical' as const),
  state: fc.constantFrom(
    'open' as const,
    'acknowledged' as const,
    'snoozed' as const,
    'muted' as const,
    'recovered' as const,
  ),
  title: words(500),
  text: words(4000),
  nextStep: words(2000),
  machineNames: fc.array(name, { maxLength: 200 }),
  members: fc.array(fc.record({ scope: words(100), text: words(600) }), { maxLength: 200 }),
  occurrences: fc.integer({ min: 1, max: 9999 }),
  openedAtMs: timeMs,
  changedAtMs: timeMs,
  recoveredAtMs: nullable(timeMs),
  owner: nullable(name),
  snoozedUntilMs: nullable(timeMs),
  escalationLevel: fc.integer({ min: 0, max: 3 }),
});

function check(card: Card): void {
  expect(brokenLimits(card)).toEqual([]);
  for (const { line } of card.buttons ?? []) expect(parseLine(line).kind, line).toBe('command');
  if (card.copyLine !== undefined) expect(parseLine(card.copyLine).kind, card.copyLine).toBe('command');
  expect(() => renderCard(card, { widthColumns: 60, isColored: false, commandPrefix: '' })).not.toThrow();
}

describe('cards', () => {
  it('of approvals stay inside the limits, whatever people wrote, and only open ones can be decided', () => {
    fc.assert(
      fc.property(approvals, (approval) => {
        const card = approvalCard(approval, nowMs);
        for (const one of [card, approvalDetailCard(approval, nowMs)]) check(one);
        const own = approvalCard(approval, nowMs, approval.requestedBy);
        check(own);
        const ownLabels = (own.buttons ?? []).map((button) => button.label);
        expect(ownLabels.includes('Withdraw')).toBe(approval.state === 'pending');
        expect(ownLabels).not.toContain('Approve');
        expect(own.text?.join(' ')).not.toContain('may not decide');
        const labels = (card.buttons ?? []).map((button) => button.label);
        expect(labels.includes('Approve')).toBe(approval.state === 'pending');
        const isEnded = !['pending', 'approved', 'executing'].includes(approval.state);
        if (isEnded) expect(labels).toEqual([]);
        const isRun = approval.state === 'succeeded' || approval.state === 'failed';
        const fieldLabels = card.fields?.map(({ label }) => label);
        if (isEnded && approval.decidedAtMs !== null) expect(fieldLabels).toContain(isRun ? 'Decided' : 'Ended');
      }),
      { numRuns: 60 },
    );
  });

  it('of alerts stay inside the limits, with three buttons at most, and none when it is over', () => {
    fc.assert(
      fc.property(alerts, (alert) => {
        const card = alertCard(alert, nowMs);
        for (const one of [card, alertDetailCard(alert, nowMs)]) check(one);
        expect(card.buttons?.length).toBeLessThanOrEqual(3);
        if (alert.state === 'recovered') expect(card.buttons).toEqual([]);
        expect(card.title).toMatch(alert.state === 'recovered' ? /^Recovered/ : /^(CRITICAL|Warning)/);
      }),
      { numRuns: 60 },
    );
  });

  it('of lists, notes, people and audits stay inside the limits', () => {
    const lists = fc.record({
      approvals: fc.array(approvals, { maxLength: 25 }),
      alerts: fc.array(alerts, { maxLength: 25 }),
      text: fc.array(words(3000), { maxLength: 20 }),
      title: fc.string({ minLength: 1, maxLength: 150 }),
    });
    fc.assert(
      fc.property(lists, ({ approvals: requests, alerts: open, text, title }) => {
        check(approvalListCard(requests, { title: 'request', page: 1, nowMs, person: 'ana' }));
        check(alertListCard(open, { title: 'alert', page: 1, nowMs }));
        check(noteCard({ title, tone: 'bad', text, copyLine: null }));
      }),
      { numRuns: 15 },
    );
    const person = (index: number) => ({
      name: `person-${index}`,
      grants: Array.from({ length: 20 }, () => ({
        role: 'operator' as const,
        scope: { kind: 'machine' as const, name: 'm'.repeat(63) },
      })),
      links: [{ surface: 'slack' as const, tenant: 'T', user: 'U', linkedAtMs: nowMs }],
      hasAuthenticator: true,
      isOnCall: true,
      onCallPosition: index,
      disabledAtMs: null,
    });
    check(peopleCard(Array.from({ length: 200 }, (_, index) => person(index))));
    const entry = { atMs: nowMs, who: 'w'.repeat(63), via: 'certificate', what: 'planned-failover', digest: 'd' };
    const entries = Array.from({ length: 500 }, (_, number) => ({
      ...entry,
      number,
      target: 't'.repeat(200),
      detail: 'd'.repeat(2000),
    }));
    check(auditCard({ entries, isChainWhole: false, headDigest: 'ab', problem: 'p'.repeat(900) }, 'vm-7', nowMs));
  });

  it('with secrets in them are for the asker only', () => {
    const code = { kind: 'code', code: '7K3M-9Q2W', expiresAtMs: nowMs + 600_000, typeWhere: 'chat' } as const;
    expect(linkCard(code, nowMs).audience).toBe('asker');
    expect(authenticatorCard({ kind: 'secret', uri: 'otpauth://x', secret: 'S' }).audience).toBe('asker');
    const link = { url: 'https://lifeboat.example/sign-in#7K3M', code: '7K3M', expiresAtMs: nowMs + 300_000 };
    for (const url of [link.url, null]) {
      const card = signInLinkCard({ ...link, url }, nowMs);
      expect(card.audience).toBe('asker');
      // Titles and first lines stand in notifications, and in lists of what was said.
      expect(JSON.stringify([card.title, card.text, card.footer])).not.toContain('7K3M');
    }
  });

  it('a link is drawn for a page of the web and for nothing else, in one piece however narrow the terminal is', () => {
    const card = (url: string): Card => ({
      title: 'x',
      tone: 'neutral',
      audience: 'asker',
      link: { label: 'Open', url },
    });
    const draw = (url: string) => renderCard(card(url), { widthColumns: 20, isColored: false, commandPrefix: '' });
    const url = 'https://lifeboat.example:7443/sign-in#7K3M-9Q2W-XA4T';
    expect(draw(url).split('\n')).toContain(`  ${url}`);
    for (const wrong of [
      'javascript:alert(1)',
      'http://lifeboat.example',
      'https://a b',
      'https://a\u202e',
      ' https://a',
    ]) {
      expect(addressOf(card(wrong))).toBeUndefined();
      expect(draw(wrong).split('\n')).toHaveLength(1);
    }
  });

  it('a request is mine to decide until I have voted, and never when it is my own', () => {
    const [sample] = fc.sample(approvals, 1);
    const pending = { ...sample, state: 'pending', eligible: ['ben'], votes: [] } as unknown as ApprovalView;
    const vote = { person: 'ben', decision: 'approve', atMs: nowMs, via: 'slack', reason: '', stepUp: 'totp' } as const;
    expect(['ben', 'ana', undefined].map((person) => isMineToDecide(pending, person))).toEqual([true, false, false]);
    expect(isMineToDecide({ ...pending, votes: [vote] }, 'ben')).toBe(false);
    expect(isMineToDecide({ ...pending, state: 'expired' }, 'ben')).toBe(false);
  });

  it('a chat that does not answer, or of which nothing is heard, is said in the status', () => {
    const report = { surface: 'slack', tenant: 'T1', isHealthy: true, detail: '', reportedAtMs: nowMs } as const;
    expect(surfaceTroubles([report], nowMs)).toEqual([]);
    expect(surfaceTroubles([{ ...report, isHealthy: false, detail: 'HTTP 503' }], nowMs)[0]).toContain('HTTP 503');
    expect(surfaceTroubles([{ ...report, reportedAtMs: nowMs - 300_000 }], nowMs)[0]).toContain('nothing was heard');
  });
});

import { describe, expect, test } from 'vitest';
import {
  type Approval,
  approvalRule,
  decideStart,
  decideVote,
  decideWithdraw,
  endedStates,
  openForMs,
  type Vote,
  type VoteFacts,
  whyDead,
} from '../../domain/approval.ts';
import { type BreakGlassFacts, breakGlassCodeWords, decideBreakGlass, decideReview } from '../../domain/break-glass.ts';
import { changedFields } from '../../domain/changed-fields.ts';
import { hourMs, minuteMs } from '../../domain/units.ts';

const digest = 'ab12cd34'.padEnd(64, '0');
const pending: Approval = {
  id: 'apr_0000000001',
  operation: 'planned-failover',
  machineName: 'vm-7',
  state: 'pending',
  revision: 2,
  digest,
  requestedBy: 'ana',
  expiresAtMs: 1000,
  notBeforeMs: undefined,
  neededCount: 1,
  votes: [],
  decidedBy: undefined,
  decisionReason: undefined,
};
const facts = (approval: Partial<Approval> = {}, more: Partial<VoteFacts> = {}): VoteFacts => ({
  approval: { ...pending, ...approval },
  nowMs: 999,
  proposal: { kind: 'planned', digest, changes: [] },
  isRequesterActive: true,
  mayRequesterAsk: true,
  eligible: ['ana', 'ben', 'carla'],
  isVoterActive: true,
  ...more,
});
const ben: Vote = {
  person: 'ben',
  decision: 'approve',
  reason: '',
  seen: { revision: 2, digest8: 'ab12cd34' },
  stepUp: 'proven',
};
const no: Vote = { ...ben, decision: 'reject', reason: 'not today', stepUp: 'not-given' };

describe('what needs whose agreement', () => {
  test.each([
    ['planned-failover', [], { role: 'approver', neededCount: 1, openForMs: 30 * minuteMs }],
    ['planned-failover', ['web', 'tier:0'], { role: 'approver', neededCount: 2, openForMs: 30 * minuteMs }],
    ['raise-threshold', ['tier:0'], { role: 'admin', neededCount: 1, openForMs: 24 * hourMs }],
    ['change-approvers', ['tier:0'], { role: 'admin', neededCount: 1, openForMs: 24 * hourMs }],
  ] as const)('%s of a machine tagged %j', (operation, tags, rule) => {
    expect(approvalRule(operation, [{ tags }])).toEqual(rule);
  });
  test('more than ten machines need two persons', () => {
    expect(approvalRule('planned-failover', Array(11).fill({ tags: [] })).neededCount).toBe(2);
  });
  test('what is asked for a later time may begin until a quarter of an hour after it', () => {
    const rule = approvalRule('planned-failover', [{ tags: [] }]);
    expect(openForMs(rule, undefined)).toBe(30 * minuteMs);
    expect(openForMs(rule, 4 * hourMs)).toBe(4 * hourMs + 15 * minuteMs);
  });
});

describe('a vote', () => {
  test('of another person who may, in time, with a code and the right digest, approves', () => {
    expect(decideVote(facts(), ben)).toEqual({ kind: 'approved' });
  });

  const refusals: [string, VoteFacts, Vote, object][] = [
    ['own request', facts(), { ...ben, person: 'ana' }, { why: 'own-request' }],
    ['own request, rejected', facts(), { ...no, person: 'ana' }, { why: 'own-request' }],
    [
      'no approver',
      facts(),
      { ...ben, person: 'dora' },
      { why: 'not-an-approver', message: expect.stringContaining('ben, carla') },
    ],
    ['no approver may reject', facts(), { ...no, person: 'dora' }, { why: 'not-an-approver' }],
    ['disabled', facts({}, { isVoterActive: false }), ben, { why: 'disabled' }],
    ['another digest', facts(), { ...ben, seen: { revision: 2, digest8: 'ffffffff' } }, { why: 'stale' }],
    ['a revision that is to come', facts(), { ...ben, seen: { revision: 3, digest8: undefined } }, { why: 'stale' }],
    ['reject without a reason', facts(), { ...no, reason: ' ' }, { why: 'reason-missing' }],
    [
      'no code',
      facts(),
      { ...ben, stepUp: 'not-given' },
      { why: 'step-up', nextStep: expect.stringContaining('--code') },
    ],
    ['wrong code', facts(), { ...ben, stepUp: 'wrong' }, { why: 'step-up', message: expect.stringContaining('wrong') }],
    ['used code', facts(), { ...ben, stepUp: 'used' }, { why: 'step-up', message: expect.stringContaining('used') }],
    ['locked', facts(), { ...ben, stepUp: 'locked' }, { why: 'step-up', message: expect.stringContaining('locked') }],
    ['no authenticator', facts(), { ...ben, stepUp: 'no-authenticator' }, { why: 'step-up' }],
    [
      'not possible now',
      facts({}, { proposal: { kind: 'not-now', message: 'agent silent', digest, changes: [] } }),
      ben,
      { why: 'not-now', message: 'agent silent' },
    ],
  ];
  test.each(refusals)('is refused: %s', (_name, given, vote, refusal) => {
    expect(decideVote(given, vote)).toMatchObject({ kind: 'refused', ...refusal });
  });

  test.each([...endedStates, 'executing'] as const)('on an approval that is %s is told who decided it', (state) => {
    const ended = facts({ state, decidedBy: 'carla', decisionReason: 'because' });
    expect(decideVote(ended, ben)).toMatchObject({ kind: 'refused', why: 'already-decided' });
    expect(decideVote(ended, no)).toMatchObject({ kind: 'refused', why: 'already-decided' });
  });

  test('an earlier revision with the same digest counts: only votes came in between', () => {
    expect(decideVote(facts(), { ...ben, seen: { revision: 1, digest8: 'ab12cd34' } })).toEqual({ kind: 'approved' });
  });

  test.each([1000, 1001])('at %d ms, its last moment, has expired by the database’s clock', (nowMs) => {
    expect(decideVote(facts({}, { nowMs }), ben).kind).toBe('expired');
    expect(decideVote(facts({}, { nowMs }), no).kind).toBe('expired');
  });

  test('ends the approval when what would be done has changed, and says what', () => {
    const proposal = { kind: 'planned', digest: 'f'.repeat(64), changes: ['plan epoch: 1, now 2'] } as const;
    expect(decideVote(facts({}, { proposal }), ben)).toMatchObject({
      kind: 'superseded',
      message: expect.stringContaining('epoch: 1, now 2'),
    });
  });

  test('ends the approval when it cannot be done any more, or whoever asked is disabled', () => {
    expect(decideVote(facts({}, { proposal: { kind: 'over', message: 'gone' } }), ben)).toEqual({
      kind: 'superseded',
      message: 'gone',
    });
    expect(decideVote(facts({}, { isRequesterActive: false }), ben)).toMatchObject({ kind: 'superseded' });
    expect(decideVote(facts({}, { mayRequesterAsk: false }), ben)).toMatchObject({
      kind: 'superseded',
      message: expect.stringContaining('ana, who asked for it, may not ask for it any more'),
    });
  });

  test('one rejection closes it, also when it was approved and only waits for its time', () => {
    expect(decideVote(facts(), no)).toEqual({ kind: 'rejected' });
    expect(decideVote(facts({ state: 'approved' }), no)).toEqual({ kind: 'rejected' });
  });
});

describe('two of two', () => {
  const one = { neededCount: 2, votes: [{ person: 'carla', decision: 'approve' }] } as const;
  test('the first is counted, the second approves, and the first cannot count twice', () => {
    expect(decideVote(facts({ neededCount: 2 }), ben)).toEqual({ kind: 'counted', missingCount: 1 });
    expect(decideVote(facts(one), ben)).toEqual({ kind: 'approved' });
    expect(decideVote(facts(one), { ...ben, person: 'carla' })).toMatchObject({
      kind: 'refused',
      why: 'already-voted',
    });
  });
  test('whoever has lost the role does not count any more', () => {
    expect(decideVote(facts(one, { eligible: ['ben'] }), ben)).toEqual({ kind: 'counted', missingCount: 1 });
  });
  test('whoever has approved may still say no', () => {
    expect(decideVote(facts(one), { ...no, person: 'carla' })).toEqual({ kind: 'rejected' });
  });
  test('a vote that got into the rows of whoever asked counts for nothing', () => {
    const own = { neededCount: 2, votes: [{ person: 'ana', decision: 'approve' }] } as const;
    expect(decideVote(facts(own), ben)).toEqual({ kind: 'counted', missingCount: 1 });
  });
});

describe('an approved operation that waits for its time', () => {
  const waiting = { state: 'approved', notBeforeMs: 500, votes: [{ person: 'ben', decision: 'approve' }] } as const;
  test('begins at its time', () => {
    expect(decideStart(facts(waiting, { nowMs: 499 }))).toEqual({ kind: 'wait' });
    expect(decideStart(facts(waiting, { nowMs: 500 }))).toEqual({ kind: 'begin' });
  });
  test('does not begin after its last moment, with another plan, or without its approvers', () => {
    expect(decideStart(facts(waiting, { nowMs: 1000 })).kind).toBe('expired');
    expect(decideStart(facts(waiting, { proposal: { kind: 'planned', digest: 'e', changes: ['x'] } })).kind).toBe(
      'superseded',
    );
    expect(decideStart(facts(waiting, { eligible: ['carla'] })).kind).toBe('superseded');
    expect(decideStart(facts(waiting, { isRequesterActive: false })).kind).toBe('superseded');
    expect(decideStart(facts(waiting, { mayRequesterAsk: false })).kind).toBe('superseded');
  });
  test('waits while a check fails, and nothing that is only pending begins', () => {
    const proposal = { kind: 'not-now', message: 'silent', digest, changes: [] } as const;
    expect(decideStart(facts(waiting, { proposal }))).toEqual({ kind: 'wait' });
    expect(decideStart(facts({ ...waiting, state: 'pending' }))).toEqual({ kind: 'wait' });
  });
});

test('a request is dead when it can come to nothing any more, and not while it only has to wait', () => {
  const approved = { state: 'approved', votes: [{ person: 'ben', decision: 'approve' }] } as const;
  expect(whyDead(facts())).toBeUndefined();
  expect(whyDead(facts(approved))).toBeUndefined();
  const blocked = { kind: 'not-now', message: 'silent', digest: undefined, changes: [] } as const;
  expect(whyDead(facts({}, { proposal: blocked }))).toBeUndefined();
  expect(whyDead(facts({}, { eligible: [] }))).toBeUndefined();
  const changed = { kind: 'planned', digest: 'e', changes: ['epoch: 1, now 2'] } as const;
  expect(whyDead(facts({}, { proposal: changed }))).toContain('epoch: 1, now 2');
  expect(whyDead(facts({}, { isRequesterActive: false }))).toContain('disabled');
  expect(whyDead(facts(approved, { mayRequesterAsk: false }))).toContain('may not ask');
  expect(whyDead(facts(approved, { eligible: ['carla'] }))).toContain('Not everybody who approved it');
  expect(whyDead(facts({ state: 'executing' }, { proposal: changed }))).toBeUndefined();
});

test('only whoever asked withdraws, and only before it has begun', () => {
  expect(decideWithdraw(pending, 'ana')).toEqual({ kind: 'allowed' });
  expect(decideWithdraw({ ...pending, state: 'approved' }, 'ana')).toEqual({ kind: 'allowed' });
  expect(decideWithdraw(pending, 'ben').kind).toBe('refused');
  expect(decideWithdraw({ ...pending, state: 'executing' }, 'ana').kind).toBe('refused');
});

describe('break-glass', () => {
  const alone: BreakGlassFacts = {
    person: 'ana',
    onCall: { isSelfSet: false, sinceMs: 0 },
    machineName: 'vm-7',
    typedName: 'vm-7',
    reason: 'site is burning',
    waitedMs: undefined,
    hasOtherAdmin: true,
    nowMs: Date.UTC(2026, 10, 22, 9, 52, 30),
    stepUp: 'proven',
  };
  test('a person on call goes on at once with the name typed, or after five minutes without a vote', () => {
    expect(decideBreakGlass(alone)).toEqual({ kind: 'allowed' });
    expect(decideBreakGlass({ ...alone, typedName: '', waitedMs: 5 * minuteMs })).toEqual({ kind: 'allowed' });
  });
  const refused: [string, Partial<BreakGlassFacts>][] = [
    ['not on call', { onCall: undefined }],
    ['on call since just now by oneself', { onCall: { isSelfSet: true, sinceMs: 0 } }],
    ['on call by oneself for less than a day', { onCall: { isSelfSet: true, sinceMs: 24 * hourMs - 1 } }],
    ['no reason', { reason: ' ' }],
    ['another name', { typedName: 'vm-8' }],
    ['another name after five minutes', { typedName: 'vm-8', waitedMs: 6 * minuteMs }],
    ['no name', { typedName: '' }],
    ['too early', { typedName: '', waitedMs: 5 * minuteMs - 1 }],
  ];
  test.each(refused)('is refused: %s', (_name, change) => {
    expect(decideBreakGlass({ ...alone, ...change }).kind).toBe('refused');
  });
  test('needs the code, which is asked for last', () => {
    expect(decideBreakGlass({ ...alone, stepUp: 'wrong' })).toEqual({ kind: 'step-up', stepUp: 'wrong' });
    expect(decideBreakGlass({ ...alone, onCall: undefined, stepUp: 'wrong' }).kind).toBe('refused');
  });
  test('is for whom another person put on call, and after a day for who put themselves there: the refusal says so', () => {
    const onCall = { isSelfSet: true, sinceMs: 24 * hourMs };
    expect(decideBreakGlass({ ...alone, onCall }).kind).toBe('allowed');
    expect(decideBreakGlass({ ...alone, onCall: { ...onCall, sinceMs: hourMs } })).toEqual({
      kind: 'refused',
      message: expect.stringMatching(
        /You put yourself on the on-call list 1 h.* ago, .* You may go on alone from 2026-11-23 08:53Z/,
      ),
      nextStep: expect.stringContaining('`oncall set ana`'),
    });
  });

  test('names no other admin where there is none, and no approval where a code or an authenticator is missing', () => {
    const self = { ...alone, onCall: { isSelfSet: true, sinceMs: 0 }, hasOtherAdmin: false };
    expect(decideBreakGlass(self)).toMatchObject({ nextStep: expect.stringMatching(/^There is no other admin/) });
    for (const stepUp of ['not-given', 'no-authenticator'] as const) {
      expect(breakGlassCodeWords(stepUp).message).toContain('Going on without an approval needs');
    }
  });

  const done = {
    approval: { ...pending, state: 'succeeded' },
    isBreakGlass: true,
    reviewedBy: undefined,
    person: 'ben',
    isEligible: true,
  } as const;
  test('is reviewed once, by another person who may approve, when it has ended', () => {
    expect(decideReview(done)).toEqual({ kind: 'allowed' });
    const wrong = [
      { person: 'ana' },
      { isEligible: false },
      { reviewedBy: 'carla' },
      { isBreakGlass: false },
      { approval: { ...pending, state: 'executing' } as const },
    ];
    for (const change of wrong) expect(decideReview({ ...done, ...change }).kind).toBe('refused');
  });
});

test('changed fields are named in words, whatever the order of the keys', () => {
  const before = { plan: { epoch: 1, disks: [{ a: 1, b: 2 }], policyName: 'x' }, neededCount: 1 };
  expect(
    changedFields(before, { neededCount: 1, plan: { policyName: 'x', disks: [{ b: 2, a: 1 }], epoch: 1 } }),
  ).toEqual([]);
  const now = { plan: { epoch: 2, disks: [], policyName: 'x' }, neededCount: 2 };
  expect(changedFields(before, now)).toEqual(['plan epoch: 1, now 2', 'plan disks changed', 'needed count: 1, now 2']);
});

import { expect, test } from 'vitest';
import { approvalListCard } from '../../../bot/conversation/approval-cards.ts';
import type { ApprovalId } from '../../../domain/ids.ts';
import { hourMs } from '../../../domain/units.ts';
import type { ApprovalView } from '../../../protocol/chat-api.ts';
import { nowMs } from '../recorded-answers.ts';

const done: ApprovalView = {
  id: 'apr_7K3M9Q2WXA' as ApprovalId,
  revision: 3,
  digest: 'ab'.repeat(32),
  operation: 'planned-failover',
  machineNames: ['vm-7'],
  state: 'succeeded',
  requestedBy: 'ana',
  requestedVia: 'slack',
  reason: 'fire in the hall',
  requestedAtMs: nowMs - hourMs,
  expiresAtMs: nowMs,
  neededCount: 1,
  votes: [],
  eligible: [],
  impact: [],
  checks: [],
  facts: [],
  isBreakGlass: true,
  review: { dueAtMs: nowMs + hourMs, reviewedBy: null, note: null },
  decidedBy: 'ana',
  decidedAtMs: nowMs - hourMs,
  decisionReason: null,
  runId: null,
  measured: null,
};
const stateOf = (approval: ApprovalView) =>
  approvalListCard([approval], { title: 'request', page: 1, nowMs, person: 'ben' }).table?.rows[0]?.[2];
const review = (more: Partial<NonNullable<ApprovalView['review']>>): ApprovalView => ({
  ...done,
  review: { dueAtMs: nowMs + hourMs, reviewedBy: null, note: null, ...more },
});

test('a list of approvals marks a break-glass, and says until when it needs a review', () => {
  expect(stateOf(done)).toMatch(/^BREAK-GLASS · done, needs review until .*\d\d:\d\d:\d\dZ$/);
  expect(stateOf(review({ dueAtMs: nowMs - hourMs }))).toMatch(/^BREAK-GLASS · done, needs review, overdue since /);
  expect(stateOf(review({ reviewedBy: 'ben', note: 'right' }))).toBe('BREAK-GLASS · done, reviewed by ben');
  expect(stateOf({ ...done, isBreakGlass: false, review: null })).toBe('done');
});

import { html, nothing, type TemplateResult } from 'lit-html';
import type { ApprovalView } from '../../../protocol/chat-api.ts';
import { countWords } from '../../conversation/machine-cards.ts';
import { textOf } from './card-text.ts';
import { dateTime } from './report-words.ts';

/** Who asked for it and why, and what everybody said to it: rows of a list of facts. */
export function approvalFacts(approval: ApprovalView, label: 'Approval' | 'Request'): TemplateResult {
  const { id, requestedBy, requestedVia, requestedAtMs, reason, votes, isBreakGlass } = approval;
  return html`
    <div><dt>${label}</dt><dd><span class="mono">${id}</span>: ${requestedBy} asked by ${requestedVia} on ${dateTime(requestedAtMs)}: “${textOf(reason)}”</dd></div>
    ${votes.map((vote) => html`<div><dt>${vote.decision === 'approve' ? 'Approved by' : 'Rejected by'}</dt><dd>${voteWords(vote)}</dd></div>`)}
    ${isBreakGlass ? html`${breakGlassFacts(approval)}${reviewFact(approval.review)}` : nothing}
  `;
}

/**
 * What was skipped, what the engine demands before it lets anybody go on alone, and what the person saw. The code and the place on the on-call
 * list are conditions, not part of the record: with one of them missing there is no such record.
 */
function breakGlassFacts({ requestedBy, neededCount, votes, decidedAtMs, facts }: ApprovalView): TemplateResult {
  const given = votes.filter((vote) => vote.decision === 'approve').length;
  const when = decidedAtMs === null ? nothing : html` on ${dateTime(decidedAtMs)}`;
  return html`
    <div><dt>Break-glass</dt><dd>${requestedBy} went on without an approver${when}. ${countWords(neededCount, 'approval')} due, ${given} given</dd></div>
    <div><dt>Allowed because</dt><dd>the engine lets only a person on call go on alone, put there by another or for 24 h already, and only with a six-digit code. Who set the on-call list is in the audit trail, not in this record</dd></div>
    ${facts.length === 0 ? nothing : html`<div><dt>Known then</dt><dd>${facts.map(({ label, value }, index) => html`${index === 0 ? nothing : '; '}${textOf(`${label}: ${value}`)}`)}</dd></div>`}
  `;
}

function voteWords(vote: ApprovalView['votes'][number]): TemplateResult {
  const stepUp = vote.stepUp === 'totp' ? 'with a six-digit code' : 'without a second factor';
  const said = vote.reason === '' ? nothing : html`: “${textOf(vote.reason)}”`;
  return html`${vote.person}, by ${vote.via}, ${stepUp}, on ${dateTime(vote.atMs)}${said}`;
}

function reviewFact(review: ApprovalView['review']): TemplateResult | typeof nothing {
  if (review === null) return nothing;
  const { reviewedBy, reviewedAtMs, note, dueAtMs } = review;
  if (reviewedBy === null) {
    return html`<div><dt>Review</dt><dd class="tone-bad">none when this report was made; due by ${dateTime(dueAtMs)}</dd></div>`;
  }
  const when = reviewedAtMs === null || reviewedAtMs === undefined ? nothing : html` on ${dateTime(reviewedAtMs)}`;
  return html`<div><dt>Review</dt><dd>by ${reviewedBy}${when}, due by ${dateTime(dueAtMs)}: “${textOf(note ?? '')}”</dd></div>`;
}

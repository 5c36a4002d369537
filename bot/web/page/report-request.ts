import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { ApprovalView } from '../../../protocol/chat-api.ts';
import type { ReportView } from '../../../protocol/console-api.ts';
import { operationWords } from '../../conversation/approval-cards.ts';
import { countWords } from '../../conversation/machine-cards.ts';
import { textOf } from './card-text.ts';
import { icon } from './icons.ts';
import { approvalFacts } from './report-approval.ts';
import { dateTime } from './report-words.ts';

/** The failovers that were asked for and not carried out: an auditor asks for these first. */
export function reportRequests({ requests, areRequestsCut }: ReportView): TemplateResult {
  const count = requests.length === 0 ? 'nothing' : `${countWords(requests.length, 'failover')}, oldest first`;
  return html`
    <section aria-labelledby="report-requests">
      <h2 id="report-requests">Asked for and not done: ${count}</h2>
      ${areRequestsCut ? html`<p class="report-cut">There were more: only the first ${requests.length} are listed. Choose a shorter period.</p>` : nothing}
      ${repeat(requests, ({ id }) => id, reportRequest)}
    </section>
  `;
}

function reportRequest(request: ApprovalView): TemplateResult {
  const { id, state } = request;
  const tone = state === 'rejected' ? 'bad' : 'none';
  return html`
    <section class="report-run report-request" aria-labelledby="report-${id}">
      <header class="report-run-head">
        <h3 id="report-${id}">${operationWords(request)}</h3>
        <span class="chip chip-${tone}">${icon(tone)}<span>${state}</span></span>
      </header>
      <dl class="facts">${approvalFacts(request, 'Request')} ${endFact(request)}</dl>
    </section>
  `;
}

/** Who ended it and why. A rejection is told by its vote. */
function endFact({
  state,
  decidedBy,
  decidedAtMs,
  decisionReason,
  votes,
}: ApprovalView): TemplateResult | typeof nothing {
  if (votes.some((vote) => vote.decision === 'reject')) return nothing;
  const by = decidedBy === null ? '' : ` by ${decidedBy}`;
  const when = decidedAtMs === null ? '' : ` on ${dateTime(decidedAtMs)}`;
  const why = decisionReason === null ? nothing : html`: “${textOf(decisionReason)}”`;
  return html`<div><dt>Ended</dt><dd>${state}${by}${when}${why}</dd></div>`;
}

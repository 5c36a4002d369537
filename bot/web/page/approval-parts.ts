import { html, nothing, type TemplateResult } from 'lit-html';
import type { ApprovalView, CheckView } from '../../../protocol/chat-api.ts';
import { shorten } from '../../card.ts';
import { checkTable } from '../../conversation/approval-cards.ts';
import { absoluteTime, age, instant, relativeTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { textOf } from './card-text.ts';

/** Of a reason, before it is opened: three lines on a phone. */
const reasonLengthMax = 96;
const badCountMax = 2;
const badLengthMax = 64;

/** Before anything else: what failed in words, the warnings by name. All of them stand whole with the checks below. */
export function badChecksView(checks: readonly CheckView[]): TemplateResult | typeof nothing {
  const failed = checks.filter(({ state }) => state === 'failed');
  const warnings = checks.filter(({ state }) => state === 'warning');
  if (failed.length + warnings.length === 0) return nothing;
  const more = failed.length - badCountMax;
  return html`<ul class="approval-bad">
    ${failed
      .slice(0, badCountMax)
      .map(
        ({ name, detail }) =>
          html`<li class="tone-bad"><span aria-hidden="true">✗</span> Failed: ${textOf(name)}: ${textOf(shorten(detail, badLengthMax))}</li>`,
      )}
    ${more > 0 ? html`<li class="tone-bad">and ${more} more that failed</li>` : nothing}
    ${
      warnings.length === 0
        ? nothing
        : html`<li class="tone-warning"><span aria-hidden="true">▲</span> ${warnings.length === 1 ? 'Warning' : 'Warnings'}: ${textOf(warnings.map(({ name }) => name).join(', '))}</li>`
    }
  </ul>`;
}

/** Who asks, and why; a long reason is opened with a touch. */
export function whyView(
  { state, requestedBy, requestedVia, requestedAtMs, reason }: ApprovalView,
  nowMs: number,
): TemplateResult {
  return html`<section class="approval-part approval-why">
    <h2>Who asks, and why</h2>
    <p><strong>${safeText(requestedBy)}</strong> ${state === 'pending' ? 'asks' : 'asked'} (${safeText(requestedVia)}), ${relativeTime(requestedAtMs, nowMs)}:</p>
    <blockquote>${
      reason.length <= reasonLengthMax
        ? textOf(reason)
        : html`<details>
            <summary><span class="when-closed">${textOf(shorten(reason, reasonLengthMax))} <span class="more">more</span></span><span class="when-open more">less</span></summary>
            ${textOf(reason)}
          </details>`
    }</blockquote>
  </section>`;
}

/** What stops, for how long, what is lost; as it was foreseen, so once all is over it says so. */
export function impactView({ impact, state }: ApprovalView): TemplateResult | typeof nothing {
  if (impact.length === 0) return nothing;
  return html`<section class="approval-part approval-impact">
    <h2>${isOver(state) ? 'What was asked for' : 'What happens'}</h2>
    <ul>${impact.map((sentence) => html`<li>${textOf(sentence)}</li>`)}</ul>
  </section>`;
}

/** The bad ones stand open; the good ones are one line that opens. */
export function checksView(checks: readonly CheckView[]): TemplateResult | typeof nothing {
  if (checks.length === 0) return nothing;
  const bad = checks.filter(({ state }) => state !== 'ok');
  const good = checks.filter(({ state }) => state === 'ok');
  return html`<section class="approval-part">
    <h2>Checks</h2>
    ${bad.length === 0 ? nothing : checkList(bad)}
    ${
      good.length === 0
        ? nothing
        : html`<details ?open=${bad.length === 0 && good.length <= 3}><summary>${good.length} of ${checks.length} checks are well</summary>${checkList(good)}</details>`
    }
  </section>`;
}

const signWords: Readonly<Record<string, string>> = { '✗': 'failed', '▲': 'warning', '✓': 'well' };

function checkList(checks: readonly CheckView[]): TemplateResult {
  return html`<ul class="checks">
    ${checkTable(checks).rows.map(
      ([sign = '', name = '', detail = '']) => html`<li class="check-${signWords[sign] ?? 'well'}">
        <span aria-hidden="true">${sign}</span><span class="visually-hidden">${signWords[sign]}:</span>
        <span><strong>${textOf(name)}</strong> ${textOf(detail)}</span>
      </li>`,
    )}
  </ul>`;
}

type Fact = { readonly label: string; readonly value: string };

/** What was known when it was asked for, and what has come since. */
export function factsView(facts: readonly Fact[]): TemplateResult | typeof nothing {
  if (facts.length === 0) return nothing;
  return html`<section class="approval-part">
    <h2>Facts</h2>
    <dl class="card-fields">${facts.map(({ label, value }) => html`<div><dt>${textOf(label)}</dt><dd>${textOf(value)}</dd></div>`)}</dl>
  </section>`;
}

/** When it was asked for, the votes, the measured times, the review. */
export function ownFacts(approval: ApprovalView, nowMs: number): Fact[] {
  const { requestedAtMs, measured, review } = approval;
  return [
    { label: 'Asked', value: instant(requestedAtMs, nowMs) },
    votesOf(approval, nowMs),
    ...(measured === null
      ? []
      : [{ label: 'Measured', value: `data loss ${age(measured.rpoMs)}, standstill ${age(measured.rtoMs)}` }]),
    ...(review?.reviewedBy == null
      ? []
      : [{ label: 'Review', value: `by ${review.reviewedBy}: "${review.note ?? ''}"` }]),
  ];
}

function isOver(state: ApprovalView['state']): boolean {
  return state !== 'pending' && state !== 'approved' && state !== 'executing';
}

function noVotesWords({ isBreakGlass, state, neededCount }: ApprovalView): string {
  if (isBreakGlass) return state === 'executing' ? 'none; it runs by break-glass' : 'none; it was run by break-glass';
  return isOver(state) ? `none, ${neededCount} needed` : `none yet, ${neededCount} needed`;
}

function votesOf(approval: ApprovalView, nowMs: number): Fact {
  const { votes, neededCount } = approval;
  const words = votes.map(({ person, decision, atMs, via, reason }) => {
    const why = reason === '' ? '' : `: "${reason}"`;
    return `${person} ${decision === 'approve' ? 'approved' : 'rejected'} ${absoluteTime(atMs, nowMs)} (${via})${why}`;
  });
  return {
    label: 'Votes',
    value: words.length === 0 ? noVotesWords(approval) : `${words.join('; ')} · ${neededCount} needed`,
  };
}

import { html, nothing, type TemplateResult } from 'lit-html';
import type { ReportView } from '../../../protocol/console-api.ts';
import type { RunView } from '../../../protocol/control-api.ts';
import { drillLossWords, runName } from '../../conversation/run-words.ts';
import { textOf } from './card-text.ts';
import { icon } from './icons.ts';
import type { Page } from './page.ts';
import { approvalFacts } from './report-approval.ts';
import { dateTime, lengthWords } from './report-words.ts';
import { stepTable } from './run-body.ts';

type Entry = ReportView['runs'][number];
type Result = NonNullable<RunView['result']>;

type How = {
  readonly nowMs: number;
  readonly isManyPictures: boolean;
  /** The machine's as it is now; undefined when nobody knows. */
  readonly lagLimitMs: number | undefined;
};

/** One drill or failover in the report: who, when, from what, and what was measured. */
export function reportRun(page: Page, entry: Entry, how: How): TemplateResult {
  const { run, target, approval, hasPicture } = entry;
  const { result } = run;
  const outcome = outcomeOf(run);
  return html`
    <section class="report-run" aria-labelledby="report-${run.id}">
      <header class="report-run-head">
        <h3 id="report-${run.id}">${runName(run)}</h3>
        <span class="chip chip-${outcome.tone}">${icon(outcome.tone)}<span>${outcome.words}</span></span>
      </header>
      <div class="report-run-body">
        <dl class="facts">
          <div><dt>Asked for by</dt><dd>${run.requestedBy}</dd></div>
          <div><dt>When</dt><dd>${dateTime(run.startedAtMs)}${tookWords(run)}</dd></div>
          ${target === null ? nothing : html`<div><dt>Target host</dt><dd>${textOf(target)}</dd></div>`}
          ${result === null ? nothing : resultFacts(result, how.lagLimitMs)}
          ${run.failure === null ? nothing : html`<div><dt>Why it failed</dt><dd>${textOf(run.failure)}</dd></div>`}
          ${approval === null ? nothing : approvalFacts(approval, 'Approval')} ${cleanupFact(entry)}
          <div><dt>Run</dt><dd class="mono">${run.id}</dd></div>
        </dl>
        ${hasPicture && result !== null ? picture(page, run, result, how.isManyPictures) : nothing}
      </div>
      ${stepTable(run, { nowMs: how.nowMs, isLive: true })}
    </section>
  `;
}

function outcomeOf(run: RunView): {
  readonly tone: 'good' | 'warning' | 'bad' | 'working' | 'none';
  readonly words: string;
} {
  if (run.state === 'active') return { tone: 'working', words: 'was running' };
  if (run.state === 'failed') return { tone: 'bad', words: 'failed' };
  if (run.result === null) return { tone: 'none', words: 'done' };
  return run.result.verified ? { tone: 'good', words: 'verified' } : { tone: 'warning', words: 'not verified' };
}

function tookWords(run: RunView): string {
  return run.finishedAtMs === null ? '' : `, took ${lengthWords(run.finishedAtMs - run.startedAtMs)}`;
}

function resultFacts(result: Result, lagLimitMs: number | undefined): TemplateResult {
  const { failover, point } = result;
  const rpo =
    failover === undefined
      ? drillLossWords(result, lengthWords(result.pointAgeMs))
      : `${lossWords(failover.rpoMs)}, measured`;
  const upMs = failover === undefined ? result.secondsToGuestUp * 1000 : failover.rtoMs;
  const rto = result.verified ? lengthWords(upMs) : `not measured: given up after ${lengthWords(upMs)}`;
  return html`
    <div><dt>Recovery point</dt><dd><span class="mono">${point.id}</span>, ${point.kind}, taken ${dateTime(point.takenAtMs)}</dd></div>
    <div><dt>Data loss (RPO)</dt><dd>${rpo}</dd></div>
    ${lagLimitMs === undefined ? nothing : limitFact(result, lagLimitMs)}
    <div><dt>Time to recover (RTO)</dt><dd>${rto}</dd></div>
    <div><dt>Boot check</dt><dd>${result.verified ? 'passed' : 'NOT passed'}: ${textOf(result.verification)}</dd></div>
    ${failover === undefined ? nothing : html`<div><dt>Proof</dt><dd>${textOf(failover.proof)}</dd></div>`}
  `;
}

/** What it was when the run began is not recorded: nobody should take this for it. */
function limitFact({ failover, pointAgeMs, isNewestPoint }: Result, limitMs: number): TemplateResult {
  const limit = lengthWords(limitMs);
  if (failover === undefined && isNewestPoint === false)
    return html`<div><dt>Lag limit now</dt><dd>${limit}</dd></div>`;
  const isWithin = (failover?.rpoMs ?? pointAgeMs) <= limitMs;
  const verdict = isWithin ? 'the data loss is within it' : 'the data loss is ABOVE it';
  return html`<div><dt>Lag limit now</dt><dd>${limit}: <span class="tone-${isWithin ? 'good' : 'bad'}">${verdict}</span></dd></div>`;
}

/** How a drill was ended. */
function cleanupFact({ run, cleanup }: Entry): TemplateResult | typeof nothing {
  if (run.kind !== 'test-failover' || (cleanup === null && run.state !== 'succeeded')) return nothing;
  if (cleanup === null) return html`<div><dt>Cleaned up</dt><dd>not when this report was made</dd></div>`;
  const { requestedBy, startedAtMs, note, state } = cleanup;
  const end = { active: ', still at work', succeeded: '', failed: ', FAILED' }[state];
  return html`
    <div><dt>Cleaned up</dt><dd>by ${requestedBy} on ${dateTime(startedAtMs)}${end}${note === '' ? nothing : html`: “${textOf(note)}”`}</dd></div>
  `;
}

function lossWords(ms: number): string {
  return ms === 0 ? 'none' : lengthWords(ms);
}

function picture(page: Page, run: RunView, result: Result, isMany: boolean): TemplateResult {
  const words = `Console of ${result.vmName}`;
  return html`
    <figure class="report-picture">
      <img src=${page.api.pictureUrl(run.id)} alt=${words} loading=${isMany ? 'lazy' : 'eager'} width="720" height="400">
      <figcaption>${words}</figcaption>
    </figure>
  `;
}

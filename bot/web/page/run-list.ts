import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { assertNever } from '../../../domain/invariant.ts';
import type { RunView } from '../../../protocol/control-api.ts';
import { runKindWords, runProgress } from '../../conversation/run-words.ts';
import { absoluteTime, age, relativeTime } from '../../conversation/time-words.ts';
import type { DetailUi } from './detail.ts';
import { icon } from './icons.ts';
import type { Page } from './page.ts';
import { runBody } from './run-body.ts';
import { asOfWords, type Tone } from './state-chip.ts';

const shownAtFirst = 8;

/** Test failovers, cleanups and planned failovers of a machine, newest first; each opens to its steps and what came of it. */
export function runList(page: Page, runs: readonly RunView[], ui: DetailUi): TemplateResult {
  const newestFirst = [...runs].sort((a, b) => b.startedAtMs - a.startedAtMs);
  const shown = ui.areAllRunsShown ? newestFirst : newestFirst.slice(0, shownAtFirst);
  const rest = newestFirst.length - shown.length;
  return html`
    <h2 id="runs-title">Runs</h2>
    ${newestFirst.length === 0 ? html`<p class="muted">Nothing has been run with this machine yet.</p>` : nothing}
    <ol class="runs" aria-labelledby="runs-title">
      ${repeat(
        shown,
        (run) => run.id,
        (run) => runRow(page, run, ui.openRunIds.includes(run.id)),
      )}
    </ol>
    ${
      rest === 0
        ? nothing
        : html`<button type="button" class="button" @click=${() => page.dispatch({ kind: 'detail-all-runs-shown' })}>
          Show ${rest} older
        </button>`
    }
  `;
}

function runRow(page: Page, run: RunView, isOpen: boolean): TemplateResult {
  const outcome = runOutcome(run, page);
  return html`
    <li class="run">
      <button
        type="button"
        class="run-head"
        aria-expanded=${isOpen ? 'true' : 'false'}
        aria-controls="body-${run.id}"
        @click=${() => page.dispatch({ kind: 'detail-run-toggled', runId: run.id })}
      >
        <span class="run-chevron ${isOpen ? 'is-open' : ''}">${icon('chevron')}</span>
        <span class="run-name">${runKindWords(run.kind)}</span>
        <span class="chip chip-${outcome.tone} run-outcome">${icon(outcome.tone)}<span class="chip-words">${outcome.words}</span></span>
        <span class="run-when">${absoluteTime(run.startedAtMs, page.nowMs)}
          <span class="muted">${relativeTime(run.startedAtMs, page.nowMs)}, by ${run.requestedBy}</span></span>
      </button>
      <div class="run-body" id="body-${run.id}" ?hidden=${!isOpen}>${isOpen ? runBody(page, run, { isLive: isLive(page) }) : nothing}</div>
    </li>
  `;
}

function isLive(page: Page): boolean {
  return page.state.freshness.kind === 'live';
}

/** How it ended, or how far it is. What goes on is not known while the page is not live. */
export function runOutcome(run: RunView, page: Page): { readonly tone: Tone; readonly words: string } {
  const tookMs = (run.finishedAtMs ?? page.nowMs) - run.startedAtMs;
  switch (run.state) {
    case 'active':
      return activeOutcome(run, { asOf: asOfWords(page), tookMs });
    case 'failed':
      return { tone: 'bad', words: `failed after ${age(tookMs)}` };
    case 'succeeded':
      return doneOutcome(run, tookMs);
    default:
      return assertNever(run.state);
  }
}

function activeOutcome(run: RunView, now: { asOf: string | undefined; tookMs: number }): { tone: Tone; words: string } {
  if (now.asOf !== undefined) return { tone: 'unknown', words: `was running, ${now.asOf}` };
  return { tone: 'working', words: `${runProgress(run).label}, ${age(now.tookMs)}` };
}

function doneOutcome(run: RunView, tookMs: number): { tone: Tone; words: string } {
  if (run.result === null) return { tone: run.kind === 'cleanup' ? 'none' : 'good', words: `done in ${age(tookMs)}` };
  const up = `up after ${age(run.result.secondsToGuestUp * 1000)}`;
  return run.result.verified
    ? { tone: 'good', words: `verified, ${up}` }
    : { tone: 'warning', words: `not verified, ${up}` };
}

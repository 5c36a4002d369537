import { html, nothing, type TemplateResult } from 'lit-html';
import type { LagSeries } from '../../../protocol/chat-api.ts';
import { absoluteTime, age } from '../../conversation/time-words.ts';
import { type DetailUi, lagRanges } from './detail.ts';
import { lagPlot } from './lag-plot.ts';
import { lagRows, lagSentence, lagSummary } from './lag-words.ts';
import type { Page } from './page.ts';

type LagView = {
  readonly lag: LagSeries | null;
  readonly ui: DetailUi;
  /** Of what is drawn; differs from the picked one while the answer is on its way. */
  readonly shownRangeMs: number;
};

/** The lag over time: a plot, one sentence that says the same, and a table for who needs neither. */
export function lagView(page: Page, { lag, ui, shownRangeMs }: LagView): TemplateResult {
  const isLoading = shownRangeMs !== ui.lagRangeMs;
  return html`
    <div class="points-head">
      <h2 id="lag-title">Lag over time</h2>
      <div class="picks" role="group" aria-label="How far back">
        ${lagRanges.map(({ ms, label }) => rangeButton(page, { ms, label, isChosen: ms === ui.lagRangeMs }))}
      </div>
    </div>
    ${lag === null || lag.samples.length === 0 ? emptyPlot(lag) : drawnPlot(lag, isLoading)}
  `;
}

function rangeButton(page: Page, range: { ms: number; label: string; isChosen: boolean }): TemplateResult {
  return html`
    <button
      type="button"
      class="pick"
      aria-pressed=${range.isChosen ? 'true' : 'false'}
      @click=${() => page.dispatch({ kind: 'detail-lag-range', ms: range.ms })}
    >
      ${range.label}
    </button>
  `;
}

function emptyPlot(lag: LagSeries | null): TemplateResult {
  const words = lag === null ? 'It is not protected, so it has no lag.' : lagSentence(lag);
  return html`<p class="lag-summary">&nbsp;</p><div class="lag-plot lag-empty">${words}</div><p class="lag-readout">&nbsp;</p>`;
}

function drawnPlot(lag: LagSeries, isLoading: boolean): TemplateResult {
  const { newestMs, worst } = lagSummary(lag);
  const now = newestMs === undefined ? 'not known' : `${absoluteTime(lag.toMs, lag.toMs)}: lag ${age(newestMs)}`;
  return html`
    <p class="lag-summary" id="lag-summary">${lagSentence(lag)}</p>
    <div
      class="lag-plot ${isLoading ? 'is-loading' : ''}"
      role="slider"
      tabindex="0"
      aria-labelledby="lag-title"
      aria-describedby="lag-summary"
      aria-orientation="horizontal"
      aria-busy=${isLoading ? 'true' : 'false'}
      aria-valuemin="0"
      aria-valuemax="1"
      aria-valuenow="1"
      aria-valuetext="not known"
      ${lagPlot(lag, { id: 'lag-readout', now })}
    ></div>
    <p class="lag-readout" id="lag-readout" aria-hidden="true"></p>
    <details class="lag-table">
      <summary>As a table</summary>
      ${lagTable(lag, worst === undefined)}
    </details>
  `;
}

function lagTable(lag: LagSeries, isEmpty: boolean): TemplateResult | typeof nothing {
  if (isEmpty) return nothing;
  return html`
    <table class="table">
      <thead>
        <tr><th scope="col">From</th><th scope="col">Worst lag</th><th scope="col">Limit ${age(lag.thresholdMs)}</th></tr>
      </thead>
      <tbody>
        ${lagRows(lag).map(
          ({ fromMs, worstMs }) => html`
            <tr>
              <td>${absoluteTime(fromMs, lag.toMs)}</td>
              <td>${worstMs === undefined ? 'not known' : age(worstMs)}</td>
              <td>${worstMs === undefined ? '–' : worstMs > lag.thresholdMs ? 'over' : 'kept'}</td>
            </tr>
          `,
        )}
      </tbody>
    </table>
  `;
}

import { html, nothing, svg, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { dayMs } from '../../../domain/units.ts';
import type { PointView, RunView } from '../../../protocol/control-api.ts';
import { absoluteTime, relativeTime } from '../../conversation/time-words.ts';
import type { MachineDetail } from '../wire.ts';
import type { DetailUi } from './detail.ts';
import type { Page } from './page.ts';
import {
  movedWindow,
  nearestMark,
  type PointMark,
  pointMarks,
  pointSpans,
  pointsIn,
  runsByPoint,
  type Step,
  type Stretch,
  stepFrom,
  stretchOf,
  timeTicks,
  windowWith,
} from './point-marks.ts';

/** Heights in the drawing, pixels. */
const lanes = { 'application-consistent': 34, 'crash-consistent': 78 } as const satisfies Record<
  PointView['kind'],
  number
>;
const drawing = { height: 128, axisAt: 104, spotCount: 96 } as const;

type LineView = {
  readonly page: Page;
  readonly ui: DetailUi;
  readonly points: readonly PointView[];
  readonly stretch: Stretch;
  readonly marks: readonly PointMark[];
  readonly runs: ReadonlyMap<string, readonly RunView[]>;
};

/** All recovery points of a machine on a line of time, one of which can be picked; the panel below says what can be done with it. */
export function pointLine(page: Page, detail: MachineDetail, ui: DetailUi): TemplateResult {
  const { points } = detail;
  const stretch = stretchOf(ui.pointWindow, points, page.nowMs);
  const marks = pointMarks(points, { stretch, spotCount: drawing.spotCount, chosenPointId: ui.chosenPointId });
  const view: LineView = { page, ui, points, stretch, marks, runs: runsByPoint(detail.runs) };
  return html`
    <div class="points-head">
      <h2 id="points-title">Recovery points</h2>
      ${spanChoice(view)}
    </div>
    <p class="points-count">${countSentence(view)}</p>
    ${points.length === 0 ? html`<div class="points-empty">No recovery point yet.</div>` : timeLine(view)}
    ${legend()}
  `;
}

function countSentence({ points, stretch, page }: LineView): string {
  const shown = pointsIn(points, stretch);
  const count = (kind: PointView['kind']) => shown.filter((point) => point.kind === kind).length;
  const usable = shown.filter((point) => point.state === 'available').length;
  const newest = shown[0];
  const kinds = `${count('crash-consistent')} crash-consistent, ${count('application-consistent')} application-consistent`;
  const last = newest === undefined ? '' : ` Newest ${relativeTime(newest.takenAtMs, page.nowMs)}.`;
  return `${shown.length} shown: ${kinds}; ${usable} available.${last}`;
}

// ── the window of time ─────────────────────────────────────────────────────────────────────────────────────
function spanChoice({ page, ui }: LineView): TemplateResult {
  const { spanMs } = ui.pointWindow;
  const move = (share: number) => () =>
    page.dispatch({ kind: 'detail-point-window', window: movedWindow(ui.pointWindow, share, page.nowMs) });
  return html`
    <div class="picks" role="group" aria-label="Time shown on the line">
      <button type="button" class="pick" ?disabled=${spanMs === undefined} @click=${move(-0.5)} aria-label="Earlier">‹</button>
      ${pointSpans.map(
        ({ ms, label }) => html`
          <button
            type="button"
            class="pick"
            aria-pressed=${ms === spanMs ? 'true' : 'false'}
            @click=${() => page.dispatch({ kind: 'detail-point-window', window: spanAround(ms, { page, ui }) })}
          >
            ${label}
          </button>
        `,
      )}
      <button
        type="button"
        class="pick"
        ?disabled=${spanMs === undefined || ui.pointWindow.endMs === undefined}
        @click=${move(0.5)}
        aria-label="Later"
      >
        ›
      </button>
    </div>
  `;
}

/** A narrower window keeps its right end, and moves only when the chosen point would leave it. */
function spanAround(spanMs: number | undefined, { page, ui }: Pick<LineView, 'page' | 'ui'>) {
  const window = { spanMs, endMs: spanMs === undefined ? undefined : ui.pointWindow.endMs };
  const { detail } = page.state;
  const points = detail.kind === 'loaded' ? detail.detail.points : [];
  const chosen = points.find((point) => point.id === ui.chosenPointId);
  return chosen === undefined ? window : windowWith(window, chosen, page.nowMs);
}

// ── the drawing ────────────────────────────────────────────────────────────────────────────────────────────
function timeLine(view: LineView): TemplateResult {
  const { page, ui, marks, stretch } = view;
  const active = marks.some((mark) => mark.point.id === ui.chosenPointId) ? `point-${ui.chosenPointId}` : nothing;
  return html`
    <svg
      class="points-line"
      role="listbox"
      tabindex="0"
      aria-labelledby="points-title"
      aria-describedby="points-keys"
      aria-activedescendant=${active}
      height=${drawing.height}
      width="100%"
      @keydown=${(event: KeyboardEvent) => onKey(view, event)}
      @click=${(event: MouseEvent) => onClick(view, event)}
    >
      <g aria-hidden="true">
        ${laneLines()} ${timeTicks(stretch, 6).map((atMs) => tick(atMs, stretch, page.nowMs))}
      </g>
      ${repeat(
        marks,
        (mark) => mark.point.id,
        (mark) => option(mark, view),
      )}
    </svg>
    <p class="visually-hidden" id="points-keys">
      Left and right arrows move to the older and the newer point, Page Up and Page Down twenty at once, Home and End to the
      ends. Enter goes to what can be done with it.
    </p>
  `;
}

function laneLines() {
  return svg`
    ${Object.values(lanes).map((y) => svg`<line class="points-lane" x1="0" x2="100%" y1=${y} y2=${y}></line>`)}
    <line class="points-axis" x1="0" x2="100%" y1=${drawing.axisAt} y2=${drawing.axisAt}></line>
    <text class="points-lane-name" x="0" y="14">application-consistent</text>
    <text class="points-lane-name" x="0" y="58">crash-consistent</text>
  `;
}

function tick(atMs: number, { fromMs, toMs }: Stretch, nowMs: number) {
  const share = (atMs - fromMs) / Math.max(1, toMs - fromMs);
  if (share < 0.02 || share > 0.98) return nothing;
  const x = percent(share);
  const words =
    toMs - fromMs > 2 * dayMs ? new Date(atMs).toISOString().slice(5, 10) : absoluteTime(atMs, nowMs).slice(-9, -4);
  return svg`
    <line class="points-tick" x1=${x} x2=${x} y1=${drawing.axisAt} y2=${drawing.axisAt + 5}></line>
    <text class="points-tick-name" x=${x} y=${drawing.axisAt + 20} text-anchor="middle">${words}</text>
  `;
}

function percent(share: number): string {
  // A margin of 1 %, so that no mark is cut at the edge.
  return `${(1 + 98 * Math.min(1, Math.max(0, share))).toFixed(3)}%`;
}

function option(mark: PointMark, { page, ui, runs }: LineView) {
  const { point } = mark;
  const isChosen = point.id === ui.chosenPointId;
  const [x, y] = [percent(mark.share), lanes[point.kind]];
  const proved = runs.get(point.id)?.some((run) => run.result?.verified === true) ?? false;
  return svg`
    <g
      id="point-${point.id}"
      role="option"
      aria-selected=${isChosen ? 'true' : 'false'}
      aria-label=${optionWords(mark, { nowMs: page.nowMs, proved })}
      class=${`point point-${point.kind} ${point.state === 'available' ? 'is-available' : `is-${point.state}`} ${isChosen ? 'is-chosen' : ''}`}
    >
      ${isChosen ? svg`<circle class="point-ring" cx=${x} cy=${y} r="11"></circle>` : nothing}
      <svg class="point-shape" x=${x} y=${y} overflow="visible">${shapeOf(point)}</svg>
      ${proved ? svg`<svg x=${x} y=${y - 16} overflow="visible"><path class="point-proof" d="M-4 0l3 3l6-7"></path></svg>` : nothing}
    </g>
  `;
}

/** A circle for crash-consistent, a diamond for application-consistent, a cross for one that nobody may boot. */
function shapeOf(point: PointView) {
  if (point.state === 'damaged') return svg`<path class="point-cross" d="M-5 -5L5 5M5 -5L-5 5"></path>`;
  if (point.kind === 'application-consistent') return svg`<path class="point-body" d="M0 -7L7 0L0 7L-7 0Z"></path>`;
  return svg`<circle class="point-body" r="4.5"></circle>`;
}

function optionWords(mark: PointMark, { nowMs, proved }: { nowMs: number; proved: boolean }): string {
  const { point, standsFor } = mark;
  const when = `${absoluteTime(point.takenAtMs, nowMs)}, ${relativeTime(point.takenAtMs, nowMs)}`;
  const more = standsFor > 1 ? `, newest of ${standsFor} here` : '';
  const drilled = proved ? ', a drill from it was verified' : '';
  return `${point.kind}, ${when}, ${point.state}${drilled}${more}`;
}

function legend(): TemplateResult {
  const entry = (kind: string, shape: unknown, words: string) => html`
    <li>
      <svg class="point ${kind}" width="18" height="18" viewBox="-9 -9 18 18" aria-hidden="true">${shape}</svg>
      ${words}
    </li>
  `;
  const circle = svg`<circle class="point-body" r="4.5"></circle>`;
  const diamond = svg`<path class="point-body" d="M0 -7L7 0L0 7L-7 0Z"></path>`;
  return html`
    <ul class="points-legend" aria-label="Signs on the line">
      ${entry('point-crash-consistent is-available', circle, 'crash-consistent')}
      ${entry('point-application-consistent is-available', diamond, 'application-consistent')}
      ${entry('point-crash-consistent is-sealed', circle, 'not available yet')}
      ${entry('is-damaged', svg`<path class="point-cross" d="M-5 -5L5 5M5 -5L-5 5"></path>`, 'damaged')}
      ${entry('', svg`<path class="point-proof" d="M-4 1l3 3l6-7"></path>`, 'booted and verified')}
    </ul>
  `;
}

// ── picking ────────────────────────────────────────────────────────────────────────────────────────────────
const stepOfKey: Readonly<Record<string, Step>> = {
  ArrowLeft: 'older',
  ArrowUp: 'older',
  ArrowRight: 'newer',
  ArrowDown: 'newer',
  PageUp: 'much-older',
  PageDown: 'much-newer',
  Home: 'oldest',
  End: 'newest',
};

function onKey({ page, ui }: LineView, event: KeyboardEvent) {
  const step = stepOfKey[event.key];
  if (step !== undefined) {
    event.preventDefault();
    page.dispatch({ kind: 'detail-point-stepped', step, nowMs: page.nowMs });
  }
  if (event.key !== 'Enter' && event.key !== ' ') return;
  event.preventDefault();
  if (ui.chosenPointId === undefined)
    page.dispatch({ kind: 'detail-point-stepped', step: 'newest', nowMs: page.nowMs });
  // After the panel has been drawn.
  requestAnimationFrame(() => document.getElementById('point-panel')?.focus());
}

function onClick(view: LineView, event: MouseEvent) {
  if (!(event.currentTarget instanceof SVGElement)) return;
  event.currentTarget.focus();
  const box = event.currentTarget.getBoundingClientRect();
  const share = ((event.clientX - box.left) / Math.max(1, box.width) - 0.01) / 0.98;
  const isUpper = event.clientY - box.top < (lanes['application-consistent'] + lanes['crash-consistent']) / 2;
  const lane = isUpper ? 'application-consistent' : 'crash-consistent';
  choosePoint(view, nearestMark(view.marks, { share, lane })?.point);
}

function choosePoint({ page, ui }: Pick<LineView, 'page' | 'ui'>, point: PointView | undefined) {
  if (point === undefined) return;
  const window = windowWith(ui.pointWindow, point, page.nowMs);
  page.dispatch({ kind: 'detail-point-chosen', pointId: point.id, window });
}

/** To the next older or newer one by a button: on a phone marks are too small to hit. */
export function stepButtons(page: Page, points: readonly PointView[], ui: DetailUi): TemplateResult {
  const button = (step: Step, label: string, sign: string) => html`
    <button
      type="button"
      class="pick"
      ?disabled=${stepFrom(points, ui.chosenPointId, step)?.id === ui.chosenPointId}
      @click=${() => page.dispatch({ kind: 'detail-point-stepped', step, nowMs: page.nowMs })}
      aria-label=${label}
    >
      ${sign}
    </button>
  `;
  return html`<span class="picks">${button('older', 'Older point', '‹')}${button('newer', 'Newer point', '›')}</span>`;
}

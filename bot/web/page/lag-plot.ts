import { noChange } from 'lit-html';
import { AsyncDirective, directive } from 'lit-html/async-directive.js';
import type { ElementPart } from 'lit-html/directive.js';
import uPlot from 'uplot';
import { dayMs, formatDuration } from '../../../domain/units.ts';
import type { LagSeries } from '../../../protocol/chat-api.ts';
import { absoluteTime, age } from '../../conversation/time-words.ts';
import { criticalOf, isCriticalNear, type LagCurve, lagCurve } from './lag-curve.ts';
import { timeTicks } from './point-marks.ts';

/** The colours of the page as canvas understands them. */
type Inks = Readonly<Record<'muted' | 'grid' | 'line' | 'warning' | 'bad', string>>;

/** Where the place of the cursor is written, and what stands there without a cursor. */
export type LagReadout = { readonly id: string; readonly now: string };

/**
 * The lag over time, drawn into the element that has it; the element's size decides the plot's. It is a slider for the keyboard: arrows move
 * along the curve, and each place is said in words.
 */
export const lagPlot = directive(
  class extends AsyncDirective {
    #element: HTMLElement | undefined;
    #plot: uPlot | undefined;
    #series: LagSeries | undefined;
    #watcher: AbortController | undefined;
    #readout: LagReadout | undefined;

    render(_series: LagSeries, _readout: LagReadout) {
      return noChange;
    }

    override update(part: ElementPart, [series, readout]: [LagSeries, LagReadout]) {
      if (this.#element === undefined && part.element instanceof HTMLElement) this.#attach(part.element);
      this.#readout = readout;
      if (series !== this.#series) {
        this.#series = series;
        this.#draw();
      }
      return noChange;
    }

    override disconnected() {
      this.#watcher?.abort();
      this.#plot?.destroy();
      this.#plot = undefined;
    }

    override reconnected() {
      if (this.#element !== undefined) this.#watch(this.#element);
      this.#draw();
    }

    #attach(element: HTMLElement) {
      this.#element = element;
      this.#watch(element);
      const move = (event: KeyboardEvent) => {
        if (this.#plot !== undefined && moveCursor(this.#plot, event.key)) event.preventDefault();
      };
      element.addEventListener('keydown', move);
    }

    #watch(element: HTMLElement) {
      const watcher = new AbortController();
      this.#watcher = watcher;
      const redraw = () => this.#draw();
      const sizes = new ResizeObserver(redraw);
      sizes.observe(element);
      const theme = new MutationObserver(redraw);
      theme.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
      const scheme = matchMedia('(prefers-color-scheme: dark)');
      scheme.addEventListener('change', redraw, { signal: watcher.signal });
      watcher.signal.addEventListener('abort', () => {
        sizes.disconnect();
        theme.disconnect();
      });
    }

    /** What the cursor stands on, in words; without a cursor what holds now. */
    #say() {
      const [element, plot, series] = [this.#element, this.#plot, this.#series];
      if (element === undefined || plot === undefined || series === undefined) return;
      const index = plot.cursor.idx ?? undefined;
      const words = index === undefined ? this.#readout?.now : wordsAt(plot, index, series);
      const readout = document.getElementById(this.#readout?.id ?? '');
      if (readout !== null) readout.textContent = words ?? '';
      const last = plot.data[0].length - 1;
      element.setAttribute('aria-valuemax', String(Math.max(1, last)));
      element.setAttribute('aria-valuenow', String(index ?? last));
      element.setAttribute('aria-valuetext', words ?? '');
    }

    #draw() {
      const [element, series] = [this.#element, this.#series];
      if (element === undefined || series === undefined || element.clientWidth < 40) return;
      const cursorAtMs = cursorTime(this.#plot);
      this.#plot?.destroy();
      this.#plot = drawPlot(element, series, () => this.#say());
      this.#say();
      if (cursorAtMs !== undefined) setCursorTime(this.#plot, cursorAtMs);
    }
  },
);

function drawPlot(element: HTMLElement, series: LagSeries, onCursor: () => void): uPlot {
  const inks = readInks(element);
  const curve = lagCurve(series, element.clientWidth);
  const options: uPlot.Options = {
    width: element.clientWidth,
    height: element.clientHeight,
    legend: { show: false },
    scales: {
      x: { time: false, range: [series.fromMs, series.toMs] },
      y: { range: [0, curve.topMs] },
    },
    axes: [timeAxis(series, inks, element.clientWidth), lagAxis(curve, inks)],
    series: [{}, curveLook(series, curve, inks)],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 9, fill: inks.line } },
    hooks: {
      draw: [(plot) => drawLimits(plot, { series, curve, inks })],
      setCursor: [onCursor],
    },
  };
  return new uPlot(options, [curve.atMs, curve.lagMs], element);
}

/** The computed colour of an element that has the token: a canvas cannot read custom properties. */
function readInks(element: HTMLElement): Inks {
  const probe = document.createElement('span');
  element.append(probe);
  const read = (name: string) => {
    probe.className = `lag-ink-${name}`;
    return getComputedStyle(probe).color;
  };
  const inks: Inks = {
    muted: read('muted'),
    grid: read('grid'),
    line: read('line'),
    warning: read('warning'),
    bad: read('bad'),
  };
  probe.remove();
  return inks;
}

const font = '12px system-ui, sans-serif';

function timeAxis(series: LagSeries, inks: Inks, widthPixels: number): uPlot.Axis {
  const { fromMs, toMs } = series;
  const label = (atMs: number) => {
    const text = new Date(atMs).toISOString();
    const isDay = toMs - fromMs > 2 * dayMs;
    return isDay ? text.slice(5, 10) : `${text.slice(11, 16)}Z`;
  };
  return {
    font,
    size: 30,
    stroke: inks.muted,
    grid: { show: false },
    ticks: { stroke: inks.grid, width: 1, size: 5 },
    splits: () => timeTicks(series, Math.max(3, Math.floor(widthPixels / 90))),
    values: (_plot, ticks) => ticks.map(label),
  };
}

function lagAxis(curve: LagCurve, inks: Inks): uPlot.Axis {
  return {
    font,
    size: 84,
    stroke: inks.muted,
    grid: { stroke: inks.grid, width: 1 },
    ticks: { show: false },
    splits: () => [0, 0.25, 0.5, 0.75, 1].map((share) => share * curve.topMs),
    values: (_plot, ticks) => ticks.map((ms) => (ms === 0 ? '0' : age(ms))),
  };
}

function curveLook(series: LagSeries, curve: LagCurve, inks: Inks): uPlot.Series {
  const banded = (alpha: number) => (plot: uPlot) => bands(plot, { series, curve, inks, alpha });
  return { width: 2, stroke: banded(1), fill: banded(0.16), points: { show: false } };
}

type Look = { readonly series: LagSeries; readonly curve: LagCurve; readonly inks: Inks };

/** The line's colour by height: calm below the limit, warning above it, bad above the critical one. */
function bands(plot: uPlot, { series, curve, inks, alpha }: Look & { readonly alpha: number }): CanvasGradient {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top + height, 0, top);
  const share = (ms: number) => Math.min(1, Math.max(0, ms / curve.topMs));
  const stops: readonly (readonly [number, string])[] = [
    [0, inks.line],
    [share(series.thresholdMs), inks.line],
    [share(series.thresholdMs), inks.warning],
    [share(criticalOf(series)), inks.warning],
    [share(criticalOf(series)), inks.bad],
    [1, inks.bad],
  ];
  for (const [at, color] of stops) gradient.addColorStop(at, withAlpha(color, alpha));
  return gradient;
}

/** Computed colours are `rgb(…)` or, of a mixed token, `color(…)` or `oklch(…)`: all of them take `/ alpha`. */
function withAlpha(color: string, alpha: number): string {
  if (alpha === 1) return color;
  const rgb = /^rgb\(\s*([\d.]+),\s*([\d.]+),\s*([\d.]+)\s*\)$/.exec(color);
  if (rgb !== null) return `rgba(${rgb[1]}, ${rgb[2]}, ${rgb[3]}, ${alpha})`;
  return color.replace(/\)$/, ` / ${alpha})`);
}

function drawLimits(plot: uPlot, { series, curve, inks }: Look) {
  const critical = criticalOf(series);
  const highest = Math.max(0, ...curve.lagMs.map((lag) => lag ?? 0));
  drawLimit(plot, {
    ms: series.thresholdMs,
    words: `limit ${formatDuration(series.thresholdMs)}`,
    color: inks.warning,
  });
  if (!isCriticalNear(series, highest)) return;
  drawLimit(plot, { ms: critical, words: `critical ${formatDuration(critical)}`, color: inks.bad });
}

function drawLimit(plot: uPlot, limit: { readonly ms: number; readonly words: string; readonly color: string }) {
  const { ctx, bbox } = plot;
  const y = Math.round(plot.valToPos(limit.ms, 'y', true));
  const scale = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = limit.color;
  ctx.fillStyle = limit.color;
  ctx.lineWidth = 1.5 * scale;
  ctx.setLineDash([6 * scale, 4 * scale]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = `600 ${12 * scale}px system-ui, sans-serif`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'bottom';
  ctx.fillText(limit.words, bbox.left + 6 * scale, y - 3 * scale);
  ctx.restore();
}

// ── the cursor: by mouse or by keyboard, and always also in words ──────────────────────────────────────────
function wordsAt(plot: uPlot, index: number, series: LagSeries): string {
  const [atMs, lagMs] = [plot.data[0][index], plot.data[1]?.[index]];
  if (atMs === undefined) return '';
  const time = absoluteTime(atMs, series.toMs);
  if (lagMs === null || lagMs === undefined) return `${time}: not known`;
  const over = lagMs > criticalOf(series) ? ', critical' : lagMs > series.thresholdMs ? ', over the limit' : '';
  return `${time}: lag ${age(lagMs)}${over}`;
}

const keySteps: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -20,
  PageUp: 20,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

/** True when the key was one that moves. The first key leads to the newest place. */
function moveCursor(plot: uPlot, key: string): boolean {
  const step = keySteps[key];
  const last = plot.data[0].length - 1;
  if (step === undefined || last < 0) return false;
  const from = plot.cursor.idx;
  const wanted = from === null || from === undefined ? (key === 'Home' ? 0 : last) : from + step;
  const atMs = plot.data[0][Math.min(last, Math.max(0, wanted))];
  if (atMs !== undefined) setCursorTime(plot, atMs);
  return true;
}

function cursorTime(plot: uPlot | undefined): number | undefined {
  const index = plot?.cursor.idx;
  return index === null || index === undefined ? undefined : plot?.data[0][index];
}

function setCursorTime(plot: uPlot, atMs: number) {
  plot.setCursor({ left: plot.valToPos(atMs, 'x'), top: plot.bbox.height / uPlot.pxRatio / 2 });
}

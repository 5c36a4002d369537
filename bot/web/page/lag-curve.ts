import type { LagSeries } from '../../../protocol/chat-api.ts';
import { columnPeaks, niceTop } from '../../plot/lag-svg.ts';

/** What is drawn: times and lags side by side; null where no lag is known. Milliseconds. */
export type LagCurve = { readonly atMs: number[]; readonly lagMs: (number | null)[]; readonly topMs: number };

/**
 * The curve for a plot of that width: every sample while they can be told apart, else the worst lag of each three pixels, so that a short
 * peak is never lost.
 */
export function lagCurve(series: LagSeries, widthPixels: number): LagCurve {
  const { samples, fromMs, toMs } = series;
  const columnCount = Math.max(20, Math.floor(widthPixels / 3));
  const isSparse = samples.length <= columnCount * 2;
  const peaks = columnPeaks(series, columnCount);
  const atMs = isSparse ? samples.map((sample) => sample.atMs) : peaks.map((_, index) => at(index));
  const lagMs = isSparse ? samples.map((sample) => sample.lagMs) : peaks.map((peak) => peak ?? null);
  return { atMs, lagMs, topMs: topOf(series, Math.max(0, ...lagMs.map((lag) => lag ?? 0))) };

  function at(index: number): number {
    return fromMs + ((index + 1) * (toMs - fromMs)) / columnCount;
  }
}

/** The critical line only where it is near: far above the curve it would press it flat. */
export function isCriticalNear(series: LagSeries, highestMs: number): boolean {
  return highestMs > criticalOf(series) / 2;
}

export function criticalOf({ thresholdMs, criticalMs = 3 * thresholdMs }: LagSeries): number {
  return criticalMs;
}

function topOf(series: LagSeries, highestMs: number): number {
  const critical = isCriticalNear(series, highestMs) ? criticalOf(series) : 0;
  return niceTop(Math.max(highestMs, series.thresholdMs, critical) * 1.1);
}

import { formatDuration } from '../../../domain/units.ts';
import type { LagSeries } from '../../../protocol/chat-api.ts';
import { absoluteTime, age } from '../../conversation/time-words.ts';
import { columnPeaks, newestLag } from '../../plot/lag-svg.ts';

export type LagSummary = {
  readonly newestMs: number | undefined;
  readonly worst: { readonly atMs: number; readonly lagMs: number } | undefined;
  /** For how long, and how often, the lag was above the threshold. */
  readonly overMs: number;
  readonly overCount: number;
};

/** The curve in figures. Between two samples the lag grows by the time that passes. */
export function lagSummary(series: LagSeries): LagSummary {
  const { samples, thresholdMs, toMs } = series;
  let worst: LagSummary['worst'];
  let [overMs, overCount, wasOver] = [0, 0, false];
  samples.forEach((sample, index) => {
    const endMs = Math.max(sample.atMs, samples[index + 1]?.atMs ?? toMs);
    const endLagMs = sample.lagMs + endMs - sample.atMs;
    if (worst === undefined || endLagMs > worst.lagMs) worst = { atMs: endMs, lagMs: endLagMs };
    overMs += Math.max(0, endLagMs - Math.max(thresholdMs, sample.lagMs));
    if (endLagMs > thresholdMs && !wasOver) overCount += 1;
    wasOver = endLagMs > thresholdMs;
  });
  return { newestMs: newestLag(series), worst, overMs, overCount };
}

/** The whole plot in one or two sentences, for those who cannot see it and for those in a hurry. */
export function lagSentence(series: LagSeries): string {
  const { newestMs, worst, overMs, overCount } = lagSummary(series);
  const length = age(series.toMs - series.fromMs);
  if (newestMs === undefined || worst === undefined)
    return `No recovery point in the last ${length}, so no lag is known.`;
  const times = overCount === 1 ? 'once' : `${overCount} times`;
  const limit = `the limit of ${formatDuration(series.thresholdMs)}`;
  const over =
    overCount === 0 ? `It never passed ${limit}.` : `It passed ${limit} ${times}, for ${age(overMs)} in all.`;
  return `Worst lag in the last ${length}: ${age(worst.lagMs)} at ${absoluteTime(worst.atMs, series.toMs)}. ${over}`;
}

const rowCount = 12;

/** The curve as a table: the worst lag in each twelfth of the time, newest first. */
export function lagRows(series: LagSeries): { readonly fromMs: number; readonly worstMs: number | undefined }[] {
  const stepMs = (series.toMs - series.fromMs) / rowCount;
  return columnPeaks(series, rowCount)
    .map((worstMs, index) => ({ fromMs: series.fromMs + index * stepMs, worstMs }))
    .reverse();
}

import { Resvg } from '@resvg/resvg-js';
import { formatDuration } from '../../domain/units.ts';
import type { LagSeries } from '../../protocol/chat-api.ts';
import { columnPeaks, lagSvg, newestLag } from './lag-svg.ts';

/** The lag of a machine over time as a PNG of less than 60 KB. Source: issue 3 (9) */
export function lagPlotPng(series: LagSeries): Buffer {
  const picture = new Resvg(lagSvg(series), { font: { loadSystemFonts: false } }).render();
  return Buffer.from(picture.asPng());
}

/** What the plot shows, for those who cannot see it. */
export function lagPlotWords(series: LagSeries): string {
  const peaks = columnPeaks(series, 200).filter((peak) => peak !== undefined);
  const newest = newestLag(series);
  const over = formatDuration(series.toMs - series.fromMs);
  if (newest === undefined) return `Lag of ${series.machineName} over ${over}: no recovery point in this time.`;
  const worst = Math.max(...peaks);
  return `Lag of ${series.machineName} over ${over}: now ${formatDuration(newest)}, worst ${formatDuration(worst)}, limit ${formatDuration(series.thresholdMs)}.`;
}

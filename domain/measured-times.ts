/** How long something took each time; milliseconds. */
export type MeasuredTimes = { readonly medianMs: number; readonly slowestMs: number; readonly runCount: number };

/** The median and the slowest of what was measured; null when nothing was. Whole milliseconds. */
export function measuredTimes(timesMs: readonly number[]): MeasuredTimes | null {
  const medianMs = medianOf(timesMs);
  if (medianMs === undefined) return null;
  return { medianMs, slowestMs: Math.round(timesMs.reduce((a, b) => Math.max(a, b))), runCount: timesMs.length };
}

/** The middle one, or the mean of the two in the middle, rounded; undefined when there are none. */
export function medianOf(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  return upper === undefined || lower === undefined ? undefined : Math.round((lower + upper) / 2);
}

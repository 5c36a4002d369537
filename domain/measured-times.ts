/** How long something took each time; milliseconds. */
export type MeasuredTimes = { readonly medianMs: number; readonly slowestMs: number; readonly runCount: number };

/** The middle and the slowest of what was measured; null when nothing was. Whole milliseconds. */
export function measuredTimes(timesMs: readonly number[]): MeasuredTimes | null {
  const medianMs = medianOf(timesMs);
  if (medianMs === undefined) return null;
  return { medianMs, slowestMs: Math.round(timesMs.reduce((a, b) => Math.max(a, b))), runCount: timesMs.length };
}

/** The middle one; of an even number the greater of the two in the middle: what people plan with is never better than what was measured. */
export function medianOf(values: readonly number[]): number | undefined {
  const middle = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
  return middle === undefined ? undefined : Math.round(middle);
}

/** When a recovery point became good to fail over to, and when it was taken. Epoch milliseconds. */
export type PointArrival = { readonly takenAtMs: number; readonly arrivedAtMs: number };
export type LagSample = { readonly atMs: number; readonly lagMs: number };

/**
 * The lag as a curve: between two samples it grows by the time that passes. Each arrival gives two samples, just before and at it, so that
 * the fall is a line straight down.
 *
 * @param arrivals oldest first
 * @param samplesMax when there are more, only those of the greatest lag in each stretch of time are kept: a peak is never hidden
 */
export function lagSamples(arrivals: readonly PointArrival[], toMs: number, samplesMax: number): LagSample[] {
  const samples: LagSample[] = [];
  let newestTakenAtMs: number | undefined;
  for (const { takenAtMs, arrivedAtMs } of arrivals) {
    if (newestTakenAtMs !== undefined && takenAtMs <= newestTakenAtMs) continue;
    if (newestTakenAtMs !== undefined) samples.push({ atMs: arrivedAtMs, lagMs: arrivedAtMs - newestTakenAtMs });
    newestTakenAtMs = takenAtMs;
    samples.push({ atMs: arrivedAtMs, lagMs: arrivedAtMs - takenAtMs });
  }
  if (newestTakenAtMs !== undefined) samples.push({ atMs: toMs, lagMs: toMs - newestTakenAtMs });
  return thin(samples, samplesMax);
}

function thin(samples: readonly LagSample[], samplesMax: number): LagSample[] {
  if (samples.length <= samplesMax) return [...samples];
  const stretch = Math.ceil(samples.length / (samplesMax / 2));
  const kept: LagSample[] = [];
  for (let from = 0; from < samples.length; from += stretch) {
    const part = samples.slice(from, from + stretch);
    const peak = part.reduce((best, one) => (one.lagMs > best.lagMs ? one : best));
    const last = part[part.length - 1];
    kept.push(...(last === undefined || last === peak ? [peak] : [peak, last]));
  }
  return kept;
}

import type { Rate } from './limits.ts';

/** Counts deeds of one kind by whoever does them. */
export type RateWindow = {
  /** Counts one more, and says undefined; or says after how long the next one may come. */
  readonly take: (key: string) => number | undefined;
};

/** Keys that are remembered at most; by far more than a rate lets in. */
const keyCountMax = 10_000;

/** Windows of fixed length, one for each key, which begin with the key's first deed. */
export function createRateWindow(rate: Rate, clockMs: () => number): RateWindow {
  const windows = new Map<string, { readonly endsAtMs: number; count: number }>();
  return {
    take(key) {
      const nowMs = clockMs();
      let window = windows.get(key);
      if (window === undefined || window.endsAtMs <= nowMs) {
        windows.delete(key);
        if (windows.size >= keyCountMax) forgetOldest(windows);
        window = { endsAtMs: nowMs + rate.perMs, count: 0 };
        windows.set(key, window);
      }
      if (window.count >= rate.countMax) return window.endsAtMs - nowMs;
      window.count += 1;
      return undefined;
    },
  };
}

/** A map keeps the order in which its keys came. */
function forgetOldest(windows: Map<string, unknown>): void {
  const [oldest] = windows.keys();
  if (oldest !== undefined) windows.delete(oldest);
}

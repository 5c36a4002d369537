import type { Rate } from './limits.ts';

/** Counts deeds of one kind by whoever does them. */
export type RateWindow = {
  /** Counts one more, and says undefined; or says after how long the next one may come. */
  readonly take: (key: string) => number | undefined;
  /** What `take` would say; nothing is counted. */
  readonly look: (key: string) => number | undefined;
  /** One that was counted does not count after all. */
  readonly giveBack: (key: string) => void;
};

/** Keys that are remembered at most; by far more than a rate lets in. */
const keyCountMax = 10_000;

/** Windows of fixed length, one for each key, which begin with the key's first deed. */
export function createRateWindow(rate: Rate, clockMs: () => number): RateWindow {
  const windows = new Map<string, { readonly endsAtMs: number; count: number }>();
  const running = (key: string) => {
    const window = windows.get(key);
    return window !== undefined && window.endsAtMs > clockMs() ? window : undefined;
  };
  return {
    look(key) {
      const window = running(key);
      return window !== undefined && window.count >= rate.countMax ? window.endsAtMs - clockMs() : undefined;
    },
    giveBack(key) {
      const window = running(key);
      if (window !== undefined && window.count > 0) window.count -= 1;
    },
    take(key) {
      const nowMs = clockMs();
      let window = running(key);
      if (window === undefined) {
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

import { setTimeout as delay } from 'node:timers/promises';

export type ReadingRules = {
  /** What was read is good for so long at least, so that scrapes cannot load the database; and for twenty times as long as reading it took. */
  readonly keepMs: number;
  /** A scrape waits so long; the reading goes on without it, and never twice at once. */
  readonly waitMsMax: number;
  /** What was read before is given so long, when reading again failed or takes too long. 0: then nothing is known. */
  readonly staleMsMax: number;
};

/** What was read and how long that took; undefined when it is not known now. */
export type Read<Value> = { readonly value: Value; readonly tookMs: number };
export type Reading<Value> = () => Promise<Read<Value> | undefined>;

const restFactor = 20;

/** @param read may fail: `onTrouble` hears why, and the next scrape tries again */
export function createReading<Value>(
  read: () => Promise<Value>,
  rules: ReadingRules,
  onTrouble: (error: unknown) => void,
): Reading<Value> {
  let known: (Read<Value> & { readonly atMs: number }) | undefined;
  let underWay: Promise<Read<Value> | undefined> | undefined;
  const begin = async () => {
    const startedAtMs = performance.now();
    try {
      const value = await read();
      const atMs = performance.now();
      known = { value, atMs, tookMs: atMs - startedAtMs };
      return known;
    } catch (error) {
      onTrouble(error);
      return undefined;
    } finally {
      underWay = undefined;
    }
  };
  const youngerThan = (ms: number) => (known !== undefined && performance.now() - known.atMs < ms ? known : undefined);
  return async () => {
    const fresh = youngerThan(Math.max(rules.keepMs, restFactor * (known?.tookMs ?? 0)));
    if (fresh !== undefined) return fresh;
    underWay ??= begin();
    return (await withinLimit(underWay, rules.waitMsMax)) ?? youngerThan(rules.staleMsMax);
  };
}

async function withinLimit<Result>(work: Promise<Result>, limitMs: number): Promise<Result | undefined> {
  const limit = new AbortController();
  const end = delay(limitMs, undefined, { signal: limit.signal });
  // Aborted when the work was faster.
  end.catch(() => undefined);
  const result = await Promise.race([work, end]);
  limit.abort();
  return result;
}

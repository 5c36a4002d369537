import { setTimeout as wait } from 'node:timers/promises';

/** What the work gives when it gives it within that time; undefined when it takes longer, which does not end it. */
export async function withinTime<Result>(work: Promise<Result>, limitMs: number): Promise<Result | undefined> {
  const timer = new AbortController();
  const late = wait(limitMs, undefined, { signal: timer.signal, ref: false }).catch(() => undefined); // ended early
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}

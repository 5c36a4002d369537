import { setTimeout as delay } from 'node:timers/promises';
import { OutageError } from '../../domain/outage.ts';
import { dayMs } from '../../domain/units.ts';

export type Patience = {
  readonly attemptsMax: number;
  readonly limitMs: number;
  readonly firstPauseMs: number;
  readonly pauseMsMax: number;
};

/** For our own database: a run cannot even be called failed without it, so it waits as long as a person needs to bring it back. */
export const databasePatience: Patience = {
  attemptsMax: Number.MAX_SAFE_INTEGER,
  limitMs: dayMs,
  firstPauseMs: 100,
  pauseMsMax: 5000,
};
/** For the outside world: a short fault is ridden out, a long one fails the step. */
export const targetPatience: Patience = { attemptsMax: 3, limitMs: dayMs, firstPauseMs: 500, pauseMsMax: 5000 };

/** Repeats work that failed with a retryable OutageError; anything else, and the last failure, is thrown. */
export async function patiently<T>(
  patience: Patience,
  work: () => Promise<T>,
  onRetry: (error: OutageError, attempt: number) => void,
): Promise<T> {
  const startedMs = performance.now();
  let pauseMs = patience.firstPauseMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const over = attempt >= patience.attemptsMax || performance.now() - startedMs > patience.limitMs;
      if (over || !(error instanceof OutageError) || !error.retryable) throw error;
      onRetry(error, attempt);
    }
    await delay(pauseMs);
    pauseMs = Math.min(pauseMs * 2, patience.pauseMsMax);
  }
}

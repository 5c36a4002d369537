import { setTimeout as delay } from 'node:timers/promises';
import { OutageError } from '../../domain/outage.ts';
import type { Database } from '../store/database.ts';
import { databaseNowMs } from '../store/database.ts';
import { persist, type RunContext } from './run-context.ts';

const pollMs = 200;

export type Wait<T> = {
  /** What is waited for, as the words of the error. */
  readonly what: string;
  readonly nextStep: string;
  /** By the database's clock. */
  readonly untilMs: number;
  readonly look: (db: Database) => Promise<T | undefined>;
};

/** Looks into the database until it holds what is waited for. @throws OutageError when the time is over; what `look` throws, at once */
export async function waitFor<T>(run: RunContext, wait: Wait<T>): Promise<T> {
  for (;;) {
    const seen = await persist(run.deps, async (db) => ({
      found: await wait.look(db),
      nowMs: await databaseNowMs(db),
    }));
    if (seen.found !== undefined) return seen.found;
    if (seen.nowMs > wait.untilMs) throw new OutageError(wait.what, { retryable: false, nextStep: wait.nextStep });
    await delay(pollMs);
  }
}

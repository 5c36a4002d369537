import { and, asc, eq, isNull, lte, sql } from 'drizzle-orm';
import { pagerCalls } from './alert-schema.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';

/** Someone must be woken, by whatever the pager webhook leads to. */
export type PagerCall = {
  readonly id: string;
  readonly about: string;
  readonly title: string;
  readonly text: string;
  readonly attemptCount: number;
};

export const pagerAttemptsMax = 20;

/** Wants the pager webhook to be called about something, once; call it in the transaction that decides so. */
export async function wantPager(
  db: Database,
  call: { readonly about: string; readonly title: string; readonly text: string },
): Promise<void> {
  await db.insert(pagerCalls).values({ id: newId('message'), ...call });
}

const isOpen = and(isNull(pagerCalls.sentAt), isNull(pagerCalls.givenUpAt));

/** The calls that are to be made now, oldest first. */
export async function duePagerCalls(db: Database, limit = 10): Promise<PagerCall[]> {
  return db
    .select({
      id: pagerCalls.id,
      about: pagerCalls.about,
      title: pagerCalls.title,
      text: pagerCalls.text,
      attemptCount: pagerCalls.attemptCount,
    })
    .from(pagerCalls)
    .where(and(isOpen, lte(pagerCalls.dueAt, sql`now()`)))
    .orderBy(asc(pagerCalls.wantedAt))
    .limit(limit);
}

export async function notePagerSent(db: Database, id: string): Promise<void> {
  await db.update(pagerCalls).set({ sentAt: sql`now()`, lastError: null }).where(eq(pagerCalls.id, id));
}

/** It is tried again later, at most twenty times. `given-up`: this was the last time, or there is no sense in trying. */
export async function notePagerFailed(
  db: Database,
  call: PagerCall,
  failure: { readonly error: string; readonly isHopeless: boolean },
): Promise<'later' | 'given-up'> {
  const attemptCount = call.attemptCount + 1;
  const isLast = failure.isHopeless || attemptCount >= pagerAttemptsMax;
  const pauseMs = Math.min(60_000, 1000 * 2 ** Math.min(attemptCount, 10));
  await db
    .update(pagerCalls)
    .set({
      attemptCount,
      lastError: failure.error.slice(0, 500),
      dueAt: sql`now() + make_interval(secs => ${pauseMs / 1000})`,
      givenUpAt: isLast ? sql`now()` : null,
    })
    .where(eq(pagerCalls.id, call.id));
  return isLast ? 'given-up' : 'later';
}

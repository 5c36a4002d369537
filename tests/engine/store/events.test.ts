import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Database } from '../../../engine/store/database.ts';
import { appendEvent, listEvents, newestEventNumber } from '../../../engine/store/events.ts';
import type { Store } from '../../../engine/store/open.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';

let postgres: TestPostgres;
let store: Store;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.freshStore();
});

type Append = (db: Database, text: string) => Promise<unknown>;

/**
 * Two writers; the first takes its number first and commits last. Returns what a reader who goes on from number to
 * number has seen.
 */
async function seenByReader(append: Append): Promise<string[]> {
  const seen: string[] = [];
  let after = 0;
  const read = async () => {
    for (const event of await store.read((db) => listEvents(db, after))) {
      seen.push(event.text);
      after = event.number;
    }
  };
  let letFirstCommit: () => void = () => undefined;
  const mayCommit = new Promise<void>((resolve) => {
    letFirstCommit = resolve;
  });
  let firstHasNumber: () => void = () => undefined;
  const hasNumber = new Promise<void>((resolve) => {
    firstHasNumber = resolve;
  });
  const first = store.write(async (db) => {
    await append(db, 'first');
    firstHasNumber();
    await mayCommit;
  });
  await hasNumber;
  const second = store.write((db) => append(db, 'second'));
  await Promise.race([second, new Promise((resolve) => setImmediate(resolve))]);
  await waitUntilBlockedOr(second);
  await read();
  letFirstCommit();
  await Promise.all([first, second]);
  await read();
  return seen;
}

/** Resolves when the second writer has committed, or waits for a lock. */
async function waitUntilBlockedOr(second: Promise<unknown>): Promise<void> {
  let done = false;
  void second.then(() => {
    done = true;
  });
  const deadline = performance.now() + 10_000;
  while (!done && performance.now() < deadline) {
    const { rows } = await store.read((db) => db.execute(sql`select 1 from pg_locks where not granted`));
    if (rows.length > 0) return;
  }
}

test('a reader who goes on from the last number misses no event', async () => {
  expect(await seenByReader((db, text) => appendEvent(db, { kind: 'test', text }))).toEqual(['first', 'second']);
});

test('the check sees the planted bug: without the lock the first event is missed', async () => {
  const unlocked: Append = (db, text) => db.execute(sql`insert into events (kind, text) values ('test', ${text})`);
  expect(await seenByReader(unlocked)).toEqual(['second']);
});

test('a waiter hears of an event when it is committed, and of nothing that was rolled back', async () => {
  let calls = 0;
  const heard = new Promise<void>((resolve) => {
    store.onEvent(() => {
      calls += 1;
      resolve();
    });
  });
  await store.write((db) => appendEvent(db, { kind: 'test', text: 'x' }));
  await heard;
  expect(calls).toBeGreaterThan(0);
  const rolledBack = store.write(async (db) => {
    await appendEvent(db, { kind: 'test', text: 'never' });
    throw new Error('undo');
  });
  await expect(rolledBack).rejects.toThrow('undo');
  expect(await store.read(newestEventNumber)).toBe(1);
});

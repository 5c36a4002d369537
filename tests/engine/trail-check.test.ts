import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { minuteMs, secondMs } from '../../domain/units.ts';
import { appendAudit } from '../../engine/store/audit.ts';
import type { Store } from '../../engine/store/open.ts';
import { followTrail, type TrailReach } from '../../engine/trail-check.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';

let postgres: TestPostgres;
let store: Store;
const time = { nowMs: 0, lookMs: 0 };
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.freshStore();
  Object.assign(time, { nowMs: 0, lookMs: 0 });
  for (const target of ['vm-1', 'vm-2', 'vm-3']) await add(target);
});

const add = (target: string) =>
  store.write((db) => appendAudit(db, { who: 'ana', via: 'certificate', what: 'pause', target, detail: '' }));
/** Past all guards of the database. */
const tamper = (statement: string) =>
  store.write(async (db) => {
    await db.execute(sql`set local session_replication_role = replica`);
    await db.execute(sql.raw(statement));
  });
const changeFirst = () => tamper("update audit_entries set detail = 'nothing' where target = 'vm-1'");
/** Each look at the clock takes as long as the test says: so a check that follows the whole takes `lookMs`. */
const clockMs = () => {
  time.nowMs += time.lookMs;
  return time.nowMs;
};
const look = async (reach: TrailReach) => (await store.read((db) => followTrail(db, reach, clockMs))).kind;

test('a quick trail is followed as a whole whenever a person asks for it', async () => {
  expect(await look('whole')).toBe('whole');
  await changeFirst();
  expect(await look('whole')).toBe('broken');
  expect(await look('recent')).toBe('broken');
});

test('what is looked at again and again reads what is new, and all of it every ten minutes', async () => {
  expect(await look('recent')).toBe('whole');
  await add('vm-4');
  expect(await look('recent')).toBe('whole');
  await changeFirst();
  expect(await look('recent')).toBe('whole');
  time.nowMs += 10 * minuteMs;
  expect(await look('recent')).toBe('broken');
});

test.each([
  ['a new entry that is changed', "update audit_entries set detail = 'nothing' where target = 'vm-4'"],
  [
    'an entry up to which it was followed, when it is another one',
    "update audit_chain set digest = repeat('a', 64) where number = 3",
  ],
  ['a new entry that is gone', 'delete from audit_chain where number = 4'],
])('a look at what is new finds %s', async (_what, statement) => {
  expect(await look('recent')).toBe('whole');
  await add('vm-4');
  await add('vm-5');
  await store.read((db) => db.execute(sql`select audit_link_entries()`));
  await tamper(statement);
  expect(await look('recent')).toBe('broken');
});

test('a trail that takes long is followed as a whole for a small part of the time, also by persons, and what is wrong stays said', async () => {
  time.lookMs = 2 * secondMs;
  expect(await look('whole')).toBe('whole');
  await changeFirst();
  time.lookMs = 0;
  time.nowMs += 30 * secondMs;
  expect(await look('whole')).toBe('whole');
  time.nowMs += 30 * secondMs;
  time.lookMs = 2 * secondMs;
  expect(await look('whole')).toBe('broken');
  time.lookMs = 0;
  await tamper("update audit_entries set detail = '' where target = 'vm-1'");
  expect(await look('whole')).toBe('broken');
  time.nowMs += minuteMs;
  expect(await look('whole')).toBe('whole');
});

test('who asks at the same time shares one check; a look at what is new is not enough for who wants the whole', async () => {
  await store.read(async (db) => {
    const whole = followTrail(db, 'whole', clockMs);
    expect(followTrail(db, 'whole', clockMs)).toBe(whole);
    expect(followTrail(db, 'recent', clockMs)).toBe(whole);
    await whole;
    const recent = followTrail(db, 'recent', clockMs);
    const next = followTrail(db, 'whole', clockMs);
    expect(next).not.toBe(recent);
    await Promise.all([recent, next]);
  });
});

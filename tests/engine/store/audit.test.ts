import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invariant } from '../../../domain/invariant.ts';
import { appendAudit, type ChainCheck, checkAuditChain, linkAudit, listAudit } from '../../../engine/store/audit.ts';
import type { Store } from '../../../engine/store/open.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

const entry = (number: number, more: Partial<Parameters<typeof appendAudit>[1]> = {}) => ({
  who: 'ana',
  via: 'slack:T1:U1',
  what: 'pause',
  target: `vm-${number}`,
  detail: `détail ${number} – 猫 ${'x'.repeat(number)}`,
  ...more,
});
async function storeWith(count: number): Promise<Store> {
  const store = await postgres.freshStore();
  for (let number = 1; number <= count; number += 1) {
    await store.write((db) => appendAudit(db, entry(number)));
  }
  await store.read(linkAudit);
  return store;
}
const check = (store: Store): Promise<ChainCheck> => store.read(checkAuditChain);

test('every entry gets a number and a digest before it is read, and the chain is whole', async () => {
  const store = await storeWith(3);
  await store.write(async (db) => {
    await appendAudit(db, entry(4));
    await appendAudit(db, entry(5));
  });
  const entries = await store.read((db) => listAudit(db, { countMax: 10 }));
  expect(entries.map(({ number, target }) => [number, target])).toEqual([
    [5, 'vm-5'],
    [4, 'vm-4'],
    [3, 'vm-3'],
    [2, 'vm-2'],
    [1, 'vm-1'],
  ]);
  expect(await check(store)).toEqual({ kind: 'whole', head: { number: 5, digest: entries[0]?.digest } });
});

test('an entry of a transaction that was rolled back leaves no gap, and an entry that cannot be written stops its command', async () => {
  const store = await storeWith(1);
  const failing = store.write(async (db) => {
    await appendAudit(db, entry(2));
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  await store.write((db) => appendAudit(db, entry(3)));
  expect(await check(store)).toMatchObject({ kind: 'whole', head: { number: 2 } });
  const silenced = store.write(async (db) => {
    await db.execute(sql`alter table audit_entries add constraint nothing_more check (id < 0) not valid`);
    await appendAudit(db, entry(4));
  });
  await expect(silenced).rejects.toThrow();
});

test('transactions at the same time, with other locks taken in any order, make one chain and wait for each other in no circle', async () => {
  const store = await postgres.freshStore();
  await store.write((db) => db.execute(sql`create table locked (id int primary key)`));
  await store.write((db) => db.execute(sql`insert into locked values (0), (1), (2)`));
  const work = (number: number) =>
    store.write(async (db) => {
      const lock = () => db.execute(sql`select * from locked where id = ${number % 3} for update`);
      if (number % 2 === 0) await lock();
      await appendAudit(db, entry(number % 20));
      if (number % 2 === 1) await lock();
    });
  await Promise.all(Array.from({ length: 60 }, (_, number) => work(number)));
  expect(await check(store)).toMatchObject({ kind: 'whole', head: { number: 60 } });
});

test('the tables are append-only: update, delete and truncate are refused, to our own user too', async () => {
  const store = await storeWith(2);
  const statements = [
    sql`update audit_entries set who = 'ben'`,
    sql`delete from audit_entries`,
    sql`truncate audit_entries cascade`,
    sql`update audit_chain set digest = repeat('0', 64)`,
    sql`delete from audit_chain where number = 2`,
    sql`truncate audit_chain`,
  ];
  for (const statement of statements) {
    const refusal = await store.write((db) => db.execute(statement)).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ cause: { message: expect.stringContaining('append-only') } });
  }
  expect(await check(store)).toMatchObject({ kind: 'whole', head: { number: 2 } });
});

describe('with the triggers taken away, whoever can write to the database is found out', () => {
  const attacks: [string, ReturnType<typeof sql>][] = [
    ['who did it is changed', sql`update audit_entries set who = 'ben' where target = 'vm-3'`],
    ['what was done is changed', sql`update audit_entries set what = 'look' where target = 'vm-3'`],
    ['the way is changed', sql`update audit_entries set via = 'certificate' where target = 'vm-3'`],
    ['the details are changed', sql`update audit_entries set detail = '' where target = 'vm-3'`],
    ['the time is changed', sql`update audit_entries set at = at + interval '1 ms' where target = 'vm-3'`],
    [
      'a letter moves from one field to the next',
      sql`update audit_entries set who = 'an', via = 'a' || via where target = 'vm-3'`,
    ],
    [
      'an entry is removed',
      sql`with gone as (delete from audit_chain where number = 3 returning entry_id) delete from audit_entries using gone where id = gone.entry_id`,
    ],
    [
      'an entry is removed and those behind it are renumbered',
      sql`with gone as (delete from audit_chain where number = 3 returning entry_id) select 1`,
    ],
    [
      'two entries are swapped',
      sql`update audit_entries set target = case target when 'vm-3' then 'vm-4' else 'vm-3' end where target in ('vm-3', 'vm-4')`,
    ],
    [
      'an entry is copied to the end',
      sql`insert into audit_chain select 6, nextval('audit_entries_id_seq'), digest from audit_chain where number = 5`,
    ],
    [
      'a link is copied to the end',
      sql`with copy as (insert into audit_entries (at, who, via, what, target, detail) select at, who, via, what, target, detail from audit_entries where target = 'vm-5' returning id) insert into audit_chain select 6, copy.id, digest from copy, audit_chain where number = 5`,
    ],
    [
      'an old entry is slipped in where no link is looked for',
      sql`insert into audit_entries (id, at, who, via, what, target, detail)
        values (-30000, now() - interval '1 day', 'ana', '', 'pause', 'vm-9', '')`,
    ],
    ['the first entry is removed', sql`delete from audit_chain where number = 1`],
    ['a digest is changed', sql`update audit_chain set digest = repeat('a', 64) where number = 5`],
  ];
  /** What the check says after an attack, which is then taken back. */
  async function checkAfter(...attack: readonly ReturnType<typeof sql>[]): Promise<ChainCheck> {
    let found: ChainCheck | undefined;
    const takenBack = store.write(async (db) => {
      await db.execute(sql`set local session_replication_role = replica`);
      for (const statement of attack) await db.execute(statement);
      found = await checkAuditChain(db);
      throw new Error('taken back');
    });
    await expect(takenBack).rejects.toThrow('taken back');
    expect(await check(store)).toMatchObject({ kind: 'whole', head: { number: 5 } });
    invariant(found, 'the check was made');
    return found;
  }
  let store: Store;
  beforeAll(async () => {
    store = await storeWith(5);
  });

  test.each(attacks)('%s', async (name, attack) => {
    const renumber = sql`update audit_chain set number = number - 1 where number > 3`;
    const attacked = await checkAfter(...(name.includes('renumbered') ? [attack, renumber] : [attack]));
    expect(attacked).toMatchObject({ kind: 'broken' });
  });

  test('only the removal of the end leaves a chain that is whole in itself: for that there are the anchors', async () => {
    const cut = await checkAfter(
      sql`delete from audit_entries using audit_chain where number = 5 and entry_id = id`,
      sql`delete from audit_chain where number = 5`,
    );
    expect(cut).toMatchObject({ kind: 'whole', head: { number: 4 } });
  });
});

test('the trail is asked by machine, by person and by an id in the details; what was asked for is no pattern', async () => {
  const store = await storeWith(3);
  await store.write((db) => appendAudit(db, entry(4, { who: 'ben', detail: 'started: run_0000000001' })));
  const about = async (text: string) =>
    (await store.read((db) => listAudit(db, { about: text, countMax: 10 }))).map(({ number }) => number);
  expect(await about('vm-2')).toEqual([2]);
  expect(await about('ben')).toEqual([4]);
  expect(await about('run_0000000001')).toEqual([4]);
  expect(await about('%')).toEqual([]);
  expect(await store.read((db) => listAudit(db, { countMax: 2 }))).toHaveLength(2);
});

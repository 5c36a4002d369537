import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { OutageError } from '../../../domain/outage.ts';
import { defaultPolicy } from '../../../domain/replication-policy.ts';
import { startLocalPostgres } from '../../../engine/store/local-postgres.ts';
import { openStore } from '../../../engine/store/open.ts';
import { findPolicy } from '../../../engine/store/policies.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
afterEach(() => setServer('reset all'));

async function run(connectionString: string, ...statements: string[]): Promise<void> {
  const client = new Client({ connectionString });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

/** Changes a setting of the whole server and waits until new connections see it. */
async function setServer(change: string): Promise<void> {
  const database = await postgres.freshDatabase();
  await run(database, `alter system ${change}`, 'select pg_reload_conf()');
  const [, name, value] = /^set (\w+) = (\w+)$/.exec(change) ?? [];
  const deadline = performance.now() + 10_000;
  while (performance.now() < deadline) {
    const client = new Client({ connectionString: database });
    await client.connect();
    const { rows } = await client.query(
      "select name, setting from pg_settings where name in ('fsync', 'full_page_writes')",
    );
    await client.end();
    if (rows.every((row) => row.setting === (row.name === name ? value : 'on'))) return;
  }
  throw new Error(`${change} did not come into force`);
}

const failure = (connectionString: string) =>
  openStore({ connectionString }).then(
    async (store) => {
      await store.close();
      return undefined;
    },
    (error: unknown) => error,
  );

test.each(['fsync', 'full_page_writes'])('a server with %s=off is refused, with what to do', async (name) => {
  const connectionString = await postgres.freshDatabase();
  await setServer(`set ${name} = off`);
  const error = await failure(connectionString);
  expect(error).toBeInstanceOf(OutageError);
  expect(error).toMatchObject({ retryable: false, message: expect.stringContaining(`${name}=off`) });
  expect(error).toMatchObject({ nextStep: expect.stringContaining(`${name} = on`) });
  await setServer('reset all');
  expect(await failure(connectionString)).toBeUndefined();
});

test('synchronous_commit=off is refused also when only this database has it', async () => {
  const connectionString = await postgres.freshDatabase();
  const name = new URL(connectionString).pathname.slice(1);
  await run(connectionString, `alter database ${name} set synchronous_commit = off`);
  expect(await failure(connectionString)).toMatchObject({ message: expect.stringContaining('synchronous_commit=off') });
});

test('a server that is not there is a retryable outage that names it and not the password', async () => {
  const error = await failure('postgresql://ana:secret@127.0.0.1:1/lifeboat');
  expect(error).toMatchObject({ retryable: true, message: 'Postgres at 127.0.0.1:1/lifeboat does not answer' });
  expect(JSON.stringify(error)).not.toContain('secret');
});

test('ten engines that start on an empty database at once make its tables once', async () => {
  const connectionString = await postgres.freshDatabase();
  await run(connectionString, 'drop schema public cascade', 'drop schema drizzle cascade', 'create schema public');
  const stores = await Promise.all(Array.from({ length: 10 }, () => openStore({ connectionString })));
  const [store] = stores;
  expect(await store?.read((db) => findPolicy(db, 'default'))).toEqual(defaultPolicy);
  await Promise.all(stores.map((each) => each.close()));
});

test('work under a name is done by one engine at a time, and a failure gives the name back', async () => {
  const connectionString = await postgres.freshDatabase();
  const [one, two] = await Promise.all([openStore({ connectionString }), openStore({ connectionString })]);
  const order: string[] = [];
  const outcome = await one.alone('duty', async () => {
    order.push('one');
    return two.alone('duty', async () => order.push('two'));
  });
  expect([outcome, order]).toEqual(['not-free', ['one']]);
  await expect(one.alone('duty', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(await two.alone('duty', async () => 'done')).toBe('done');
  await Promise.all([one.close(), two.close()]);
});

test('a frozen engine loses the name that it holds, and one that works keeps it as long as it likes', async () => {
  const connectionString = await postgres.freshDatabase();
  const store = await openStore({ connectionString });
  const program = path.join(import.meta.dirname, 'lock-holder.ts');
  const holders = ['frozen', 'working'].map((name) => fork(program, [connectionString, name]));
  try {
    await Promise.all(holders.map((holder) => once(holder, 'message')));
    holders[0]?.kill('SIGSTOP');
    const take = (name: string) => store.alone(name, async () => 'taken');
    expect(await take('frozen')).toBe('not-free');
    await expect.poll(() => take('frozen'), { timeout: 40_000, interval: 200 }).toBe('taken');
    // As long without a statement of its work as the frozen one: only that it says something tells them apart.
    expect(await take('working')).toBe('not-free');
  } finally {
    for (const holder of holders) holder.kill('SIGKILL');
    await store.close();
  }
});

test('a killed postmaster is an outage, what was committed is there after a restart, and the same store goes on', async () => {
  const own = await startTestPostgres();
  const connectionString = await own.freshDatabase();
  const troubles: Error[] = [];
  const store = await openStore({ connectionString, onTrouble: (error) => troubles.push(error) });
  await store.read((db) => db.execute("insert into executors (id) values ('kept')"));
  process.kill(own.pid, 'SIGKILL');
  const deadline = performance.now() + 10_000;
  let error: unknown;
  while (error === undefined && performance.now() < deadline)
    error = await store.nowMs().then(
      () => undefined,
      (e) => e,
    );
  expect(error).toMatchObject({ retryable: true, message: expect.stringContaining('does not answer') });
  const again = await startLocalPostgres({ folder: own.folder, log: () => undefined });
  const { rows } = await store.read((db) => db.execute('select id from executors'));
  expect(rows).toEqual([{ id: 'kept' }]);
  await store.close();
  await again.stop();
  await own.stop();
}, 60_000);

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import path, { resolve } from 'node:path';
import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { openJobPool } from '../../../engine/store/job-connections.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';

const dbos = 'node_modules/@dbos-inc/dbos-sdk/dist/src/system_database.js';
const { retriablePostgresException: waitsFor } = z
  .object({ retriablePostgresException: z.custom<(error: unknown) => boolean>((value) => typeof value === 'function') })
  .parse(createRequire(import.meta.url)(resolve(dbos)));

let postgres: TestPostgres;
let connectionString: string;
const pools: Pool[] = [];
beforeAll(async () => {
  postgres = await startTestPostgres();
  connectionString = await postgres.freshDatabase();
});
afterAll(() => postgres.stop());
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.end();
});

function jobPool(where = connectionString): Pool {
  const pool = openJobPool({
    connectionString: where,
    connectionCountMax: 2,
    name: 'test',
    onTrouble: () => undefined,
  });
  pools.push(pool);
  return pool;
}

/** Postgres ends what is silent or takes long soon: no test waits for minutes. */
function impatientPool(limits: { silenceMs: number; statementMs: number }): Pool {
  const pool = openJobPool({
    connectionString,
    connectionCountMax: 2,
    name: 'test',
    onTrouble: () => undefined,
    limits,
  });
  pools.push(pool);
  return pool;
}

function ordinaryPool(where = connectionString): Pool {
  const pool = new Pool({ connectionString: where, max: 2 });
  pool.on('error', () => undefined);
  pools.push(pool);
  return pool;
}

/** What a statement ends with whose connection breaks in the words of a socket. */
async function brokenWith(code: string, pool: Pool): Promise<unknown> {
  const client = await pool.connect();
  client.on('error', () => undefined);
  const failed = client.query('select pg_sleep(60)').catch((error: unknown) => error);
  // Of the client that the pool made, which is one of pg's.
  const { connection } = z.object({ connection: z.custom<{ stream: Socket }>() }).parse(client);
  connection.stream.destroy(Object.assign(new Error(`write ${code}`), { code }));
  const error = await failed;
  client.release(true);
  return error;
}

test.each(['EPIPE', 'ECONNRESET'])('a job waits for a database that broke its connection with %s', async (code) => {
  const error = await brokenWith(code, jobPool());
  expect(String(error)).toContain(`write ${code}`);
  expect(waitsFor(error)).toBe(true);
});

test('a job waits for a database whose socket is not there yet', async () => {
  const nowhere = 'postgresql://lifeboat@localhost/lifeboat?host=/nowhere';
  const of = (pool: Pool) => pool.query('select 1').catch((error: unknown) => error);
  expect(waitsFor(await of(jobPool(nowhere)))).toBe(true);
  expect(waitsFor(await of(ordinaryPool(nowhere)))).toBe(false);
});

test('an ordinary connection would end the job with EPIPE; a mistake of ours still does', async () => {
  expect(waitsFor(await brokenWith('EPIPE', ordinaryPool()))).toBe(false);
  const mistake = await jobPool()
    .query('select nothing from nowhere')
    .catch((error: unknown) => error);
  expect(waitsFor(mistake)).toBe(false);
});

/** A program that is frozen between BEGIN and COMMIT, with a lock on everything of its table. */
async function frozenHolder(): Promise<ChildProcess> {
  const holder = fork(path.join(import.meta.dirname, 'job-holder.ts'), [connectionString]);
  await once(holder, 'message');
  holder.kill('SIGSTOP');
  return holder;
}

test('an engine that is frozen in a transaction loses what it holds, and others go on', async () => {
  await ordinaryPool().query('create table held (id integer)');
  const holder = await frozenHolder();
  try {
    const other = jobPool();
    // Waits for the frozen one, and not for ever: Postgres ends its session.
    expect((await other.query('select count(*) from held')).rows).toEqual([{ count: '0' }]);
  } finally {
    holder.kill('SIGKILL');
  }
});

test('who wakes up after it was cut off, and whose statement took too long, goes on to wait as for a database that is away', async () => {
  const pool = impatientPool({ silenceMs: 200, statementMs: 300 });
  const client = await pool.connect();
  const isCutOff = new Promise((resolve) => client.once('error', resolve));
  await client.query('begin');
  await isCutOff;
  const late = await client.query('select 1').catch((error: unknown) => error);
  client.release(true);
  expect(waitsFor(late)).toBe(true);
  const slow = await pool.query('select pg_sleep(60)').catch((error: unknown) => error);
  expect(String(slow)).toContain('statement timeout');
  expect(waitsFor(slow)).toBe(true);
});

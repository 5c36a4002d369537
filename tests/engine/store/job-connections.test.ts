import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { resolve } from 'node:path';
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

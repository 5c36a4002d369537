import { spawn } from 'node:child_process';
import { chmod, lstat, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type LocalPostgres, startLocalPostgres } from '../../../engine/store/local-postgres.ts';

// Each test makes a database cluster of its own, which writes 40 MB.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
let server: LocalPostgres | undefined;
const logged: string[] = [];

beforeEach(async () => {
  logged.length = 0;
  folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-local-pg-'));
  await chmod(folder, 0o755);
});
afterEach(async () => {
  await server?.stop();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

const start = () => startLocalPostgres({ folder, log: (message) => logged.push(message) });

async function query(connectionString: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

test('the server is a PostgreSQL 18 with checksums, safe settings, C.UTF-8 and no TCP, not run by root', async () => {
  server = await start();
  const names = [
    'data_checksums',
    'fsync',
    'full_page_writes',
    'synchronous_commit',
    'listen_addresses',
    'server_encoding',
  ];
  const rows = await query(
    server.connectionString,
    `select name, setting from pg_settings where name in (${names.map((name) => `'${name}'`).join(',')})`,
  );
  expect(Object.fromEntries(rows.map((row) => [row.name, row.setting]))).toEqual({
    data_checksums: 'on',
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    listen_addresses: '',
    server_encoding: 'UTF8',
  });
  const [database] = await query(
    server.connectionString,
    "select datlocprovider, datlocale from pg_database where datname = 'lifeboat'",
  );
  expect(database).toEqual({ datlocprovider: 'b', datlocale: 'C.UTF-8' });
  const socketFolder = new URL(server.connectionString).searchParams.get('host') ?? '';
  expect((await stat(socketFolder)).mode & 0o777).toBe(0o700);
  expect(Buffer.byteLength(path.join(socketFolder, '.s.PGSQL.5432'))).toBeLessThan(108);
  expect((await stat(`/proc/${server.pid}`)).uid).not.toBe(0);
});

test('a server that its killed starter left behind is used again, with its data', async () => {
  const code = `import { startLocalPostgres } from ${JSON.stringify(path.resolve('engine/store/local-postgres.ts'))};
    const server = await startLocalPostgres({ folder: ${JSON.stringify(folder)}, log: () => undefined });
    process.stdout.write(server.connectionString + '\\n');
    setInterval(() => undefined, 1000);`;
  const starter = spawn(process.execPath, ['--input-type=module-typescript', '--eval', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const first = await new Promise<string>((resolve) =>
    starter.stdout.once('data', (line: Buffer) => resolve(`${line}`.trim())),
  );
  await query(first, 'create table kept (x int)');
  const exited = new Promise((resolve) => starter.once('exit', resolve));
  starter.kill('SIGKILL');
  await exited;
  server = await start();
  expect(logged.join()).toContain('still running');
  expect(server.connectionString).toBe(first);
  expect(await query(server.connectionString, 'select count(*)::int as n from kept')).toEqual([{ n: 0 }]);
});

test('after kill -9 of the whole server it starts again, with what was committed', async () => {
  const killed = await start();
  await query(killed.connectionString, 'create table kept as select generate_series(1, 1000) as x');
  process.kill(killed.pid, 'SIGKILL');
  server = await start();
  expect(server.pid).not.toBe(killed.pid);
  expect(await query(server.connectionString, 'select count(*)::int as n from kept')).toEqual([{ n: 1000 }]);
});

test('a stopped server is gone, with its socket', async () => {
  const stopped = await start();
  const socketFolder = new URL(stopped.connectionString).searchParams.get('host') ?? '';
  await stopped.stop();
  await stopped.stop();
  await expect(lstat(socketFolder)).rejects.toThrow('ENOENT');
  await expect(stat(`/proc/${stopped.pid}`)).rejects.toThrow('ENOENT');
});

test('a damaged data folder is a clear error with the end of the log', async () => {
  const stopped = await start();
  await stopped.stop();
  await rm(path.join(folder, 'data', 'global'), { recursive: true });
  await expect(start()).rejects.toThrow(/start PostgreSQL in .*its log ends with:\n.*pg_control/s);
});

test.runIf(process.getuid?.() === 0)(
  'as root, in a folder that is closed to others, the data lies elsewhere and the folder says where',
  async () => {
    await chmod(folder, 0o700);
    server = await start();
    const place = (await readFile(path.join(folder, 'postgres-is-at'), 'utf8')).trim();
    try {
      await query(server.connectionString, 'create table kept (x int)');
      await server.stop();
      server = await start();
      expect(await query(server.connectionString, 'select count(*)::int as n from kept')).toEqual([{ n: 0 }]);
    } finally {
      await server.stop();
      await rm(place, { recursive: true, force: true });
    }
  },
);

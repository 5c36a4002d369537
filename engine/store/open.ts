import { drizzle } from 'drizzle-orm/node-postgres';
import { Pool, type PoolClient } from 'pg';
import { OutageError } from '../../domain/outage.ts';
import { minuteMs } from '../../domain/units.ts';
import { asOutage, type Database, databaseNowMs } from './database.ts';
import { listenForEvents } from './listen.ts';
import { migrateDatabase } from './migrate.ts';
import { createTurns, type TurnLimits } from './turns.ts';

/**
 * The engine's Postgres. All its methods throw OutageError (retryable) when the server does not answer.
 *
 * Reads and writes take turns: more of them than there are connections wait. None may be made within another one.
 */
export type Store = {
  /** The server, without any password. */
  readonly description: string;
  /** For people, e.g. `PostgreSQL 18.4`. */
  readonly version: string;
  /** Statements that need no common transaction. */
  read<T>(work: (db: Database) => Promise<T>): Promise<T>;
  /** One transaction: all of it or nothing. Keep other waiting out of it; write events last (see events.ts). */
  write<T>(work: (db: Database) => Promise<T>): Promise<T>;
  /**
   * Does the work only when no other engine does work of this name now; `not-free` when one does.
   * The lock goes with the connection: a dead engine gives it back at once, a frozen one after 10 s. It may then wake up beside the
   * next one, so the work must bear that, as it bears being cut off.
   */
  alone<T>(name: string, work: () => Promise<T>): Promise<T | 'not-free'>;
  nowMs(): Promise<number>;
  /** Calls back when an event was committed by any engine. It may be called too often; returns the way to stop. */
  onEvent(listener: () => void): () => void;
  /** Closing it again changes nothing. */
  close(): Promise<void>;
};

const poolSizeMax = 10;
/** Room for a storm of a thousand commands on a busy host. People wait less long: the API gives up earlier (see server.ts). */
const turnLimits: TurnLimits = { atOnceMax: poolSizeMax, waitingMax: 2000, waitMsMax: minuteMs };
/** Locks have their own few connections: work under a lock can then never wait for itself. */
const lockPoolSizeMax = 4;
/** A holder that is frozen says nothing, and Postgres ends its session: nobody may wait for it for ever. It is taken for dead by then. */
const lockSilenceMs = 10_000;
const lockPingMs = 2000;
const connectTimeoutMs = 5000;
const statementTimeoutMs = 30_000;

/**
 * Connects, checks that the server keeps what it has acknowledged, and brings the tables up to date.
 *
 * @throws OutageError when the server does not answer (retryable), is too old, or has a setting that can lose a commit
 */
export async function openStore(deps: {
  connectionString: string;
  onTrouble?: (error: Error) => void;
}): Promise<Store> {
  const description = describeServer(deps.connectionString);
  const pool = boundedPool(deps, poolSizeMax);
  const lockPool = boundedPool(deps, lockPoolSizeMax);
  const db: Database = drizzle(pool);
  // Without turns the pool's own queue would count waiting as connecting, and a storm of requests as a server that is away.
  const turns = createTurns('the database', turnLimits);
  const attempt = <T>(work: () => Promise<T>) =>
    work().catch((error: unknown) => {
      throw asOutage(error, description);
    });
  const version = await attempt(() => prepare(pool, description)).catch(async (error: unknown) => {
    await Promise.all([pool.end(), lockPool.end()]);
    throw error;
  });
  const listening = listenForEvents(deps.connectionString);
  let closing: Promise<void> | undefined;
  const close = async () => {
    await listening.close();
    await Promise.all([pool.end(), lockPool.end()]);
  };
  return {
    description,
    version,
    read: (work) => attempt(() => turns.take(() => work(db))),
    write: (work) => attempt(() => turns.take(() => db.transaction(work))),
    alone: (name, work) => attempt(() => withLock(lockPool, name, work)),
    nowMs: () => attempt(() => turns.take(() => databaseNowMs(db))),
    onEvent: listening.onEvent,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

function boundedPool(deps: { connectionString: string; onTrouble?: (error: Error) => void }, max: number): Pool {
  const pool = new Pool({
    connectionString: deps.connectionString,
    max,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 30_000,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: 60_000,
    application_name: 'lifeboat-engine',
  });
  // An idle connection that breaks is not an error of anybody's statement: the next statement opens another one or
  // says why not.
  pool.on('error', (error) => deps.onTrouble?.(error));
  // One that breaks in the middle of a transaction fails its statement; without a listener it would end the process as well.
  pool.on('connect', (client) => {
    client.on('error', (error: Error) => deps.onTrouble?.(error));
  });
  return pool;
}

async function prepare(pool: Pool, description: string): Promise<string> {
  const client = await pool.connect();
  try {
    const version = await checkServer(client, description);
    await migrateDatabase(client);
    return version;
  } finally {
    client.release();
  }
}

/** Settings that let Postgres acknowledge a commit and lose it in a power cut. */
const settingsThatKeepCommits = ['fsync', 'full_page_writes', 'synchronous_commit'] as const;
const oldestVersion = 150_000;

async function checkServer(client: PoolClient, description: string): Promise<string> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    'select name, setting from pg_settings where name = any($1)',
    [[...settingsThatKeepCommits, 'server_version', 'server_version_num']],
  );
  const settings = new Map(rows.map((row) => [row.name, row.setting]));
  if (Number(settings.get('server_version_num')) < oldestVersion) {
    throw new OutageError(
      `Postgres at ${description} is version ${settings.get('server_version')}; 15 or newer is needed`,
      {
        retryable: false,
        nextStep: 'Upgrade the server, or give the connection string of a newer one.',
      },
    );
  }
  const unsafe = settingsThatKeepCommits.filter((name) => settings.get(name) === 'off');
  if (unsafe.length > 0) {
    const wanted = unsafe.map((name) => `${name} = on`).join(', ');
    throw new OutageError(`Postgres at ${description} runs with ${unsafe.map((name) => `${name}=off`).join(', ')}`, {
      retryable: false,
      nextStep:
        `A power cut could lose recovery points that were reported as safe. Set ${wanted} in postgresql.conf (also look ` +
        'for ALTER SYSTEM, ALTER DATABASE and ALTER ROLE), restart the server, then start again.',
    });
  }
  return `PostgreSQL ${settings.get('server_version')}`;
}

async function withLock<T>(pool: Pool, name: string, work: () => Promise<T>): Promise<T | 'not-free'> {
  const client = await pool.connect();
  let broken: Error | undefined;
  let ping: NodeJS.Timeout | undefined;
  client.on('error', (error: Error) => {
    broken = error;
  });
  try {
    // Before the lock is taken: who is frozen right after it would else hold it for ever.
    await client.query(`set idle_session_timeout = ${lockSilenceMs}`);
    const { rows } = await client.query<{ taken: boolean }>(
      'select pg_try_advisory_lock(hashtextextended($1, 0)) as taken',
      [name],
    );
    if (rows[0]?.taken !== true) return 'not-free';
    // That it broke is said by its `error` event, above.
    ping = setInterval(() => client.query('select').catch(() => undefined), lockPingMs);
    return await work();
  } finally {
    clearInterval(ping);
    // A closed connection gives the lock back in every case, also when the statement that would do it cannot be sent.
    client.release(broken ?? true);
  }
}

function describeServer(connectionString: string): string {
  if (!URL.canParse(connectionString)) return 'the given connection string';
  const url = new URL(connectionString);
  return `${url.searchParams.get('host') ?? url.host}${url.pathname}`;
}

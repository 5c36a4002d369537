import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, lstat, mkdir, mkdtemp, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { OutageError } from '../../domain/outage.ts';
import { findNativePostgres, isOpenToAll, makeFolder, type NativePostgres } from './native-postgres.ts';
import { readIfThere } from './read-if-there.ts';

export type LocalPostgres = {
  /** Has no password: only the owner of the socket's 0700 folder (and root) can connect. */
  readonly connectionString: string;
  readonly pid: number;
  /** Stops the server in order; open connections are closed. */
  stop(): Promise<void>;
};

/** The user that Postgres runs as when we are root, which it refuses to run as: `nobody` on every Linux. */
const unprivilegedId = 65_534;
/** Where the data lies when we are root and the asked folder is closed to other users, e.g. somewhere under /root. */
const openDataFolder = '/var/lib/lifeboat';
const startTimeoutMs = 20_000;
const stopTimeoutMs = 20_000;
const pollMs = 25;
const logBytesMax = 10_000_000;
const databaseName = 'lifeboat';
const userName = 'lifeboat';

/** Small and quiet, but nothing that weakens durability: fsync, full_page_writes and synchronous_commit stay on. */
const settings = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  shared_buffers: '32MB',
  max_connections: '60',
  max_wal_size: '256MB',
  min_wal_size: '64MB',
  io_method: 'sync',
  max_logical_replication_workers: '0',
  max_parallel_workers: '0',
  jit: 'off',
  autovacuum_naptime: '60s',
  bgwriter_delay: '1s',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
  log_line_prefix: '%m [%p] ',
  timezone: 'UTC',
  log_timezone: 'UTC',
} as const;

type Owner = { readonly uid: number; readonly gid: number } | undefined;

/**
 * A real PostgreSQL 18 of this program's own, its data in a folder, reachable over a Unix socket only.
 *
 * The first start makes the database (about a second). A server that a killed engine left running is taken over.
 * As root it runs as `nobody`; when that user cannot reach the folder, the data lies under /var/lib/lifeboat and the
 * folder says where.
 *
 * @throws OutageError with the end of the server's log when it does not start
 */
export async function startLocalPostgres(deps: {
  readonly folder: string;
  /** Where the socket is made: a short path. Default: a folder in the temporary folder, the same one at every start. */
  readonly socketFolder?: string;
  readonly log: (message: string) => void;
}): Promise<LocalPostgres> {
  const owner = process.getuid?.() === 0 ? { uid: unprivilegedId, gid: unprivilegedId } : undefined;
  const place = await placeOf(path.resolve(deps.folder), owner);
  const left = await runningServer(place);
  if (left !== undefined) {
    const connectionString = connectionStringOf(left.socketFolder, databaseName);
    if (await answers(left.socketFolder)) {
      deps.log(`PostgreSQL (process ${left.pid}) was still running and is used again`);
      await ensureDatabase(left.socketFolder);
      return { connectionString, pid: left.pid, stop: () => stopServer(left.pid, left.socketFolder, place) };
    }
    await stopServer(left.pid, left.socketFolder, place);
  }
  const native = await findNativePostgres(owner !== undefined);
  await initialise(native, place, owner);
  return start(native, place, { owner, socketFolder: deps.socketFolder });
}

async function placeOf(folder: string, owner: Owner): Promise<string> {
  await makeFolder(folder);
  if (owner === undefined || (await isOpenToAll(folder))) return folder;
  // The folder only points to the data, by a name of its own: a folder that is removed and made again gets a new
  // database.
  const pointer = path.join(folder, 'postgres-is-at');
  const known = await readIfThere(pointer);
  const place = known.trim() || path.join(openDataFolder, `postgres-${randomBytes(6).toString('hex')}`);
  await makeFolder(place);
  if (!(await isOpenToAll(place))) {
    throw new OutageError(`${place} cannot be reached by the unprivileged user that PostgreSQL runs as`, {
      retryable: false,
      nextStep: 'Choose a state folder that other users may pass through (chmod o+x), or do not run as root.',
    });
  }
  await writeFile(pointer, `${place}\n`);
  return place;
}

async function initialise(native: NativePostgres, place: string, owner: Owner): Promise<void> {
  const data = path.join(place, 'data');
  if (await exists(path.join(data, 'PG_VERSION'))) return;
  const unfinished = path.join(place, 'data.unfinished');
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  if (owner !== undefined) await chown(unfinished, owner.uid, owner.gid);
  const options = ['--data-checksums', '--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  await promisify(execFile)(
    native.initdb,
    ['-D', unfinished, '-U', userName, ...options, '--locale=C', '--auth-local=trust', '--auth-host=reject'],
    // The present folder may be closed to the server's user.
    { ...owner, cwd: '/', env: { LC_ALL: 'C', TZ: 'UTC', PATH: process.env.PATH }, timeout: 60_000 },
  ).catch((cause: unknown) => {
    throw new OutageError(`make a PostgreSQL database in ${unfinished}`, {
      cause,
      retryable: false,
      nextStep: 'Check that the folder has space left and can be written.',
    });
  });
  await rename(unfinished, data);
}

async function start(
  native: NativePostgres,
  place: string,
  options: { readonly owner: Owner; readonly socketFolder: string | undefined },
): Promise<LocalPostgres> {
  const { owner } = options;
  const socketFolder = await socketFolderOf(place, options);
  const deadline = performance.now() + startTimeoutMs;
  while (true) {
    const server = await launch(native, place, { socketFolder, owner });
    const outcome = await waitUntilReady(server, socketFolder, deadline);
    if (outcome === 'ready') {
      await ensureDatabase(socketFolder);
      const { pid } = server;
      const connectionString = connectionStringOf(socketFolder, databaseName);
      return { connectionString, pid, stop: () => stopServer(pid, socketFolder, place) };
    }
    // For a second or two after a kill the old server's last processes still hold its shared memory.
    if (performance.now() > deadline || !(await holdsOldMemory(place))) {
      await rm(socketFolder, { recursive: true, force: true });
      throw new OutageError(`start PostgreSQL in ${place}; its log ends with:\n${await logTail(place)}`, {
        retryable: outcome === 'timeout',
        nextStep: `The whole log is ${path.join(place, 'postgres.log')}.`,
      });
    }
    await delay(250);
  }
}

/**
 * The server's socket: by default in the temporary folder, because a socket's path may have 107 bytes only, and the
 * same one after a
 * restart, so that whoever keeps the connection string finds the server again.
 */
async function socketFolderOf(
  place: string,
  options: { readonly owner: Owner; readonly socketFolder: string | undefined },
): Promise<string> {
  const { owner, socketFolder } = options;
  const note = path.join(place, 'socket-is-in');
  const known = socketFolder ?? (await readIfThere(note)).trim();
  if (known !== '' && (await isOurs(known, owner))) return known;
  if (socketFolder !== undefined) {
    throw new OutageError(
      `use ${socketFolder} for PostgreSQL's socket: it is not a private folder of the server's user`,
      {
        retryable: false,
        nextStep: `See who made ${socketFolder}, then remove it.`,
      },
    );
  }
  const made = await mkdtemp(path.join(shortTemporaryFolder(), 'lifeboat-pg-'));
  if (owner !== undefined) await chown(made, owner.uid, owner.gid);
  await writeFile(note, `${made}\n`);
  return made;
}

/** True when the folder is there, or could be made, for the server's user alone: others may know its name too. */
async function isOurs(folder: string, owner: Owner): Promise<boolean> {
  const made = await mkdir(folder, { mode: 0o700 }).then(
    () => true,
    () => false,
  );
  if (made && owner !== undefined) await chown(folder, owner.uid, owner.gid);
  // A folder that cannot even be looked at is not ours.
  const found = await lstat(folder).catch(() => undefined);
  const isPrivate = found?.isDirectory() === true && (found.mode & 0o077) === 0;
  return isPrivate && found.uid === (owner?.uid ?? process.getuid?.());
}

type Launched = { readonly pid: number; readonly exited: () => boolean };

async function launch(
  native: NativePostgres,
  place: string,
  options: { readonly socketFolder: string; readonly owner: Owner },
): Promise<Launched> {
  const logFile = path.join(place, 'postgres.log');
  const logSize = await stat(logFile).then(
    (found) => found.size,
    () => 0,
  );
  const log = await open(logFile, logSize > logBytesMax ? 'w' : 'a', 0o600);
  const flags = Object.entries({ ...settings, unix_socket_directories: options.socketFolder });
  let exited = false;
  try {
    const child = spawn(
      native.postgres,
      ['-D', path.join(place, 'data'), ...flags.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      // Its own process group: Ctrl-C in a terminal must not stop the database before the engine has ended.
      {
        ...options.owner,
        cwd: '/',
        env: { LC_ALL: 'C', TZ: 'UTC' },
        stdio: ['ignore', log.fd, log.fd],
        detached: true,
      },
    );
    child.once('exit', () => {
      exited = true;
    });
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    child.unref();
    if (child.pid === undefined) throw new Error('the process has no id');
    return { pid: child.pid, exited: () => exited };
  } catch (cause) {
    throw new OutageError(`run ${native.postgres}`, { cause, retryable: false });
  } finally {
    await log.close();
  }
}

async function waitUntilReady(
  server: Launched,
  socketFolder: string,
  deadline: number,
): Promise<'ready' | 'exited' | 'timeout'> {
  while (performance.now() < deadline) {
    if (server.exited()) return 'exited';
    if (await answers(socketFolder)) return 'ready';
    await delay(pollMs);
  }
  process.kill(server.pid, 'SIGQUIT');
  return 'timeout';
}

/** What the data folder's lock file says: the server that runs on it, if that process is alive and a Postgres. */
async function runningServer(place: string): Promise<{ pid: number; socketFolder: string } | undefined> {
  const text = await readIfThere(path.join(place, 'data', 'postmaster.pid'));
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  const socketFolder = lines[4]?.trim();
  if (!Number.isSafeInteger(pid) || pid <= 1 || !socketFolder) return undefined;
  return (await isPostgres(pid)) ? { pid, socketFolder } : undefined;
}

async function isPostgres(pid: number): Promise<boolean> {
  const name = await readIfThere(`/proc/${pid}/comm`);
  const state = await readIfThere(`/proc/${pid}/stat`);
  return name.trim() === 'postgres' && !/\) Z /.test(state);
}

/** It may end between a look and the signal. */
function askToEnd(pid: number): void {
  try {
    process.kill(pid, 'SIGINT');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

async function stopServer(pid: number, socketFolder: string, place: string): Promise<void> {
  const deadline = performance.now() + stopTimeoutMs;
  if (await isPostgres(pid)) askToEnd(pid);
  while (await isPostgres(pid)) {
    if (performance.now() > deadline) {
      throw new OutageError(`stop PostgreSQL (process ${pid}); its log ends with:\n${await logTail(place)}`, {
        retryable: true,
      });
    }
    await delay(pollMs);
  }
  if (path.basename(socketFolder).startsWith('lifeboat-pg-')) await rm(socketFolder, { recursive: true, force: true });
}

async function answers(socketFolder: string): Promise<boolean> {
  const client = new Client({
    connectionString: connectionStringOf(socketFolder, 'postgres'),
    connectionTimeoutMillis: 2000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    // Not yet, or no longer: the caller goes by the answer and looks at the process and its log for the reason.
    return false;
  } finally {
    await client.end();
  }
}

async function ensureDatabase(socketFolder: string): Promise<void> {
  const client = new Client({ connectionString: connectionStringOf(socketFolder, 'postgres') });
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [databaseName]);
    if (found.rowCount === 0) await client.query(`create database ${databaseName}`);
  } finally {
    await client.end();
  }
}

function connectionStringOf(socketFolder: string, database: string): string {
  return `postgresql://${userName}@localhost/${database}?host=${encodeURIComponent(socketFolder)}`;
}

function shortTemporaryFolder(): string {
  const folder = os.tmpdir();
  return Buffer.byteLength(folder) > 60 ? '/tmp' : folder;
}

async function holdsOldMemory(place: string): Promise<boolean> {
  return /pre-existing shared memory block|lock file .* already exists/.test(await logTail(place));
}

async function logTail(place: string): Promise<string> {
  const text = await readIfThere(path.join(place, 'postgres.log'));
  return text.split('\n').slice(-12).join('\n').trim();
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

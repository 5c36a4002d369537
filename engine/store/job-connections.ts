import { Client, type ClientConfig, Pool } from 'pg';

/** What a connection that broke, or cannot be made now, may say, and DBOS does not take for that. */
const unknownToDbos = new Set(['EPIPE', 'ENOENT', 'ENOTFOUND', 'ENETRESET', 'ENOTCONN']);

const connectTimeoutMs = 10_000;
/**
 * An engine that is frozen between BEGIN and COMMIT holds what it has locked, and nobody could take its jobs over: Postgres ends its session.
 * DBOS does so itself only where the connections are its own.
 */
const silenceMsDefault = 60_000;
/** Longer than what it may have to wait for: whoever is frozen loses first. */
const statementMsDefault = 2 * silenceMsDefault;

/** A statement that took longer than it may: the database is there, and does not get on. DBOS would end the job. */
const canceledStatement = '57014';
const serverIsNotReady = '57P03';

/**
 * A connection whose faults DBOS understands. It waits for a database that is away, but knows only some of the words that say so; for
 * any other it ends the job as an error: a Postgres that died while DBOS wrote to it (`EPIPE`) failed a planned failover.
 */
class JobClient extends Client {
  constructor(config?: string | ClientConfig) {
    super(config);
    this.connection.prependListener('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== undefined && unknownToDbos.has(error.code)) error.code = 'ECONNRESET';
    });
    this.connection.prependListener('errorMessage', (error: { code?: string }) => {
      if (error.code === canceledStatement) error.code = serverIsNotReady;
    });
  }
}

/** The connections of DBOS. Whoever opens them closes them. */
export function openJobPool(order: {
  readonly connectionString: string;
  readonly connectionCountMax: number;
  readonly name: string;
  readonly onTrouble: (error: Error) => void;
  /** Tests do not wait for minutes. */
  readonly limits?: { readonly silenceMs: number; readonly statementMs: number };
}): Pool {
  const { connectionString, connectionCountMax, name, onTrouble } = order;
  const { silenceMs, statementMs } = order.limits ?? { silenceMs: silenceMsDefault, statementMs: statementMsDefault };
  const pool = new Pool({
    connectionString,
    max: connectionCountMax,
    connectionTimeoutMillis: connectTimeoutMs,
    idle_in_transaction_session_timeout: silenceMs,
    statement_timeout: statementMs,
    application_name: name,
    Client: JobClient,
  });
  pool.on('error', onTrouble);
  return pool;
}

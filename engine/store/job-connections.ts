import { Client, type ClientConfig, Pool } from 'pg';

/** What a connection that broke, or cannot be made now, may say, and DBOS does not take for that. */
const unknownToDbos = new Set(['EPIPE', 'ENOENT', 'ENOTFOUND', 'ENETRESET', 'ENOTCONN']);

const connectTimeoutMs = 10_000;

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
  }
}

/** The connections of DBOS. Whoever opens them closes them. */
export function openJobPool(order: {
  readonly connectionString: string;
  readonly connectionCountMax: number;
  readonly name: string;
  readonly onTrouble: (error: Error) => void;
}): Pool {
  const { connectionString, connectionCountMax, name, onTrouble } = order;
  const pool = new Pool({
    connectionString,
    max: connectionCountMax,
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: name,
    Client: JobClient,
  });
  pool.on('error', onTrouble);
  return pool;
}

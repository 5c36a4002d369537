import { Client } from 'pg';

export const eventsChannel = 'lifeboat_events';
const reconnectAfterMs = 1000;

/**
 * Keeps one connection that hears of new events. While it is broken nobody is called: whoever waits for events must
 * also
 * look by itself from time to time.
 */
export function listenForEvents(connectionString: string): {
  onEvent(listener: () => void): () => void;
  close(): Promise<void>;
} {
  const listeners = new Set<() => void>();
  const state: { client: Client | undefined; closed: boolean; timer: NodeJS.Timeout | undefined } = {
    client: undefined,
    closed: false,
    timer: undefined,
  };
  const call = () => {
    for (const listener of listeners) listener();
  };
  const again = (client: Client) => {
    if (state.closed || state.client !== client) return;
    state.client = undefined;
    client.end().catch(ignoreClosingError);
    state.timer = setTimeout(connect, reconnectAfterMs).unref();
  };
  const connect = () => {
    const client = new Client({ connectionString, application_name: 'lifeboat-events', connectionTimeoutMillis: 5000 });
    state.client = client;
    client.on('error', () => again(client));
    client.on('end', () => again(client));
    client.on('notification', call);
    client
      .connect()
      .then(() => client.query(`listen ${eventsChannel}`))
      // Events may have been missed while nobody listened.
      .then(call)
      .catch(() => again(client));
  };
  connect();
  return {
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      state.closed = true;
      clearTimeout(state.timer);
      await state.client?.end().catch(ignoreClosingError);
    },
  };
}

/** A connection that is being given up may fail to say goodbye; it is gone either way. */
function ignoreClosingError(): void {}

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { assertNever } from '../../domain/invariant.ts';
import type { ChangeStreamProblem } from '../../protocol/change-stream.ts';
import { watchProcess } from '../../protocol/process-metrics.ts';
import { expositionOf } from '../metrics/exposition.ts';
import type { BlobStore } from '../vault/blob-store.ts';
import type { Observe, ProcessServerEvent } from './observer.ts';

export type ProcessServerMetrics = {
  readonly observe: Observe;
  /** The same store, whose failures are counted. */
  readonly watched: (store: BlobStore) => BlobStore;
  readonly render: () => Promise<string>;
  readonly stop: () => void;
};

const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const problems = [
  'position-mismatch',
  'bad-request',
  'unauthenticated',
  'grant-refused',
  'fenced',
  'unknown-route',
  'too-large',
  'bad-content',
  'busy',
  'outage',
  'vault-full',
] as const satisfies readonly ChangeStreamProblem['kind'][];
const operations = ['put', 'get', 'head', 'list', 'delete', 'check'] as const satisfies readonly (keyof BlobStore)[];

/** What this process server has done since it was started. */
export function createProcessServerMetrics(version: string): ProcessServerMetrics {
  const registry = new Registry();
  const ownProcess = watchProcess({ program: 'process-server', version });
  const meters = segmentMeters(registry);
  const vaultErrors = new Counter({
    name: 'lifeboat_vault_errors_total',
    help: 'Accesses to the storage of the vault that failed.',
    labelNames: ['operation'],
    registers: [registry],
  });
  for (const operation of operations) vaultErrors.inc({ operation }, 0);
  return {
    observe: (event) => observe(event, meters),
    watched: (store) => watchedStore(store, (operation) => vaultErrors.inc({ operation })),
    render: async () => `${await expositionOf(ownProcess.families())}\n${await registry.metrics()}`,
    stop: ownProcess.stop,
  };
}

type Meters = ReturnType<typeof segmentMeters>;

function segmentMeters(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers });
  const meters = {
    segments: counter('lifeboat_segments_total', 'Segments that are in the vault.', ['outcome']),
    received: counter('lifeboat_segments_received_bytes_total', 'Bytes of segments that agents have begun to send.'),
    stored: counter('lifeboat_segments_stored_bytes_total', 'Bytes of segments that were written, sealed.'),
    refused: counter('lifeboat_segments_refused_total', 'Segments that were not taken, by reason.', ['reason']),
    requests: counter('lifeboat_process_server_requests_total', 'Requests that were answered.', ['what', 'status']),
    durations: new Histogram({
      name: 'lifeboat_segment_append_seconds',
      help: 'How long the vault took for a segment, until it was durable.',
      buckets: secondsBuckets,
      registers,
    }),
    inFlight: new Gauge({ name: 'lifeboat_segments_in_flight', help: 'Segments that are being taken.', registers }),
    lastSuccess: new Gauge({
      name: 'lifeboat_last_segment_timestamp_seconds',
      help: 'When the vault took the newest segment, in Unix time; 0 before the first since the start.',
      registers,
    }),
  };
  for (const outcome of ['appended', 'already-there']) meters.segments.inc({ outcome }, 0);
  for (const reason of problems) meters.refused.inc({ reason }, 0);
  return meters;
}

function observe(event: ProcessServerEvent, meters: Meters): void {
  switch (event.kind) {
    case 'segment-begun':
      meters.inFlight.inc();
      meters.received.inc(event.lengthBytes);
      return;
    case 'segment-done':
      meters.inFlight.dec();
      return;
    case 'appended':
      meters.segments.inc({ outcome: event.outcome });
      meters.stored.inc(event.storedBytes);
      meters.durations.observe(event.seconds);
      meters.lastSuccess.setToCurrentTime();
      return;
    case 'answered':
      meters.requests.inc({ what: event.what, status: String(event.status) });
      if (event.what === 'segments' && event.problem !== undefined) meters.refused.inc({ reason: event.problem });
      return;
    default:
      assertNever(event);
  }
}

type Operation = (typeof operations)[number];

function watchedStore(store: BlobStore, onError: (operation: Operation) => void): BlobStore {
  const watched = async <Answer>(operation: Operation, work: () => Promise<Answer>): Promise<Answer> => {
    try {
      return await work();
    } catch (error) {
      onError(operation);
      throw error;
    }
  };
  return {
    description: store.description,
    put: (name, content) => watched('put', () => store.put(name, content)),
    get: (name, range) => watched('get', () => store.get(name, range)),
    head: (name) => watched('head', () => store.head(name)),
    list: (prefix) => watchedList(store.list(prefix), () => onError('list')),
    delete: (name) => watched('delete', () => store.delete(name)),
    check: () => watched('check', () => store.check()),
  };
}

async function* watchedList<Item>(items: AsyncIterable<Item>, onError: () => void): AsyncIterable<Item> {
  try {
    yield* items;
  } catch (error) {
    onError();
    throw error;
  }
}

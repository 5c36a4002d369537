import { setTimeout as delay } from 'node:timers/promises';
import type { Store } from '../../../engine/store/open.ts';
import type { EngineAnswer, EngineProcess } from './engine-control.ts';

export type StormAnswer = EngineAnswer & {
  readonly what: 'test-failover' | 'cleanup';
  readonly key: string;
  readonly elapsedMs: number;
};

/**
 * So many commands for one machine at once, evenly over the engines: of each five, two are test failovers with one common key, two are
 * test failovers with keys of their own, and one is a clean-up.
 */
export function storm(
  engines: readonly EngineProcess[],
  machineName: string,
  requestCount: number,
): Promise<StormAnswer[]> {
  const startedMs = performance.now();
  const requests = Array.from({ length: requestCount }, (_, index) => {
    const engine = engines[index % engines.length];
    if (engine === undefined) throw new Error('a storm needs engines');
    const place = Math.floor(index / engines.length) % 5;
    const what = place === 4 ? ('cleanup' as const) : ('test-failover' as const);
    return { engine, what, key: place < 2 ? `${machineName} same` : `${machineName} other ${index}` };
  });
  return Promise.all(
    requests.map(async ({ engine, what, key }) => {
      const answer = await engine.order(what, machineName, key);
      return { ...answer, what, key, elapsedMs: Math.round(performance.now() - startedMs) };
    }),
  );
}

/** Looks at these engines' heartbeats as engines do, by the database's clock, until it is stopped. */
export function watchHeartbeats(
  store: Store,
  engines: readonly EngineProcess[],
): {
  stop(): Promise<{ readonly oldestMs: number; readonly lookCount: number }>;
} {
  const seen = { oldestMs: 0, lookCount: 0 };
  let isOver = false;
  const look = async () => {
    const { rows } = await store.read((db) =>
      db.execute<{ id: string; age_ms: number }>(
        'select id, (extract(epoch from clock_timestamp() - heartbeat_at) * 1000)::int as age_ms from executors',
      ),
    );
    const ages = engines.map((engine) => rows.find(({ id }) => id === engine.executorId)?.age_ms);
    // One that is not there any more was taken for dead.
    seen.oldestMs = Math.max(seen.oldestMs, ...ages.map((ageMs) => ageMs ?? Number.POSITIVE_INFINITY));
    seen.lookCount += 1;
  };
  const watch = async () => {
    while (!isOver) {
      await look();
      await delay(20);
    }
  };
  const watching = watch();
  return {
    async stop() {
      isOver = true;
      await watching;
      return seen;
    },
  };
}

/** The value that so many percent of all are not above. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? 0;
}

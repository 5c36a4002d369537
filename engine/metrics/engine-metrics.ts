import { minuteMs, secondMs } from '../../domain/units.ts';
import { gauge, type MetricFamily } from '../../protocol/metric-family.ts';
import { watchProcess } from '../../protocol/process-metrics.ts';
import { readMetricCounts } from '../store/metric-counts.ts';
import { readMetricState } from '../store/metric-state.ts';
import type { Store } from '../store/open.ts';
import { countFamilies } from './count-families.ts';
import { expositionOf } from './exposition.ts';
import { createReading } from './reading.ts';
import { createRequestMetrics, type RequestMetrics } from './request-metrics.ts';
import { stateFamilies } from './state-families.ts';

export type EngineMetricsDeps = {
  readonly store: Pick<Store, 'read'>;
  readonly heartbeatEveryMs: number;
  readonly version: string;
  readonly onTrouble: (error: unknown) => void;
  /** For tests. */
  readonly rules?: { readonly state?: Partial<typeof stateRules>; readonly counts?: Partial<typeof countRules> };
};

export type EngineMetrics = Pick<RequestMetrics, 'answered' | 'stepUp'> & {
  /** Answers also while the database does not: then with `lifeboat_database_up 0` and without what only it knows. */
  readonly render: () => Promise<string>;
  readonly stop: () => void;
};

/** Prometheus gives up after 10 s. */
const waitMsMax = 4 * secondMs;
const stateRules = { keepMs: 5 * secondMs, waitMsMax, staleMsMax: 0 };
/** Counting over all points may take long on a large site: an older count is good enough, and better than none. */
const countRules = { keepMs: minuteMs, waitMsMax, staleMsMax: 15 * minuteMs };

export function createEngineMetrics(deps: EngineMetricsDeps): EngineMetrics {
  const { store, heartbeatEveryMs, version, onTrouble, rules } = deps;
  const requests = createRequestMetrics();
  const ownProcess = watchProcess({ program: 'engine', version });
  const state = createReading(() => store.read(readMetricState), { ...stateRules, ...rules?.state }, onTrouble);
  const counts = createReading(() => store.read(readMetricCounts), { ...countRules, ...rules?.counts }, onTrouble);
  const families = async (): Promise<MetricFamily[]> => {
    const [now, counted] = await Promise.all([state(), counts()]);
    // Of a database that is away nothing is known: figures of before would look well.
    if (now === undefined) return databaseFamilies({ isUp: false });
    return [
      ...databaseFamilies({ isUp: true, stateMs: now.tookMs, countsMs: counted?.tookMs }),
      ...stateFamilies(now.value, heartbeatEveryMs),
      ...(counted === undefined ? [] : countFamilies(counted.value)),
    ];
  };
  return {
    answered: requests.answered,
    stepUp: requests.stepUp,
    render: async () => {
      const text = await expositionOf([...ownProcess.families(), ...(await families())]);
      return `${text}\n${await requests.text()}`;
    },
    stop: ownProcess.stop,
  };
}

function databaseFamilies(given: { isUp: boolean; stateMs?: number; countsMs?: number | undefined }): MetricFamily[] {
  const took = [
    [inSeconds(given.stateMs), 'state'],
    [inSeconds(given.countsMs), 'counts'],
  ] as const;
  return [
    gauge('lifeboat_database_up', 'Whether the database answered the reading for this scrape.', given.isUp ? 1 : 0),
    gauge('lifeboat_metrics_read_seconds', 'How long the last reading of the database took.', took, ['reading']),
  ];
}

function inSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}

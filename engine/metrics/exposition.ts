import { Counter, Gauge, Registry } from 'prom-client';
import { gauge, type MetricFamily } from '../../protocol/metric-family.ts';

/** So many series a metric may have: more are left out, and `lifeboat_series_dropped` says how many. */
export const seriesCountMax = 5000;

/** The text that Prometheus reads (format 0.0.4). Nothing is kept: what is gone from the families is gone from the text. */
export async function expositionOf(families: readonly MetricFamily[], countMax = seriesCountMax): Promise<string> {
  const registry = new Registry();
  const dropped = families.reduce((sum, { series }) => sum + Math.max(0, series.length - countMax), 0);
  for (const family of [...families, droppedFamily(dropped)]) addFamily(registry, family, countMax);
  return registry.metrics();
}

function droppedFamily(count: number): MetricFamily {
  return gauge('lifeboat_series_dropped', `Series left out, because a metric has more than ${seriesCountMax}.`, count);
}

function addFamily(registry: Registry, family: MetricFamily, countMax: number): void {
  const { name, help, labelNames, series } = family;
  const options = { name, help, labelNames: [...labelNames], registers: [registry] };
  const metric = family.kind === 'counter' ? new Counter(options) : new Gauge(options);
  for (const [value, ...words] of series.slice(0, countMax)) {
    metric.inc(Object.fromEntries(labelNames.map((label, index) => [label, words[index] ?? ''])), value);
  }
}

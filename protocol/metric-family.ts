/**
 * A metric with all its values, as they are at one moment. Counters may only grow while what they count is kept.
 * Names are those of Prometheus: base units (`_seconds`, `_bytes`), and `_total` for counters.
 */
export type MetricFamily = {
  readonly kind: 'gauge' | 'counter';
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** A value, then one word for each label name. */
  readonly series: readonly MetricSeries[];
};
export type MetricSeries = readonly [value: number, ...labels: string[]];

type About = { readonly name: string; readonly help: string; readonly labels?: readonly string[] };
/** One value without labels, or a series for each row; what is unknown (undefined) is left out: unknown is never zero. */
type Values = number | undefined | readonly (readonly [value: number | undefined, ...labels: string[]])[];

export function gauge(name: string, help: string, values: Values, labels: readonly string[] = []): MetricFamily {
  return family('gauge', { name, help, labels }, values);
}

export function counter(name: string, help: string, values: Values, labels: readonly string[] = []): MetricFamily {
  return family('counter', { name, help, labels }, values);
}

function family(kind: MetricFamily['kind'], { name, help, labels = [] }: About, values: Values): MetricFamily {
  const rows = typeof values === 'number' || values === undefined ? [[values] as const] : values;
  const series = rows.flatMap(([value, ...words]): MetricSeries[] => (value === undefined ? [] : [[value, ...words]]));
  return { kind, name, help, labelNames: labels, series };
}

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { assertNever } from '../../domain/invariant.ts';
import type { MetricFamily } from '../../protocol/metric-family.ts';
import { watchProcess } from '../../protocol/process-metrics.ts';
import type { DeliveryEvent, ObserveDelivery } from '../delivery/observed-delivery.ts';
import type { ObserveLine } from '../observed-line.ts';

/** Where people talk to the bot. */
export type MeasuredSurface = 'slack' | 'teams' | 'web';

export type BotMetrics = {
  /** What to give to the conversation of a surface. */
  readonly lines: (surface: MeasuredSurface) => ObserveLine;
  readonly deliveries: (surface: 'slack' | 'teams') => ObserveDelivery;
  /** Asked at each scrape: how many pages are open now. */
  readonly setOpenPages: (count: () => number) => void;
  readonly render: () => Promise<string>;
  readonly stop: () => void;
};

const secondsBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const outcomes = ['delivered', 'later', 'undeliverable'] as const;

/**
 * What this bot has done since it was started.
 *
 * @param surfaces those that are configured: of others there is no series, so that nothing looks down that was never up
 */
export function createBotMetrics(version: string, surfaces: readonly MeasuredSurface[]): BotMetrics {
  const registry = new Registry();
  const ownProcess = watchProcess({ program: 'bot', version });
  const lines = lineMeters(registry);
  const deliveries = deliveryMeters(registry);
  const pages = { count: () => 0 };
  new Gauge({
    name: 'lifeboat_web_pages_open',
    help: 'Pages of the web console that are shown live now.',
    registers: [registry],
    collect() {
      this.set(pages.count());
    },
  });
  for (const surface of surfaces) if (surface !== 'web') prepareDeliveries(surface, deliveries);
  return {
    lines:
      (surface) =>
      ({ verb, outcome, seconds }) => {
        lines.total.inc({ surface, verb, outcome });
        lines.seconds.observe({ surface }, seconds);
      },
    deliveries: (surface) => (event) => observe(event, surface, deliveries),
    setOpenPages: (count) => {
      pages.count = count;
    },
    render: async () => `${await textOf(ownProcess.families())}\n${await registry.metrics()}`,
    stop: ownProcess.stop,
  };
}

function lineMeters(registry: Registry) {
  const registers = [registry];
  return {
    total: new Counter({
      name: 'lifeboat_chat_lines_total',
      help: 'Lines, clicks and forms of people that were carried out.',
      labelNames: ['surface', 'verb', 'outcome'],
      registers,
    }),
    seconds: new Histogram({
      name: 'lifeboat_chat_line_seconds',
      help: 'From the line to its reply, without the way to the platform.',
      labelNames: ['surface'],
      buckets: secondsBuckets,
      registers,
    }),
  };
}

type DeliveryMeters = ReturnType<typeof deliveryMeters>;

function deliveryMeters(registry: Registry) {
  const registers = [registry];
  const labelNames = ['surface'];
  return {
    total: new Counter({
      name: 'lifeboat_chat_deliveries_total',
      help: 'Attempts to show a message; later: it is tried again.',
      labelNames: ['surface', 'outcome'],
      registers,
    }),
    seconds: new Histogram({
      name: 'lifeboat_chat_delivery_seconds',
      help: 'How long an attempt took.',
      labelNames,
      buckets: secondsBuckets,
      registers,
    }),
    limited: new Counter({
      name: 'lifeboat_chat_rate_limited_total',
      help: 'Attempts that the platform answered with its rate limit (HTTP 429).',
      labelNames,
      registers,
    }),
    up: new Gauge({
      name: 'lifeboat_chat_surface_up',
      help: 'Whether the platform answered the last probe, made every minute.',
      labelNames,
      registers,
    }),
    heard: new Gauge({
      name: 'lifeboat_engine_last_answer_timestamp_seconds',
      help: 'When the engine last answered the delivery to this platform, in Unix time; 0 before the first answer.',
      labelNames,
      registers,
    }),
  };
}

function prepareDeliveries(surface: string, meters: DeliveryMeters): void {
  for (const outcome of outcomes) meters.total.inc({ surface, outcome }, 0);
  meters.limited.inc({ surface }, 0);
  meters.up.set({ surface }, 0);
  meters.heard.set({ surface }, 0);
}

function observe(event: DeliveryEvent, surface: string, meters: DeliveryMeters): void {
  switch (event.kind) {
    case 'ended':
      meters.total.inc({ surface, outcome: event.outcome });
      meters.seconds.observe({ surface }, event.seconds);
      return;
    case 'rate-limited':
      meters.limited.inc({ surface });
      return;
    case 'probed':
      meters.up.set({ surface }, event.isHealthy ? 1 : 0);
      return;
    case 'engine-answered':
      meters.heard.setToCurrentTime({ surface });
      return;
    default:
      assertNever(event);
  }
}

async function textOf(families: readonly MetricFamily[]): Promise<string> {
  const registry = new Registry();
  for (const { kind, name, help, labelNames, series } of families) {
    const options = { name, help, labelNames: [...labelNames], registers: [registry] };
    const metric = kind === 'counter' ? new Counter(options) : new Gauge(options);
    for (const [value, ...words] of series) {
      metric.inc(Object.fromEntries(labelNames.map((label, index) => [label, words[index] ?? ''])), value);
    }
  }
  return registry.metrics();
}

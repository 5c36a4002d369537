import { afterEach, expect, it, vi } from 'vitest';
import { executeChatLine } from '../../bot/chat-line.ts';
import { DeliveryError } from '../../bot/chat-surface.ts';
import { type BotMetrics, createBotMetrics } from '../../bot/metrics/bot-metrics.ts';
import { OutageError } from '../../domain/outage.ts';
import { listenForMetrics, type MetricsListener } from '../../protocol/metrics-listener.ts';
import { readExposition, sampleValue } from '../fixtures/exposition.ts';
import { createRig, delivery, until } from './delivery/deliveries.ts';
import { engineOf, worlds } from './recorded-answers.ts';

vi.setConfig({ testTimeout: 60_000 });

const open: { metrics: BotMetrics; listener: MetricsListener }[] = [];
afterEach(async () => {
  for (const { metrics, listener } of open.splice(0)) {
    metrics.stop();
    await listener.close();
  }
});

async function start() {
  const metrics = createBotMetrics('1.2.3', ['slack', 'web']);
  const listener = await listenForMetrics({ host: '127.0.0.1', port: 0 }, metrics.render, () => undefined);
  open.push({ metrics, listener });
  const scrape = async () => readExposition(await (await fetch(listener.url)).text());
  return { metrics, scrape };
}

it('counts lines by their verb and by what became of them', async () => {
  const { metrics, scrape } = await start();
  const engine = engineOf(worlds.well ?? { machines: [] });
  const who = { surface: 'slack', tenant: 'T1', user: 'U1', displayName: 'ana', envelope: 'e1' } as const;
  const actor = { ...who, kind: 'member' } as const;
  const observe = metrics.lines('slack');
  let count = 0;
  const newKey = () => {
    count += 1;
    return `key-${count}`;
  };
  const say = (line: string, ask = engine.ask) =>
    executeChatLine(line, { engine: { ask }, speaker: { actor }, newKey, nowMs: () => 0, observe });
  await say('list vms');
  await say('list vms');
  await say('failover');
  await say('frobnicate "}');
  await say('show alr_0000000000');
  await say('list hosts', () => Promise.reject(new OutageError('asking the engine', { retryable: true })));
  await expect(say('whoami', () => Promise.reject(new TypeError('a bug')))).rejects.toThrow('a bug');
  const seen = await scrape();
  const lines = seen
    .get('lifeboat_chat_lines_total')
    ?.samples.map(({ labels, value }) => [`${labels.surface} ${labels.verb} ${labels.outcome}`, value]);
  expect(Object.fromEntries(lines ?? [])).toMatchObject({
    'slack list answered': 2,
    'slack none not-understood': 1,
    'slack show refused': 1,
    'slack list outage': 1,
    'slack whoami error': 1,
  });
  expect(sampleValue(seen, 'lifeboat_chat_line_seconds_count', { surface: 'slack' })).toBe(7);
});

it('counts deliveries by platform and outcome, and says whether platform and engine answer', async () => {
  const { metrics, scrape } = await start();
  const rig = createRig({ observe: metrics.deliveries('slack') });
  rig.state.fail = ({ title }) =>
    title === 'note 2' ? new DeliveryError('slow down', { retryAfterMs: 4000, isRateLimited: true }) : undefined;
  const before = await scrape();
  expect(sampleValue(before, 'lifeboat_chat_surface_up', { surface: 'slack' })).toBe(0);
  // Teams and the web are not configured as platforms here: nothing of them looks down.
  expect(before.get('lifeboat_chat_surface_up')?.samples).toHaveLength(1);
  rig.waiting.push(delivery(1), delivery(2, { place: { ...delivery(1).place, place: 'C2' } }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 2 && rig.reports.length > 0, 'both, and a probe');
  const seen = await scrape();
  const value = (name: string, labels: Record<string, string> = {}) =>
    sampleValue(seen, `lifeboat_${name}`, { surface: 'slack', ...labels });
  expect(value('chat_deliveries_total', { outcome: 'delivered' })).toBe(1);
  expect(value('chat_deliveries_total', { outcome: 'later' })).toBe(1);
  expect(value('chat_deliveries_total', { outcome: 'undeliverable' })).toBe(0);
  expect(value('chat_delivery_seconds_count')).toBe(2);
  expect(value('chat_rate_limited_total')).toBe(1);
  expect(value('chat_surface_up')).toBe(1);
  expect(value('engine_last_answer_timestamp_seconds')).toBeGreaterThan(1e9);
  rig.state.isPlatformUp = false;
  await until(() => rig.reports.includes(false), 'the probe that fails');
  expect(sampleValue(await scrape(), 'lifeboat_chat_surface_up', { surface: 'slack' })).toBe(0);
  await rig.stop(running);
});

it('asks how many pages are open at each scrape', async () => {
  const { metrics, scrape } = await start();
  let count = 3;
  metrics.setOpenPages(() => count);
  expect(sampleValue(await scrape(), 'lifeboat_web_pages_open')).toBe(3);
  count = 0;
  expect(sampleValue(await scrape(), 'lifeboat_web_pages_open')).toBe(0);
});

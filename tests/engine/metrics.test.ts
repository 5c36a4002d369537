import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBotMetrics } from '../../bot/metrics/bot-metrics.ts';
import { machinesWithHealth } from '../../engine/health.ts';
import {
  createEngineMetrics,
  type EngineMetrics,
  type EngineMetricsDeps,
} from '../../engine/metrics/engine-metrics.ts';
import { expositionOf } from '../../engine/metrics/exposition.ts';
import { createReading } from '../../engine/metrics/reading.ts';
import { createProcessServerMetrics } from '../../engine/process-server/metrics.ts';
import type { Store } from '../../engine/store/open.ts';
import { gauge } from '../../protocol/metric-family.ts';
import { listenForMetrics, type MetricsListener } from '../../protocol/metrics-listener.ts';
import { type Family, readExposition, sampleValue } from '../fixtures/exposition.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { startTestApi } from './api/api-fixture.ts';
import { execute } from './messages/outbox.ts';
import { protectMachines } from './workflow/protected-machine.ts';

/** As bad as a name can be: it closes the label, begins a line of its own and says that all is well. */
const hostile = 'vm"} 1\nlifeboat_lag_seconds{machine="vm-7"} 0\n\\';
/** A busy machine is no reason to fail. */
const patience = { waitMsMax: 60_000 };
const polling = { timeout: 60_000, interval: 10 };
/** Nothing becomes silent, or falls behind, while the tests run. */
const heartbeatEveryMs = 3_600_000;

let postgres: TestPostgres;
let store: Store;
const opened: (() => unknown)[] = [];

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
  await fill();
});
afterAll(async () => {
  for (const close of opened) await close();
  await postgres.stop();
});

/** vm-7 is well, vm-8 far behind, vm-9 paused; nothing is heard of the fourth one's agent. */
async function fill(): Promise<void> {
  await protectMachines(store, ['vm-7', 'vm-8', 'vm-9']);
  await execute(store, 'update agents set last_seen_at = now()');
  await execute(store, 'update replication_policies set rpo_threshold_ms = 1800000');
  await protectMachines(store, ['vm-hostile']);
  await execute(
    store,
    `update agents set last_seen_at = now() - interval '5 h' where id in
    (select agent_id from protected_machines where name = 'vm-hostile')`,
  );
  await execute(store, `update protected_machines set name = ${literal(hostile)} where name = 'vm-hostile'`);
  await execute(store, `update guests set name = ${literal(hostile)} where name = 'vm-hostile'`);
  const ofMachine = (name: string) => `(select id from protected_machines where name = '${name}')`;
  await execute(
    store,
    `update recovery_points set taken_at = now() - interval '2 h' where machine_id = ${ofMachine('vm-8')}`,
  );
  await execute(
    store,
    `update protected_machines set paused_until = now() + interval '1 h', pause_reason = 'work', sent_bytes_total = 123456
      where name = 'vm-9'`,
  );
  await execute(
    store,
    `insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, state, started_at, finished_at, result, failure)
      select 'run_000000000' || i, 'test-failover', ${ofMachine('vm-7')}, 'ana', 'key-' || i, '{}', repeat('a', 64),
        case when i < 4 then 'succeeded' else 'failed' end, now() - interval '1 d', now() - interval '1 d' + i * interval '1 s',
        case when i < 4 then jsonb_build_object('verified', i = 2) end, case when i = 4 then 'no boot' end
      from generate_series(1, 4) i`,
  );
}

function literal(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll("'", "''")}'`;
}

function metricsOf(more: Partial<EngineMetricsDeps> = {}): EngineMetrics & { readonly troubles: unknown[] } {
  const troubles: unknown[] = [];
  const onTrouble = (error: unknown) => troubles.push(error);
  const rules = { state: { keepMs: 0, ...patience }, counts: { keepMs: 0, ...patience } };
  const metrics = createEngineMetrics({ store, heartbeatEveryMs, version: '1.2.3', onTrouble, rules, ...more });
  opened.push(metrics.stop);
  return { ...metrics, troubles };
}

async function serve(metrics: { readonly render: () => Promise<string> }): Promise<MetricsListener> {
  const at = { host: '127.0.0.1', port: 0 };
  const listener = await listenForMetrics(at, metrics.render, () => undefined);
  opened.push(listener.close);
  return listener;
}

async function scrape(metrics: { readonly render: () => Promise<string> }): Promise<Map<string, Family>> {
  const { url } = await serve(metrics);
  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  return readExposition(await answer.text());
}

describe('a scrape of the engine', () => {
  test('says of each machine what status says', async () => {
    const seen = await scrape(metricsOf());
    const machines = await store.read((db) => machinesWithHealth(db, heartbeatEveryMs));
    expect(machines).toHaveLength(4);
    for (const { machine, health, lagMs } of machines) {
      const labels = { machine: machine.name };
      expect(sampleValue(seen, 'lifeboat_machine_health', { ...labels, health: health.kind })).toBe(1);
      const lag = sampleValue(seen, 'lifeboat_lag_seconds', labels) ?? -1;
      expect(Math.abs(lag - (lagMs ?? -1000) / 1000)).toBeLessThan(30);
      expect(sampleValue(seen, 'lifeboat_lag_threshold_seconds', labels)).toBe(1800);
      expect(sampleValue(seen, 'lifeboat_points_available', labels)).toBe(1);
    }
    const healths = machines.map(({ machine, health }) => [machine.name, health.kind]);
    expect(Object.fromEntries(healths)).toEqual({
      'vm-7': 'healthy',
      'vm-8': 'critical',
      'vm-9': 'warning',
      [hostile]: 'unknown',
    });
  });

  test('counts the site, its jobs and its agents', async () => {
    const seen = await scrape(metricsOf());
    const value = (name: string, labels: Record<string, string> = {}) => sampleValue(seen, `lifeboat_${name}`, labels);
    expect(value('database_up')).toBe(1);
    expect(value('machines', { state: 'protected' })).toBe(4);
    expect(value('machines', { state: 'not-protected' })).toBe(0);
    expect(value('machines_paused')).toBe(1);
    expect(value('points', { state: 'available' })).toBe(4);
    expect(value('replicated_bytes_total', { machine: 'vm-9' })).toBe(123456);
    expect(value('runs_total', { kind: 'test-failover', state: 'succeeded' })).toBe(3);
    expect(value('runs_total', { kind: 'test-failover', state: 'failed' })).toBe(1);
    expect(value('run_duration_seconds', { kind: 'test-failover', quantile: '0.5' })).toBe(2);
    expect(value('agents', { state: 'heard' })).toBe(1);
    expect(value('agents', { state: 'silent' })).toBe(1);
    expect(value('alerts_open', { rule: 'lag', severity: 'critical' })).toBe(0);
    expect(value('build_info', { program: 'engine', version: '1.2.3' })).toBe(1);
    const { samples = [] } = seen.get('lifeboat_last_verified_drill_timestamp_seconds') ?? {};
    // Only the second one was verified; machines without any have no series.
    expect(samples.map(({ labels }) => labels)).toEqual([{ machine: 'vm-7' }]);
    expect(Date.now() / 1000 - (samples[0]?.value ?? 0)).toBeGreaterThan(86_000);
  });

  test('after a restart of the engine counts on where the database is', async () => {
    const before = await scrape(metricsOf());
    const after = await scrape(metricsOf());
    for (const name of ['lifeboat_runs_total', 'lifeboat_replicated_bytes_total', 'lifeboat_points_sealed_total']) {
      expect(after.get(name)?.samples).toEqual(before.get(name)?.samples);
    }
  });

  test('a name cannot break out of its label', async () => {
    const seen = await scrape(metricsOf());
    const lags = seen.get('lifeboat_lag_seconds')?.samples ?? [];
    expect(lags.map(({ labels }) => labels.machine).sort()).toEqual(['vm-7', 'vm-8', 'vm-9', hostile].sort());
    // The reader would notice: the same name without the care is refused.
    expect(() => readExposition(`# HELP x y\n# TYPE x gauge\nx{machine="${hostile}"} 1\n`)).toThrow();
  });

  test('has the control API by the pattern of the route, whatever is asked for', async () => {
    const metrics = metricsOf();
    const api = await startTestApi(await postgres.freshStore(), { onAnswered: metrics.answered });
    try {
      const vera = await api.as({ kind: 'person', name: 'vera' });
      for (let count = 0; count < 5; count += 1) await vera.get(`/v1/machines/vm-${count}`);
      for (let count = 0; count < 5; count += 1) await vera.get(`/v1/nothing/${count}`);
      await vera.get('/v1/version');
      await expect.poll(async () => (await metrics.render()).match(/status="404"/g)?.length, polling).toBe(2);
      const seen = await scrape(metrics);
      const routes = seen.get('lifeboat_http_requests_total')?.samples.map(({ labels }) => labels.route);
      expect(routes?.sort()).toEqual(['/v1/machines/:name', '/v1/version', 'unknown']);
      const of = { route: '/v1/machines/:name' };
      expect(sampleValue(seen, 'lifeboat_http_requests_total', { ...of, status: '404' })).toBe(5);
      expect(sampleValue(seen, 'lifeboat_http_request_duration_seconds_count', of)).toBe(5);
    } finally {
      await api.stop();
    }
  });
});

describe('the load of scrapes', () => {
  test('many scrapes are one reading', async () => {
    let readCount = 0;
    const long = { keepMs: 3_600_000, ...patience };
    const counted: Pick<Store, 'read'> = {
      read: (work) => {
        readCount += 1;
        return store.read(work);
      },
    };
    const { url } = await serve(metricsOf({ store: counted, rules: { state: long, counts: long } }));
    for (let count = 0; count < 5; count += 1) await Promise.all([fetch(url), fetch(url), fetch(url)]);
    // One of what is now and one of the counts.
    expect(readCount).toBe(2);
  });

  test('a metric has a limit of series, and what is left out is said', async () => {
    const rows = Array.from({ length: 5003 }, (_, index) => [1, `vm-${index}`] as const);
    const seen = readExposition(await expositionOf([gauge('lifeboat_x', 'x', rows, ['machine'])]));
    expect(seen.get('lifeboat_x')?.samples).toHaveLength(5000);
    expect(sampleValue(seen, 'lifeboat_series_dropped')).toBe(3);
  });

  test('a reading that takes long is waited for a short time, and never begun twice', async () => {
    const never = Promise.withResolvers<number>();
    let begun = 0;
    const reading = createReading(
      () => {
        begun += 1;
        return never.promise;
      },
      { keepMs: 60_000, waitMsMax: 1, staleMsMax: 0 },
      () => undefined,
    );
    expect([await reading(), await reading()]).toEqual([undefined, undefined]);
    expect(begun).toBe(1);
    never.resolve(7);
    await expect.poll(async () => (await reading())?.value, polling).toBe(7);
    expect(begun).toBe(1);
  });

  test('a count that fails leaves the older one for a while; what is now is never old', async () => {
    for (const staleMsMax of [60_000, 0]) {
      const state = { isGone: false, failureCount: 0 };
      const read = async () => {
        if (state.isGone) throw new Error('gone');
        return 1;
      };
      const rules = { keepMs: 0, waitMsMax: 10_000, staleMsMax };
      const reading = createReading(read, rules, () => {
        state.failureCount += 1;
      });
      expect((await reading())?.value).toBe(1);
      state.isGone = true;
      await expect.poll(async () => (await reading()) && state.failureCount === 0, polling).not.toBe(true);
      expect((await reading())?.value).toBe(staleMsMax === 0 ? undefined : 1);
    }
  });
});

/** What the three programs say in real scrapes. */
async function everyFamily(): Promise<Map<string, Family>> {
  const processServer = createProcessServerMetrics('1.2.3');
  const bot = createBotMetrics('1.2.3', ['slack', 'teams', 'web']);
  opened.push(processServer.stop, bot.stop);
  const scrapes = await Promise.all([metricsOf(), processServer, bot].map(scrape));
  return new Map(scrapes.flatMap((families) => [...families]));
}

const docs = join(import.meta.dirname, '../../docs');
const textOf = (file: string) => readFile(join(docs, file), 'utf8');

/** Names in a text that no scrape knows; those of histograms with their endings. */
function unknownNames(text: string, families: ReadonlyMap<string, Family>): string[] {
  const names = new Set(text.match(/\blifeboat_[a-z_]*[a-z]\b/g) ?? []);
  return [...names].filter((name) => {
    const histogram = families.get(name.replace(/_(bucket|sum|count)$/, ''));
    return !families.has(name) && histogram?.type !== 'histogram';
  });
}

describe('the documents', () => {
  test('name every metric that there is, with its type and labels, and no other', async () => {
    const families = await everyFamily();
    const text = await textOf('operations/metrics.md');
    expect(unknownNames(text, families)).toEqual([]);
    expect(unknownNames('`lifeboat_lag_minutes`', families)).toEqual(['lifeboat_lag_minutes']);
    for (const { name, type, samples } of families.values()) {
      const [, said, labels] = new RegExp(`^\\| \`${name}\` \\| (\\w+) \\| ([^|]*)\\|`, 'm').exec(text) ?? [];
      expect([name, said]).toEqual([name, type]);
      const used = samples.flatMap((sample) => Object.keys(sample.labels)).filter((label) => label !== 'le');
      for (const label of new Set(used)) expect(`${name}: ${labels}`).toMatch(new RegExp(`\\b${label}\\b`));
    }
  });

  test('the dashboard asks for what there is, through its own choice of a data source', async () => {
    const families = await everyFamily();
    const text = await textOf('monitoring/grafana-dashboard.json');
    const board = JSON.parse(text);
    expect(unknownNames(text, families)).toEqual([]);
    expect(board.uid).toBeUndefined();
    expect(board.templating.list.filter((one: { type: string }) => one.type === 'datasource')).toHaveLength(1);
    const uids = [...text.matchAll(/"uid": "([^"]*)"/g)].map((match) => match[1]);
    expect(new Set(uids)).toEqual(new Set(['${' + 'datasource}']));
    const panels: { id: number; title: string; type: string; targets?: { expr: string }[] }[] = board.panels;
    expect(new Set(panels.map((panel) => panel.id)).size).toBe(panels.length);
    for (const panel of panels.filter(({ type }) => type !== 'row')) {
      expect(panel.targets?.length).toBeGreaterThan(0);
      for (const { expr } of panel.targets ?? []) expect(faultOf(expr, families)).toBeUndefined();
    }
  });

  test('the rules ask for what there is, and the documents say which metric they use', async () => {
    const families = await everyFamily();
    const text = await textOf('monitoring/alert-rules.yml');
    expect(unknownNames(text, families)).toEqual([]);
    const rules = text.split(/^ {6}- alert: /m).slice(1);
    const described = await textOf('operations/metrics.md');
    for (const rule of rules) {
      const name = rule.slice(0, rule.indexOf('\n'));
      const expression = (/^ {8}expr: (?:>-\n)?([\s\S]*?)\n {8}(?:for|labels):/m.exec(rule)?.[1] ?? '').trim();
      expect([name, faultOf(expression, families)]).toEqual([name, undefined]);
      expect(rule).toMatch(
        /severity: (warning|critical)\n {8}annotations:\n {10}summary: ".+"\n {10}description: ".+"/,
      );
      for (const metric of expression.match(/lifeboat_[a-z_]+/g) ?? []) {
        const row = described.split('\n').find((line) => line.startsWith(`| \`${metric}\``));
        expect(row).toContain(name);
      }
    }
    for (const [, name] of described.matchAll(/\b(Lifeboat[A-Z]\w+)/g)) expect(text).toContain(`- alert: ${name}\n`);
    expect(faultOf('max(lifeboat_lag_seconds{host="x"})', families)).toContain('host');
    expect(faultOf('max(lifeboat_lag_seconds', families)).toContain('brackets');
  });
});

/** What is wrong with an expression, as far as that can be seen without Prometheus: brackets, and labels that a metric does not have. */
function faultOf(expression: string, families: ReadonlyMap<string, Family>): string | undefined {
  const open: string[] = [];
  for (const sign of expression.replace(/"[^"]*"/g, '')) {
    if ('([{'.includes(sign)) open.push(sign);
    else if (')]}'.includes(sign) && open.pop() !== '([{'[')]}'.indexOf(sign)]) return 'brackets';
  }
  if (open.length > 0 || expression === '') return 'brackets';
  for (const [, name = '', matchers = ''] of expression.matchAll(/\b(lifeboat_[a-z_]+)\{([^}]*)\}/g)) {
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
    const used = new Set(family?.samples.flatMap((sample) => Object.keys(sample.labels)));
    for (const [, label = ''] of matchers.matchAll(/([a-z]+)\s*[=!]/g)) {
      if (family !== undefined && family.samples.length > 0 && !used.has(label)) return `${name} has no label ${label}`;
    }
  }
  return undefined;
}

// The last one: it takes the database away.
test('while the database is away a scrape says so, and nothing that may be wrong', async () => {
  // With its usual patience: a scrape ends in any case.
  const metrics = metricsOf({ rules: { state: { keepMs: 0 }, counts: { keepMs: 0 } } });
  const { url } = await serve(metrics);
  const last = async () => readExposition(await (await fetch(url)).text());
  await expect.poll(async () => sampleValue(await last(), 'lifeboat_database_up'), polling).toBe(1);
  process.kill(postgres.pid, 'SIGQUIT');
  await expect.poll(async () => sampleValue(await last(), 'lifeboat_database_up'), polling).toBe(0);
  const seen = await last();
  expect([...seen.keys()].filter((name) => /lag|machine|points|runs|alerts/.test(name))).toEqual([]);
  expect(seen.get('lifeboat_build_info')?.samples).toHaveLength(1);
  expect(metrics.troubles.length).toBeGreaterThan(0);
});

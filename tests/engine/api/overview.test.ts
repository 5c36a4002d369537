import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { lookAtSite, pointCounter } from '../../../engine/api/overview-routes.ts';
import { measuredRuns } from '../../../engine/store/measured-runs.ts';
import { openStore, type Store } from '../../../engine/store/open.ts';
import { chatRoutes, lagSeries } from '../../../protocol/chat-api.ts';
import { consoleRoutes, overviewView } from '../../../protocol/console-api.ts';
import { machineView, routes, runView } from '../../../protocol/control-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { guestReport, heartbeatOf, startTestApi, type TestApi } from './api-fixture.ts';
import { type ConsoleSite, idOf, openConsoleSite } from './console-site.ts';

let postgres: TestPostgres;
let site: ConsoleSite;
let store: Store;
let api: TestApi;

beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await openConsoleSite(postgres);
  store = await openStore({ connectionString: site.connectionString });
  // Rows are heard of once: none may fall silent while the tests run.
  api = await startTestApi(store, { heartbeatEveryMs: 60_000 });
}, 60_000);
afterAll(async () => {
  await Promise.allSettled([Promise.resolve().then(() => api.stop()), Promise.resolve().then(() => site.close())]);
  await store.close();
  await postgres.stop();
});

const look = async () => {
  const bot = await api.as({ kind: 'bot', name: 'bot-1' });
  const answer = await bot.get(consoleRoutes.overview);
  expect(answer.status).toBe(200);
  return overviewView.parse(answer.body);
};
const machineOf = async (name: string) => (await look()).machines.find((machine) => machine.name === name);
const deps = () => ({ ...api.deps, countPoints: pointCounter(() => performance.now()) });

describe('the overview', () => {
  test('shows hosts with their sites, also one whose agent is silent, and unknown is never healthy', async () => {
    await site.host(1, { site: 'lisbon' });
    await site.host(2, { silentSeconds: 3600 });
    await site.machine(1, 1);
    await site.machine(2, 2);
    const { hosts, machines, atMs } = await look();
    expect(hosts.map(({ name, siteName, guestNames }) => [name, siteName, guestNames])).toEqual([
      ['host-1', 'lisbon', ['vm-1']],
      ['host-2', 'main', ['vm-2']],
    ]);
    expect(machines.map(({ name, health, availablePointCount }) => [name, health.kind, availablePointCount])).toEqual([
      ['vm-1', 'healthy', 1],
      ['vm-2', 'unknown', 1],
    ]);
    expect(atMs - (hosts[1]?.lastSeenMs ?? 0)).toBeGreaterThan(3_000_000);
    expect(machines[0]).toMatchObject({
      hostName: 'host-1',
      tags: [],
      lastDrill: null,
      newestPoint: { id: idOf('rp', 1) },
    });
  });

  test('tells the newest drill that ended, whatever its end: an older good one is not shown in its place', async () => {
    await site.run({ number: 1, machineNumber: 1, startedSecondsAgo: 900, secondsToGuestUp: 4 });
    expect((await machineOf('vm-1'))?.lastDrill).toMatchObject({
      runId: idOf('run', 1),
      isVerified: true,
      secondsToGuestUp: 4,
    });
    await site.run({ number: 2, machineNumber: 1, startedSecondsAgo: 800, secondsToGuestUp: 120, isVerified: false });
    const unverified = { runId: idOf('run', 2), isVerified: false, secondsToGuestUp: null };
    expect((await machineOf('vm-1'))?.lastDrill).toMatchObject(unverified);
    await site.run({ number: 3, machineNumber: 1, startedSecondsAgo: 700, state: 'failed' });
    await site.run({ number: 4, machineNumber: 1, startedSecondsAgo: 600, kind: 'cleanup' });
    await site.run({ number: 5, machineNumber: 1, startedSecondsAgo: 500, state: 'active' });
    expect((await machineOf('vm-1'))?.lastDrill).toMatchObject({ ...unverified, runId: idOf('run', 3) });
  });

  test('shows every active run, however old, and of the others the newest fifty', async () => {
    for (let number = 100; number < 160; number += 1) {
      await site.run({ number, machineNumber: 2, startedSecondsAgo: 400 - number });
    }
    const { runs } = await look();
    expect(runs).toHaveLength(51);
    expect(runs.filter(({ state }) => state === 'active').map(({ id }) => id)).toEqual([idOf('run', 5)]);
    expect(runs[0]).toMatchObject({ id: idOf('run', 159), steps: [{ name: 'start machine', state: 'done' }] });
    expect(runs.some(({ id }) => id === idOf('run', 109))).toBe(false);
  });

  test('shows tags in order, alerts that are not over, and approvals that ended a moment ago', async () => {
    await site.query(
      `insert into machine_tags (machine_name, tag, tagged_by) values ('vm-2', 'web', 'ana'), ('vm-2', 'db', 'ana')`,
    );
    const alert = (id: number, state: string) =>
      site.query(
        `insert into alerts (id, rule, scope, severity, state, title, text, next_step, machine_names, members, recovered_at)
         values ($1, 'lag', $2, 'warning', $3, 't', 't', 'n', '["vm-2"]', '[]', case when $3 = 'recovered' then now() end)`,
        [idOf('alr', id), `vm-${id}`, state],
      );
    await alert(1, 'open');
    await alert(2, 'recovered');
    await site.run({ number: 200, machineNumber: 2, startedSecondsAgo: 3500, kind: 'planned-failover' });
    await site.run({ number: 201, machineNumber: 2, startedSecondsAgo: 3700, kind: 'planned-failover' });
    const { machines, alerts, approvals } = await look();
    expect(machines.find(({ name }) => name === 'vm-2')?.tags).toEqual(['db', 'web']);
    expect(alerts.map(({ id }) => id)).toEqual([idOf('alr', 1)]);
    expect(approvals.map(({ id, state, runId }) => [id, state, runId])).toEqual([
      [idOf('apr', 200), 'succeeded', idOf('run', 200)],
    ]);
  });

  test('says which event is the newest that is in it', async () => {
    await site.query(`insert into events (number, kind, text) values (4711, 'test', 'something happened')`);
    expect((await look()).eventNumber).toBe(4711);
  });

  test('is the same for a person as for the bot, and for nobody else', async () => {
    const vera = await api.as({ kind: 'person', name: 'vera' });
    expect((await vera.get(consoleRoutes.overview)).status).toBe(200);
    expect((await (await api.as({ kind: 'person', name: 'nobody' })).get(consoleRoutes.overview)).status).toBe(403);
    expect((await (await api.inChat('U-stranger')).get(consoleRoutes.overview)).status).toBe(403);
  });

  test('asks as many statements of twenty machines as of two', async () => {
    const statements = async () => {
      const spy = vi.spyOn(Client.prototype, 'query');
      try {
        await store.read((db) => lookAtSite(db, deps()));
        return spy.mock.calls.length;
      } finally {
        spy.mockRestore();
      }
    };
    const few = await statements();
    for (let number = 300; number < 320; number += 1) {
      await site.machine(number, 1);
      await site.run({ number, machineNumber: number, startedSecondsAgo: 10_000, kind: 'test-failover' });
      await site.query(`insert into machine_tags (machine_name, tag, tagged_by) values ($1, 'many', 'ana')`, [
        `vm-${number}`,
      ]);
    }
    expect(await statements()).toBe(few);
    expect(few).toBeLessThan(25);
    // The count sees a statement for each machine, were there one.
    const spy = vi.spyOn(Client.prototype, 'query');
    for (let asked = 0; asked <= few; asked += 1) await store.nowMs();
    expect(spy.mock.calls.length).toBeGreaterThan(few);
    spy.mockRestore();
  });
});

test('a machine is told with the thresholds that it is judged by: its own, else those of its policy', async () => {
  await site.machine(600, 1);
  const told = async () => {
    const ana = await api.as({ kind: 'person', name: 'ana' });
    const one = machineView.parse((await ana.get(routes.machine.replace(':name', 'vm-600'))).body);
    const lag = lagSeries.parse((await ana.get(chatRoutes.lagSeries.replace(':name', 'vm-600'))).body);
    expect([lag.thresholdMs, lag.criticalMs]).toEqual([one.thresholds?.warnMs, one.thresholds?.criticalMs]);
    expect((await machineOf('vm-600'))?.thresholds).toEqual(one.thresholds);
    return one;
  };
  expect(await told()).toMatchObject({ thresholds: { warnMs: 60_000, criticalMs: 180_000 } });
  // The newest point is some seconds old: far below the policy's limit, and above the machine's own.
  await site.query(
    `insert into machine_thresholds (machine_id, warn_ms, critical_ms, set_by) values ($1, 1000, 900000, 'ada')`,
    [idOf('mch', 600)],
  );
  expect(await told()).toMatchObject({
    thresholds: { warnMs: 1000, criticalMs: 900_000 },
    policy: { rpoThresholdMs: 60_000 },
    health: { kind: 'warning' },
  });
});

test('what a drill takes is measured by the newest ten whose guest was seen up, and a failover by failovers alone', async () => {
  await site.machine(500, 1);
  const of = (kind: 'test-failover' | 'planned-failover') =>
    store.read((db) => measuredRuns(db, { machineId: idOf('mch', 500), kind }));
  expect(await of('test-failover')).toBeNull();
  for (let number = 500; number < 512; number += 1) {
    await site.run({ number, machineNumber: 500, startedSecondsAgo: 600 - number, secondsToGuestUp: number - 499 });
  }
  await site.run({ number: 512, machineNumber: 500, startedSecondsAgo: 60, secondsToGuestUp: 120, isVerified: false });
  await site.run({ number: 513, machineNumber: 500, startedSecondsAgo: 50, state: 'failed' });
  // The oldest two took 1 and 2 s: ten newer ones say more.
  expect(await of('test-failover')).toEqual({ medianMs: 7500, slowestMs: 12_000, runCount: 10 });
  expect(await of('planned-failover')).toBeNull();
});

test('points are counted again as soon as counting them costs little, and seldom when it costs much', async () => {
  let atMs = 0;
  let tookMs = 1;
  const clock = () => {
    atMs += tookMs;
    return atMs;
  };
  const count = pointCounter(clock);
  const counted = () => store.read(count).then((counts) => counts.get(idOf('mch', 1)));
  expect(await counted()).toBe(1);
  await site.query(`update recovery_points set state = 'expiring' where machine_id = $1`, [idOf('mch', 1)]);
  expect(await counted()).toBe(1);
  atMs += 100;
  expect(await counted()).toBeUndefined();
  tookMs = 1_000_000;
  await counted();
  await site.query(`update recovery_points set state = 'available' where machine_id = $1`, [idOf('mch', 1)]);
  tookMs = 0;
  atMs += 59_000;
  expect(await counted()).toBeUndefined();
  atMs += 2000;
  expect(await counted()).toBe(1);
});

test('a host is shown at the site of its agent’s configuration, and at `main` when an older agent says none', async () => {
  const { caller } = await api.enrol('host-9');
  const beat = heartbeatOf([guestReport('vm-900')]);
  expect((await caller.post(routes.heartbeat, { ...beat, hostName: 'host-9', siteName: 'porto' })).status).toBe(200);
  const siteOf = async () => (await look()).hosts.find(({ name }) => name === 'host-9')?.siteName;
  expect(await siteOf()).toBe('porto');
  const { siteName: _none, ...older } = { ...beat, hostName: 'host-9' };
  expect((await caller.post(routes.heartbeat, older)).status).toBe(200);
  expect(await siteOf()).toBe('main');
  expect((await caller.post(routes.heartbeat, { ...beat, siteName: '<script>' })).status).toBe(422);
});

test('the runs of one machine are its own only, newest first; an unknown name is refused with those that may be meant', async () => {
  const vera = await api.as({ kind: 'person', name: 'vera' });
  const runs = runView.array().parse((await vera.get(`${routes.runs}?machine=vm-1`)).body);
  expect(runs.map(({ id }) => id)).toEqual([5, 4, 3, 2, 1].map((number) => idOf('run', number)));
  expect((await vera.get(`${routes.runs}?machine=vm-99`)).body).toMatchObject({ kind: 'unknown-target' });
  expect(runView.array().parse((await vera.get(routes.runs)).body).length).toBeGreaterThan(50);
  expect(machineView.parse((await vera.get('/v1/machines/vm-2')).body).tags).toEqual(['db', 'web']);
});

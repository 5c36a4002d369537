import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { orderAlert } from '../../../engine/alerting/orders.ts';
import { callPagers } from '../../../engine/alerting/pager.ts';
import { saveSurface } from '../../../engine/store/chat-places.ts';
import { listEvents } from '../../../engine/store/events.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, linkUser, setOnCall, unlinkUsers } from '../../../engine/store/people.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { deliverAll, execute, slack, teams } from '../messages/outbox.ts';
import { type AlertSite, createAlertSite } from './alert-site.ts';

let postgres: TestPostgres;
let store: Store;
let site: AlertSite;

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
  site = createAlertSite(store);
});
afterAll(() => postgres.stop());
beforeEach(() => site.begin());

describe('attention', () => {
  const waited = (minutes: number) =>
    execute(
      store,
      `update alerts set escalates_from = now() - interval '${minutes} min', confirmed_at = confirmed_at - interval '${minutes} min',
        snoozed_until = snoozed_until - interval '${minutes} min'`,
    );

  test('goes from the channel to the person on call, then to the pager, until somebody takes it', async () => {
    await store.write(async (db) => {
      await addPerson(db, 'ben', 'admin');
      await setOnCall(db, ['ana', 'ben'], 'root');
    });
    await site.makeLag();
    await deliverAll(store);
    await waited(6);
    await site.look();
    await site.look();
    const told = await deliverAll(store);
    expect(told.filter(({ place }) => place.place === 'user:U-ana').map(({ subject }) => subject.kind)).toEqual([
      'alert',
      'note',
    ]);
    expect(await site.onlyAlert()).toMatchObject({ escalationLevel: 1 });
    // Ben is linked to nothing: the pager is next.
    await waited(16);
    await site.look();
    const { calls, stop } = await pager();
    await callPagers({ store, pagerUrl: calls.url });
    await callPagers({ store, pagerUrl: calls.url });
    expect(calls.bodies).toMatchObject([{ source: 'lifeboat', title: 'vm-7 lags behind' }]);
    await stop();
    await site.order('ack');
    await waited(29);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'acknowledged', owner: 'ana', escalationLevel: 0 });
  });

  const onCall = (...persons: string[]) =>
    store.write(async (db) => {
      for (const person of persons.slice(1)) {
        await addPerson(db, person, 'admin');
        await linkUser(db, { ...slack, user: `U-${person}`, person, displayName: person });
      }
      await setOnCall(db, persons, 'root');
    });
  const pagerCount = async () => (await execute(store, 'select 1 from pager_calls')).rows.length;
  /** Who got the alert as a new message of their own. */
  const directly = (told: Awaited<ReturnType<typeof deliverAll>>) =>
    told
      .filter(({ subject, ref, place }) => subject.kind === 'alert' && ref === null && place.place.startsWith('user:'))
      .map(({ place }) => place.place)
      .sort();

  test('goes to everybody else on call after the first, also to a third and a fourth', async () => {
    await onCall('ana', 'ben', 'cleo', 'dan');
    await store.write((db) => unlinkUsers(db, 'dan', ['slack']));
    await site.makeLag();
    await waited(6);
    await site.look();
    expect(directly(await deliverAll(store))).toEqual(['user:U-ana']);
    await waited(16);
    await site.look();
    expect(directly(await deliverAll(store))).toEqual(['user:U-ben', 'user:U-cleo']);
    expect(await site.onlyAlert()).toMatchObject({ escalationLevel: 2 });
    const events = await site.eventsNow();
    expect(events.at(-1)?.text).toContain('ben, cleo (on call) are told directly; dan cannot be reached in chat');
    expect(await pagerCount()).toBe(0);
  });

  test.each([
    ['says so', `update chat_surfaces set is_healthy = false`],
    ['has said nothing for minutes', `update chat_surfaces set reported_at = now() - interval '4 min'`],
  ])('when the only platform %s the pager is next after a minute, and what waits follows', async (_what, down) => {
    await onCall('ana', 'ben');
    await site.makeLag();
    await deliverAll(store);
    await execute(store, `update alert_looks set resumed_at = now() - interval '1 h'`);
    await execute(store, down);
    await site.look();
    expect(await pagerCount()).toBe(0);
    await waited(1);
    await site.look();
    expect(await pagerCount()).toBe(1);
    expect(await site.onlyAlert()).toMatchObject({ escalationLevel: 3 });
    expect(directly(await deliverAll(store))).toEqual(['user:U-ana', 'user:U-ben']);
  });

  test('a second platform that takes messages is enough', async () => {
    await onCall('ana');
    await store.write(async (db) => {
      await saveSurface(db, { ...teams, isHealthy: true, detail: '' });
      await linkUser(db, { ...teams, user: 'ana-in-teams', person: 'ana', displayName: 'Ana' });
    });
    await site.makeLag();
    await execute(store, `update chat_surfaces set is_healthy = false where surface = 'slack'`);
    await waited(2);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ escalationLevel: 0 });
    await waited(6);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ escalationLevel: 1 });
    expect(await pagerCount()).toBe(0);
  });

  test('the silence of bots while the engine was away is not theirs', async () => {
    await onCall('ana');
    await site.makeLag();
    await execute(store, `update chat_surfaces set reported_at = now() - interval '1 h'`);
    await execute(store, `update alert_looks set looked_at = now() - interval '1 h'`);
    await waited(2);
    await site.look();
    expect(await pagerCount()).toBe(0);
  });

  test('a pager that does not answer is tried again, one that is not there is said', async () => {
    await site.makeLag();
    await waited(6);
    await site.look();
    const url = 'http://127.0.0.1:1/';
    await callPagers({ store, pagerUrl: url });
    await execute(store, `update pager_calls set due_at = now() - interval '1 s'`);
    await callPagers({ store, pagerUrl: url });
    const attempts = async () =>
      (await execute(store, 'select attempt_count, given_up_at is null as open from pager_calls')).rows;
    expect(await attempts()).toEqual([{ attempt_count: 2, open: true }]);
    await execute(store, `update pager_calls set due_at = now() - interval '1 s'`);
    await callPagers({ store, pagerUrl: undefined });
    expect(await attempts()).toMatchObject([{ open: false }]);
    const events = await store.read((db) => listEvents(db, 0));
    expect(events.map((event) => event.text).join()).toContain('no pager webhook is configured');
  });

  test('an owner is reminded twice, then it is open again; a snooze ends by itself', async () => {
    await site.makeLag();
    await site.order('ack');
    await deliverAll(store);
    await waited(31);
    await site.look();
    expect((await deliverAll(store)).map(({ place, subject }) => [place.place, subject.kind])).toEqual(
      expect.arrayContaining([
        ['C1', 'note'],
        ['user:U-ana', 'note'],
      ]),
    );
    await waited(30);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'acknowledged' });
    await waited(30);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'open', owner: null });
    await store.write(async (db) =>
      orderAlert(db, { kind: 'snooze', forMs: 3_600_000, alertId: (await site.onlyAlert()).id, person: 'ana' }),
    );
    expect(await site.onlyAlert()).toMatchObject({ state: 'snoozed', owner: 'ana' });
    await waited(61);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'open', snoozedUntilMs: null });
  });

  test('becoming worse breaks a snooze', async () => {
    await site.makeLag('vm-7', 90);
    await store.write(async (db) =>
      orderAlert(db, { kind: 'snooze', forMs: 3_600_000, alertId: (await site.onlyAlert()).id, person: 'ana' }),
    );
    await site.age('vm-7', 600);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'open', severity: 'critical' });
  });

  test('orders that make no sense are refused with the reason', async () => {
    await site.makeLag();
    expect(await site.order('unack')).toMatchObject({ kind: 'refused' });
    expect(await site.order('escalate')).toMatchObject({ kind: 'done' });
    await site.recover();
    expect(await site.order('ack')).toMatchObject({ kind: 'refused', message: expect.stringContaining('is over') });
    const unknown = await store.write((db) => orderAlert(db, { kind: 'ack', alertId: 'alr_1', person: 'ana' }));
    expect(unknown).toEqual({ kind: 'unknown' });
  });
});

async function pager() {
  const bodies: unknown[] = [];
  const server = createServer((request, response) => {
    request.setEncoding('utf8');
    let text = '';
    request.on('data', (part: string) => {
      text += part;
    });
    request.on('end', () => {
      bodies.push(JSON.parse(text));
      response.end('ok');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    calls: { url: `http://127.0.0.1:${port}/`, bodies },
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

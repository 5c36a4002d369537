import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { showTopic } from '../../../engine/store/messages.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, linkUser, setGrants } from '../../../engine/store/people.ts';
import { type ChatPlace, chatRoutes, deliveryView, lagSeries } from '../../../protocol/chat-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { startTestApi, type TestApi } from '../api/api-fixture.ts';
import { protectMachines } from '../workflow/protected-machine.ts';
import { channel, execute, forgetAll, openWorkspace, slack, teams } from './outbox.ts';

let postgres: TestPostgres;
let store: Store;
const run = 'run:run_0000000001';
const otherRun = 'run:run_0000000002';

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  await forgetAll(store);
  await openWorkspace(store);
});

const show = (topic: typeof run) =>
  store.write((db) => showTopic(db, { topic, severity: 'info', channels: 'subscribed', persons: [] }));

describe('over the API', () => {
  let api: TestApi | undefined;
  const start = async () => {
    api = await startTestApi(store);
    return api;
  };
  afterEach(() => api?.stop());

  test('a bot claims, reports and follows; nobody else may', async () => {
    const api = await start();
    const bot = await api.as({ kind: 'bot', name: 'bot-1' });
    await show(run);
    const claimed = await bot.post(chatRoutes.claim, { ...slack });
    expect(claimed).toMatchObject({ status: 200, body: [{ subject: { kind: 'run' }, place: { place: 'C1' } }] });
    const [delivery] = z.array(deliveryView).parse(claimed.body);
    const outcome = { revision: 1, outcome: { kind: 'delivered', ref: { ts: '1.1' } } };
    const outcomeUrl = (id: string) => chatRoutes.deliveryOutcome.replace(':id', id);
    expect((await bot.post(outcomeUrl(delivery!.id), outcome)).status).toBe(200);
    expect((await bot.post(outcomeUrl('msg_0000000000'), outcome)).status).toBe(404);
    const place = channel('C7');
    expect((await bot.post(chatRoutes.follow, { topic: 'run:x', place })).status).toBe(422);
    expect((await bot.post(chatRoutes.follow, { topic: otherRun, place, ref: { ts: '2.2' } })).status).toBe(200);
    await bot.post(chatRoutes.places, { ...place, reference: { a: 1 } });
    expect((await bot.get(`${chatRoutes.places}?surface=slack&tenant=T1`)).body).toMatchObject([
      { place: 'C1', isSubscribed: true },
      { place: 'C7', isSubscribed: false, reference: { a: 1 } },
    ]);
    await bot.post(chatRoutes.surfaceReport, { ...slack, isHealthy: false, detail: 'HTTP 503' });
    const ana = await api.as({ kind: 'person', name: 'ana' });
    expect((await ana.get(chatRoutes.surfaces)).body).toMatchObject([{ isHealthy: false, detail: 'HTTP 503' }]);
    expect((await ana.post(chatRoutes.claim, { ...slack })).status).toBe(403);
  });

  test('a channel is subscribed by whoever may, from chat only in its own workspace', async () => {
    const api = await start();
    await store.write((db) => linkUser(db, { ...slack, user: 'U-ada', person: 'ada', displayName: 'Ada' }));
    const ada = await api.inChat('U-ada');
    const order = (place: ChatPlace, isOn = true) => ({ place, severityMin: 'critical', isOn });
    expect((await ada.post(chatRoutes.subscribe, order(channel('C5')), 'subscribe-1')).status).toBe(200);
    expect((await ada.post(chatRoutes.subscribe, order({ ...teams, place: 'x' }), 'subscribe-2')).status).toBe(403);
    expect((await ada.post(chatRoutes.subscribe, order(channel('C5'), false), 'subscribe-3')).status).toBe(200);
    expect((await ada.post(chatRoutes.subscribe, order(channel('C5'), false), 'subscribe-4')).status).toBe(409);
  });

  test('an alert is taken by those whose role counts for its machines, and its curve is there for people and bots', async () => {
    const api = await start();
    await protectMachines(store, ['vm-7']);
    await execute(
      store,
      `insert into alerts (id, rule, scope, severity, title, text, next_step, machine_names, members)
        values ('alr_0000000001', 'lag', 'vm-7', 'critical', 'vm-7 lags', '', '', '["vm-7"]', '[]')`,
    );
    await store.write(async (db) => {
      await addPerson(db, 'web', 'the test');
      const scope = { kind: 'machine', name: 'vm-8' } as const;
      await setGrants(db, 'web', [{ role: 'operator', scope }], 'the test');
    });
    const as = (name: string) => api.as({ kind: 'person', name });
    const ack = async (name: string, alert = 'alr_0000000001') =>
      (await as(name)).post(chatRoutes.ack, { alert }, `ack by ${name} ${alert}`);
    expect((await ack('vera')).status).toBe(403);
    expect((await ack('web')).status).toBe(403);
    expect(await ack('ana')).toMatchObject({ status: 200, body: { kind: 'done' } });
    expect(await ack('ana', 'alr_0000000002')).toMatchObject({ status: 404, body: { candidates: ['alr_0000000001'] } });
    const vera = await as('vera');
    expect((await vera.get(chatRoutes.alerts)).body).toMatchObject([{ state: 'acknowledged', owner: 'ana' }]);
    const bot = await api.as({ kind: 'bot', name: 'bot-1' });
    for (const answer of [
      await vera.get(chatRoutes.lagSeries.replace(':name', 'vm-7')),
      await bot.get(chatRoutes.lagSeries.replace(':name', 'vm-7')),
    ]) {
      expect(lagSeries.parse(answer.body)).toMatchObject({ machineName: 'vm-7', thresholdMs: 60_000 });
      expect(lagSeries.parse(answer.body).samples).toHaveLength(2);
    }
    expect((await vera.get(chatRoutes.lagSeries.replace(':name', 'vm-9'))).status).toBe(404);
  });
});

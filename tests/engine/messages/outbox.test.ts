import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { claimDeliveries } from '../../../engine/messages/deliveries.ts';
import { listSurfaces, saveSurface, subscribe } from '../../../engine/store/chat-places.ts';
import { attemptCountMax, deadPlaces, leaseMs, waitingMessages } from '../../../engine/store/deliveries.ts';
import {
  addNote,
  addPicture,
  deleteOldMessages,
  followTopic,
  listCopies,
  showTopic,
  tellPersons,
  touchTopic,
} from '../../../engine/store/messages.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, linkUser, setGrants } from '../../../engine/store/people.ts';
import { noteRunEnd } from '../../../engine/store/run-messages.ts';
import { createRun, type RunResult } from '../../../engine/store/runs.ts';
import {
  type ChatPlace,
  chatRoutes,
  type DeliveryView,
  deliveryView,
  lagSeries,
  unknownTenant,
} from '../../../protocol/chat-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { startTestApi, type TestApi } from '../api/api-fixture.ts';
import { protectMachines } from '../workflow/protected-machine.ts';
import {
  channel,
  claim,
  deliverAll,
  execute,
  forgetAll,
  letPass,
  note,
  openWorkspace,
  settle,
  slack,
  teams,
} from './outbox.ts';

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

const show = (topic: typeof run | typeof otherRun, more: Partial<Parameters<typeof showTopic>[1]> = {}) =>
  store.write((db) => showTopic(db, { topic, severity: 'info', channels: 'subscribed', persons: [], ...more }));
const titles = (deliveries: readonly DeliveryView[]) =>
  deliveries.map(({ subject }) => (subject.kind === 'note' ? subject.note.title : subject.kind));

test('a topic is shown once in each channel that wants its severity and host, and to the persons who are linked', async () => {
  await store.write(async (db) => {
    await subscribe(db, { place: channel('C-critical'), severityMin: 'critical', person: 'ana' });
    await subscribe(db, { place: channel('C-host'), severityMin: 'info', host: 'hv-1', person: 'ana' });
    await saveSurface(db, { ...teams, isHealthy: true, detail: '' });
    await addPerson(db, 'ben', 'admin');
    await linkUser(db, { ...teams, user: 'aad-ben', person: 'ben', displayName: 'Ben' });
  });
  await show(run, { severity: 'warning', persons: ['ana', 'ben', 'nobody'] });
  await show(run, { severity: 'warning', persons: ['ana'] });
  const placesOf = async (topic: typeof run | typeof otherRun) =>
    (await store.read((db) => listCopies(db, topic))).map((copy) => copy.place);
  expect((await placesOf(run)).sort()).toEqual(['C1', 'user:U-ana', 'user:aad-ben']);
  await show(otherRun, { severity: 'critical', host: 'hv-1' });
  expect((await placesOf(otherRun)).sort()).toEqual(['C-critical', 'C-host', 'C1']);
});

test('the same message is posted once and then edited in place, and lines follow when their message stands', async () => {
  await show(run);
  await store.write((db) => addNote(db, { topic: run, note: note('one'), severity: 'info', isNotifying: false }));
  const [root, ...early] = await claim(store);
  expect(early).toEqual([]);
  expect(root).toMatchObject({ subject: { kind: 'run', runId: 'run_0000000001' }, ref: null, revision: 1 });
  await settle(store, root!, { kind: 'delivered', ref: { channel: 'C1', ts: '1.1' } });
  const [line] = await deliverAll(store);
  expect(line).toMatchObject({ parentRef: { channel: 'C1', ts: '1.1' }, ref: null, subject: { note: note('one') } });
  await store.write((db) => touchTopic(db, run, { isNotifying: true }));
  expect(await claim(store)).toMatchObject([{ ref: { channel: 'C1', ts: '1.1' }, revision: 2 }]);
});

test('changes are drawn together: a run at most every 2 s, an alert every 10 s, what rings at once', async () => {
  const alert = 'alert:alr_0000000001' as const;
  await show(run);
  await store.write((db) => showTopic(db, { topic: alert, severity: 'warning', channels: 'subscribed', persons: [] }));
  await execute(store, `update messages set ref = '{}', delivered_revision = 1, delivered_at = now()`);
  const pauses = async () => {
    await store.write(async (db) => {
      for (const topic of [run, alert] as const) for (let i = 0; i < 5; i += 1) await touchTopic(db, topic);
    });
    const { rows } = await execute(
      store,
      `select round(extract(epoch from due_at - delivered_at))::int as pause, wanted_revision::int as wanted from messages order by number`,
    );
    return rows;
  };
  expect(await pauses()).toEqual([
    { pause: 2, wanted: 6 },
    { pause: 10, wanted: 6 },
  ]);
  expect(await claim(store)).toEqual([]);
  await store.write((db) => touchTopic(db, run, { isNotifying: true }));
  expect(await claim(store)).toMatchObject([{ revision: 7, isNotifying: true, subject: { kind: 'run' } }]);
});

test('what is critical comes first, then what has waited longest; lines of a thread never change places', async () => {
  await show(run);
  await show(otherRun);
  await deliverAll(store);
  await store.write(async (db) => {
    const line = (topic: typeof run | typeof otherRun, title: string, severity: 'info' | 'critical') =>
      addNote(db, { topic, note: note(title), severity, isNotifying: false });
    await line(otherRun, 'other 1', 'info');
    await line(run, 'before the critical one', 'info');
    await line(run, 'critical', 'critical');
    await line(otherRun, 'other 2', 'info');
  });
  expect(titles(await claim(store, 1))).toEqual(['before the critical one']);
  // It is on its way: nothing overtakes it.
  expect(titles(await claim(store))).toEqual(['other 1']);
  await execute(store, 'update messages set leased_until = null, leased_revision = null');
  expect(titles(await deliverAll(store))).toEqual(['before the critical one', 'other 1', 'critical', 'other 2']);
});

test('a failure is tried again after its pause, and when the platform is back at once', async () => {
  await show(run);
  const [first] = await claim(store);
  await settle(store, first!, { kind: 'later', retryAfterMs: 60_000, error: 'HTTP 429' });
  expect(await claim(store)).toEqual([]);
  await letPass(store, 61);
  const [second] = await claim(store);
  expect(second).toMatchObject({ id: first!.id, revision: 1 });
  await settle(store, second!, { kind: 'later', retryAfterMs: 60_000, error: 'HTTP 503' });
  await store.write((db) => saveSurface(db, { ...slack, isHealthy: false, detail: 'HTTP 503' }));
  expect(await claim(store)).toEqual([]);
  await store.write((db) => saveSurface(db, { ...slack, isHealthy: true, detail: '' }));
  expect(await claim(store)).toHaveLength(1);
});

test('a platform that never answered is shown as down, without a name until it has one', async () => {
  const shown = async () =>
    (await store.read(listSurfaces)).filter(({ surface }) => surface === 'slack').map(({ tenant }) => tenant);
  await execute(store, `delete from chat_surfaces where surface = 'slack'`);
  await store.write((db) => saveSurface(db, { ...slack, tenant: unknownTenant, isHealthy: false, detail: 'away' }));
  expect(await shown()).toEqual([unknownTenant]);
  await store.write((db) => saveSurface(db, { ...slack, isHealthy: true, detail: '' }));
  expect(await shown()).toEqual([slack.tenant]);
});

test('what cannot be delivered is given up visibly, with its thread, until the place takes a message again', async () => {
  await show(run);
  await store.write((db) => addNote(db, { topic: run, note: note('line'), severity: 'info', isNotifying: false }));
  const [root] = await claim(store);
  await settle(store, root!, { kind: 'undeliverable', error: 'channel_not_found' });
  expect(await claim(store)).toEqual([]);
  const dead = () => store.read((db) => deadPlaces(db, 3_600_000));
  expect(await dead()).toEqual([{ place: channel('C1'), count: 1, lastError: 'channel_not_found' }]);
  expect(await store.read(waitingMessages)).toEqual([]);
  await show(otherRun);
  await deliverAll(store);
  expect(await dead()).toHaveLength(1);
  await letPass(store, 601);
  expect(await dead()).toEqual([]);
});

test('a message on which bots die again and again is given up, and the others go on', async () => {
  await show(run);
  await show(otherRun);
  await execute(store, `update messages set attempt_count = ${attemptCountMax} where topic = '${run}'`);
  expect((await deliverAll(store)).map(({ subject }) => subject)).toEqual([{ kind: 'run', runId: 'run_0000000002' }]);
  expect(await store.read((db) => deadPlaces(db, 3_600_000))).toMatchObject([{ count: 1 }]);
});

test('after an outage a place gets one digest instead of a flood, and its messages are edited to what is true now', async () => {
  await show(run);
  await deliverAll(store);
  await store.write(async (db) => {
    for (let i = 1; i <= 30; i += 1) {
      await touchTopic(db, run);
      await addNote(db, {
        topic: run,
        note: note(`line ${i}`),
        severity: i === 7 ? 'warning' : 'info',
        isNotifying: false,
      });
    }
  });
  await letPass(store, 600);
  const delivered = await deliverAll(store);
  expect(titles(delivered).sort()).toEqual(['30 messages in one: what happened meanwhile', 'run']);
  const digest = delivered.find(({ subject }) => subject.kind === 'note');
  expect(digest).toMatchObject({ parentRef: null, severity: 'warning' });
  expect(JSON.stringify(digest?.subject)).toContain('line 30');
  expect(JSON.stringify(digest?.subject)).toContain('and 12 more');
  // Nothing is lost: what was replaced is kept, and says by what.
  const { rows } = await execute(
    store,
    `select state, count(*)::int, count(digest_id)::int as told from messages where kind = 'note' group by state`,
  );
  expect(rows).toEqual([{ state: 'superseded', count: 30, told: 30 }]);
});

test('more than twenty lines within a minute become a digest too; a few do not, and another one comes a minute later', async () => {
  await show(run);
  await deliverAll(store);
  const addLines = (from: number, to: number) =>
    store.write(async (db) => {
      for (let i = from; i <= to; i += 1) {
        await addNote(db, { topic: run, note: note(`line ${i}`), severity: 'info', isNotifying: false });
      }
    });
  await addLines(1, 15);
  expect(await deliverAll(store)).toHaveLength(15);
  await addLines(16, 40);
  expect(titles(await deliverAll(store))).toEqual(['25 messages in one: what happened meanwhile']);
  await addLines(41, 45);
  expect(await deliverAll(store)).toEqual([]);
  await letPass(store, 61);
  expect(titles(await deliverAll(store))).toEqual(['5 messages in one: what happened meanwhile']);
});

test('a command’s own message becomes the copy; a second one in the same place changes nothing', async () => {
  await store.write((db) => followTopic(db, { topic: run, place: channel('C9'), ref: { ts: '7.7' } }));
  await store.write((db) => followTopic(db, { topic: run, place: channel('C9'), ref: { ts: '8.8' } }));
  expect(await claim(store)).toMatchObject([{ place: channel('C9'), ref: { ts: '7.7' }, subject: { kind: 'run' } }]);
});

test('pictures and direct messages are delivered like lines', async () => {
  await show(run);
  await deliverAll(store);
  const picture = { topic: run, apiPath: '/v1/x.png', fileName: 'x.png', altText: 'a console' } as const;
  await store.write((db) => addPicture(db, picture));
  const told = await store.write((db) =>
    tellPersons(db, { persons: ['ana', 'ben'], note: note('hi'), severity: 'info' }),
  );
  expect(told).toBe(1);
  const delivered = await deliverAll(store);
  expect(delivered.map(({ subject, place }) => [place.place, subject.kind]).sort()).toEqual([
    ['C1', 'picture'],
    ['user:U-ana', 'note'],
  ]);
});

test('a bot that waits hears of a message when its transaction commits', async () => {
  const waiting = claimDeliveries(store, { ...slack, countMax: 5, waitMs: 20_000 }, new AbortController().signal);
  await show(run);
  expect(await waiting).toHaveLength(1);
});

test('settled messages are removed after their time, others never', async () => {
  await show(run);
  await deliverAll(store);
  await show(otherRun);
  await letPass(store, 3600);
  await store.write((db) => deleteOldMessages(db, 1_800_000));
  expect(await store.read((db) => listCopies(db, run))).toEqual([]);
  expect(await store.read((db) => listCopies(db, otherRun))).toHaveLength(1);
});

const topics = Array.from({ length: 6 }, (_, index) => `run:run_000000000${index}` as const);

async function fill(store: Store): Promise<void> {
  await store.write((db) => subscribe(db, { place: channel('C2'), severityMin: 'info', person: 'ana' }));
  await store.write(async (db) => {
    for (const topic of topics) {
      await showTopic(db, { topic, severity: 'info', channels: 'subscribed', persons: [] });
    }
  });
}

/** A small generator of numbers that are the same in every run of a seed. */
function numbersOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

type World = {
  /** Who is delivering what; two of the same are what must never be. */
  readonly inFlight: Map<string, string>;
  readonly doubles: string[];
  readonly shown: Map<string, number>;
};

/** One bot: claims, and of each message either delivers it, fails, or dies with it. */
async function botRound(store: Store, world: World, bot: { readonly name: string; readonly random: () => number }) {
  for (const delivery of await claim(store, 4)) {
    const other = world.inFlight.get(delivery.id);
    if (other !== undefined) world.doubles.push(`${delivery.id}: ${other} and ${bot.name}`);
    world.inFlight.set(delivery.id, bot.name);
    const fate = bot.random();
    if (fate < 0.2) continue; // It dies: its lease stays.
    if (fate < 0.4) await settle(store, delivery, { kind: 'later', retryAfterMs: 0, error: 'HTTP 503' });
    else {
      world.shown.set(delivery.id, Math.max(world.shown.get(delivery.id) ?? 0, delivery.revision));
      await settle(store, delivery);
    }
    world.inFlight.delete(delivery.id);
  }
}

async function runBots(store: Store, seed: number, isLeaseKept: boolean): Promise<World> {
  const world: World = { inFlight: new Map(), doubles: [], shown: new Map() };
  const random = numbersOf(seed);
  for (let round = 0; round < 12; round += 1) {
    await store.write(async (db) => {
      const topic = topics[Math.floor(random() * topics.length)] ?? topics[0]!;
      await touchTopic(db, topic, { isNotifying: true });
      await addNote(db, { topic, note: note(`line ${round}`), severity: 'info', isNotifying: false });
    });
    await Promise.all(['a', 'b', 'c'].map((name) => botRound(store, world, { name, random })));
    if (!isLeaseKept) await execute(store, 'update messages set leased_until = null, leased_revision = null');
    // Pauses end; leases do not yet.
    await letPass(store, leaseMs / 1000 / 6);
    if (round % 4 === 3) {
      // Now they do: what the dead held is free, and nobody holds anything.
      await letPass(store, leaseMs / 1000 + 1);
      world.inFlight.clear();
    }
  }
  return world;
}

test('bots that die, fail and overlap lose nothing, and never two of them deliver the same message at the same time', async () => {
  await fill(store);
  const world = await runBots(store, 1, true);
  expect(world.doubles).toEqual([]);
  // The last bot has no bad luck.
  for (let round = 0; round < 60; round += 1) {
    await letPass(store, 400);
    const claimed = await claim(store, 100);
    if (claimed.length === 0) break;
    for (const delivery of claimed) {
      world.shown.set(delivery.id, Math.max(world.shown.get(delivery.id) ?? 0, delivery.revision));
      await settle(store, delivery);
    }
  }
  const { rows } = await execute(
    store,
    `select id, wanted_revision::int as wanted, delivered_revision::int as delivered from messages where state = 'live'`,
  );
  for (const row of rows) expect([row.id, world.shown.get(String(row.id))]).toEqual([row.id, row.wanted]);
  expect(rows.every((row) => row.wanted === row.delivered)).toBe(true);
});

test('without leases the same check sees two bots deliver one message: it can fail', async () => {
  await fill(store);
  expect((await runBots(store, 1, false)).doubles).not.toEqual([]);
});

test('an outcome that comes late does no harm: an older drawing is drawn over, a failure of an older lease changes nothing', async () => {
  await fill(store);
  const [slow] = await claim(store, 1);
  await letPass(store, leaseMs / 1000 + 1);
  const again = (await claim(store, 100)).find(({ id }) => id === slow!.id);
  await settle(store, again!);
  await execute(
    store,
    `update messages set wanted_revision = 2, delivered_revision = 2, delivered_at = now() where id = '${slow!.id}'`,
  );
  // The slow one has just put revision 1 over revision 2 at the platform.
  await settle(store, slow!);
  const redrawn = await claim(store, 100);
  expect(redrawn.find(({ id }) => id === slow!.id)).toMatchObject({ revision: 3 });
  expect(await settle(store, slow!, { kind: 'undeliverable', error: 'late' })).toBe('settled');
  const { rows } = await execute(store, `select state from messages where id = '${slow!.id}'`);
  expect(rows).toEqual([{ state: 'live' }]);
  expect(await settle(store, { id: slow!.id, revision: 99 })).toBe('unknown-message');
});

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

test('the end of a run rings in its threads and brings the picture of its console', async () => {
  const [machine] = await protectMachines(store, ['vm-7']);
  const facts = { kind: 'test-failover' as const, requestedBy: 'ana', plan: {}, planDigest: 'a'.repeat(64), steps: [] };
  const { run: record } = await store.write((db) =>
    createRun(db, { ...facts, machineId: machine!.machineId, idempotencyKey: 'the run' }),
  );
  await store.write((db) => followTopic(db, { topic: `run:${record.id}`, place: channel('C3'), ref: { ts: '1' } }));
  await deliverAll(store);
  const result = { consolePicture: '/x/console.png', verification: 'It is up.' } as RunResult;
  await store.write((db) => noteRunEnd(db, { ...record, result }));
  expect((await deliverAll(store)).map(({ subject, isNotifying }) => [subject.kind, isNotifying])).toEqual([
    ['run', true],
    ['note', true],
    ['picture', false],
  ]);
});

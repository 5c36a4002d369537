import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { claimDeliveries } from '../../../engine/messages/deliveries.ts';
import { listSurfaces, saveSurface, subscribe, unsubscribe } from '../../../engine/store/chat-places.ts';
import { attemptCountMax, deadPlaces, waitingMessages } from '../../../engine/store/deliveries.ts';
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
import { addPerson, linkUser } from '../../../engine/store/people.ts';
import { noteRunEnd } from '../../../engine/store/run-messages.ts';
import { createRun, type RunResult } from '../../../engine/store/runs.ts';
import { type DeliveryView, unknownTenant } from '../../../protocol/chat-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
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

test('a channel that wants one site is shown what happens to its hosts, and nothing of others', async () => {
  await execute(
    store,
    `insert into agents (id, host_name, site_name, certificate_fingerprint, certificate_expires_at)
      values ('agt_0000000001', 'hv-1', 'harbour', repeat('a', 64), now()), ('agt_0000000002', 'hv-2', 'inland', repeat('b', 64), now())`,
  );
  await store.write(async (db) => {
    await subscribe(db, { place: channel('C-harbour'), severityMin: 'info', site: 'harbour', person: 'ana' });
    // A host of that name is not the site.
    await subscribe(db, { place: channel('C-host'), severityMin: 'info', host: 'harbour', person: 'ana' });
  });
  const placesOf = async (topic: typeof run) =>
    (await store.read((db) => listCopies(db, topic))).map((copy) => copy.place);
  const ofHost = async (host: string | undefined) => {
    await execute(store, 'truncate messages cascade');
    await show(run, { host });
    return (await placesOf(run)).sort();
  };
  expect(await ofHost('hv-1')).toEqual(['C-harbour', 'C1']);
  expect(await ofHost('hv-2')).toEqual(['C1']);
  expect(await ofHost(undefined)).toEqual(['C1']);
  const place = channel('C-harbour');
  expect(await store.write((db) => unsubscribe(db, { place, site: 'inland' }))).toBe('was-none');
  expect(await store.write((db) => unsubscribe(db, { place, site: 'harbour' }))).toBe('ended');
  expect(await ofHost('hv-1')).toEqual(['C1']);
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

test('changes are drawn together: a run and an alert at most every 10 s, what rings at once', async () => {
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
    { pause: 10, wanted: 6 },
    { pause: 10, wanted: 6 },
  ]);
  expect(await claim(store)).toEqual([]);
  await store.write((db) => touchTopic(db, run, { isNotifying: true }));
  // What comes after the end keeps nobody waiting for it.
  await store.write((db) => touchTopic(db, run));
  const [end] = await claim(store);
  expect(end).toMatchObject({ revision: 8, isNotifying: true, subject: { kind: 'run' } });
});

test('what changes while a run is on its way to be drawn waits its 10 s too; its end does not', async () => {
  await show(run);
  const [first] = await claim(store);
  await store.write((db) => touchTopic(db, run));
  await settle(store, first!);
  expect(await claim(store)).toEqual([]);
  await letPass(store, 11);
  const [second] = await claim(store);
  expect(second).toMatchObject({ revision: 2 });
  await store.write((db) => touchTopic(db, run, { isNotifying: true }));
  await settle(store, second!);
  expect(await claim(store)).toMatchObject([{ revision: 3, isNotifying: true }]);
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

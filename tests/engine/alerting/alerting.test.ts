import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { alertRules } from '../../../domain/alert.ts';
import { sayAlive } from '../../../engine/alerting/alive-file.ts';
import { agentSilences, noteHeartbeat } from '../../../engine/store/agents.ts';
import { saveAuditCheck } from '../../../engine/store/alert-audit.ts';
import { saveBotCredentials } from '../../../engine/store/alert-credentials.ts';
import { pauseMachine } from '../../../engine/store/machines.ts';
import type { Store } from '../../../engine/store/open.ts';
import { setOnCall } from '../../../engine/store/people.ts';
import { addRequest } from '../../../engine/store/requests.ts';
import { chatRoutes } from '../../../protocol/chat-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { startTestApi } from '../api/api-fixture.ts';
import { deliverAll, execute } from '../messages/outbox.ts';
import type { TestMachine } from '../workflow/protected-machine.ts';
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

test('a host’s spool that fills up is an alert of that host; an agent that does not say tells nobody', async () => {
  site.seen.probes = { ...site.seen.probes, disks: [] };
  await site.look();
  expect(await site.alertsNow()).toEqual([]);
  const agentId = (await store.read(agentSilences))[0]!.agentId;
  const spool = { usedBytes: 950, bytesMax: 1000, fileSystem: null };
  const heartbeat = { agentId, instanceId: randomUUID(), agentVersion: '1', siteName: 'main' };
  await store.write((db) => noteHeartbeat(db, { ...heartbeat, spool }));
  await site.look();
  expect(await site.onlyAlert()).toMatchObject({ rule: 'disk-filling', severity: 'critical' });
  await store.write((db) => noteHeartbeat(db, heartbeat));
  await site.lookAgainAfter(60);
  expect(await site.onlyAlert()).toMatchObject({ state: 'recovered' });
});

describe('what the engine is told of, and does not find by itself', () => {
  const report = (host: string, days: number, name = 'The certificate of the bot') =>
    store.write((db) =>
      saveBotCredentials(db, {
        botName: 'bot',
        host,
        credentials: [
          { name, expiresAtMs: Date.now() + days * 86_400_000, isRenewedByItself: true, nextStep: 'Copy it.' },
        ],
      }),
    );

  test('a bot’s certificate that nobody copied is an alert; a newer one, or a bot that is no more, ends it', async () => {
    await report('chat-1', 4);
    await site.look();
    expect(await site.alertsNow()).toEqual([]);
    await report('chat-1', 1.5);
    await site.look();
    const scope = 'The certificate of the bot on chat-1';
    const next = { nextStep: 'Copy it.' };
    expect(await site.onlyAlert()).toMatchObject({ rule: 'credential-expiring', scope, severity: 'warning', ...next });
    await report('chat-2', 7);
    await report('chat-1', 0.5);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ severity: 'critical' });
    await report('chat-1', 7);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'recovered' });
    await report('chat-2', -1);
    await execute(store, `update bot_credentials set reported_at = now() - interval '9 d'`);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'recovered' });
  });

  test('bots report until when what they need is good, and nobody else does', async () => {
    const api = await startTestApi(store);
    try {
      const credential = { name: 'X\u0000', expiresAtMs: Date.now(), isRenewedByItself: false, nextStep: 'Renew it.' };
      const body = { host: 'chat-1', credentials: [credential] };
      const person = await api.as({ kind: 'person', name: 'ana' });
      expect(await person.post(chatRoutes.credentials, body)).toMatchObject({ status: 403 });
      const bot = await api.as({ kind: 'bot', name: 'bot' });
      expect(await bot.post(chatRoutes.credentials, body)).toMatchObject({ status: 200 });
      expect(await bot.post(chatRoutes.credentials, body)).toMatchObject({ status: 200 });
      await site.look();
      expect(await site.onlyAlert()).toMatchObject({ scope: 'X\uFFFD on chat-1', severity: 'critical' });
      expect(await bot.post(chatRoutes.credentials, { host: 'chat-1', credentials: [] })).toMatchObject({
        status: 200,
      });
      await site.look();
      expect(await site.onlyAlert()).toMatchObject({ state: 'recovered' });
    } finally {
      await api.stop();
    }
  });

  test('a credential that somebody took, or put off, rings once more a week before its end', async () => {
    const lasts = (days: number) => {
      const expiresAtMs = Date.now() + days * 86_400_000;
      site.seen.credentials = [{ name: 'The certificate authority', expiresAtMs, isRenewedByItself: false }];
    };
    lasts(29);
    await site.look();
    await site.order('ack');
    lasts(28);
    await site.look();
    await deliverAll(store);
    lasts(6.9);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'acknowledged', owner: 'ana', severity: 'warning' });
    const told = await deliverAll(store);
    expect(told.filter((one) => one.isNotifying).map(({ subject }) => subject.kind)).toEqual(['alert', 'note']);
    await site.look();
    expect(await deliverAll(store)).toEqual([]);
    expect((await site.eventsNow()).map(({ kind }) => kind)).toEqual(['alert-opened', 'alert-ack', 'alert-reminder']);
  });

  test('an audit trail that its check did not believe is a critical alert, until a check believes it', async () => {
    await store.write((db) => saveAuditCheck(db, 'The audit trail was tampered with: entry 7 was changed.'));
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ rule: 'audit-tampered', severity: 'critical' });
    const [told] = await deliverAll(store);
    expect(told).toMatchObject({ severity: 'critical', isNotifying: true, subject: { kind: 'alert' } });
    await store.write((db) => saveAuditCheck(db, undefined));
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ state: 'recovered' });
  });
});

describe('an alert', () => {
  test('is one row, one message and one event; it ends in the same message', async () => {
    await site.age('vm-7', 600);
    await site.look();
    expect(await site.alertsNow()).toEqual([]);
    await site.letPass(31);
    await site.look();
    await site.look();
    const alert = await site.onlyAlert();
    expect(alert).toMatchObject({ rule: 'lag', scope: 'vm-7', severity: 'critical', state: 'open', occurrences: 1 });
    const delivered = await deliverAll(store);
    expect(delivered.map(({ subject, isNotifying }) => [subject.kind, isNotifying])).toEqual([
      ['alert', true],
      ['picture', false],
    ]);
    await site.recover();
    expect(await site.onlyAlert()).toMatchObject({ state: 'recovered', recoveredAtMs: expect.any(Number) });
    await execute(store, `update messages set due_at = now() - interval '1 s'`);
    const after = await deliverAll(store);
    expect(after.map(({ subject, ref, isNotifying }) => [subject.kind, ref !== null, isNotifying])).toEqual([
      ['alert', true, false],
      ['note', false, false],
    ]);
    expect((await site.eventsNow()).map((event) => event.kind)).toEqual(['alert-opened', 'alert-recovered']);
  });

  test('that comes back within half an hour is the same one again, and rings', async () => {
    await site.makeLag();
    await deliverAll(store);
    await site.recover();
    await execute(store, `update messages set due_at = now() - interval '1 s'`);
    await deliverAll(store);
    await site.makeLag();
    expect(await site.onlyAlert()).toMatchObject({ state: 'open', occurrences: 2, recoveredAtMs: null });
    const again = await deliverAll(store);
    expect(again.filter(({ isNotifying }) => isNotifying).map(({ subject }) => subject.kind)).toEqual([
      'alert',
      'note',
    ]);
  });

  test('rings again only when it becomes worse', async () => {
    await site.makeLag('vm-7', 90);
    await deliverAll(store);
    await site.age('vm-7', 100);
    await execute(store, `update alerts set words_at = now() - interval '2 min'`);
    await site.look();
    await execute(store, `update messages set due_at = now() - interval '1 s'`);
    expect((await deliverAll(store)).map(({ isNotifying }) => isNotifying)).toEqual([false]);
    await store.write(async (db) => setOnCall(db, ['ana'], 'root'));
    await site.age('vm-7', 600);
    await site.look();
    const louder = await deliverAll(store);
    expect(louder).toMatchObject([
      { subject: { kind: 'alert', alert: { severity: 'critical' } }, isNotifying: true },
      { subject: { kind: 'note' }, isNotifying: true, severity: 'critical', mentions: ['U-ana'] },
    ]);
    expect((await site.eventsNow()).map((event) => event.kind)).toEqual(['alert-opened', 'alert-raised']);
  });

  test('is one open row for each rule and scope, whoever writes it', async () => {
    await site.makeLag();
    const twice = `insert into alerts (id, rule, scope, severity, title, text, next_step, machine_names, members)
      values ('alr_0000000009', 'lag', 'vm-7', 'warning', '', '', '', '[]', '[]')`;
    await expect(execute(store, twice)).rejects.toMatchObject({ cause: { constraint: 'alerts_one_open' } });
  });

  test('of a paused machine is muted, visibly; the pause opens none', async () => {
    const [first] = site.seen.machines;
    await site.makeLag('vm-8');
    const pause = (machineId: TestMachine['machineId']) =>
      store.write((db) => pauseMachine(db, machineId, { forMs: 3_600_000, reason: 'tape day' }));
    for (const machine of site.seen.machines) await pause(machine.machineId);
    await site.makeLag(first!.name);
    const alert = await site.onlyAlert();
    expect(alert).toMatchObject({ scope: 'vm-8', state: 'muted' });
    expect(alert.text).toContain('tape day');
  });

  test('of a resynchronisation that a person asked for is a warning', async () => {
    const [first] = site.seen.machines;
    await execute(store, `update protected_machines set resync_required = 'changes were lost' where name = 'vm-7'`);
    const request = { machineId: first!.machineId, kind: 'resync' as const, reason: '', requestedBy: 'ana' };
    await store.write((db) => addRequest(db, request));
    await site.look();
    await site.letPass(11);
    await site.look();
    expect(await site.onlyAlert()).toMatchObject({ rule: 'resync-required', severity: 'warning' });
  });
});

describe('silence', () => {
  test('of an agent is told with its machines; silence of the engine is not taken for theirs', async () => {
    await execute(store, `update agents set last_seen_at = now() - interval '1 h'`);
    await execute(store, `update alert_looks set looked_at = now() - interval '10 min'`);
    await site.lookUnheard();
    await site.letPass(11);
    await site.lookUnheard();
    expect(await site.alertsNow()).toEqual([]);
    await execute(store, `update alert_looks set resumed_at = now() - interval '1 min'`);
    await site.lookUnheard();
    await site.letPass(11);
    await site.lookUnheard();
    expect(await site.onlyAlert()).toMatchObject({
      rule: 'agent-silent',
      severity: 'critical',
      machineNames: ['vm-7', 'vm-8'],
    });
  });

  test('of the database, the schedule or the evaluation is silence of the engine', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-alive-'));
    const file = path.join(folder, 'alive.json');
    const say = () => sayAlive({ store, engineName: 'engine-1', file, nowMs: () => 42 });
    expect(await say()).toBeUndefined();
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ program: 'engine', atMs: 42 });
    await rm(file);
    await execute(store, `update alert_looks set looked_at = now() - interval '46 s'`);
    expect(await say()).toBe('alerts are not evaluated');
    await expect(readFile(file)).rejects.toThrow('ENOENT');
    await rm(folder, { recursive: true });
  });
});

test('every rule of the wire is one that the database takes', async () => {
  for (const [index, rule] of alertRules.entries()) {
    await store.read((db) =>
      db.execute(sql`insert into alerts (id, rule, scope, severity, title, text, next_step, machine_names, members)
        values (${`alr_000000000${index.toString(36).toUpperCase()}`}, ${rule}, 'x', 'warning', '', '', '', '[]', '[]')`),
    );
  }
  expect(await site.alertsNow()).toHaveLength(alertRules.length);
});

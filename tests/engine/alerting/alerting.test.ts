import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CredentialFacts, ProbeFacts } from '../../../domain/alert-facts.ts';
import { sayAlive } from '../../../engine/alerting/alive-file.ts';
import { evaluateAlerts } from '../../../engine/alerting/evaluation.ts';
import { orderAlert } from '../../../engine/alerting/orders.ts';
import { callPagers } from '../../../engine/alerting/pager.ts';
import { createProbes } from '../../../engine/alerting/probes.ts';
import { createCertificateAuthority } from '../../../engine/certificate-authority.ts';
import { agentSilences, noteHeartbeat } from '../../../engine/store/agents.ts';
import { listAlertViews } from '../../../engine/store/alerts.ts';
import { listEvents } from '../../../engine/store/events.ts';
import { pauseMachine } from '../../../engine/store/machines.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, setOnCall } from '../../../engine/store/people.ts';
import { addRequest } from '../../../engine/store/requests.ts';
import { secureServerOptions } from '../../../engine/tls.ts';
import type { AlertView } from '../../../protocol/chat-api.ts';
import { alertRules } from '../../../protocol/chat-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { deliverAll, execute, forgetAll, openWorkspace } from '../messages/outbox.ts';
import { protectMachines, type TestMachine } from '../workflow/protected-machine.ts';

let postgres: TestPostgres;
let store: Store;
let machines: TestMachine[];
let probes: ProbeFacts;
let credentials: CredentialFacts[];

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  await forgetAll(store);
  await openWorkspace(store);
  machines = await protectMachines(store, ['vm-7', 'vm-8']);
  probes = { vault: undefined, processServers: undefined, disks: undefined };
  credentials = [];
  await execute(store, `update agents set certificate_expires_at = now() + interval '7 d'`);
  await hear();
  await look();
});

const hear = () => execute(store, 'update agents set last_seen_at = now()');
/** The machine's newest point is that old. */
const age = (name: string, seconds: number) =>
  execute(
    store,
    `update recovery_points set taken_at = now() - interval '${seconds} s'
      where machine_id = (select id from protected_machines where name = '${name}')`,
  );
const sources = () => ({
  store,
  heartbeatEveryMs: 2000,
  processServers: ['https://127.0.0.1:9443'],
  ownCredentials: () => credentials,
  probes: () => probes,
});
const look = async () => {
  await hear();
  await evaluateAlerts(sources());
};
/** What the looks remember is that much older. */
const letPass = (seconds: number) =>
  execute(
    store,
    `update alert_watches set watch = watch || jsonb_build_object('badSinceMs', (watch->>'badSinceMs')::bigint - ${seconds * 1000},
      'takenAtMs', (watch->>'takenAtMs')::bigint - ${seconds * 1000})`,
  );
const alertsNow = () => store.read((db) => listAlertViews(db));
const onlyAlert = async (): Promise<AlertView> => {
  const [alert, ...more] = await alertsNow();
  expect(more).toEqual([]);
  return alert!;
};
const eventsNow = async () =>
  (await store.read((db) => listEvents(db, 0))).filter((event) => event.kind.startsWith('alert-'));
const makeLag = async (name = 'vm-7', seconds = 600) => {
  await age(name, seconds);
  await look();
  await letPass(31);
  await look();
};
const recover = async (name = 'vm-7') => {
  await age(name, 5);
  for (let i = 0; i < 3; i += 1) await look();
};
const order = (kind: 'ack' | 'unack' | 'unsnooze' | 'escalate', person = 'ana') =>
  store.write(async (db) => orderAlert(db, { kind, alertId: (await listAlertViews(db))[0]!.id, person }));

test('a host’s spool that fills up is an alert of that host; an agent that does not say tells nobody', async () => {
  probes = { ...probes, disks: [] };
  await look();
  expect(await alertsNow()).toEqual([]);
  const agentId = (await store.read(agentSilences))[0]!.agentId;
  const spool = { usedBytes: 950, bytesMax: 1000, fileSystem: null };
  const heartbeat = { agentId, instanceId: randomUUID(), agentVersion: '1', siteName: 'main' };
  await store.write((db) => noteHeartbeat(db, { ...heartbeat, spool }));
  await look();
  expect(await onlyAlert()).toMatchObject({ rule: 'disk-filling', severity: 'critical' });
  await store.write((db) => noteHeartbeat(db, heartbeat));
  for (let i = 0; i < 3; i += 1) await look();
  expect(await onlyAlert()).toMatchObject({ state: 'recovered' });
});

describe('an alert', () => {
  test('is one row, one message and one event; it ends in the same message', async () => {
    await age('vm-7', 600);
    await look();
    expect(await alertsNow()).toEqual([]);
    await letPass(31);
    await look();
    await look();
    const alert = await onlyAlert();
    expect(alert).toMatchObject({ rule: 'lag', scope: 'vm-7', severity: 'critical', state: 'open', occurrences: 1 });
    const delivered = await deliverAll(store);
    expect(delivered.map(({ subject, isNotifying }) => [subject.kind, isNotifying])).toEqual([
      ['alert', true],
      ['picture', false],
    ]);
    await recover();
    expect(await onlyAlert()).toMatchObject({ state: 'recovered', recoveredAtMs: expect.any(Number) });
    await execute(store, `update messages set due_at = now() - interval '1 s'`);
    const after = await deliverAll(store);
    expect(after.map(({ subject, ref, isNotifying }) => [subject.kind, ref !== null, isNotifying])).toEqual([
      ['alert', true, false],
      ['note', false, false],
    ]);
    expect((await eventsNow()).map((event) => event.kind)).toEqual(['alert-opened', 'alert-recovered']);
  });

  test('that comes back within half an hour is the same one again, and rings', async () => {
    await makeLag();
    await deliverAll(store);
    await recover();
    await execute(store, `update messages set due_at = now() - interval '1 s'`);
    await deliverAll(store);
    await makeLag();
    expect(await onlyAlert()).toMatchObject({ state: 'open', occurrences: 2, recoveredAtMs: null });
    const again = await deliverAll(store);
    expect(again.filter(({ isNotifying }) => isNotifying).map(({ subject }) => subject.kind)).toEqual([
      'alert',
      'note',
    ]);
  });

  test('rings again only when it becomes worse', async () => {
    await makeLag('vm-7', 90);
    await deliverAll(store);
    await age('vm-7', 100);
    await execute(store, `update alerts set words_at = now() - interval '2 min'`);
    await look();
    await execute(store, `update messages set due_at = now() - interval '1 s'`);
    expect((await deliverAll(store)).map(({ isNotifying }) => isNotifying)).toEqual([false]);
    await store.write(async (db) => setOnCall(db, ['ana']));
    await age('vm-7', 600);
    await look();
    const louder = await deliverAll(store);
    expect(louder).toMatchObject([
      { subject: { kind: 'alert', alert: { severity: 'critical' } }, isNotifying: true },
      { subject: { kind: 'note' }, isNotifying: true, severity: 'critical', mentions: ['U-ana'] },
    ]);
    expect((await eventsNow()).map((event) => event.kind)).toEqual(['alert-opened', 'alert-raised']);
  });

  test('is one open row for each rule and scope, whoever writes it', async () => {
    await makeLag();
    const twice = `insert into alerts (id, rule, scope, severity, title, text, next_step, machine_names, members)
      values ('alr_0000000009', 'lag', 'vm-7', 'warning', '', '', '', '[]', '[]')`;
    await expect(execute(store, twice)).rejects.toMatchObject({ cause: { constraint: 'alerts_one_open' } });
  });

  test('of a paused machine is muted, visibly; the pause opens none', async () => {
    const [first] = machines;
    await makeLag('vm-8');
    const pause = (machineId: TestMachine['machineId']) =>
      store.write((db) => pauseMachine(db, machineId, { forMs: 3_600_000, reason: 'tape day' }));
    for (const machine of machines) await pause(machine.machineId);
    await makeLag(first!.name);
    const alert = await onlyAlert();
    expect(alert).toMatchObject({ scope: 'vm-8', state: 'muted' });
    expect(alert.text).toContain('tape day');
  });

  test('of a resynchronisation that a person asked for is a warning', async () => {
    const [first] = machines;
    await execute(store, `update protected_machines set resync_required = 'changes were lost' where name = 'vm-7'`);
    const request = { machineId: first!.machineId, kind: 'resync' as const, reason: '', requestedBy: 'ana' };
    await store.write((db) => addRequest(db, request));
    await look();
    await letPass(11);
    await look();
    expect(await onlyAlert()).toMatchObject({ rule: 'resync-required', severity: 'warning' });
  });
});

describe('silence', () => {
  test('of an agent is told with its machines; silence of the engine is not taken for theirs', async () => {
    await execute(store, `update agents set last_seen_at = now() - interval '1 h'`);
    await execute(store, `update alert_looks set looked_at = now() - interval '10 min'`);
    await evaluateAlerts(sources());
    await letPass(11);
    await evaluateAlerts(sources());
    expect(await alertsNow()).toEqual([]);
    await execute(store, `update alert_looks set resumed_at = now() - interval '1 min'`);
    await evaluateAlerts(sources());
    await letPass(11);
    await evaluateAlerts(sources());
    expect(await onlyAlert()).toMatchObject({
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
      await setOnCall(db, ['ana', 'ben']);
    });
    await makeLag();
    await deliverAll(store);
    await waited(6);
    await look();
    await look();
    const told = await deliverAll(store);
    expect(told.filter(({ place }) => place.place === 'user:U-ana').map(({ subject }) => subject.kind)).toEqual([
      'alert',
      'note',
    ]);
    expect(await onlyAlert()).toMatchObject({ escalationLevel: 1 });
    // Ben is linked to nothing: the pager is next.
    await waited(16);
    await look();
    const { calls, stop } = await pager();
    await callPagers({ store, pagerUrl: calls.url });
    await callPagers({ store, pagerUrl: calls.url });
    expect(calls.bodies).toMatchObject([{ source: 'lifeboat', title: 'vm-7 lags behind' }]);
    await stop();
    await order('ack');
    await waited(29);
    await look();
    expect(await onlyAlert()).toMatchObject({ state: 'acknowledged', owner: 'ana', escalationLevel: 0 });
  });

  test('a pager that does not answer is tried again, one that is not there is said', async () => {
    await makeLag();
    await waited(6);
    await look();
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
    await makeLag();
    await order('ack');
    await deliverAll(store);
    await waited(31);
    await look();
    expect((await deliverAll(store)).map(({ place, subject }) => [place.place, subject.kind])).toEqual(
      expect.arrayContaining([
        ['C1', 'note'],
        ['user:U-ana', 'note'],
      ]),
    );
    await waited(30);
    await look();
    expect(await onlyAlert()).toMatchObject({ state: 'acknowledged' });
    await waited(30);
    await look();
    expect(await onlyAlert()).toMatchObject({ state: 'open', owner: null });
    await store.write(async (db) =>
      orderAlert(db, { kind: 'snooze', forMs: 3_600_000, alertId: (await onlyAlert()).id, person: 'ana' }),
    );
    expect(await onlyAlert()).toMatchObject({ state: 'snoozed', owner: 'ana' });
    await waited(61);
    await look();
    expect(await onlyAlert()).toMatchObject({ state: 'open', snoozedUntilMs: null });
  });

  test('becoming worse breaks a snooze', async () => {
    await makeLag('vm-7', 90);
    await store.write(async (db) =>
      orderAlert(db, { kind: 'snooze', forMs: 3_600_000, alertId: (await onlyAlert()).id, person: 'ana' }),
    );
    await age('vm-7', 600);
    await look();
    expect(await onlyAlert()).toMatchObject({ state: 'open', severity: 'critical' });
  });

  test('orders that make no sense are refused with the reason', async () => {
    await makeLag();
    expect(await order('unack')).toMatchObject({ kind: 'refused' });
    expect(await order('escalate')).toMatchObject({ kind: 'done' });
    await recover();
    expect(await order('ack')).toMatchObject({ kind: 'refused', message: expect.stringContaining('is over') });
    const unknown = await store.write((db) => orderAlert(db, { kind: 'ack', alertId: 'alr_1', person: 'ana' }));
    expect(unknown).toEqual({ kind: 'unknown' });
  });
});

describe('probes', () => {
  test('find what only trying can tell, and never fail themselves', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-probes-'));
    const tried = createProbes({
      vault: { description: '/vault', read: () => Promise.reject(new Error('EIO')) },
      processServers: ['https://127.0.0.1:1'],
      clientKey: async () => ({ privateKey: '', certificate: '', certificateAuthority: '' }),
      folders: [
        { name: 'here', path: folder },
        { name: 'nowhere', path: path.join(folder, 'nowhere') },
      ],
      certificates: [{ name: 'none', path: path.join(folder, 'none'), isRenewedByItself: false }],
    });
    expect(tried.found()).toEqual({ vault: undefined, processServers: undefined, disks: undefined });
    await tried.round();
    expect(tried.found()).toMatchObject({
      vault: { failure: expect.stringContaining('EIO') },
      processServers: [{ url: 'https://127.0.0.1:1', failure: expect.any(String) }],
      disks: [{ name: 'here', usedPercent: expect.any(Number) }],
    });
    probes = tried.found();
    await look();
    await letPass(21);
    await look();
    expect((await alertsNow()).map((alert) => alert.rule).sort()).toEqual([
      'process-server-silent',
      'vault-unreachable',
    ]);
    await rm(folder, { recursive: true });
  });
});

test('a process server that answers is seen to answer, with a certificate that is made for the question', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-probes-'));
  const authority = await createCertificateAuthority(folder, Date.now());
  const issue = (kind: 'engine' | 'process-server') =>
    authority.issueKeyPair({ kind, name: kind }, { nowMs: Date.now(), lifeMs: 600_000 });
  const server = createSecureServer(
    secureServerOptions(await issue('process-server'), 'required'),
    (_request, response) => response.end('{"status":"ok"}'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const tried = createProbes({
    vault: { description: '/vault', read: async () => undefined },
    processServers: [url],
    clientKey: () => issue('engine'),
    folders: [],
    certificates: [
      { name: 'The authority', path: path.join(folder, 'certificate-authority.crt'), isRenewedByItself: false },
    ],
  });
  await tried.round();
  expect(tried.found().processServers).toEqual([{ url, failure: undefined }]);
  expect(tried.credentials()).toMatchObject([{ name: 'The authority', isRenewedByItself: false }]);
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

test('every rule of the wire is one that the database takes', async () => {
  for (const [index, rule] of alertRules.entries()) {
    await store.read((db) =>
      db.execute(sql`insert into alerts (id, rule, scope, severity, title, text, next_step, machine_names, members)
        values (${`alr_000000000${index.toString(36).toUpperCase()}`}, ${rule}, 'x', 'warning', '', '', '', '[]', '[]')`),
    );
  }
  expect(await alertsNow()).toHaveLength(alertRules.length);
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

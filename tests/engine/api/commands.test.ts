import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { MachineId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import { emptyDigest } from '../../../domain/position.ts';
import type { Workflow } from '../../../engine/api/deps.ts';
import { appendEvent, listEvents } from '../../../engine/store/events.ts';
import { findMachineByName, markProtected } from '../../../engine/store/machines.ts';
import { createRun, finishRun } from '../../../engine/store/runs.ts';
import { heartbeatAnswer } from '../../../protocol/agent-api.ts';
import { machineView, routes } from '../../../protocol/control-api.ts';
import { checkGrant } from '../../../protocol/replication-grant.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type Caller, guestReport, heartbeatOf, startTestApi, type TestApi } from './api-fixture.ts';

let postgres: TestPostgres;
let api: TestApi;
let ana: Caller;
let agent: Caller;
const started: string[] = [];
const workflow: Workflow = {
  planTestFailover: async () => ({ kind: 'refused', message: 'nothing to plan', candidates: ['rp_1'] }),
  startTestFailover: async ({ machineName, point }) => {
    started.push(`${machineName} ${point}`);
    return { kind: 'started', runId: 'run_0000000001' };
  },
  startCleanup: async () => ({ kind: 'refused', message: 'no drill' }),
};

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  started.length = 0;
  api = await startTestApi(await postgres.freshStore(), { workflow });
  ana = await api.as({ kind: 'person', name: 'ana' });
  agent = (await api.enrol('host-1')).caller;
});
afterEach(() => api.stop());

async function beat(...more: Parameters<typeof heartbeatOf>) {
  const answer = await agent.post(routes.heartbeat, heartbeatOf(...more));
  expect(answer.status).toBe(200);
  return heartbeatAnswer.parse(answer.body);
}
async function machineId(name: string): Promise<MachineId> {
  const machine = await api.store.read((db) => findMachineByName(db, name));
  invariant(machine, `${name} is there`);
  return machine.id;
}
async function protect(name: string): Promise<MachineId> {
  await beat([guestReport(name)]);
  await ana.post(routes.enable, { machine: name });
  const id = await machineId(name);
  await api.store.write((db) => markProtected(db, id));
  return id;
}

test('a guest is reported, enabled, assigned with a grant that the process server accepts, and replicates with progress', async () => {
  const instanceId = randomUUID();
  expect((await beat([guestReport('vm-7')], { instanceId })).assignments).toEqual([]);
  const enabled = await ana.post(routes.enable, { machine: 'vm-7' });
  expect(enabled.body).toMatchObject({ kind: 'done', message: expect.stringContaining('2 disks, 192 KiB') });
  const { assignments, processServers } = await beat([guestReport('vm-7')], { instanceId });
  expect(processServers).toEqual(['https://127.0.0.1:9443']);
  const [assignment] = assignments;
  invariant(assignment, 'assigned');
  expect(assignment).toMatchObject({ name: 'vm-7', epoch: 1, paused: false, crashConsistentEveryMs: 15_000 });
  const check = checkGrant(assignment.grant, api.grantPublicKey, Date.now());
  expect(check).toMatchObject({ kind: 'valid', grant: { machineId: assignment.machineId, epoch: 1 } });
  const activity = {
    kind: 'scanning',
    doneBytes: 98_304,
    totalBytes: 196_608,
    sentBytes: 1,
    bytesPerSecond: 1000,
    why: 'first',
  } as const;
  const report = { machineId: assignment.machineId, activity, spoolBytes: 0, sentBytesTotal: 500 };
  await beat([guestReport('vm-7')], { instanceId, machines: [report] });
  const view = machineView.parse((await ana.get('/v1/machines/vm-7')).body);
  expect(view).toMatchObject({
    hostName: 'host-1',
    protection: { kind: 'initial-replication', doneBytes: 98_304 },
    health: { kind: 'unknown' },
    lagMs: null,
    sentBytesTotal: 500,
  });
  const refused = await ana.post(routes.testFailover, { machine: 'vm-7' });
  expect([refused.status, started]).toEqual([200, ['vm-7 latest']]);
});

test('bytes that were sent are counted on over a restart of the agent', async () => {
  const id = await protect('vm-7');
  const report = (sentBytesTotal: number) => ({
    machineId: id,
    activity: { kind: 'idle' } as const,
    spoolBytes: 0,
    sentBytesTotal,
  });
  for (const sent of [500, 700, 100]) await beat([guestReport('vm-7')], { machines: [report(sent)] });
  expect((await ana.get('/v1/machines/vm-7')).body).toMatchObject({ sentBytesTotal: 800 });
});

test('an unknown machine is refused with the three nearest names, and one of two hosts with the hosts', async () => {
  await beat([guestReport('vm-7'), guestReport('vm-17'), guestReport('vm-70'), guestReport('database')]);
  const unknown = await ana.post(routes.enable, { machine: 'vm7' });
  expect(unknown).toMatchObject({
    status: 404,
    body: { kind: 'unknown-target', candidates: ['vm-7', 'vm-17', 'vm-70'] },
  });
  const other = (await api.enrol('host-2')).caller;
  await other.post(routes.heartbeat, heartbeatOf([guestReport('vm-7')]));
  const ambiguous = await ana.post(routes.enable, { machine: 'vm-7' });
  expect(ambiguous).toMatchObject({
    status: 409,
    body: { kind: 'ambiguous-target', candidates: ['host-1', 'host-2'] },
  });
  expect((await ana.post(routes.enable, { machine: 'vm-7', host: 'host-2' })).status).toBe(200);
});

test('what cannot be is refused with the reason: unsupported guests, unknown policies, wrong states', async () => {
  await beat([guestReport('vm-7', { unsupported: 'its disk is passed through' }), guestReport('vm-8')]);
  const unsupported = await ana.post(routes.enable, { machine: 'vm-7' });
  expect(unsupported.body).toMatchObject({ kind: 'refused', message: expect.stringContaining('passed through') });
  const policy = await ana.post(routes.enable, { machine: 'vm-8', policy: 'gold' });
  expect(policy).toMatchObject({ status: 404, body: { candidates: ['default'] } });
  const paused = await ana.post(routes.pause, { machine: 'vm-8', forMs: 5000, reason: 'x' });
  expect(paused).toMatchObject({ status: 409, body: { message: expect.stringContaining('not protected') } });
  await ana.post(routes.enable, { machine: 'vm-8' });
  const early = await ana.post(routes.bookmark, { machine: 'vm-8', reason: 'x' });
  expect(early.body).toMatchObject({ message: expect.stringContaining('initial replication is at 0 %') });
  const cleanup = await ana.post(routes.cleanup, { machine: 'vm-8' });
  expect(cleanup).toMatchObject({ status: 409, body: { message: 'no drill' } });
});

test('pause, resume, bookmark and resync reach the agent, once each, and are told', async () => {
  await protect('vm-7');
  const pause = await ana.post(routes.pause, { machine: 'vm-7', forMs: 3_600_000, reason: 'tape day' });
  expect(pause.status).toBe(200);
  expect((await beat([guestReport('vm-7')])).assignments[0]?.paused).toBe(true);
  expect((await ana.get('/v1/machines/vm-7')).body).toMatchObject({
    replication: { kind: 'paused', reason: 'tape day' },
    health: { kind: 'warning' },
  });
  await ana.post(routes.resume, { machine: 'vm-7' });
  expect((await ana.post(routes.bookmark, { machine: 'vm-7', reason: 'before the update' })).status).toBe(200);
  expect((await ana.post(routes.resync, { machine: 'vm-7' })).status).toBe(200);
  expect((await ana.post(routes.resync, { machine: 'vm-7' })).status).toBe(409);
  const [assignment] = (await beat([guestReport('vm-7')])).assignments;
  expect(assignment).toMatchObject({
    paused: false,
    requests: [{ kind: 'bookmark', reason: 'before the update' }, { kind: 'resync' }],
  });
  const done = assignment?.requests.map((request) => request.requestId) ?? [];
  expect((await beat([guestReport('vm-7')], { doneRequests: done })).assignments[0]?.requests).toEqual([]);
  const kinds = (await api.store.read((db) => listEvents(db, 0))).map((event) => event.kind);
  expect(kinds).toEqual(['host-enrolled', 'enabled', 'paused', 'resumed', 'bookmark-requested', 'resync-requested']);
});

test('a pause ends by the database’s clock', async () => {
  const id = await protect('vm-7');
  await ana.post(routes.pause, { machine: 'vm-7', forMs: 3_600_000, reason: 'x' });
  await api.store.read((db) =>
    db.execute(sql`update protected_machines set paused_until = now() - interval '1 s' where id = ${id}`),
  );
  expect((await ana.get('/v1/machines/vm-7')).body).toMatchObject({ replication: { kind: 'running' } });
});

test('the same idempotency key gives the same answer and does it once, also when sent twenty times at once', async () => {
  await protect('vm-7');
  const key = randomUUID();
  const order = () => ana.post(routes.testFailover, { machine: 'vm-7' }, key);
  const answers = await Promise.all(Array.from({ length: 20 }, order));
  expect(new Set(answers.map((answer) => JSON.stringify(answer.body)))).toEqual(
    new Set(['{"kind":"run-started","runId":"run_0000000001"}']),
  );
  expect(started).toHaveLength(1);
  const other = await ana.post(routes.testFailover, { machine: 'vm-7', point: 'rp_1' }, key);
  expect(other).toMatchObject({ status: 422, body: { message: expect.stringContaining('another request') } });
  const ben = await api.as({ kind: 'person', name: 'ben' });
  expect((await ben.post(routes.testFailover, { machine: 'vm-7' }, key)).status).toBe(422);
  expect((await ana.post(routes.testFailover, { machine: 'vm-7' }, 'short')).status).toBe(422);
  const plan = await ana.post(routes.testFailover, { machine: 'vm-7', dryRun: true });
  expect(plan).toMatchObject({ status: 409, body: { message: 'nothing to plan', candidates: ['rp_1'] } });
});

test('a refusal is kept for its key too, an outage is not: the same key may try again', async () => {
  const key = randomUUID();
  expect((await ana.post(routes.resume, { machine: 'vm-9' }, key)).status).toBe(404);
  await protect('vm-9');
  expect((await ana.post(routes.resume, { machine: 'vm-9' }, key)).status).toBe(404);
  await api.store.read((db) => db.execute(sql`alter table agent_requests rename to elsewhere`));
  const again = randomUUID();
  const broken = await ana.post(routes.bookmark, { machine: 'vm-9', reason: 'x' }, again);
  expect(broken).toMatchObject({ status: 500, body: { message: expect.not.stringContaining('agent_requests') } });
  await api.store.read((db) => db.execute(sql`alter table elsewhere rename to agent_requests`));
  expect((await ana.post(routes.bookmark, { machine: 'vm-9', reason: 'x' }, again)).status).toBe(200);
});

test('of two agents with one certificate the second is refused, and people are told once', async () => {
  const [a, b] = [randomUUID(), randomUUID()];
  const status = async (instanceId: string) =>
    (await agent.post(routes.heartbeat, heartbeatOf([], { instanceId }))).status;
  expect([
    await status(a),
    await status(b),
    await status(a),
    await status(b),
    await status(a),
    await status(b),
  ]).toEqual([200, 200, 200, 409, 200, 409]);
  const events = await api.store.read((db) => listEvents(db, 0));
  expect(events.filter((event) => event.kind === 'agent-conflict')).toHaveLength(1);
});

test('an agent cannot announce points of a machine that is not its own, of another epoch, or of other disks', async () => {
  const id = await protect('vm-7');
  const machine = await api.store.read((db) => findMachineByName(db, 'vm-7'));
  const position = { epoch: 1, sequence: 1, digest: emptyDigest };
  const point = {
    machineId: id,
    epoch: 1,
    captureId: randomUUID(),
    kind: 'crash-consistent',
    takenAtMs: Date.now(),
    pauseMs: 1,
    changedBytes: 1,
    reason: '',
    disks: machine?.disks.map((disk) => ({ diskId: disk.id, position })),
  };
  const stranger = (await api.enrol('host-2')).caller;
  expect((await stranger.post(routes.announcePoint, point)).status).toBe(403);
  expect((await agent.post(routes.announcePoint, { ...point, epoch: 2 })).status).toBe(409);
  expect((await agent.post(routes.announcePoint, { ...point, disks: point.disks?.slice(1) })).status).toBe(403);
  expect((await ana.get('/v1/machines/vm-7/points')).body).toEqual([]);
});

test('a waiter gets the event that comes, and an empty list when none does', async () => {
  const waiting = ana.get(`${routes.events}?after=1&waitMs=15000`);
  await api.store.write((db) => appendEvent(db, { kind: 'test', text: 'here it is' }));
  expect((await waiting).body).toMatchObject([{ number: 2, kind: 'test', text: 'here it is' }]);
  expect((await ana.get(`${routes.events}?after=2&waitMs=1`)).body).toEqual([]);
  expect((await ana.get(`${routes.events}?after=2&waitMs=20001`)).status).toBe(422);
});

test('the console picture of a run is served, and no path of a row leads out of the state folder', async () => {
  const id = await protect('vm-7');
  const pictures = path.join(api.stateFolder, 'pictures');
  await mkdir(pictures);
  const png = Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), Buffer.from('picture')]);
  await writeFile(path.join(pictures, 'good.png'), png);
  const elsewhere = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-outside-'));
  const outside = path.join(elsewhere, 'outside.png');
  await writeFile(outside, png);
  await symlink(outside, path.join(pictures, 'link.png'));
  await writeFile(path.join(pictures, 'text.png'), 'not a picture');
  const show = async (consolePicture: string) => {
    const base = {
      kind: 'test-failover' as const,
      machineId: id,
      requestedBy: 'ana',
      plan: {},
      planDigest: 'a'.repeat(64),
      steps: [],
    };
    const { run } = await api.store.write((db) => createRun(db, { ...base, idempotencyKey: randomUUID() }));
    const point = {
      id: 'rp_0000000000' as never,
      kind: 'crash-consistent',
      state: 'available',
      takenAtMs: 1,
      reason: '',
    } as const;
    const boot = {
      secondsToGuestUp: 1,
      marker: null,
      verified: true,
      verification: 'x',
      vmName: 'x',
      accelerator: 'tcg',
    };
    const result = { point, pointAgeMs: 1, ...boot, consolePicture };
    await api.store.write((db) => finishRun(db, run.id, { kind: 'succeeded', result }));
    return ana.get(`/v1/runs/${run.id}/console.png`);
  };
  const good = await show(path.join(pictures, 'good.png'));
  expect([good.status, good.bytes.equals(png)]).toEqual([200, true]);
  for (const file of [
    '../../etc/passwd',
    outside,
    path.join(pictures, 'link.png'),
    path.join(pictures, 'text.png'),
    '/nope.png',
  ]) {
    expect([file, (await show(file)).status]).toEqual([file, 404]);
  }
  await rm(elsewhere, { recursive: true });
});

test('the description is OpenAPI 3.1 with every route, its bodies and its answers', async () => {
  const { body } = await ana.get('/openapi.json');
  expect(body).toMatchObject({ openapi: '3.1.0' });
  const paths = (body as { paths: Record<string, Record<string, object>> }).paths;
  const described = Object.entries(paths).flatMap(([url, methods]) =>
    Object.keys(methods).map((method) => `${method} ${url}`),
  );
  const served = api.routes.map(({ method, url }) => `${method.toLowerCase()} ${url.replaceAll(/:(\w+)/g, '{$1}')}`);
  expect(described.sort()).toEqual(served.sort());
  expect(paths[routes.pause]?.post).toMatchObject({
    requestBody: { content: { 'application/json': { schema: { required: ['machine', 'forMs', 'reason'] } } } },
    responses: { '200': {}, default: {} },
  });
});

test('enrolment works over the wire without a certificate, once', async () => {
  const { createEnrolmentToken } = await import('../../../engine/enrolment.ts');
  const x509 = await import('@peculiar/x509');
  const token = await createEnrolmentToken(api.deps.enrolment, { hostName: 'host-9', createdBy: 'ana' });
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    name: 'CN=x',
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  const body = { token, hostName: 'host-9', certificateRequest: request.toString('pem') };
  const first = await api.anonymous().post(routes.enrol, body);
  expect(first).toMatchObject({ status: 200, body: { certificate: expect.stringContaining('BEGIN CERTIFICATE') } });
  const second = await api.anonymous().post(routes.enrol, body);
  expect(second).toMatchObject({ status: 401, body: { message: expect.stringContaining('used already') } });
  expect(((await ana.get(routes.hosts)).body as { name: string }[]).map((host) => host.name)).toEqual([
    'host-1',
    'host-9',
  ]);
});

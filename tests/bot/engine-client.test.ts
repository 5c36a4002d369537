import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ApiCall } from '../../bot/api-call.ts';
import { type BotClient, createEngineClient } from '../../bot/engine-client.ts';
import { executeLine } from '../../bot/execute-line.ts';
import { followRun } from '../../bot/run-follower.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { type Handler, json, type LoopbackEngine, refused, startLoopbackEngine } from './loopback-engine.ts';
import { drillRun, engineOf, verifiedRun, worlds } from './recorded-answers.ts';

let folder: string;
let engine: LoopbackEngine;
let client: BotClient;
let handle: Handler;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-bot-'));
  engine = await startLoopbackEngine(folder, (call, received) => handle(call, received));
  client = createEngineClient(engine.connection, { timeoutMs: 5000 });
});
afterEach(async () => {
  await client.close();
  await engine.close();
  await rm(folder, { recursive: true });
});

async function outageOf(promise: Promise<unknown>): Promise<OutageError> {
  const error = await promise.then(() => undefined).catch((thrown: unknown) => thrown);
  if (!(error instanceof OutageError)) throw new Error(`expected an outage, got ${String(error)}`);
  return error;
}

const drill: ApiCall = { kind: 'testFailover', body: { machine: 'vm-7', point: 'latest', dryRun: false } };
const started = json({ kind: 'run-started', runId: 'run_4F6H8J0KMN' });

it('every call goes to its route and its answer is parsed', async () => {
  const world = engineOf(worlds.well ?? { machines: [] });
  const calls: ApiCall[] = [
    { kind: 'whoami' },
    { kind: 'version' },
    { kind: 'machines' },
    { kind: 'machine', name: 'vm-7' },
    { kind: 'points', machine: 'vm-7' },
    { kind: 'hosts' },
    { kind: 'runs' },
    { kind: 'run', id: verifiedRun.id },
    { kind: 'enable', body: { machine: 'vm-8', policy: 'default' } },
    { kind: 'pause', body: { machine: 'vm-7', forMs: 60_000, reason: 'x' } },
    { kind: 'resume', body: { machine: 'vm-7' } },
    { kind: 'resync', body: { machine: 'vm-7', reason: '' } },
    { kind: 'bookmark', body: { machine: 'vm-7', reason: 'x' } },
    drill,
    { kind: 'cleanup', body: { machine: 'vm-7', note: '' } },
    { kind: 'people' },
    { kind: 'approvals' },
    { kind: 'alerts' },
    { kind: 'surfaces' },
    { kind: 'lagSeries', machine: 'vm-7', sinceMs: 3_600_000 },
    { kind: 'audit', about: 'vm-7 & co' },
    { kind: 'plannedFailover', body: { machine: 'vm-7', reason: 'x', dryRun: false } },
    { kind: 'reject', body: { approval: 'apr_7K3M9Q2WXA', reason: 'x' } },
    { kind: 'snooze', body: { alert: 'alr_7K3M9Q2WXA', forMs: 60_000 } },
    { kind: 'onCall', body: { persons: ['ana'] } },
    { kind: 'role', body: { person: 'ben', role: 'none', scope: { kind: 'tag', tag: 'web' } } },
    { kind: 'tag', body: { machine: 'vm-7', add: ['web'], remove: [] } },
    { kind: 'signInLink', body: {} },
    { kind: 'signOut', body: { isEverywhere: true } },
  ];
  for (const call of calls) {
    const expected = await world.ask(call);
    const { kind: _, ...wrapped } = expected;
    handle = (seen) => {
      expect(seen).toMatchObject(call);
      return json(Object.values(wrapped)[0]);
    };
    expect(await client.ask(call, { idempotencyKey: 'key-12345' })).toEqual(expected);
  }
});

it('what only a bot may do goes to its routes, for whom it speaks is said, and a refusal there is an outage', async () => {
  const seen: { path: string; body: unknown }[] = [];
  const png = Buffer.from('89504e470d0a1a0a', 'hex');
  engine.answerRaw((one, text) => {
    if (one.method === 'GET' && one.path.endsWith('.png')) return { status: 200, type: 'image/png', body: png };
    const kind = { '/gone': 'unknown-target', '/away': 'outage' }[one.path];
    if (kind !== undefined) {
      const refusal = Buffer.from(JSON.stringify({ kind, message: 'no picture', candidates: [], nextStep: null }));
      return { status: kind === 'outage' ? 503 : 404, type: 'application/json', body: refusal };
    }
    if (one.path.startsWith('/v1/bot/places?'))
      return { status: 200, type: 'application/json', body: Buffer.from('[]') };
    if (!one.path.startsWith('/v1/bot/')) return undefined;
    seen.push({ path: one.path, body: JSON.parse(text) });
    const isFollow = one.path === '/v1/bot/follow';
    const refusal = { kind: 'refused', message: 'no such topic', candidates: [], nextStep: null };
    const body = Buffer.from(JSON.stringify(isFollow ? refusal : []));
    return { status: isFollow ? 409 : 200, type: 'application/json; charset=utf-8', body };
  });
  expect(await client.claim({ surface: 'slack', tenant: 'T1' }, {})).toEqual([]);
  const outcome = { revision: 2, outcome: { kind: 'undeliverable', error: 'gone' } } as const;
  await client.reportOutcome('msg_7K3M9Q2WXA', outcome, {});
  await client.reportSurface({ surface: 'slack', tenant: 'T1', isHealthy: true }, {});
  expect(await client.places({ surface: 'slack', tenant: 'T1' }, {})).toEqual([]);
  expect(await client.download('/v1/runs/run_7K3M9Q2WXA/console.png', {})).toEqual({ kind: 'png', png });
  expect(await client.download('/gone', {})).toEqual({ kind: 'unknown', why: 'no picture' });
  expect(describeCauses(await outageOf(client.download('/away', {})))).toContain('no picture');
  expect(seen.map(({ path }) => path)).toEqual([
    '/v1/bot/deliveries/claim',
    '/v1/bot/deliveries/msg_7K3M9Q2WXA/outcome',
    '/v1/bot/surface',
  ]);
  expect(seen[1]?.body).toEqual(outcome);
  const place = { surface: 'slack', tenant: 'T1', place: 'C1' } as const;
  const refusal = await outageOf(client.follow({ topic: 'run:run_7K3M9Q2WXA', place }, {}));
  expect(describeCauses(refusal)).toContain('no such topic');
  const actor = {
    surface: 'slack',
    tenant: 'T1',
    user: 'U1',
    displayName: 'Ána ☂ \r\n x: y',
    kind: 'member',
    envelope: 'e',
  } as const;
  handle = () => started;
  await client.ask(drill, { idempotencyKey: 'key-12345', actor });
  const header = engine.received.at(-1)?.actor ?? '';
  expect(header).toMatch(/^[\x21-\x7e]+$/);
  expect(JSON.parse(decodeURIComponent(header))).toEqual(actor);
});

it('the web console’s own calls go to its routes; a refused code or session is an answer', async () => {
  const seen: string[] = [];
  const token = 'x'.repeat(43);
  const isOver = { status: 401, body: { kind: 'unauthenticated', message: 'This session is over.' } };
  const answers: Record<string, { status: number; body: unknown }> = {
    '/v1/console/sessions': { status: 200, body: { token, person: 'ana', expiresAtMs: 2, idleLimitMs: 1 } },
    '/v1/bot/console': { status: 200, body: {} },
    '/v1/overview': { status: 403, body: { kind: 'forbidden', message: 'not yours' } },
    '/v1/report': isOver,
  };
  engine.answerRaw((one, text) => {
    seen.push(`${one.method} ${one.path} ${text}`.trim());
    const { status, body } = answers[one.path.split('?')[0] ?? ''] ?? isOver;
    return { status, type: 'application/json', body: Buffer.from(JSON.stringify(body)) };
  });
  const code = { code: '7K3M-9Q2W-XA4T', address: '127.0.0.1' };
  expect(await client.signIn(code, {})).toMatchObject({ kind: 'signed-in', session: { token, person: 'ana' } });
  await client.reportConsole({ url: 'https://127.0.0.1:7443' }, {});
  expect(describeCauses(await outageOf(client.overview({})))).toContain('not yours');
  const report = await client.report({ machine: 'vm 7', fromMs: 1, toMs: 2 }, { session: token });
  expect(report).toMatchObject({ kind: 'refusal', refusal: { kind: 'unauthenticated' } });
  expect(await client.ask({ kind: 'whoami' }, { session: token })).toMatchObject({ kind: 'refusal' });
  answers['/v1/console/sessions'] = { status: 409, body: { kind: 'refused', message: 'used already' } };
  expect(await client.signIn(code, {})).toMatchObject({ kind: 'refusal', refusal: { message: 'used already' } });
  expect(seen).toEqual([
    `POST /v1/console/sessions ${JSON.stringify(code)}`,
    'POST /v1/bot/console {"url":"https://127.0.0.1:7443"}',
    'GET /v1/overview',
    'GET /v1/report?fromMs=1&toMs=2&machine=vm+7',
    'GET /v1/whoami',
    `POST /v1/console/sessions ${JSON.stringify(code)}`,
  ]);
});

it('an order whose answer got lost is sent again with the same key', async () => {
  handle = () => (engine.received.length < 3 ? 'hang up' : started);
  expect(await client.ask(drill, { idempotencyKey: 'key-12345' })).toMatchObject({ kind: 'order' });
  expect(engine.received.map((one) => one.key)).toEqual(['key-12345', 'key-12345', 'key-12345']);
});

it('an engine that keeps hanging up is an outage after three attempts, with a next step', async () => {
  handle = () => 'hang up';
  const outage = await outageOf(client.ask({ kind: 'machines' }, {}));
  expect(outage.nextStep).toContain('npm start');
  expect(engine.received).toHaveLength(3);
});

it('a refusal is an answer', async () => {
  handle = () => refused('refused', 'vm-7 already has a test failover open.');
  expect(await client.ask(drill, { idempotencyKey: 'key-12345' })).toEqual({
    kind: 'refusal',
    refusal: { kind: 'refused', message: 'vm-7 already has a test failover open.', candidates: [], nextStep: null },
  });
});

it.each([
  ['half an answer', { status: 200, text: '[{"name":' }],
  ['an answer of another version', { status: 200, text: '[{"name":"vm-7"}]' }],
  ["a proxy's page", { status: 200, text: '<html>sign in</html>' }],
  ['an error without our words', { status: 500, text: '{"message":"Internal Server Error"}' }],
])('%s is an outage, never a wrong card', async (_, answer) => {
  handle = () => answer;
  const outage = await outageOf(client.ask({ kind: 'machines' }, {}));
  expect(describeCauses(outage)).toContain("reading the engine's answer to machines");
});

it('an engine of another installation is not trusted', async () => {
  const other = await mkdtemp(path.join(folder, 'other-'));
  const stranger = await startLoopbackEngine(other, () => started);
  const distrusting = createEngineClient({ ...engine.connection, engineUrl: stranger.connection.engineUrl });
  const outage = await outageOf(distrusting.ask({ kind: 'whoami' }, {}));
  expect(outage.nextStep).toContain('certificates do not match');
  expect(stranger.received).toEqual([]);
  await distrusting.close();
  await stranger.close();
});

it('when the engine does not know the certificate any more, a newer one is read and the order is sent once', async () => {
  handle = () => started;
  const other = await mkdtemp(path.join(folder, 'other-'));
  const stranger = await startLoopbackEngine(other, () => started);
  const { certificate, key } = stranger.connection;
  const outdated = { ...engine.connection, certificate, key };
  let readCount = 0;
  const readAgain = () => {
    readCount += 1;
    return engine.connection;
  };
  const renewing = createEngineClient(outdated, { readAgain });
  expect(await renewing.ask(drill, { idempotencyKey: 'key-12345' })).toMatchObject({ kind: 'order' });
  expect(await renewing.events({ after: 0, waitMs: 0 }, {}).catch(() => 'not an event')).toBe('not an event');
  expect(readCount).toBe(1);
  // Without newer files nothing is tried again: the refusal is the answer.
  const staying = createEngineClient(outdated, { readAgain: () => outdated });
  expect(await staying.ask({ kind: 'whoami' }, {})).toMatchObject({ refusal: { kind: 'unauthenticated' } });
  expect(engine.received.filter((one) => one.path === '/v1/whoami')).toHaveLength(1);
  await renewing.close();
  await staying.close();
  await stranger.close();
});

it('newer files are not looked for at each session that is nobody’s', async () => {
  handle = () => refused('unauthenticated', 'This is no session.');
  let readCount = 0;
  const readAgain = () => {
    readCount += 1;
    return engine.connection;
  };
  const asking = createEngineClient(engine.connection, { readAgain });
  for (let count = 0; count < 20; count += 1) {
    expect(await asking.ask({ kind: 'whoami' }, { session: `invented-${count}` })).toMatchObject({ kind: 'refusal' });
  }
  expect(readCount).toBe(1);
  await asking.close();
});

it('when the engine got a new authority, the newer files are read; without them it stays distrusted', async () => {
  const other = await mkdtemp(path.join(folder, 'other-'));
  const reinstalled = await startLoopbackEngine(other, () => json([]));
  const outdated = { ...engine.connection, engineUrl: reinstalled.connection.engineUrl };
  const renewing = createEngineClient(outdated, { readAgain: () => reinstalled.connection });
  expect(await renewing.ask({ kind: 'machines' }, {})).toEqual({ kind: 'machines', machines: [] });
  await renewing.close();
  await reinstalled.close();
});

it('events come after a number', async () => {
  const event = {
    number: 8,
    atMs: 1,
    machineName: 'vm-7',
    runId: null,
    kind: 'protected',
    text: 'vm-7 is now Enabled',
  };
  handle = (call) => json(call.kind === 'events' && call.after === 7 ? [event] : []);
  expect(await client.events({ after: 7, waitMs: 60_000 }, {})).toEqual([event]);
  expect(engine.received[0]?.path).toBe('/v1/events?after=7&waitMs=20000');
});

it('a run is followed across an engine that goes away and comes back', async () => {
  const answers = ['run', 'hang up', 'hang up', 'hang up', 'end'];
  handle = () => {
    const answer = answers.shift();
    if (answer === 'hang up') return 'hang up';
    return json(answer === 'run' ? drillRun(2) : verifiedRun);
  };
  const seen: string[] = [];
  const deps = { engine: client, nowMs: Date.now, signal: new AbortController().signal, pauseMs: 1 };
  for await (const look of followRun(verifiedRun.id, deps)) {
    seen.push(look.kind === 'seen' ? look.view.state : look.kind);
  }
  expect(seen).toEqual(['active', 'silent', 'succeeded']);
});

it('an engine that stays away ends the waiting as an outage', async () => {
  let nowMs = 0;
  handle = () => 'hang up';
  const deps = { engine: client, nowMs: () => (nowMs += 200_000), signal: new AbortController().signal, pauseMs: 1 };
  const follow = async () => {
    for await (const look of followRun(verifiedRun.id, deps)) expect(look.kind).toBe('silent');
  };
  expect((await outageOf(follow())).retryable).toBe(true);
});

it('a raised signal ends the waiting and says that the run goes on', async () => {
  const stopping = new AbortController();
  handle = (call) => {
    if (call.kind !== 'run') return started;
    stopping.abort();
    return json(drillRun(1));
  };
  const result = await executeLine('failover vm-7 --test', {
    engine: client,
    nowMs: Date.now,
    newKey: () => 'key-12345',
    signal: stopping.signal,
    isWaiting: true,
  });
  expect(result.cards[0]?.title).toBe('Stopped waiting; what was started goes on');
  expect(result.exitCode).toBe(0);
});

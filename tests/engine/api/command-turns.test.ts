import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Workflow } from '../../../engine/api/deps.ts';
import { type Api, createApi } from '../../../engine/api/server.ts';
import { findMachineByName, markProtected } from '../../../engine/store/machines.ts';
import { routes } from '../../../protocol/control-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type Caller, guestReport, heartbeatOf, startTestApi, type TestApi } from './api-fixture.ts';

let postgres: TestPostgres;
let api: TestApi;
/** The same engine's API, with room for one command at work and one that waits. */
let narrow: Api;
let url: (route: string) => string;
let ana: Caller;
let agent: Caller;
let begun: string[];
let release: () => void;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  begun = [];
  const { promise: released, resolve } = Promise.withResolvers<void>();
  release = resolve;
  const workflow: Workflow = {
    planTestFailover: async () => ({ kind: 'refused', message: 'nothing to plan' }),
    startTestFailover: async ({ idempotencyKey }) => {
      begun.push(idempotencyKey);
      await released;
      return { kind: 'started', runId: 'run_0000000001' };
    },
    startCleanup: async () => ({ kind: 'refused', message: 'no drill' }),
  };
  api = await startTestApi(await postgres.freshStore(), { workflow });
  narrow = createApi(api.deps, { commands: { atOnceMax: 1, waitingMax: 1, waitMsMax: 60_000 } });
  const listening = await narrow.listen({ host: '127.0.0.1', port: 0 });
  url = (route) => `${listening.url}${route}`;
  ana = await api.as({ kind: 'person', name: 'ana' });
  agent = (await api.enrol('host-1')).caller;
  await agent.post(url(routes.heartbeat), heartbeatOf([guestReport('vm-7')]));
  await ana.post(url(routes.enable), { machine: 'vm-7' });
  await api.store.write(async (db) => {
    const machine = await findMachineByName(db, 'vm-7');
    if (machine !== undefined) await markProtected(db, machine.id);
  });
});
afterEach(async () => {
  release();
  await narrow.close();
  await api.stop();
});

const failover = (key: string) => ana.post(url(routes.testFailover), { machine: 'vm-7' }, key);

test('a command beyond the queue is refused at once and can be sent again; agents and questions go on meanwhile', async () => {
  const first = failover('command-1');
  await expect.poll(() => begun, { timeout: 20_000 }).toEqual(['command-1']);
  // Which of the two waits and which is refused is theirs to race for.
  const others = ['command-2', 'command-3'].map((key) => failover(key).then((answer) => ({ key, answer })));
  const refused = await Promise.race(others);
  expect(refused.answer).toMatchObject({
    status: 503,
    body: { kind: 'outage', nextStep: expect.stringContaining('same idempotency key') },
  });
  expect((await agent.post(url(routes.heartbeat), heartbeatOf([guestReport('vm-7')]))).status).toBe(200);
  expect((await ana.get(url(routes.machines))).status).toBe(200);
  expect(begun).toEqual(['command-1']);

  release();
  expect(await first).toMatchObject({ status: 200, body: { kind: 'run-started' } });
  const answers = await Promise.all(others);
  expect(answers.map(({ answer }) => answer.status).sort()).toEqual([200, 503]);
  expect(await failover(refused.key)).toMatchObject({ status: 200, body: { kind: 'run-started' } });
  expect([...begun].sort()).toEqual(['command-1', 'command-2', 'command-3']);
});

test('who may not order anything hears that and takes no place, although the queue is full', async () => {
  const first = failover('command-1');
  await expect.poll(() => begun, { timeout: 20_000 }).toEqual(['command-1']);
  const others = ['command-2', 'command-3'].map((key) => failover(key));
  expect((await Promise.race(others)).status).toBe(503);
  const vera = await api.as({ kind: 'person', name: 'vera' });
  expect((await vera.post(url(routes.testFailover), { machine: 'vm-7' })).status).toBe(403);
  release();
  expect((await Promise.all([first, ...others])).map(({ status }) => status).sort()).toEqual([200, 200, 503]);
});

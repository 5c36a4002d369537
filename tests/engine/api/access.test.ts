import { randomUUID } from 'node:crypto';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dayMs } from '../../../domain/units.ts';
import { createCertificateAuthority } from '../../../engine/certificate-authority.ts';
import { newId } from '../../../engine/store/new-id.ts';
import { chatRoutes } from '../../../protocol/chat-api.ts';
import { consoleRoutes } from '../../../protocol/console-api.ts';
import { refusalBody, routes } from '../../../protocol/control-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type Answer, type Caller, startTestApi, type TestApi } from './api-fixture.ts';

let postgres: TestPostgres;
let api: TestApi;

beforeAll(async () => {
  postgres = await startTestPostgres();
  api = await startTestApi(await postgres.freshStore());
});
afterAll(async () => {
  // Stopped also when the API did not come as far as being there.
  await Promise.allSettled([Promise.resolve().then(() => api.stop())]);
  await postgres.stop();
});

const agentRoutes: readonly string[] = [routes.renew, routes.heartbeat, routes.announcePoint];
const openRoutes: readonly string[] = [routes.enrol];
/** Every route that the server says it has, with its parameters filled in; nobody can forget one. */
const everyRoute = () =>
  api.routes.map(({ method, url }) => ({
    method,
    url,
    path: url.replace(':name', 'vm-7').replace(':id', 'run_0000000000'),
  }));

async function statuses(caller: Caller, filter: (url: string) => boolean): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const route of everyRoute().filter(({ url }) => filter(url))) {
    const answer = await caller.call(route.method, route.path, route.method === 'POST' ? {} : undefined);
    expectRefusalBody(answer);
    found[`${route.method} ${route.url}`] = answer.status;
  }
  return found;
}
function expectRefusalBody(answer: Answer): void {
  if (answer.status >= 400) expect(refusalBody.safeParse(answer.body).success).toBe(true);
}
const isAgentRoute = (url: string) => agentRoutes.includes(url);
const isBotRoute = (url: string) => url.startsWith('/v1/bot/') || url === consoleRoutes.signIn;
const isPeopleRoute = (url: string) => !isAgentRoute(url) && !isBotRoute(url) && !openRoutes.includes(url);
/** Also for somebody without a role: to know who they are here, to become somebody, and to leave. */
const isEverybodysRoute = (url: string) =>
  [routes.whoami, chatRoutes.link, consoleRoutes.signOut, '/openapi.json'].some((each) => each === url);
const only = (status: number, found: Record<string, number>) =>
  expect(Object.entries(found).filter(([, each]) => each !== status)).toEqual([]);

test('the server has exactly the routes of the protocol, and its own description', () => {
  const served = [...new Set(api.routes.map(({ url }) => url))].sort();
  expect(served).toEqual(
    [...[routes, chatRoutes, consoleRoutes].flatMap((each): string[] => Object.values(each)), '/openapi.json'].sort(),
  );
});

describe('every route but enrolment', () => {
  test('called without a certificate: 401', async () => {
    only(401, await statuses(api.anonymous(), (url) => !openRoutes.includes(url)));
  });

  test('called with an expired certificate: 401, also enrolment', async () => {
    const late = await api.as({ kind: 'person', name: 'ana' }, Date.now() - 8 * dayMs);
    only(401, await statuses(late, () => true));
  });

  test('called with a certificate of another authority: 401, also enrolment', async () => {
    const folder = `${api.stateFolder}/${randomUUID()}`;
    const stranger = await createCertificateAuthority(folder, Date.now());
    const key = await stranger.issueKeyPair({ kind: 'person', name: 'ana' }, { nowMs: Date.now() });
    const { Agent, request } = await import('undici');
    const { certificate } = api.deps.certificateAuthority;
    const agent = new Agent({ connect: { ca: certificate, key: key.privateKey, cert: key.certificate } });
    for (const route of everyRoute()) {
      const method = route.method === 'POST' ? 'POST' : 'GET';
      const response = await request(new URL(route.path, api.url), { dispatcher: agent, method });
      expect([route.url, response.statusCode]).toEqual([route.url, 401]);
      await response.body.dump();
    }
    await agent.destroy();
  });
});

test('people’s routes are closed to agents, process servers and engines: 403', async () => {
  const { caller } = await api.enrol('host-of-access-test');
  only(403, await statuses(caller, isPeopleRoute));
  only(403, await statuses(await api.as({ kind: 'process-server', name: 'ps-1' }), isPeopleRoute));
  only(403, await statuses(await api.as({ kind: 'engine', name: 'engine' }), isPeopleRoute));
});

test('the bots’ own routes are closed to people, agents and process servers: 403', async () => {
  for (const kind of ['person', 'process-server'] as const) {
    only(403, await statuses(await api.as({ kind, name: 'ada' }), isBotRoute));
  }
  const { caller } = await api.enrol('host-of-bot-test');
  only(403, await statuses(caller, isBotRoute));
});

test('agents’ routes are closed to people, bots and process servers: 403', async () => {
  for (const kind of ['person', 'bot', 'process-server'] as const) {
    only(403, await statuses(await api.as({ kind, name: 'ana' }), isAgentRoute));
  }
});

test('an agent that nobody enrolled, and one whose host was enrolled again, are turned away: 403', async () => {
  only(403, await statuses(await api.as({ kind: 'agent', agentId: newId('agent') }), isAgentRoute));
  const old = await api.enrol('host-twice');
  const next = await api.enrol('host-twice');
  only(403, await statuses(old.caller, isAgentRoute));
  only(422, await statuses(next.caller, isAgentRoute));
});

test('a viewer may look and not act; somebody without a role may do neither: 403', async () => {
  const vera = await api.as({ kind: 'person', name: 'vera' });
  const ownOnly: readonly string[] = [chatRoutes.link, chatRoutes.authenticator];
  // Who may decide is looked at with the request at hand, so that one's own is refused as that; see tests/attacks.
  const decisions: readonly string[] = [chatRoutes.approve, chatRoutes.reject];
  const open = [...ownOnly, ...decisions];
  only(403, await statuses(vera, (url) => url.startsWith('/v1/commands/') && !open.includes(url)));
  expect((await vera.get(routes.machines)).status).toBe(200);
  const nobody = await api.as({ kind: 'person', name: 'nobody' });
  only(403, await statuses(nobody, (url) => isPeopleRoute(url) && !isEverybodysRoute(url)));
});

test('the checks see an open door: with the right certificate the same calls are let in', async () => {
  const ada = await api.as({ kind: 'person', name: 'ada' });
  const found = await statuses(ada, isPeopleRoute);
  expect(Object.values(found).filter((status) => status === 401 || status === 403)).toEqual([]);
});

test('TLS below 1.3 is refused', async () => {
  const failure = await new Promise<string>((resolve) => {
    const socket = connect({
      port: Number(new URL(api.url).port),
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    socket.once('secureConnect', () => resolve('connected'));
    socket.once('error', (error) => resolve(error.message));
  });
  expect(failure).toMatch(/protocol version/);
});

test('an unknown path says nothing to strangers, and a malformed or huge body is a refusal', async () => {
  expect((await api.anonymous().get('/v1/secret')).status).toBe(401);
  const ana = await api.as({ kind: 'person', name: 'ana' });
  expect((await ana.get('/v1/secret')).status).toBe(404);
  const huge = await ana.post(routes.pause, { machine: 'x'.repeat(9 * 1024 * 1024) }).catch(() => undefined);
  // The server may close the connection before it has read it all.
  if (huge !== undefined) expect(huge.status).toBe(413);
});

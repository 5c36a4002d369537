import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { prepareFirstAdmin } from '../../../engine/people/first-admin.ts';
import { makeLinkCode } from '../../../engine/people/linking.ts';
import { beginAuthenticator, confirmAuthenticator } from '../../../engine/store/authenticators.ts';
import { setGrants } from '../../../engine/store/people.ts';
import { chatRoutes } from '../../../protocol/chat-api.ts';
import {
  begunByPersonHeader,
  consoleRoutes,
  sessionHeader,
  signInAnswer,
  signInLinkAnswer,
} from '../../../protocol/console-api.ts';
import { eventView, refusalBody, routes, whoamiView } from '../../../protocol/control-api.ts';
import { auditAnswer, linkAnswer } from '../../../protocol/people-api.ts';
import { connect, type Line } from '../../attacks/connection.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type Answer, type Caller, guestReport, heartbeatOf, startTestApi, type TestApi } from './api-fixture.ts';

let postgres: TestPostgres;
let api: TestApi;
let line: Line;
let bot: Caller;
let ana: Caller;
let ada: Caller;
beforeAll(async () => {
  postgres = await startTestPostgres();
  api = await startTestApi(await postgres.freshStore());
  line = await connect(api, { kind: 'bot', name: 'bot-1' });
  bot = line.withHeaders({});
  ana = await api.as({ kind: 'person', name: 'ana' });
  ada = await api.as({ kind: 'person', name: 'ada' });
});
afterAll(async () => {
  await Promise.allSettled([Promise.resolve().then(() => line.close()), Promise.resolve().then(() => api.stop())]);
  await postgres.stop();
});

const refused = (answer: Answer) => refusalBody.parse(answer.body);
const change = (statement: string) => api.store.write((db) => db.execute(sql.raw(statement)));

async function linkOf(caller: Caller) {
  return signInLinkAnswer.parse((await caller.post(consoleRoutes.signInLink, {})).body);
}
async function signIn(code: string, address = '127.0.0.1') {
  return signInAnswer.parse((await bot.post(consoleRoutes.signIn, { code, address })).body);
}
const web = (token: string) => line.withHeaders({ [sessionHeader]: token });
async function session(of: Caller = ana): Promise<Caller> {
  return web((await signIn((await linkOf(of)).code)).token);
}
const audited = async (about: string) =>
  auditAnswer.parse((await ada.get(`${chatRoutes.audit}?about=${about}`)).body).entries;
async function eventTexts(): Promise<string[]> {
  const all = z.array(eventView).parse((await bot.get(routes.events)).body);
  return all.map(({ text }) => text);
}

test('a link says nothing of where the console is until a console has said so; then it holds the code behind the #', async () => {
  expect(await linkOf(ana)).toMatchObject({ url: null, code: expect.stringMatching(/^[0-9A-Z]{4}(-[0-9A-Z]{4}){2}$/) });
  expect((await bot.post(consoleRoutes.consoleAddress, { url: 'https://lifeboat.example:7443' })).status).toBe(200);
  const link = await linkOf(ana);
  expect(link.url).toBe(`https://lifeboat.example:7443/sign-in#${link.code}`);
  await bot.post(consoleRoutes.consoleAddress, { url: 'https://proxy.example/lifeboat/' });
  const behindProxy = await linkOf(ana);
  expect(behindProxy.url).toBe(`https://proxy.example/lifeboat/sign-in#${behindProxy.code}`);
  expect((await bot.post(consoleRoutes.consoleAddress, { url: 'http://lifeboat.example' })).status).toBe(422);
  await change("update console_addresses set reported_at = now() - interval '6 minutes'");
  expect((await linkOf(ana)).url).toBeNull();
});

test('who opens a link is its person: with their roles, by the web, and the trail says from where', async () => {
  const link = await linkOf(ana);
  const leftMs = link.expiresAtMs - (await api.store.nowMs());
  expect(leftMs).toBeGreaterThan(4 * 60_000);
  expect(leftMs).toBeLessThanOrEqual(5 * 60_000);
  const signedIn = await signIn(link.code, '192.0.2.7');
  expect(signedIn).toMatchObject({ person: 'ana', idleLimitMs: 3_600_000 });
  const caller = web(signedIn.token);
  expect(whoamiView.parse((await caller.get(routes.whoami)).body)).toMatchObject({
    name: 'ana',
    via: 'web',
    isLinked: true,
    roles: ['operator'],
  });
  expect((await caller.get(routes.machines)).status).toBe(200);
  expect(await eventTexts()).toContain('ana signed in at the web console from 192.0.2.7.');
  const [entry] = (await audited('ana')).filter(({ what }) => what === 'sign-in');
  expect(entry).toMatchObject({ who: 'ana', via: expect.stringMatching(/^web:ses_[0-9A-Z]{10}$/) });
  expect(entry?.detail).toBe('from 192.0.2.7, by a link asked for by certificate');
});

test('what somebody orders at the console stands in the trail with the session, and is done once for its key', async () => {
  const { caller: agent } = await api.enrol('host-1');
  await agent.post(routes.heartbeat, heartbeatOf([guestReport('vm-7')]));
  const caller = await session();
  const key = randomUUID();
  const first = await caller.post(routes.enable, { machine: 'vm-7', policy: 'default' }, key);
  expect(first.status).toBe(200);
  expect((await caller.post(routes.enable, { machine: 'vm-7', policy: 'default' }, key)).body).toEqual(first.body);
  const orders = (await audited('vm-7')).filter(({ what }) => what === 'enable');
  expect(orders).toEqual([expect.objectContaining({ who: 'ana', via: expect.stringMatching(/^web:ses_/) })]);
});

test('a code of `dr link` signs its person in, and is used up by it', async () => {
  const made = linkAnswer.parse((await ana.post(chatRoutes.link, {})).body);
  if (made.kind !== 'code') throw new RangeError('ana gets a code');
  expect(await signIn(made.code)).toMatchObject({ person: 'ana' });
  const chat = await api.inChat('U77');
  expect(refused(await chat.post(chatRoutes.link, { code: made.code })).message).toContain('used already');
});

test('a code that was made in chat signs nobody in', async () => {
  const made = linkAnswer.parse((await (await api.inChat('U78')).post(chatRoutes.link, {})).body);
  if (made.kind !== 'code') throw new RangeError('the chat user gets a code');
  const answer = await bot.post(consoleRoutes.signIn, { code: made.code });
  expect(refused(answer)).toMatchObject({ kind: 'refused', message: expect.stringContaining('made in chat') });
});

test('the set-up code of the first admin signs in as admin, once, and can no longer be typed in chat', async () => {
  // In the API's own database are admins already.
  const store = await postgres.freshStore();
  const fresh = await startTestApi(store);
  await store.write((db) => setGrants(db, 'ada', [], 'the test'));
  const { setUpCode = '' } = await prepareFirstAdmin(store);
  const freshBot = await fresh.as({ kind: 'bot', name: 'bot-1' });
  const signedIn = signInAnswer.parse((await freshBot.post(consoleRoutes.signIn, { code: setUpCode })).body);
  expect(signedIn.person).toBe('admin');
  const admin = await fresh.as({ kind: 'bot', name: 'bot-1' }, Date.now(), { [sessionHeader]: signedIn.token });
  expect(whoamiView.parse((await admin.get(routes.whoami)).body).roles).toEqual(['admin']);
  expect((await freshBot.post(consoleRoutes.signIn, { code: setUpCode })).status).toBe(409);
  const chat = await fresh.inChat('U1');
  expect(refused(await chat.post(chatRoutes.link, { code: setUpCode })).message).toContain('used already');
  // An admin is in: no start makes another code, also long after this one's row would have been swept away.
  await store.write((db) =>
    db.execute(
      sql`update link_codes set expires_at = now() - interval '30 days', used_at = now() - interval '31 days'`,
    ),
  );
  await store.write((db) => makeLinkCode(db, { kind: 'person', person: 'ana' }));
  expect(await prepareFirstAdmin(store)).toEqual({ setUpCode: undefined });
  await fresh.stop();
});

test('no start makes a set-up code when an admin has six-digit codes', async () => {
  const store = await postgres.freshStore();
  await prepareFirstAdmin(store);
  expect((await prepareFirstAdmin(store)).setUpCode).toBeDefined();
  await store.write((db) => beginAuthenticator(db, 'admin', `${'a'.repeat(24)}.ab.${'a'.repeat(32)}`));
  expect((await prepareFirstAdmin(store)).setUpCode).toBeDefined();
  await store.write((db) => confirmAuthenticator(db, 'admin'));
  expect((await prepareFirstAdmin(store)).setUpCode).toBeUndefined();
});

test('signing out ends this session; everywhere ends them all, also from a terminal, and takes unused links back', async () => {
  const [one, two] = [await session(), await session()];
  expect((await one.post(consoleRoutes.signOut, {})).body).toMatchObject({ kind: 'done' });
  expect(refused(await one.get(routes.whoami))).toMatchObject({ kind: 'unauthenticated', message: /you signed out/ });
  expect((await two.get(routes.whoami)).status).toBe(200);
  expect(refused(await ana.post(consoleRoutes.signOut, {})).nextStep).toContain('console --sign-out');
  const link = await linkOf(ana);
  const everywhere = await ana.post(consoleRoutes.signOut, { isEverywhere: true });
  expect(everywhere.body).toMatchObject({ kind: 'done', message: /ana signed out .* everywhere: \d+ sessions? ended/ });
  expect(refused(await two.get(routes.whoami)).message).toContain('everywhere');
  expect((await bot.post(consoleRoutes.signIn, { code: link.code })).status).toBe(409);
  const others = await session(ada);
  await ana.post(consoleRoutes.signOut, { isEverywhere: true });
  expect((await others.get(routes.whoami)).status).toBe(200);
});

test('twenty sessions of a person live at once; for the next one the oldest ends', async () => {
  const callers: Caller[] = [];
  for (let count = 0; count < 21; count += 1) callers.push(await session(ada));
  const answers = await Promise.all(callers.map((caller) => caller.get(routes.whoami)));
  expect(answers.map(({ status }) => status)).toEqual([401, ...Array.from({ length: 20 }, () => 200)]);
  expect(refused(answers[0] as Answer).message).toContain('20 sessions live at once');
});

test('a session’s last use is written down once a minute, not at every request', async () => {
  const { token } = await signIn((await linkOf(ana)).code);
  const caller = web(token);
  const begun = line.withHeaders({ [sessionHeader]: token, [begunByPersonHeader]: '1' });
  const lastUsed = async () => {
    const { rows } = await api.store.read((db) =>
      db.execute<{ at: string }>(
        sql`select last_used_at::text as at from console_sessions order by created_at desc limit 1`,
      ),
    );
    return rows[0]?.at;
  };
  const first = await lastUsed();
  for (let count = 0; count < 3; count += 1) await begun.get(routes.machines);
  expect(await lastUsed()).toBe(first);
  await change("update console_sessions set last_used_at = last_used_at - interval '61 seconds'");
  const moved = await lastUsed();
  // An open page asks by itself, whatever it asks: that is no use.
  for (const route of [routes.whoami, routes.machines, routes.hosts]) await caller.get(route);
  expect(await lastUsed()).toBe(moved);
  await begun.get(routes.machines);
  const used = await lastUsed();
  expect(used).not.toBe(moved);
  await change("update console_sessions set last_used_at = last_used_at - interval '61 seconds'");
  const again = await lastUsed();
  await caller.post(routes.pause, { machine: 'vm-none', forMs: 60_000, reason: 'x' });
  expect(await lastUsed()).not.toBe(again);
});

test('an admin who unlinks a person, or resets their codes, ends their sessions', async () => {
  for (const wanted of [{ unlink: ['slack'] }, { resetAuthenticator: true }]) {
    const caller = await session();
    expect((await ada.post(chatRoutes.person, { name: 'ana', ...wanted })).status).toBe(200);
    expect(refused(await caller.get(routes.whoami)).kind).toBe('unauthenticated');
  }
});

test('what nobody needs any more is removed', async () => {
  await signIn((await linkOf(ana)).code);
  await change(`alter table console_sessions drop constraint console_sessions_life`);
  await change(`update console_sessions set expires_at = now() - interval '31 days'`);
  await change(`update console_links set used_at = null, expires_at = now() - interval '2 days'`);
  await change(
    `insert into wrong_tries (guesser, count, last_at) values ('console code from 192.0.2.9', 1, now() - interval '2 hours')`,
  );
  await session();
  const { rows } = await api.store.read((db) =>
    db.execute<{ sessions: string; links: string; guessers: string }>(
      sql`select (select count(*) from console_sessions) as sessions, (select count(*) from console_links) as links,
        (select count(*) from wrong_tries where guesser = 'console code from 192.0.2.9') as guessers`,
    ),
  );
  expect(rows).toEqual([{ sessions: '1', links: '1', guessers: '0' }]);
});

test('the bot itself may wait for events, and sees nothing else of people’s routes by it', async () => {
  expect((await bot.get(`${routes.events}?after=0`)).status).toBe(200);
  expect((await bot.get(routes.machines)).status).toBe(403);
});

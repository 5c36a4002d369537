import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LineReply } from '../../bot/web/wire.ts';
import type { ApprovalView } from '../../protocol/chat-api.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { type Browser, type ConsoleSite, startConsoleSite } from '../web/console-site.ts';
import { sceneOf } from './attack.ts';
import { type AttackSite, halfAMinutePasses, type PersonName, startAttackSite } from './attack-site.ts';

/** Approving at the web console: a real browser session, the bot's web server, the engine, the database. */
let postgres: TestPostgres;
let engine: AttackSite;
let site: ConsoleSite;
let pending: ApprovalView;
beforeAll(async () => {
  postgres = await startTestPostgres();
  const store = await postgres.freshStore();
  engine = await startAttackSite(store);
  site = await startConsoleSite(store, { api: engine.api });
  const machine = await engine.reset();
  pending = await sceneOf(engine, machine).pending();
});
afterAll(async () => {
  await site?.stop();
  await engine?.stop();
  await postgres.stop();
});

async function browserOf(name: PersonName): Promise<Browser> {
  const browser = site.browser();
  await browser.signIn(name);
  return browser;
}

/** What a button of the request carries. */
const shown = () => `${pending.id} --rev=${pending.revision} --digest=${pending.digest.slice(0, 8)}`;
type Way = 'line' | 'form';
async function decide(
  browser: Browser,
  verb: 'approve' | 'reject',
  more: { way: Way; code?: string },
): Promise<string> {
  const key = crypto.randomUUID();
  const answers = { ...(verb === 'approve' ? { code: more.code ?? '000000' } : { reason: 'not today' }) };
  const flags = Object.entries(answers).map(([name, value]) => ` --${name}="${value}"`);
  const { json } =
    more.way === 'line'
      ? await browser.post('/api/line', { line: `${verb} ${shown()}${flags.join('')}`, key })
      : await browser.post('/api/form', { form: { kind: verb, context: `${verb} ${shown()}` }, answers, key });
  const reply = json as LineReply;
  return reply.cards.map(({ title, text = [] }) => [title, ...text].join(' ')).join(' ');
}

async function votes(): Promise<unknown[]> {
  const rows = sql`select person, decision from approval_votes where approval_id = ${pending.id}`;
  return (await engine.store.read((db) => db.execute(rows))).rows;
}

const ways = ['line', 'form'] as const;
const refusals: [string, PersonName, 'approve' | 'reject', PersonName, RegExp][] = [
  ['who asked, with a good code of their own', 'ana', 'approve', 'ana', /own request|asked for it/i],
  ['who asked, with the code of somebody who may', 'ana', 'approve', 'ben', /own request|asked for it/i],
  ['a viewer, with a good code of their own', 'vera', 'approve', 'vera', /approver/],
  ['an approver of other machines', 'dora', 'approve', 'dora', /approver/],
  ['an approver, with the code of another one', 'ben', 'approve', 'carla', /code/i],
  ['who asked', 'ana', 'reject', 'ana', /withdraw|own request|asked for it/i],
  ['a viewer', 'vera', 'reject', 'vera', /approver/],
];
const cases = refusals.flatMap(([who, name, verb, codeOf, hears]) =>
  ways.map((way) => ({ who, name, verb, codeOf, hears, way })),
);

test.each(cases)(
  '$verb by $who, by a $way at the web console, is refused in words, and nothing is decided',
  async (one) => {
    const code = (await engine.person(one.codeOf)).code();
    const words = await decide(await browserOf(one.name), one.verb, { way: one.way, code });
    expect(words).toMatch(one.hears);
    expect(await votes()).toEqual([]);
    expect(engine.started).toEqual([]);
  },
);

test('an approver with their own code decides by the same form', async () => {
  await halfAMinutePasses(engine.store);
  const code = (await engine.person('ben')).code();
  await decide(await browserOf('ben'), 'approve', { way: 'form', code });
  expect(await votes()).toEqual([{ person: 'ben', decision: 'approve' }]);
  expect(engine.started).toHaveLength(1);
});

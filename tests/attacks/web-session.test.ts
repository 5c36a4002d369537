import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ConsoleRules } from '../../engine/api/deps.ts';
import { recogniseSession } from '../../engine/people/console-session.ts';
import { redeemConsoleCode } from '../../engine/people/console-sign-in.ts';
import { setGrants } from '../../engine/store/people.ts';
import { actorHeader, chatRoutes } from '../../protocol/chat-api.ts';
import { consoleRoutes, sessionHeader } from '../../protocol/console-api.ts';
import { routes } from '../../protocol/control-api.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { aCode, faultsOf, webAttacks } from './web-session-attacks.ts';
import {
  heard,
  look,
  nature,
  newLink,
  newToken,
  orderPause,
  rowsOf,
  startWebSite,
  tryCode,
  type WebSite,
  withToken,
} from './web-site.ts';

let postgres: TestPostgres;
let site: WebSite;
beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await startWebSite(await postgres.freshStore());
});
afterAll(async () => {
  await Promise.allSettled([Promise.resolve().then(() => site.stop())]);
  await postgres.stop();
});
beforeEach(() => site.reset());

type TrailRow = { who: string; via: string; what: string; detail: string };
/** The newest first. */
function trail() {
  return rowsOf<TrailRow>(site, sql`select who, via, what, detail from audit_entries order by id desc limit 20`);
}
async function sessionCount(): Promise<number> {
  const [row] = await rowsOf<{ count: string }>(site, sql`select count(*) as count from console_sessions`);
  return Number(row?.count);
}

const everyAttack = Object.values(webAttacks).map((attack) => [attack.name, attack] as const);
test.each(everyAttack)('%s comes to nothing', async (_name, attack) => {
  expect(await faultsOf(site, attack)).toEqual([]);
});

describe('a token speaks only through a bot, and for one person', () => {
  test('sent with a person’s certificate: 403', async () => {
    const token = await newToken(site);
    const ben = await site.api.as({ kind: 'person', name: 'ben' }, Date.now(), { [sessionHeader]: token });
    expect(await heard(site, ben.get(routes.machines))).toMatchObject({
      status: 403,
      words: /Only a bot speaks for others/,
    });
  });
  test('sent without a certificate: 401', async () => {
    const anonymous = site.api.anonymous();
    expect((await anonymous.get(routes.machines)).status).toBe(401);
  });
  test('sent together with a chat user, who may even be the same person: refused', async () => {
    const token = await newToken(site);
    const actor = { surface: 'slack', tenant: 'T1', user: 'U1', displayName: 'ana', kind: 'member' };
    const both = site.bot.withHeaders({
      [sessionHeader]: token,
      [actorHeader]: encodeURIComponent(JSON.stringify(actor)),
    });
    expect(await heard(site, both.get(routes.machines))).toMatchObject({ kind: 'bad-request', words: /not both/ });
    expect(await heard(site, both.get(routes.events))).toMatchObject({ kind: 'bad-request' });
    expect(await heard(site, both.post(chatRoutes.link, {}))).toMatchObject({ kind: 'bad-request' });
  });
  test('an empty token is no token, and not the bot itself', async () => {
    expect((await heard(site, withToken(site, '').get(routes.events))).status).toBe(401);
    expect((await heard(site, site.bot.withHeaders({}).get(routes.machines))).status).toBe(403);
  });
  test('a person, an agent and nobody redeem no codes: only a bot does', async () => {
    const code = await newLink(site);
    expect((await heard(site, site.ana.post(consoleRoutes.signIn, { code }))).status).toBe(403);
    expect((await site.api.anonymous().post(consoleRoutes.signIn, { code })).status).toBe(401);
    expect((await tryCode(site, code)).status).toBe(200);
  });
});

test('a role that is taken away is gone at the next request; the trail names the session that tried', async () => {
  const token = await newToken(site);
  expect(await orderPause(site, token)).not.toMatchObject({ kind: 'forbidden' });
  await site.store.write((db) => setGrants(db, 'ana', [{ role: 'viewer', scope: { kind: 'everything' } }], 'the test'));
  expect(await orderPause(site, token)).toMatchObject({ status: 403, words: /needs the role operator/ });
  expect((await look(site, token)).status).toBe(200);
  expect(await trail()).toContainEqual(
    expect.objectContaining({ who: 'ana', via: expect.stringMatching(/^web:ses_/), what: 'pause denied' }),
  );
});

test('a session makes no other session and no lasting identity: no links, no codes, no chat users', async () => {
  const caller = withToken(site, await newToken(site));
  expect(await heard(site, caller.post(consoleRoutes.signInLink, {}))).toMatchObject({
    kind: 'refused',
    words: /dr console/,
  });
  expect(await heard(site, caller.post(chatRoutes.link, {}))).toMatchObject({ kind: 'refused', words: /links nobody/ });
  expect(await heard(site, caller.post(chatRoutes.link, { code: aCode }))).toMatchObject({ kind: 'refused' });
});

test('who was turned away with an old session stands in the trail, as the person whose it was', async () => {
  const token = await newToken(site);
  await withToken(site, token).post(consoleRoutes.signOut, {});
  expect((await orderPause(site, token)).status).toBe(401);
  expect((await trail())[0]).toMatchObject({ who: 'ana', via: 'web', what: 'pause denied' });
  await orderPause(site, randomBytes(32).toString('base64url'));
  expect((await trail())[0]).toMatchObject({ who: expect.stringContaining('bot'), what: 'pause denied' });
});

test('every failed sign-in stands in the trail, with the address and without the code', async () => {
  const code = await newLink(site);
  await tryCode(site, code, '192.0.2.5');
  await tryCode(site, code, '192.0.2.6');
  await tryCode(site, aCode, '192.0.2.7');
  const [unknown, used] = await trail();
  expect(used).toMatchObject({ what: 'sign-in refused', via: 'bot bot-1', detail: /192\.0\.2\.6.*used already/ });
  expect(unknown).toMatchObject({ what: 'sign-in refused', detail: /192\.0\.2\.7/ });
  expect(JSON.stringify(await trail())).not.toContain(code);
});

const atOnce = async () => {
  const code = await newLink(site);
  const answers = await Promise.all(Array.from({ length: 8 }, (_, at) => tryCode(site, code, `192.0.2.${at}`)));
  return { inCount: answers.filter(({ status }) => status === 200).length, sessions: await sessionCount() };
};
test('eight redeem one link at the same moment: one of them comes in', async () => {
  expect(await atOnce()).toEqual({ inCount: 1, sessions: 1 });
});

test('who signs in while the person is shut out everywhere is out afterwards, whatever came first', async () => {
  for (let round = 0; round < 6; round += 1) {
    const code = await newLink(site);
    const out = () => heard(site, site.ana.post(consoleRoutes.signOut, { isEverywhere: true }));
    const both = round % 2 === 0 ? [tryCode(site, code), out()] : [out(), tryCode(site, code)];
    const signIn = (await Promise.all(both))[round % 2 === 0 ? 0 : 1];
    const living = sql`select count(*) as count from console_sessions where ended_at is null`;
    const [row] = await rowsOf<{ count: string }>(site, living);
    // Signed out first: the link was taken back. Signed in first: the session is ended.
    expect([signIn?.status, Number(row?.count)]).toEqual([expect.toBeOneOf([200, 409]), 0]);
  }
});

describe('guessing', () => {
  test('from one address does not keep another one out', async () => {
    for (let count = 0; count < 6; count += 1) await tryCode(site, aCode, '198.51.100.1');
    expect((await tryCode(site, await newLink(site), '198.51.100.2')).status).toBe(200);
  });
  test('an old link again and again is no guess: it keeps nobody out', async () => {
    const code = await newLink(site);
    for (let count = 0; count < 7; count += 1) await tryCode(site, code);
    expect((await tryCode(site, await newLink(site))).status).toBe(200);
  });
  test('does not keep out who has a good code, also from the same address: behind a proxy everybody has one', async () => {
    for (let count = 0; count < 6; count += 1) await tryCode(site, aCode, '198.51.100.1');
    expect(await tryCode(site, aCode, '198.51.100.1')).toMatchObject({ status: 409, words: /Five codes/ });
    expect((await tryCode(site, await newLink(site), '198.51.100.1')).status).toBe(200);
  });
  test('from an address that is shut out adds nothing to the trail', async () => {
    for (let count = 0; count < 5; count += 1) await tryCode(site, aCode, '198.51.100.5');
    const countOf = async () =>
      Number((await rowsOf<{ n: string }>(site, sql`select count(*) as n from audit_entries`))[0]?.n);
    const before = await countOf();
    for (let count = 0; count < 3; count += 1) await tryCode(site, aCode, '198.51.100.5');
    expect(await countOf()).toBe(before);
  });
  test('from everywhere at once is not looked into for ten seconds, and good codes are taken', async () => {
    const everybody = "guesser = 'console codes of everybody'";
    await nature(
      site,
      "insert into wrong_tries (guesser, count, last_at) values ('console codes of everybody', 299, clock_timestamp())",
    );
    await tryCode(site, aCode, '198.51.100.3');
    expect(await tryCode(site, aCode, '198.51.100.4')).toMatchObject({ status: 409, words: /Too many wrong codes/ });
    expect((await tryCode(site, await newLink(site), '198.51.100.4')).status).toBe(200);
    const left = sql`select extract(epoch from locked_until - clock_timestamp()) as left from wrong_tries where ${sql.raw(everybody)}`;
    expect(Number((await rowsOf<{ left: string }>(site, left))[0]?.left)).toBeLessThanOrEqual(10);
  });
});

/** Every text of every table, and what the engine said and reported. */
async function everythingKept(): Promise<string> {
  const { rows: tables } = await site.store.read((db) =>
    db.execute<{ name: string }>(
      sql`select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`,
    ),
  );
  const texts: string[] = [];
  for (const { name } of tables) {
    const { rows } = await site.store.read((db) =>
      db.execute(sql`select to_jsonb(t)::text as row from ${sql.identifier(name)} t`),
    );
    texts.push(JSON.stringify(rows));
  }
  return [...texts, ...site.said, inspect(site.api.errors, { depth: 8 })].join('\n');
}
async function keptSecrets(): Promise<string[]> {
  const code = await newLink(site);
  const token = await newToken(site, code);
  site.said.length = 0;
  await look(site, token);
  await orderPause(site, token);
  await withToken(site, token).post(consoleRoutes.signOut, {});
  await orderPause(site, token);
  const kept = await everythingKept();
  expect(kept).toContain('sign-out');
  return [token, code, code.replaceAll('-', '')].filter((secret) => kept.includes(secret));
}
test('neither a token nor a code is kept, said again or logged anywhere', async () => {
  expect(await keptSecrets()).toEqual([]);
});

describe('the attacks notice a guard that is switched off', () => {
  /** Whoever has the token is its person, for ever. */
  const foreverGood: ConsoleRules['recogniseSession'] = async (db, token) => {
    const found = await recogniseSession(db, token);
    if (found.kind === 'living') return found;
    return { kind: 'living', id: 'ses_0000000000' as never, person: 'ana', isTouchDue: false };
  };
  test.each([
    'unknownToken',
    'malformedToken',
    'expiredSession',
    'idleSession',
    'endedSession',
    'resetSession',
    'unlinkedSession',
    'enabledAgain',
    'tokenHash',
  ] as const)('sessions never end: %s', async (name) => {
    site.rules.broken = { recogniseSession: foreverGood };
    expect(await faultsOf(site, webAttacks[name])).toContainEqual(expect.stringContaining('it came in'));
  });

  const workAgain: ConsoleRules['redeemConsoleCode'] = async (db, attempt) => {
    const inFiveMinutes = sql`now() + interval '5 min'`;
    await db.execute(sql`update console_links set used_at = null, expires_at = ${inFiveMinutes}`);
    return redeemConsoleCode(db, attempt);
  };
  test.each(['usedLink', 'expiredLink'] as const)('links work again: %s', async (name) => {
    site.rules.broken = { redeemConsoleCode: workAgain };
    expect(await faultsOf(site, webAttacks[name])).toContainEqual(expect.stringContaining('it came in'));
  });
  test('links work again: eight at the same moment', async () => {
    site.rules.broken = { redeemConsoleCode: workAgain };
    expect((await atOnce()).inCount).toBeGreaterThan(1);
  });
  test('wrong codes are not counted: a sixth code', async () => {
    const forgetful: ConsoleRules['redeemConsoleCode'] = async (db, attempt) => {
      await db.execute(sql`delete from wrong_tries`);
      return redeemConsoleCode(db, attempt);
    };
    site.rules.broken = { redeemConsoleCode: forgetful };
    expect(await faultsOf(site, webAttacks.guesses)).toContainEqual(expect.stringContaining('not a code'));
  });
  test('a token is written down: the search finds it', async () => {
    const chatty: ConsoleRules['redeemConsoleCode'] = async (db, attempt) => {
      const outcome = await redeemConsoleCode(db, attempt);
      if (outcome.kind === 'signed-in') await db.execute(sql`update console_sessions set address = ${outcome.token}`);
      return outcome;
    };
    site.rules.broken = { redeemConsoleCode: chatty };
    expect(await keptSecrets()).toHaveLength(1);
  });
});

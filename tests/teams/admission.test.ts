import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TokenClaims } from '../../demo/teams-connector/issuer.ts';
import { activityOf, deliver } from '../../demo/teams-connector/people.ts';
import { startTeamsBot, type TeamsBot } from './teams-bot.ts';

const otherTenant = '99999999-0000-4000-8000-000000000000';
let bot: TeamsBot;
beforeAll(async () => {
  bot = await startTeamsBot();
  bot.linked('ana');
});
afterAll(() => bot.close());
beforeEach(() => {
  bot.engine.asked.length = 0;
});

function cleanup(more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const { person } = bot.team.as('ana');
  const base = activityOf(person, bot.team.personal('ana'), { connector: bot.team.connector, botName: 'DR' });
  return { ...base, type: 'message', text: 'cleanup vm-7', ...more };
}

async function sent(activity: Readonly<Record<string, unknown>>, authorization: string): Promise<number> {
  const { status } = await deliver(bot.team.connector, bot.teams.url, activity, authorization);
  await bot.teams.idle();
  return status;
}

const bearer = (claims: TokenClaims) => `Bearer ${bot.team.connector.issuer.sign(claims)}`;

describe('tokens', () => {
  test('a token of Teams is taken, also one that ended four minutes ago: clocks differ', async () => {
    expect(await sent(cleanup(), bearer({}))).toBe(202);
    expect(await sent(cleanup(), bearer({ expiresIn: -240 }))).toBe(202);
    expect(bot.engine.asked.filter(({ call }) => call.kind === 'cleanup')).toHaveLength(2);
  });

  const wrong: readonly (readonly [string, TokenClaims])[] = [
    ['another audience', { audience: '00000000-1111-4222-8333-444444444444' }],
    ['another issuer', { issuer: 'https://evil.example.test' }],
    [
      'the emulator, as the library knows it',
      { issuer: 'https://sts.windows.net/d6d49420-f39b-4df7-a1dc-d59a935871db/' },
    ],
    ['the emulator of our own tenant', { issuer: 'https://sts.windows.net/66666666-7777-4888-9999-000000000000/' }],
    [
      'another bot of our tenant',
      { issuer: 'https://login.microsoftonline.com/66666666-7777-4888-9999-000000000000/v2.0' },
    ],
    ['an end ten minutes ago', { expiresIn: -600 }],
    ['a key of somebody else under the right name', { isForged: true }],
    ['a key that nobody has published', { keyId: 'unknown' }],
    ['another service URL', { serviceUrl: 'http://127.0.0.1:1/teams/' }],
    ['no algorithm', { algorithm: 'none' }],
    ['a shared secret for a key', { algorithm: 'HS256' }],
  ];
  test.each(wrong)('a token with %s is answered 401, and nothing happens', async (_, claims) => {
    expect(await sent(cleanup(), bearer(claims))).toBe(401);
    expect(bot.engine.asked).toEqual([]);
  });

  test.each(['', 'Bearer', 'Bearer x', 'Basic YWRtaW46YWRtaW4=', 'Bearer a.b.c', 'Bearer ..', 'Bearer eyJ9.eyJ9.'])(
    'the authorization "%s" is answered 401',
    async (authorization) => {
      expect(await sent(cleanup(), authorization)).toBe(401);
      expect(bot.engine.asked).toEqual([]);
    },
  );

  test('without any authorization it is 401 before the body is read', async () => {
    const answer = await request(bot.teams.url, { method: 'POST', body: 'not even json' });
    expect(answer.statusCode).toBe(401);
    await answer.body.dump();
  });

  test("Microsoft's keys out of reach are no fault of the caller: 503", async () => {
    const { settings } = bot.team;
    const alone = await startTeamsBot({
      settings: { ...settings, cloud: { ...settings.cloud, openIdMetadataUrl: 'http://127.0.0.1:9/none' } },
    });
    const { status } = await deliver(bot.team.connector, alone.teams.url, cleanup());
    expect(status).toBe(503);
    await alone.close();
  });
});

describe('what a good token does not cover', () => {
  test('another tenant is answered 403', async () => {
    const foreign = { channelData: { tenant: { id: otherTenant } } };
    expect(await sent(cleanup(foreign), bearer({}))).toBe(403);
    expect(
      await sent(cleanup({ channelData: {}, conversation: { id: 'a:1', conversationType: 'personal' } }), bearer({})),
    ).toBe(403);
    expect(bot.engine.asked).toEqual([]);
  });

  test('an allowed second tenant is let in', async () => {
    const open = await startTeamsBot({ settings: { ...bot.team.settings, allowedTenants: [otherTenant] } });
    const { status } = await deliver(
      bot.team.connector,
      open.teams.url,
      cleanup({ channelData: { tenant: { id: otherTenant } } }),
    );
    await open.teams.idle();
    expect(status).toBe(202);
    await open.close();
  });

  test.each([
    'http://127.0.0.1:1/teams/',
    'https://evil.example.test/teams/',
    'http://169.254.169.254/metadata/',
    'file:///etc/passwd',
  ])('the service URL %s is answered 403 and never called', async (serviceUrl) => {
    expect(await sent(cleanup({ serviceUrl }), bearer({ serviceUrl }))).toBe(403);
    expect(bot.engine.asked).toEqual([]);
  });

  test('an activity without a service URL is refused: the library would not compare it', async () => {
    expect(await sent(cleanup({ serviceUrl: undefined }), bearer({}))).toBe(400);
  });

  test.each(['emulator', 'AseChannel', 'webchat', 'directline'])('the channel %s is refused', async (channelId) => {
    expect(await sent(cleanup({ channelId }), bearer({}))).toBe(400);
  });
});

describe('the listener', () => {
  const good = () => ({ authorization: bearer({}), 'content-type': 'application/json' });

  test('a body over 256 kB is answered 413', async () => {
    const body = JSON.stringify(cleanup({ text: 'x'.repeat(300_000) }));
    const answer = await request(bot.teams.url, { method: 'POST', headers: good(), body });
    expect(answer.statusCode).toBe(413);
    await answer.body.dump();
  });

  test.each([
    ['what is not JSON', 'POST', '/api/messages', '{', 400],
    ['an array', 'POST', '/api/messages', '[]', 400],
    ['null', 'POST', '/api/messages', 'null', 400],
    ['another path', 'POST', '/api/other', '{}', 404],
    ['another method', 'GET', '/api/messages', undefined, 405],
  ] as const)('%s is refused', async (_, method, path, body, status) => {
    const url = new URL(path, bot.teams.url);
    const answer = await request(url, { method, headers: good(), ...(body !== undefined && { body }) });
    expect(answer.statusCode).toBe(status);
    await answer.body.dump();
  });

  test('it listens on the loopback alone', () => {
    expect(new URL(bot.teams.url).hostname).toBe('127.0.0.1');
  });

  test('a port that is taken is said with a next step', async () => {
    const port = Number(new URL(bot.teams.url).port);
    await expect(startTeamsBot({ settings: { port } })).rejects.toMatchObject({
      name: 'OutageError',
      nextStep: expect.any(String),
    });
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Card } from '../../bot/card.ts';
import { startTeams } from '../../bot/teams/start-teams.ts';
import type { Place } from '../../demo/teams-connector/conversations.ts';
import type { ChatPlace } from '../../protocol/chat-api.ts';
import { smallEngine } from './small-engine.ts';
import { startTeamsBot, type TeamsBot } from './teams-bot.ts';

const card: Card = { title: 'vm-7 is behind', tone: 'warning', audience: 'channel', text: ['The lag is 4 min.'] };
let bot: TeamsBot;
let channel: Place;
let here: ChatPlace;
let direct: ChatPlace;
beforeAll(async () => {
  bot = await startTeamsBot();
  channel = bot.team.channel('dr');
  const ben = bot.linked('ben');
  await ben.says('help');
  await bot.team.installs('ben', channel);
  await bot.teams.idle();
  here = { surface: 'teams', tenant: bot.team.connector.tenantId, place: channel.conversationId };
  direct = { ...here, place: `user:${ben.person.aadObjectId}` };
});
afterAll(() => bot.close());

const post = (place: ChatPlace, more: Partial<Parameters<TeamsBot['teams']['surface']['post']>[0]> = {}) =>
  bot.teams.surface.post({ place, card, parentRef: null, isNotifying: false, mentions: [], ...more });
const requestCount = () => bot.team.connector.requests.length;

describe('posting first', () => {
  test('into a channel it begins a thread, and the next one goes into it', async () => {
    const ref = await post(here);
    const reply = await post(here, { parentRef: ref, card: { ...card, title: 'still behind' } });
    expect(reply.conversationId).toBe(ref.conversationId);
    expect(String(ref.conversationId)).toContain(`;messageid=${ref.activityId}`);
  });

  test('into a private chat it uses the conversation that there is', async () => {
    await post(direct);
    expect(bot.team.reads(bot.team.personal('ben'))).toContain('vm-7 is behind');
  });

  test('to somebody only seen in a channel it opens their private chat', async () => {
    const carl = bot.linked('carl');
    await carl.says('@DR help', channel);
    await bot.teams.idle();
    await post({ ...here, place: `user:${carl.person.aadObjectId}` });
    expect(bot.team.reads(bot.team.personal('carl'))).toContain('vm-7 is behind');
  });

  test('a new bot knows the places that the old one has met', async () => {
    const known = bot.engine.savedPlaces.map(({ place }) => place);
    expect(known).toEqual(expect.arrayContaining([here.place, direct.place]));
  });

  test('a bot that starts while the engine is away writes to them as soon as it is back', async () => {
    const engine = smallEngine();
    engine.savedPlaces.push(...bot.engine.savedPlaces);
    engine.isAwayForPlaces = true;
    const log = { info: () => undefined, warn: () => undefined };
    const ending = new AbortController();
    const second = await startTeams({
      ...{ settings: bot.team.settings, engine, log, nowMs: Date.now, random: () => 0.5, signal: ending.signal },
    });
    const order = { place: direct, card, parentRef: null, isNotifying: false, mentions: [] };
    // Not given up: it is tried again.
    await expect(second.surface.post(order)).rejects.toMatchObject({ retryAfterMs: 30_000 });
    engine.isAwayForPlaces = false;
    expect(await second.surface.post(order)).toMatchObject({ activityId: expect.any(String) });
    ending.abort();
    await second.close();
  });

  test('phones ring when they should: mentions in a channel, an alert in a private chat', async () => {
    await post(here, { isNotifying: true, mentions: [direct.place.slice('user:'.length)] });
    const { content } = bot.team.botMessages(channel).at(-1) ?? {};
    expect(JSON.stringify(content)).toContain('<at>ben</at>');
  });
});

describe('editing', () => {
  test('changes the message in its place', async () => {
    const ref = await post(here);
    await bot.teams.surface.update({ place: here, ref, card: { ...card, title: 'vm-7 recovered', tone: 'good' } });
    const [message] = bot.team.botMessages(channel).filter(({ id }) => id === ref.activityId);
    expect(message?.editCount).toBe(1);
    expect(JSON.stringify(message?.content)).toContain('vm-7 recovered');
  });

  test('a message that is gone is said to be gone, so that it is posted anew', async () => {
    const ref = await post(here);
    const lost = { ...ref, activityId: '1' };
    await expect(bot.teams.surface.update({ place: here, ref: lost, card })).rejects.toMatchObject({
      isMessageGone: true,
    });
  });

  test('a reference that cannot be read counts as gone', async () => {
    const update = bot.teams.surface.update({ place: here, ref: { channel: 'C1', ts: '1.2' }, card });
    await expect(update).rejects.toMatchObject({ name: 'DeliveryError', isMessageGone: true });
  });
});

describe('when Teams does not take it', () => {
  test.each([412, 429, 502, 504])('%i is tried again, and then it is there once', async (status) => {
    const before = bot.team.botMessages(channel).length;
    bot.team.connector.fail({ status, times: 2 });
    await post(here);
    expect(bot.team.botMessages(channel).length).toBe(before + 1);
  });

  test('three times are enough: then the outbox waits', async () => {
    const before = requestCount();
    bot.team.connector.fail({ status: 429, retryAfterSeconds: 0, times: 3 });
    await expect(post(here)).rejects.toMatchObject({ name: 'DeliveryError', retryAfterMs: expect.any(Number) });
    expect(requestCount() - before).toBe(3);
  });

  test('a long Retry-After is handed to the outbox at once', async () => {
    const before = requestCount();
    bot.team.connector.fail({ status: 429, retryAfterSeconds: 90 });
    await expect(post(here)).rejects.toMatchObject({ retryAfterMs: 90_000 });
    expect(requestCount() - before).toBe(1);
  });

  test('500 is not hammered, and is tried later', async () => {
    const before = requestCount();
    bot.team.connector.fail({ status: 500 });
    await expect(post(here)).rejects.toMatchObject({ retryAfterMs: 30_000 });
    expect(requestCount() - before).toBe(1);
  });

  test('a channel that the bot was taken out of is closed for good', async () => {
    channel.hasBot = false;
    await expect(post(here)).rejects.toMatchObject({ name: 'DeliveryError', retryAfterMs: undefined });
    channel.hasBot = true;
  });

  test('a person without the app, and one never seen, cannot be written to, and that is said', async () => {
    const dora = bot.linked('dora', { hasApp: false });
    await dora.says('@DR help', channel);
    await bot.teams.idle();
    const failing = post({ ...here, place: `user:${dora.person.aadObjectId}` });
    await expect(failing).rejects.toMatchObject({ retryAfterMs: undefined });
    await expect(post({ ...here, place: 'user:nobody' })).rejects.toThrow('never been seen');
  });

  test('a connector that is away is tried later', async () => {
    const other = await startTeamsBot();
    const eva = other.linked('eva');
    await eva.says('help');
    await other.teams.idle();
    await other.team.close();
    const place = { ...here, place: `user:${eva.person.aadObjectId}` };
    await expect(
      other.teams.surface.post({ place, card, parentRef: null, isNotifying: false, mentions: [] }),
    ).rejects.toMatchObject({
      name: 'DeliveryError',
      retryAfterMs: 30_000,
    });
    await other.close();
  });

  test('the strict connector throttles one thread, and the bot waits as it is told', async () => {
    const strict = await startTeamsBot({ isThrottling: true });
    const eva = strict.linked('eva');
    await eva.says('help');
    await strict.teams.idle();
    const place = { ...here, tenant: strict.team.connector.tenantId, place: `user:${eva.person.aadObjectId}` };
    const orders = Array.from({ length: 8 }, (_, index) => ({ ...card, title: `message ${index}` }));
    const outcomes = await Promise.allSettled(
      orders.map((one) =>
        strict.teams.surface.post({ place, card: one, parentRef: null, isNotifying: false, mentions: [] }),
      ),
    );
    const later = outcomes.filter(({ status }) => status === 'rejected').length;
    expect(strict.team.botMessages(strict.team.personal('eva')).length - 1 + later).toBe(8);
    expect(strict.team.connector.requests.length).toBeGreaterThan(10);
    await strict.close();
  });
});

describe('probing', () => {
  test('says nothing to anybody', async () => {
    const before = bot.team.connector.conversations.all.length;
    await bot.teams.surface.probe();
    expect(bot.team.connector.conversations.all.length).toBe(before);
    expect(bot.team.connector.requests.at(-1)).toContain('/members/');
  });

  test('a wrong secret is an outage with a next step', async () => {
    const { settings } = bot.team;
    const wrong = await startTeamsBot({ settings: { ...settings, credential: { kind: 'secret', secret: 'expired' } } });
    await expect(wrong.teams.surface.probe()).rejects.toThrow('gave the bot no token');
    await wrong.close();
  });
});

describe('pictures', () => {
  const console_ = readFileSync(join(import.meta.dirname, '../../docs/images/test-failover-console.png'));

  test('a console picture fits into a card, in the thread of its run', async () => {
    const ref = await post(here);
    await bot.teams.surface.postPicture({
      place: here,
      parentRef: ref,
      png: console_,
      fileName: 'console.png',
      altText: 'Console of vm-7-test',
    });
    const message = bot.team.botMessages(channel).at(-1);
    expect(message?.conversationId).toBe(ref.conversationId);
    expect(JSON.stringify(message?.content)).toContain('data:image/png;base64,');
  });

  test('what is no picture is told in words', async () => {
    await bot.teams.surface.postPicture({
      place: here,
      parentRef: null,
      png: Buffer.from('no'),
      fileName: 'x.png',
      altText: 'Lag of vm-7',
    });
    expect(bot.team.reads(channel)).toContain('Picture: Lag of vm-7. It is too large for Teams');
  });
});

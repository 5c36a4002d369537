import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Message } from '../../demo/teams-connector/conversations.ts';
import type { Client } from '../../demo/teams-connector/people.ts';
import { textOfMessage } from '../../demo/teams-connector/team.ts';
import { OutageError } from '../../domain/outage.ts';
import { startTeamsBot, type TeamsBot } from './teams-bot.ts';

let bot: TeamsBot;
let ana: Client;
beforeAll(async () => {
  bot = await startTeamsBot();
  ana = bot.linked('ana');
});
afterAll(() => bot.close());
beforeEach(() => {
  bot.engine.before = async () => undefined;
});

const newest = () => bot.team.botMessages(bot.team.personal('ana')).at(-1) as Message;

/** Says it in the private chat, waits, and gives what the bot said to it. */
async function heard(text: string): Promise<string> {
  await ana.says(text);
  await bot.teams.idle();
  return textOfMessage(newest());
}

describe('home', () => {
  test('is one card with what waits for me, alerts, my runs and the worst lags, each a button away', async () => {
    const ben = bot.linked('ben');
    const place = bot.team.personal('ben');
    await ben.says('home');
    await bot.teams.idle();
    expect(bot.team.botMessages(place)).toHaveLength(1);
    const rows = bot.team.reads(place).split('\n');
    for (const said of [
      '● You are ben',
      'apr_7K3M9Q2WXA — Planned failover of vm-7',
      'alr_9QX2M4P6ST — CRITICAL · vm-7 lags 4 min behind',
      'Mine: ',
      'vm-8 — ',
    ])
      expect(rows).toContainEqual(expect.stringContaining(said));
    const [home] = bot.team.botMessages(place);
    if (home !== undefined) await ben.clicks(home, 'Planned failover of vm-7');
    await bot.teams.idle();
    expect(bot.team.reads(place)).toContain('Planned failover of vm-7 · waits for approval (0 of 1)');
  });

  test('of somebody unknown says how to link, and nothing else', async () => {
    const cleo = bot.team.as('cleo');
    await cleo.says('/dr home');
    await bot.teams.idle();
    const place = bot.team.personal('cleo');
    expect(bot.team.botMessages(place)).toHaveLength(1);
    expect(bot.team.reads(place)).toContain('link');
    expect(bot.team.reads(place)).not.toContain('vm-7');
  });
});

describe('trouble', () => {
  test('who clicks is answered in time whatever the engine does, and the answer comes later', async () => {
    const slow = await startTeamsBot({ invokeMs: 20 });
    const eva = slow.linked('eva');
    await eva.says('show alr_9QX2M4P6ST');
    await slow.teams.idle();
    const message = slow.team.botMessages(slow.team.personal('eva')).at(-1) as Message;
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    slow.engine.before = () => released;
    expect(await eva.clicks(message, 'Ack')).toMatchObject({
      kind: 'pop-up',
      text: expect.stringContaining('still being worked on'),
    });
    release();
    await vi.waitFor(() => expect(slow.team.botMessages(message.place).length).toBe(2), {
      timeout: 30_000,
      interval: 20,
    });
    await slow.close();
  });

  test('an engine that is away is said to be away', async () => {
    bot.engine.before = async () => {
      throw new OutageError('asking the engine', { retryable: true, nextStep: 'start it with `npm start`' });
    };
    expect(await heard('status')).toContain('start it with npm start');
  });

  test('a bug of ours is told as one, and logged', async () => {
    bot.engine.before = async () => {
      throw new TypeError('planted');
    };
    expect(await heard('status')).toContain('Something in Lifeboat broke');
    expect(bot.warnings.join()).toContain('planted');
  });
});

describe('arriving', () => {
  test('an installation is greeted, and its conversation kept at the engine', async () => {
    const place = bot.team.channel('new-channel');
    await bot.team.installs('ana', place);
    await bot.teams.idle();
    expect(bot.team.reads(place)).toContain('Lifeboat is here');
    expect(bot.engine.savedPlaces.map((saved) => saved.place)).toContain(place.conversationId);
  });

  test('an engine that is away keeps nobody waiting, and is told later', async () => {
    const second = await startTeamsBot();
    const client = second.linked('eva');
    second.engine.isAwayForPlaces = true;
    await client.says('help');
    await second.teams.idle();
    second.engine.isAwayForPlaces = false;
    await client.says('help');
    await second.teams.idle();
    expect(second.engine.savedPlaces.map((saved) => saved.place)).toEqual([`user:${client.person.aadObjectId}`]);
    await second.close();
  });
});

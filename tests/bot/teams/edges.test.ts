import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type InboundActivity, inboundActivity } from '../../../bot/teams/activity.ts';
import { idempotencyKeys } from '../../../bot/teams/idempotency.ts';
import { isAddressed, lineOfMessage } from '../../../bot/teams/message-text.ts';
import { createReplayTable } from '../../../bot/teams/replay-table.ts';
import { isAllowedServiceUrl, publicServiceUrls } from '../../../bot/teams/settings.ts';

function message(text: string, more: Readonly<Record<string, unknown>> = {}): InboundActivity {
  return inboundActivity.parse({
    type: 'message',
    id: '1',
    serviceUrl: 'https://smba.trafficmanager.net/teams/',
    channelId: 'msteams',
    from: { id: '29:ana', name: 'ana', aadObjectId: 'a' },
    recipient: { id: '28:bot', name: 'DR' },
    conversation: { id: '19:x@thread.tacv2', conversationType: 'channel' },
    text,
    ...more,
  });
}
const mention = (name: string, id: string) => ({ type: 'mention', text: `<at>${name}</at>`, mentioned: { id, name } });
const userOf = async (id: string) => (id === '29:ben' ? 'ben-entra' : undefined);

describe('service URLs', () => {
  test.each([
    'https://smba.trafficmanager.net/teams/',
    'https://smba.trafficmanager.net/emea/66666666-7777-4888-9999-000000000000/',
    'https://SMBA.trafficmanager.net/amer',
  ])('%s is of Teams', (url) => expect(isAllowedServiceUrl(url, publicServiceUrls)).toBe(true));

  test.each([
    'http://smba.trafficmanager.net/teams/',
    'https://smba.trafficmanager.net.evil.test/teams/',
    'https://smba.trafficmanager.net@evil.test/teams/',
    'https://user:pass@smba.trafficmanager.net/teams/',
    'https://smba.trafficmanager.net:8443/teams/',
    'https://evil.test/https://smba.trafficmanager.net/',
    'https://xsmba.trafficmanager.net/',
    'http://127.0.0.1/',
    'http://169.254.169.254/',
    'file:///etc/passwd',
    '',
  ])('%s is not', (url) => expect(isAllowedServiceUrl(url, publicServiceUrls)).toBe(false));

  test('a folder that is allowed allows no other beside it', () => {
    const allowed = ['http://127.0.0.1:3979/teams/'];
    expect(isAllowedServiceUrl('http://127.0.0.1:3979/teams/v3', allowed)).toBe(true);
    expect(isAllowedServiceUrl('http://127.0.0.1:3979/teams/../admin', allowed)).toBe(false);
    expect(isAllowedServiceUrl('http://127.0.0.1:3979/teamsters', allowed)).toBe(false);
    expect(isAllowedServiceUrl('http://10.0.0.1:3979/teams/', ['http://10.0.0.1:3979/teams/'])).toBe(false);
  });
});

describe('messages', () => {
  test('lose the mention of the bot, wherever it stands', async () => {
    const entities = [mention('DR', '28:bot')];
    for (const text of [
      '<at>DR</at> status',
      'status <at>DR</at>',
      '<at>DR</at>&nbsp;status',
      '<at>DR</at>\n<at>DR</at> status',
    ]) {
      expect(await lineOfMessage(message(text, { entities }), userOf)).toBe('status');
    }
  });

  test('keep other people as references; unknown ones as words', async () => {
    const entities = [mention('DR', '28:bot'), mention('ben', '29:ben'), mention('carl', '29:carl')];
    const text = '<at>DR</at> oncall set <at>ben</at> <at>carl</at>';
    expect(await lineOfMessage(message(text, { entities }), userOf)).toBe('oncall set <@ben-entra|ben> @carl');
  });

  test('a name made to look like a reference stays a name', async () => {
    const entities = [mention('DR', '28:bot'), { ...mention('x|admin>', '29:ben'), text: '<at>x|admin></at>' }];
    const line = await lineOfMessage(message('<at>DR</at> oncall set <at>x|admin></at>', { entities }), userOf);
    expect(line).toBe('oncall set <@ben-entra|xadmin>');
  });

  test('are for the bot when it is mentioned, by its id and not by its name', () => {
    expect(isAddressed(message('<at>DR</at> help', { entities: [mention('DR', '28:bot')] }))).toBe(true);
    expect(isAddressed(message('<at>DR</at> help', { entities: [mention('DR', '29:someone-called-DR')] }))).toBe(false);
    expect(isAddressed(message('@DR help'))).toBe(false);
  });

  test('whatever is written, reading it ends and never throws', () =>
    fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', maxLength: 80 }),
        fc.string({ maxLength: 30 }),
        async (text, name) => {
          const entities = [mention('DR', '28:bot'), mention(name, '29:ben')];
          expect(
            typeof (await lineOfMessage(message(`<at>DR</at>${text}<at>${name}</at>`, { entities }), userOf)),
          ).toBe('string');
        },
      ),
      { numRuns: 100 },
    ));
});

describe('events that are sent again', () => {
  test('get the first answer, until they are forgotten', async () => {
    let nowMs = 0;
    let count = 0;
    const table = createReplayTable<number>({ countMax: 2, keptMs: 1000, nowMs: () => nowMs });
    const next = async () => ++count;
    expect([await table.once('a', next), await table.once('a', next)]).toEqual([1, 1]);
    nowMs = 1000;
    expect(await table.once('a', next)).toBe(2);
    await table.once('b', next);
    await table.once('c', next);
    expect(await table.once('c', next)).toBe(4);
    expect(await table.once('a', next)).toBe(5);
  });

  test('make the same keys; another event, and a second order of the same, make others', () => {
    const keys = (envelope: string) => {
      const next = idempotencyKeys({ surface: 'teams', envelope });
      return [next(), next()];
    };
    expect(keys('x|1|t')).toEqual(keys('x|1|t'));
    expect(new Set([...keys('x|1|t'), ...keys('x|2|t')]).size).toBe(4);
  });
});

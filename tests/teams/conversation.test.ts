import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Message, Place } from '../../demo/teams-connector/conversations.ts';
import { activityOf, type Client, type Dialog, deliver, type Outcome } from '../../demo/teams-connector/people.ts';
import { textOfMessage } from '../../demo/teams-connector/team.ts';
import { startTeamsBot, type TeamsBot } from './teams-bot.ts';

let bot: TeamsBot;
let ana: Client;
let ben: Client;
let channel: Place;
beforeAll(async () => {
  bot = await startTeamsBot();
  ana = bot.linked('ana');
  ben = bot.linked('ben');
  channel = bot.team.channel('dr');
});
afterAll(() => bot.close());
beforeEach(() => {
  bot.engine.asked.length = 0;
  bot.engine.followed.length = 0;
  bot.engine.before = async () => undefined;
});

/** Says it, waits, and gives what the bot said to it. */
async function heard(client: Client, text: string, where?: Place | Message): Promise<string> {
  const message = await answered(client, text, where);
  return message === undefined ? '' : textOfMessage(message);
}

async function answered(client: Client, text: string, where?: Place | Message): Promise<Message | undefined> {
  const before = bot.team.connector.conversations.all.length;
  await client.says(text, where);
  await bot.teams.idle();
  return bot.team.connector.conversations.all
    .slice(before)
    .filter((message) => message.by === 'bot')
    .at(-1);
}

const orders = () => bot.engine.asked.filter(({ call }) => 'body' in call);
const dialogOf = (outcome: Outcome): Dialog => {
  if (outcome.kind !== 'dialog') throw new Error(`no dialog but ${JSON.stringify(outcome)}`);
  return outcome.dialog;
};

describe('lines', () => {
  test('a private chat takes a plain line, with or without the program name', async () => {
    expect(await heard(ana, 'status vm-7')).toContain('✔ vm-7 · Enabled');
    expect(await heard(ana, '/dr status vm-7')).toContain('✔ vm-7 · Enabled');
  });

  test('a channel takes a mention, and answers in its thread', async () => {
    const message = await answered(ana, '@DR status vm-7', channel);
    expect(message?.conversationId).toMatch(/;messageid=\d+$/);
    const thread = bot.team.connector.conversations.messagesIn(message?.conversationId ?? '');
    expect(thread.map((one) => (one.by === 'bot' ? 'bot' : one.by.name))).toEqual(['ana', 'bot']);
  });

  test('a channel without a mention is not listened to', async () => {
    expect(await heard(ana, 'cleanup vm-7', channel)).toBe('');
    expect(bot.engine.asked).toEqual([]);
  });

  test('what phones make of dashes, quotation marks and brackets is undone', async () => {
    expect(await heard(ana, '@DR cleanup vm-7 —note “done &amp; gone”', channel)).toContain('Cleanup');
    expect(orders().map(({ call }) => call)).toEqual([
      { kind: 'cleanup', body: { machine: 'vm-7', note: 'done & gone' } },
    ]);
  });

  test('people who are mentioned are meant by their Entra id', async () => {
    await ben.says('help');
    await bot.teams.idle();
    await answered(ana, '@DR oncall set @ben', channel);
    expect(orders().map(({ call }) => call)).toEqual([{ kind: 'onCall', body: { persons: [ben.person.aadObjectId] } }]);
  });

  test('what the engine started is followed where it was asked for', async () => {
    const said = await heard(ana, '@DR cleanup vm-7', channel);
    expect(said).toContain('started');
    expect(bot.engine.followed).toEqual([`run:run_4F6H8J0KMN ${channel.conversationId}`]);
  });

  test('codes are not given away in a channel', async () => {
    expect(await heard(ana, '@DR link', channel)).toContain('belongs into our private chat');
    expect(await heard(ana, '@DR dr authenticator 654321', channel)).toContain('Nothing was done');
    expect(await heard(ana, '@DR console', channel)).toContain('belongs into our private chat');
    expect(bot.engine.asked).toEqual([]);
    expect(await heard(ana, 'link')).toContain('QX7-33K');
    expect(await heard(ana, 'console')).toContain('Open the web console');
    expect(await heard(ana, '@DR console --sign-out', channel)).toContain('signed out');
  });

  test('a reading that is only a mistake is answered, and nothing is asked', async () => {
    expect(await heard(ana, 'failover "vm-7')).toContain('never closed');
    expect(bot.engine.asked).toEqual([]);
  });

  test('a typed line cannot open a dialog, so its answer has a button that does', async () => {
    const message = await answered(ana, 'reject apr_7K3M9Q2WXA');
    expect(message && textOfMessage(message)).toContain('[Reject');
    const opened = await ana.clicks(message as Message, buttonsOf(message)[0] ?? '');
    expect(dialogOf(opened).title).toBe('Reject');
  });
});

function buttonsOf(message: Message | undefined): string[] {
  const card = message !== undefined && 'card' in message.content ? message.content.card : {};
  return (Array.isArray(card.actions) ? card.actions : []).map((action: { title: string }) => action.title);
}

describe('who speaks', () => {
  test.each([
    ['a guest', { userRole: 'guest' }, 'guest'],
    ['an anonymous guest of a meeting', { userRole: 'anonymous' }, 'guest'],
    ['somebody of another company', { tenantId: '99999999-0000-4000-8000-000000000000' }, 'external'],
    ['somebody without an Entra account', { aadObjectId: undefined }, 'external'],
  ] as const)('%s is refused by the engine, which is told what they are', async (_, more, kind) => {
    const stranger = bot.linked(`stranger-${kind}-${Object.keys(more)[0]}`, more);
    expect(await heard(stranger, '@DR cleanup vm-7', channel)).toContain(`A ${kind} may do nothing here`);
    expect(bot.engine.asked.every(({ actor }) => actor?.kind === kind)).toBe(true);
  });

  test('another bot is not answered at all', async () => {
    const activity = activityOf(ana.person, channel, { connector: bot.team.connector, botName: 'DR' });
    const from = { id: '28:another-bot', name: 'another' };
    const answer = await deliver(bot.team.connector, bot.teams.url, {
      ...activity,
      from,
      type: 'message',
      text: '<at>DR</at> cleanup vm-7',
      entities: [],
    });
    await bot.teams.idle();
    expect([answer.status, bot.engine.asked]).toEqual([200, []]);
  });

  test('nobody is taken for a member while Teams does not tell', async () => {
    const fresh = bot.linked('fresh');
    bot.team.connector.fail({ status: 500, method: 'GET', times: 1 });
    expect(await heard(fresh, 'cleanup vm-7')).toContain('Teams does not say who you are');
    expect(bot.engine.asked).toEqual([]);
    expect(await heard(fresh, 'cleanup vm-7')).toContain('started');
  });

  test('the actor carries the Entra id, the tenant and the event', async () => {
    await heard(ana, 'whoami');
    const [first] = bot.engine.asked;
    expect(first?.actor).toMatchObject({
      surface: 'teams',
      tenant: bot.team.connector.tenantId,
      user: ana.person.aadObjectId,
      kind: 'member',
    });
    expect(first?.actor?.envelope).toContain('a:1');
  });
});

describe('the same event again', () => {
  test('is carried out once, however often it is delivered', async () => {
    const place = bot.team.personal('ana');
    const activity = {
      ...activityOf(ana.person, place, { connector: bot.team.connector, botName: 'DR' }),
      type: 'message',
      text: 'cleanup vm-7',
    };
    const answers = await Promise.all([1, 2, 3].map(() => deliver(bot.team.connector, bot.teams.url, activity)));
    await bot.teams.idle();
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    expect(orders()).toHaveLength(1);
  });

  test('gives the same keys to the engine after a restart of the bot', async () => {
    const second = await startTeamsBot();
    const client = second.linked('ana');
    const activity = {
      ...activityOf(client.person, second.team.personal('ana'), { connector: second.team.connector, botName: 'DR' }),
      type: 'message',
      text: 'cleanup vm-7',
    };
    await deliver(second.team.connector, second.teams.url, activity);
    await second.teams.idle();
    const third = await startTeamsBot({ settings: second.team.settings });
    third.engine.people.set(client.person.aadObjectId ?? '', 'ana');
    await deliver(second.team.connector, third.teams.url, activity);
    await third.teams.idle();
    const keys = [second, third].map(({ engine }) => engine.asked.find(({ call }) => call.kind === 'cleanup')?.key);
    expect(keys[0]).toMatch(/^teams:[0-9a-f]{64}$/);
    expect(keys[1]).toBe(keys[0]);
    await third.close();
    await second.close();
  });

  test('a click that is sent twice gets the same answer, and does it once', async () => {
    const message = await postedAlert();
    const place = message.place;
    const action = { type: 'Action.Execute', verb: 'line', data: { lifeboat: { kind: 'line', line: 'cleanup vm-7' } } };
    const base = activityOf(ana.person, place, {
      connector: bot.team.connector,
      botName: 'DR',
      conversationId: message.conversationId,
    });
    const invoke = { ...base, type: 'invoke', name: 'adaptiveCard/action', value: { action } };
    const [one, two] = await Promise.all([1, 2].map(() => deliver(bot.team.connector, bot.teams.url, invoke)));
    expect(one?.body).toEqual(two?.body);
    expect(orders()).toHaveLength(1);
  });

  test('what arrives minutes late is not done, and that is said', async () => {
    const text = { timestamp: new Date(Date.now() - 400_000).toISOString() };
    await ana.says('cleanup vm-7', undefined, text);
    await bot.teams.idle();
    expect(textOfMessage(bot.team.botMessages(bot.team.personal('ana')).at(-1) as Message)).toContain('7 minutes late');
    expect(orders()).toEqual([]);
  });

  test('what is dated in the future is refused', async () => {
    const status = await ana.says('cleanup vm-7', undefined, {
      timestamp: new Date(Date.now() + 400_000).toISOString(),
    });
    expect([status, orders()]).toEqual([400, []]);
  });
});

async function postedAlert(): Promise<Message> {
  const message = await answered(ana, 'show alr_9QX2M4P6ST');
  if (message === undefined) throw new Error('the alert was not shown');
  return message;
}

/** A request for approval as the engine's outbox posts it into the channel. */
async function postedApproval(): Promise<Message> {
  const { approvalCard } = await import('../../bot/conversation/approval-cards.ts');
  bot.engine.approval = { ...bot.engine.approval, state: 'pending', votes: [], revision: 1 };
  const place = { surface: 'teams', tenant: bot.team.connector.tenantId, place: channel.conversationId } as const;
  await bot.teams.surface.post({
    place,
    card: approvalCard(bot.engine.approval, Date.now()),
    parentRef: null,
    isNotifying: true,
    mentions: [ben.person.aadObjectId ?? ''],
  });
  return bot.team.botMessages(channel).at(-1) as Message;
}

describe('a request for approval', () => {
  beforeEach(async () => {
    await heard(ben, 'help');
    await heard(ana, '@DR help', channel);
  });

  test('shows everybody the state, and the buttons only to who may decide', async () => {
    const message = await postedApproval();
    expect(buttonsOf(message)).toEqual(['Details and decision']);
    const forBen = await ben.looksAt(message);
    const forAna = await ana.looksAt(message);
    expect(forBen.kind === 'own-view' && forBen.text).toContain('[Approve] [Reject]');
    expect(forAna.kind === 'own-view' && forAna.text).toContain('[Details and decision]');
    const asked = await ana.clicks(message, 'Details and decision');
    expect(asked.kind === 'own-view' && asked.text).toContain('somebody else decides');
    expect(asked.kind === 'own-view' && asked.text).not.toContain('[Approve]');
  });

  test('is approved in a dialog with a code; a wrong code keeps the dialog open', async () => {
    const message = await postedApproval();
    const view = await ben.looksAt(message);
    const dialog = dialogOf(await ben.clicks(view, 'Approve', message));
    expect(dialog.title).toBe('Approve');
    await expect(ben.fillsIn(dialog, { 'Six-digit code': '12' })).rejects.toThrow('keeps the dialog open');
    const again = dialogOf(await ben.fillsIn(dialog, { 'Six-digit code': '999999' }));
    expect(textOf(again)).toContain('That code is wrong.');
    const done = await ben.fillsIn(again, { 'Six-digit code': '123 456', Reason: 'seen' });
    expect(bot.engine.approval.state).toBe('approved');
    expect(done.kind === 'dialog' && done.text).toContain('approved');
    const approve = orders().at(-1)?.call;
    expect(approve).toMatchObject({ kind: 'approve', body: { revision: 1, digest8: 'ab12cd34', reason: 'seen' } });
  });

  test('is rejected with a reason, which the dialog insists on', async () => {
    const message = await postedApproval();
    const dialog = dialogOf(await ben.clicks(await ben.looksAt(message), 'Reject', message));
    await expect(ben.fillsIn(dialog, {})).rejects.toThrow('keeps the dialog open');
    await ben.fillsIn(dialog, { Reason: 'not tonight' });
    expect(bot.engine.approval).toMatchObject({ state: 'rejected', decisionReason: 'not tonight' });
  });

  test('the code never stands in anything that is posted or logged', async () => {
    const said = JSON.stringify(bot.team.connector.conversations.all.map(({ content }) => content));
    expect(/123 ?456/.test(said)).toBe(false);
    expect(/123 ?456/.test(bot.warnings.join())).toBe(false);
  });

  test('nobody approves their own request, whatever button they forge', async () => {
    const message = await postedApproval();
    const view = await ben.looksAt(message);
    const dialog = dialogOf(await ben.clicks(view, 'Approve', message));
    const answer = await ana.fillsIn(dialog, { 'Six-digit code': '123456' });
    expect(answer.kind === 'dialog' && answer.text).toContain('somebody else decides');
    expect(bot.engine.approval.state).toBe('pending');
  });

  test('in a private chat all buttons are there at once', async () => {
    const { approvalCard } = await import('../../bot/conversation/approval-cards.ts');
    const place = {
      surface: 'teams',
      tenant: bot.team.connector.tenantId,
      place: `user:${ben.person.aadObjectId}`,
    } as const;
    await bot.teams.surface.post({
      place,
      card: approvalCard(bot.engine.approval, Date.now()),
      parentRef: null,
      isNotifying: true,
      mentions: [],
    });
    const message = bot.team.botMessages(bot.team.personal('ben')).at(-1);
    expect(buttonsOf(message)).toEqual(['Approve', 'Reject', 'Details']);
  });
});

function textOf(dialog: Dialog): string {
  return JSON.stringify(dialog.card);
}

describe('clicks', () => {
  test('a button carries out its line as who clicks, and the answer is in the thread', async () => {
    const message = await postedAlert();
    const outcome = await ben.clicks(message, 'Ack');
    expect(outcome.kind).toBe('pop-up');
    expect(bot.engine.asked.at(-1)?.actor?.user).toBe(ben.person.aadObjectId);
  });

  test('a client that knows no universal actions is served by a message', async () => {
    const place = bot.team.personal('ana');
    const base = activityOf(ana.person, place, { connector: bot.team.connector, botName: 'DR' });
    const value = { lifeboat: { kind: 'line', line: 'cleanup vm-7' } };
    await deliver(bot.team.connector, bot.teams.url, { ...base, type: 'message', value });
    await bot.teams.idle();
    expect(orders()).toHaveLength(1);
  });

  test.each([
    ['no data at all', { action: { data: {} } }],
    ['a line that is a book', { action: { data: { lifeboat: { kind: 'line', line: 'x'.repeat(5000) } } } }],
    ['a kind that there is not', { action: { data: { lifeboat: { kind: 'sudo', line: 'cleanup vm-7' } } } }],
    ['nothing', undefined],
  ])('a forged button with %s does nothing', async (_, value) => {
    const base = activityOf(ana.person, channel, { connector: bot.team.connector, botName: 'DR' });
    const answer = await deliver(bot.team.connector, bot.teams.url, {
      ...base,
      type: 'invoke',
      name: 'adaptiveCard/action',
      value,
    });
    expect(answer).toMatchObject({ status: 200, body: { statusCode: 400 } });
    expect(bot.engine.asked).toEqual([]);
  });

  test('an invoke that we do not know is refused as the protocol says', async () => {
    const base = activityOf(ana.person, channel, { connector: bot.team.connector, botName: 'DR' });
    const answer = await deliver(bot.team.connector, bot.teams.url, {
      ...base,
      type: 'invoke',
      name: 'composeExtension/query',
      value: {},
    });
    expect(answer.status).toBe(501);
  });
});

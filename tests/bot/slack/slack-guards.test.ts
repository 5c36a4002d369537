import { describe, expect, it } from 'vitest';
import { createBoundedMemory } from '../../../bot/slack/bounded-memory.ts';
import { bodyBytesMax, judgeRequest } from '../../../bot/slack/http-door.ts';
import { readSlackEvent } from '../../../bot/slack/slack-event.ts';
import { kindOfUser } from '../../../bot/slack/who-speaks.ts';

const nowMs = 1_800_000_000_000;
const request = (secondsAgo: number, more: Record<string, string> = {}) => ({
  method: 'POST',
  url: '/slack/events',
  headers: { 'x-slack-request-timestamp': String(nowMs / 1000 - secondsAgo), ...more },
});

describe('the door before Bolt', () => {
  it.each([
    [0, 'pass'],
    [299, 'pass'],
    [-299, 'pass'],
    [301, 401],
    [-301, 401],
    [-3600, 401],
  ] as const)('a request of %i seconds ago: %s', (secondsAgo, verdict) => {
    expect(judgeRequest(request(secondsAgo), nowMs)).toBe(verdict);
  });

  it('takes no other path, no other method, no long body, no time that is no number', () => {
    expect(judgeRequest({ ...request(0), url: '/' }, nowMs)).toBe(404);
    expect(judgeRequest({ ...request(0), method: 'GET' }, nowMs)).toBe(405);
    expect(judgeRequest(request(0, { 'content-length': String(bodyBytesMax + 1) }), nowMs)).toBe(413);
    expect(judgeRequest({ ...request(0), headers: { 'x-slack-request-timestamp': 'soon' } }, nowMs)).toBe(401);
  });
});

describe('what somebody is', () => {
  const home = { teamId: 'T1', enterpriseId: 'E1' };
  const member = {
    id: 'U1',
    name: 'ana',
    real_name: 'Ana',
    team_id: 'T1',
    deleted: false,
    is_bot: false,
    is_workflow_bot: false,
    is_restricted: false,
    is_ultra_restricted: false,
    is_stranger: false,
  };
  it.each([
    ['member', {}],
    ['member', { team_id: 'T2', enterprise_user: { enterprise_id: 'E1' } }],
    ['external', { team_id: 'T2' }],
    ['external', { team_id: 'T2', enterprise_user: { enterprise_id: 'E2' } }],
    ['external', { is_stranger: true }],
    ['external', { deleted: true }],
    ['guest', { is_restricted: true }],
    ['guest', { is_ultra_restricted: true }],
    ['bot', { is_bot: true }],
    ['bot', { id: 'USLACKBOT' }],
  ] as const)('%s: %j', (kind, more) => {
    expect(kindOfUser({ ...member, ...more }, home)).toBe(kind);
  });
});

describe('the key of an event', () => {
  const command = {
    command: '/dr',
    text: 'status',
    team_id: 'T1',
    user_id: 'U1',
    channel_id: 'C1',
    response_url: 'https://hooks.slack.com/x',
    trigger_id: '1.2.3',
  };

  it('is the same for the same event, and another for another one', () => {
    const key = readSlackEvent(command)?.key;
    expect(readSlackEvent({ ...command })?.key).toBe(key);
    expect(readSlackEvent({ ...command, trigger_id: '1.2.4' })?.key).not.toBe(key);
    expect(key).toMatch(/^slack:[0-9a-f]{64}$/);
  });

  it('tells a form that is filled in again from a form that is sent twice', () => {
    const sent = (hash: string) => ({
      type: 'view_submission',
      team: { id: 'T1' },
      user: { id: 'U1' },
      view: { id: 'V1', hash, private_metadata: '', state: { values: {} } },
    });
    expect(readSlackEvent(sent('a'))?.key).toBe(readSlackEvent(sent('a'))?.key);
    expect(readSlackEvent(sent('a'))?.key).not.toBe(readSlackEvent(sent('b'))?.key);
  });

  const written = { user: 'U1', text: 'cleanup vm-7', ts: '1.5', channel: 'D1' };
  const told = (event: object, eventId = 'Ev1') => ({
    type: 'event_callback',
    team_id: 'T1',
    event_id: eventId,
    event: { ...written, ...event },
  });
  const direct = { type: 'message', channel_type: 'im' };

  it('is that of the message, in however many ways Slack tells of it', () => {
    const key = readSlackEvent(told(direct))?.key;
    expect(readSlackEvent(told({ type: 'app_mention' }, 'Ev2'))?.key).toBe(key);
    expect(readSlackEvent(told({ ...direct, ts: '1.6' }))?.key).not.toBe(key);
  });

  it('is made for a line that a person writes to the app alone', () => {
    expect(readSlackEvent(told(direct))).toMatchObject({ kind: 'direct', text: 'cleanup vm-7', isFromBot: false });
    expect(readSlackEvent(told({ ...direct, thread_ts: '1.1' }))).toMatchObject({ spot: { threadTs: '1.1' } });
    // Our own messages come as well.
    expect(readSlackEvent(told({ ...direct, bot_id: 'B1' }))).toMatchObject({ isFromBot: true });
  });

  it.each([
    { ...direct, channel_type: 'channel' },
    { ...direct, channel_type: 'mpim' },
    { type: 'message' },
    { ...direct, subtype: 'message_changed', hidden: true },
    { ...direct, subtype: 'message_deleted', hidden: true },
    { ...direct, subtype: 'bot_message' },
    { ...direct, subtype: 'file_share' },
    { ...direct, hidden: true },
  ])('is not made for a message that is no new line to the app alone: %j', (event) => {
    expect(readSlackEvent(told(event))).toBeUndefined();
  });

  it.each([{}, null, 'x', { type: 'block_actions' }, { type: 'event_callback', event: { type: 'message' } }])(
    'is not made for what is not for us: %j',
    (body) => {
      expect(readSlackEvent(body)).toBeUndefined();
    },
  );
});

describe('a bounded memory', () => {
  it('forgets after a while, and the oldest first', () => {
    let atMs = 0;
    const memory = createBoundedMemory<number>({ countMax: 2, keepMs: 100, nowMs: () => atMs });
    memory.set('a', 1);
    memory.set('b', 2);
    memory.set('c', 3);
    expect([memory.get('a'), memory.get('b'), memory.get('c')]).toEqual([undefined, 2, 3]);
    atMs = 101;
    expect(memory.get('c')).toBeUndefined();
  });
});

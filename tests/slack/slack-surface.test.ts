import { createEmulator } from 'emulate';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Card } from '../../bot/card.ts';
import { DeliveryError } from '../../bot/chat-surface.ts';
import { cardsView, waitingView } from '../../bot/slack/form-view.ts';
import { homeView } from '../../bot/slack/home-view.ts';
import { messagesOf } from '../../bot/slack/messages.ts';
import { openSlackClients } from '../../bot/slack/slack-clients.ts';
import { createSlackSurface } from '../../bot/slack/slack-surface.ts';
import { openTrial } from './slack-fixture.ts';

const card: Card = {
  title: 'vm-7 lags 4 min behind',
  tone: 'bad',
  audience: 'channel',
  text: ['Look at `show vm-7`.'],
};
const better: Card = { ...card, title: 'vm-7 caught up', tone: 'good' };
const png = Buffer.from('89504e470d0a1a0a', 'hex');
const asked = { parentRef: null, isNotifying: false, mentions: [] };

async function open(options: Parameters<typeof openTrial>[0] = {}) {
  const trial = await openTrial(options);
  const { surface } = trial.bot;
  const channel = trial.workspace.addChannel('alerts', ['ana', 'ben', 'Lifeboat']);
  const place = (id: string) => ({ surface: 'slack' as const, tenant: surface.tenant, place: id });
  return { ...trial, surface, place, there: place(channel) };
}

async function errorOf(promise: Promise<unknown>): Promise<DeliveryError> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof DeliveryError)) throw new Error(`no DeliveryError: ${String(error)}`);
  return error;
}

describe('the delivery through Slack', () => {
  it('posts, edits in place, and answers in the thread and to the channel', async () => {
    const { surface, workspace, there } = await open();
    const ana = workspace.as('ana');
    const ref = await surface.post({ ...asked, place: there, card });
    await surface.update({ place: there, ref, card: better });
    await surface.post({ place: there, card, parentRef: ref, isNotifying: true, mentions: [ana.id] });
    expect(workspace.reads('#alerts').split('\n')).toEqual([
      'Lifeboat: ✔ vm-7 caught up',
      '  Look at `show vm-7`.',
      '  ↳ Lifeboat (also to the channel): ✖ vm-7 lags 4 min behind',
      '      @ana',
      '      Look at `show vm-7`.',
    ]);
    expect(workspace.messages().at(-1)?.text).toContain(`<@${ana.id}>`);
  });

  it('shows a picture in the thread', async () => {
    const { surface, workspace, there } = await open();
    const parentRef = await surface.post({ ...asked, place: there, card });
    await surface.postPicture({ place: there, parentRef, png, fileName: 'lag.png', altText: 'the lag of vm-7' });
    expect(workspace.reads('#alerts')).toContain('  ↳ Lifeboat: [file lag.png: the lag of vm-7]');
    expect(workspace.messages().at(-1)?.file?.bytes).toEqual(png);
  });

  it('opens a direct message for a person, once', async () => {
    const { surface, workspace, place } = await open();
    const ana = workspace.as('ana');
    for (const one of [card, better]) await surface.post({ ...asked, place: place(`user:${ana.id}`), card: one });
    expect(ana.reads('@Lifeboat')).toContain('vm-7 caught up');
    expect(workspace.calls().filter((call) => call.method === 'conversations.open')).toHaveLength(1);
  });

  it('says when to try again: Slack’s own time for a rate limit, and never waits itself', async () => {
    const { surface, workspace, there } = await open();
    workspace.failNextCall('chat.postMessage', { kind: 'rate-limited', retryAfterSeconds: 30 });
    expect(await errorOf(surface.post({ ...asked, place: there, card }))).toMatchObject({ retryAfterMs: 30_000 });
    workspace.failNextCall('chat.postMessage', { kind: 'http', status: 503 });
    expect(await errorOf(surface.post({ ...asked, place: there, card }))).toMatchObject({ retryAfterMs: 5000 });
    workspace.failNextCall('auth.test', { kind: 'http', status: 503 });
    expect(await errorOf(surface.probe())).toMatchObject({ retryAfterMs: 5000 });
  });

  it('does not post twice by itself when Slack’s answer is lost', async () => {
    const { surface, workspace, there } = await open();
    workspace.failNextCall('chat.postMessage', { kind: 'lost-answer' });
    expect(await errorOf(surface.post({ ...asked, place: there, card }))).toMatchObject({ retryAfterMs: 5000 });
    expect(workspace.reads('#alerts').split('lags 4 min').length - 1).toBe(1);
  });

  it('says when there is no use in trying, and what to do', async () => {
    const { surface, workspace, place } = await open();
    const closed = workspace.addChannel('board', ['ana'], 'private');
    const error = await errorOf(surface.post({ ...asked, place: place(closed), card }));
    expect(error.retryAfterMs).toBeUndefined();
    expect(error.message).toContain('/invite @Lifeboat');
  });

  it('uploads need membership even where posting does not', async () => {
    const { surface, workspace, place } = await open();
    const elsewhere = place(workspace.addChannel('open', ['ana']));
    const parentRef = await surface.post({ ...asked, place: elsewhere, card });
    const picture = { place: elsewhere, parentRef, png, fileName: 'lag.png', altText: 'lag' };
    expect((await errorOf(surface.postPicture(picture))).message).toContain('not_in_channel');
  });

  it('says when a message is gone, so that it is posted anew', async () => {
    const { surface, there } = await open();
    const ref = { channel: there.place, ts: '1.000001' };
    expect(await errorOf(surface.update({ place: there, ref, card }))).toMatchObject({ isMessageGone: true });
  });

  it('gets the words through when Slack refuses the drawing', async () => {
    const { surface, workspace, there } = await open();
    workspace.failNextCall('chat.postMessage', { kind: 'error', error: 'invalid_blocks' });
    await surface.post({ ...asked, place: there, card });
    expect(workspace.reads('#alerts')).toBe('Lifeboat: ✖ vm-7 lags 4 min behind – Look at `show vm-7`.');
  });

  it('names the scope that is missing', async () => {
    const { surface, workspace, place } = await open({ scopes: ['chat:write', 'users:read'] });
    const error = await errorOf(surface.post({ ...asked, place: place(`user:${workspace.as('ana').id}`), card }));
    expect(error.message).toContain('missing_scope');
    expect(error.retryAfterMs).toBeUndefined();
  });
});

describe('against an independent peer', () => {
  it('posts, threads, edits, uploads, opens and fills views as there too', async () => {
    const token = 'xoxb-test';
    const peer = await createEmulator({ service: 'slack', port: 0 });
    try {
      const apiUrl = `${peer.url}/api/`;
      const quiet = {
        debug: none,
        info: none,
        warn: none,
        error: none,
        setLevel: none,
        getLevel: level,
        setName: none,
      };
      const clients = openSlackClients(token, apiUrl, quiet);
      const surface = createSlackSurface({ client: clients.delivering, tenant: 'T1', nowMs: Date.now });
      await surface.probe();
      const { channels } = await clients.answering.conversations.list({});
      const channel = channels?.[0]?.id ?? '';
      const place = { surface: 'slack' as const, tenant: 'T1', place: channel };
      const ref = await surface.post({ ...asked, place, card });
      await surface.post({ ...asked, place, card: better, parentRef: ref });
      expect(await surface.update({ place, ref, card: better })).toEqual(ref);
      await surface.postPicture({ place, parentRef: ref, png, fileName: 'lag.png', altText: 'lag' });
      const replies = await clients.answering.conversations.replies({ channel, ts: String(ref.ts) });
      expect(replies.messages?.map((message) => message.text)).toEqual(
        expect.arrayContaining([expect.stringContaining('vm-7 caught up')]),
      );
      expect(replies.messages?.[0]?.blocks?.[0]?.type).toBe('header');
      await viewsAndEphemeral(clients.answering, apiUrl, token, channel);
    } finally {
      await peer.close();
    }
  });
});

async function viewsAndEphemeral(
  client: ReturnType<typeof openSlackClients>['answering'],
  apiUrl: string,
  token: string,
  channel: string,
) {
  const { members } = await client.users.list({});
  const user = members?.find((member) => member.is_bot !== true)?.id ?? '';
  await client.chat.postEphemeral({ channel, user, ...(messagesOf([card], 0)[0] ?? { text: '', blocks: [] }) });
  const asking = { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } };
  const made = await fetch(`${apiUrl}views.generateTriggerId`, { ...asking, body: JSON.stringify({ user_id: user }) });
  const { trigger_id } = z.object({ trigger_id: z.string() }).parse(await made.json());
  const opened = await client.views.open({ trigger_id, view: waitingView('Lifeboat') });
  const filled = await client.views.update({ view_id: opened.view?.id ?? '', view: cardsView([card], { nowMs: 0 }) });
  expect(filled.view?.blocks?.[0]?.type).toBe('header');
  const home = await client.views.publish({ user_id: user, view: homeView([card, better], 0) });
  expect(home.view?.type).toBe('home');
}

function none() {
  return undefined;
}

function level() {
  return 'error' as never;
}

import type { types, webApi } from '@slack/bolt';
import { z } from 'zod';
import type { ChatPlace, MessageRef } from '../../protocol/chat-api.ts';
import type { Card } from '../card.ts';
import { type ChatSurface, DeliveryError, type PictureOrder, type PostOrder } from '../chat-surface.ts';
import { createBoundedMemory } from './bounded-memory.ts';
import { deliveryErrorOf, isRefusedForm } from './delivery-errors.ts';
import { fallbackText, renderBlocks } from './render-card.ts';

/** Where a message of ours stands in Slack. */
const slackRef = z.object({ channel: z.string(), ts: z.string() });
const directPrefix = 'user:';

type SurfaceDeps = {
  readonly client: webApi.WebClient;
  /** The organisation's or the team's id. */
  readonly tenant: string;
  readonly nowMs: () => number;
};

/** Slack as the delivery uses it. Messages are edited in place; a reply that must be heard is sent to the channel too. */
export function createSlackSurface(deps: SurfaceDeps): ChatSurface {
  const channelOf = createChannelFinder(deps);
  return {
    surface: 'slack',
    tenant: deps.tenant,
    post: (order) => post(order, channelOf, deps),
    update: (order) => update(order, deps),
    postPicture: (order) => postPicture(order, channelOf, deps),
    probe: async () => {
      await said('asking Slack whether it works', () => deps.client.auth.test());
    },
  };
}

/** The conversation that a place means: a direct message is opened once in an hour. */
export function createChannelFinder(deps: Pick<SurfaceDeps, 'client' | 'nowMs'>): (place: string) => Promise<string> {
  const known = createBoundedMemory<string>({ countMax: 5000, keepMs: 3_600_000, nowMs: deps.nowMs });
  return async (place) => {
    if (!place.startsWith(directPrefix)) return place;
    const remembered = known.get(place);
    if (remembered !== undefined) return remembered;
    const users = place.slice(directPrefix.length);
    const opened = await said('opening a direct message', () => deps.client.conversations.open({ users }));
    const id = opened.channel?.id;
    if (id === undefined)
      throw new DeliveryError('opening a direct message: Slack named no channel', { retryAfterMs: 60_000 });
    known.set(place, id);
    return id;
  };
}

type FindChannel = ReturnType<typeof createChannelFinder>;

async function post(order: PostOrder, channelOf: FindChannel, deps: SurfaceDeps): Promise<MessageRef> {
  const parent = order.parentRef === null ? undefined : slackRef.parse(order.parentRef);
  const channel = parent?.channel ?? (await channelOf(order.place.place));
  const mentions = order.isNotifying ? order.mentions : [];
  const thread = threadOf(parent?.ts, order.isNotifying);
  const answer = await said('posting a message', () =>
    sendDrawn(order.card, { mentions, nowMs: deps.nowMs() }, (drawn) =>
      deps.client.chat.postMessage({ channel, ...drawn, ...thread, ...quiet }),
    ),
  );
  return refOf(answer);
}

/** In a thread, what must be heard is sent to the channel too. Source: CHAT 5.4 */
function threadOf(threadTs: string | undefined, isNotifying: boolean) {
  if (threadTs === undefined) return {};
  return isNotifying ? { thread_ts: threadTs, reply_broadcast: true as const } : { thread_ts: threadTs };
}

async function update(
  order: { readonly place: ChatPlace; readonly ref: MessageRef; readonly card: Card },
  deps: SurfaceDeps,
): Promise<MessageRef> {
  const { channel, ts } = slackRef.parse(order.ref);
  const answer = await said('editing a message', () =>
    sendDrawn(order.card, { mentions: [], nowMs: deps.nowMs() }, (drawn) =>
      deps.client.chat.update({ channel, ts, ...drawn, parse: 'none', link_names: false }),
    ),
  );
  return refOf(answer);
}

async function postPicture(order: PictureOrder, channelOf: FindChannel, deps: SurfaceDeps): Promise<MessageRef> {
  const parent = order.parentRef === null ? undefined : slackRef.parse(order.parentRef);
  const channel = parent?.channel ?? (await channelOf(order.place.place));
  const file = {
    file: order.png,
    filename: order.fileName,
    title: order.altText,
    alt_text: order.altText.slice(0, 1000),
  };
  const place = parent === undefined ? { channel_id: channel } : { channel_id: channel, thread_ts: parent.ts };
  const answer = await said('uploading a picture', () => deps.client.filesUploadV2({ ...file, ...place }));
  return { channel, file: fileIdOf(answer) };
}

/** Nothing in our words is made a link, a mention or a preview by Slack. */
export const quiet = { parse: 'none', link_names: false, unfurl_links: false, unfurl_media: false } as const;

type Drawn = { readonly text: string; readonly blocks: types.KnownBlock[] };

/** Sends a card; when Slack refuses how it is drawn, its words alone, because the message must get through. */
async function sendDrawn<Answer>(
  card: Card,
  options: { readonly mentions: readonly string[]; readonly nowMs: number },
  send: (drawn: Drawn) => Promise<Answer>,
): Promise<Answer> {
  const text = fallbackText(card, options.mentions);
  try {
    return await send({ text, blocks: renderBlocks(card, { ...options, isKept: true }) });
  } catch (error) {
    if (!isRefusedForm(error)) throw error;
    return await send({ text, blocks: [] });
  }
}

async function said<Answer>(doing: string, call: () => Promise<Answer>): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof DeliveryError) throw error;
    throw deliveryErrorOf(doing, error);
  }
}

function refOf(answer: { readonly channel?: string; readonly ts?: string }): MessageRef {
  if (answer.channel === undefined || answer.ts === undefined) {
    throw new DeliveryError('Slack did not say where the message stands', { retryAfterMs: 60_000 });
  }
  return { channel: answer.channel, ts: answer.ts };
}

const uploadAnswer = z.object({
  files: z.array(z.object({ files: z.array(z.object({ id: z.string() })).default([]) })).default([]),
});

function fileIdOf(answer: unknown): string {
  return uploadAnswer.parse(answer).files[0]?.files[0]?.id ?? '';
}

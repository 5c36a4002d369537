import { type Block, checkMessageBlocks } from './block-kit.ts';
import type { Method } from './web-api.ts';
import { addMessage, type Channel, directChannel, type Message, type World } from './world.ts';

/** chat.*, conversations.open and what a `response_url` takes. Errors have Slack's names. */
export const messageMethods: Readonly<Record<string, Method>> = {
  'chat.postMessage': (args, world) => {
    const found = writableChannel(args.channel, world);
    if ('error' in found) return found;
    const content = contentOf(args);
    if ('error' in content) return content;
    const thread = threadOf(args, found.channel, world);
    if ('error' in thread) return thread;
    const message = addMessage(world, { channel: found.channel.id, user: world.botUser.id, ...content, ...thread });
    return { channel: found.channel.id, ts: message.ts, message: { text: message.text, ts: message.ts } };
  },
  'chat.postEphemeral': (args, world) => {
    const channel = world.channels.get(String(args.channel));
    if (channel === undefined || channel.kind === 'im') return { error: 'channel_not_found' };
    if (!channel.members.has(world.botUser.id)) {
      return { error: channel.kind === 'private' ? 'channel_not_found' : 'not_in_channel' };
    }
    const user = world.users.get(String(args.user));
    if (user === undefined || !channel.members.has(user.id)) return { error: 'user_not_in_channel' };
    const content = contentOf(args);
    if ('error' in content) return content;
    const threadTs = typeof args.thread_ts === 'string' ? args.thread_ts : undefined;
    const message = addMessage(world, {
      channel: channel.id,
      user: world.botUser.id,
      ...content,
      threadTs,
      visibleTo: user.id,
    });
    return { message_ts: message.ts };
  },
  'chat.update': (args, world) => {
    const message = world.messages.find((one) => one.ts === args.ts && one.channel === args.channel && !one.isDeed);
    if (!world.channels.has(String(args.channel))) return { error: 'channel_not_found' };
    if (message === undefined || message.visibleTo !== undefined) return { error: 'message_not_found' };
    if (message.user !== world.botUser.id) return { error: 'cant_update_message' };
    const content = contentOf(args);
    if ('error' in content) return content;
    Object.assign(message, content, { editCount: message.editCount + 1 });
    world.changes.emit('change');
    return { channel: message.channel, ts: message.ts, text: message.text };
  },
  'conversations.open': (args, world) => {
    const ids = String(args.users ?? '').split(',');
    const user = world.users.get(ids[0] ?? '');
    if (ids.length !== 1 || user === undefined) return { error: 'user_not_found' };
    if (user.kind === 'bot') return { error: 'cannot_dm_bot' };
    return { channel: { id: directChannel(world, user).id } };
  },
};

type Failed = { readonly error: string; readonly why?: string };

/** A user's id means the direct conversation with them. */
function writableChannel(id: unknown, world: World): { readonly channel: Channel } | Failed {
  const user = world.users.get(String(id));
  const channel = user === undefined ? world.channels.get(String(id)) : directChannel(world, user);
  if (channel === undefined) return { error: 'channel_not_found' };
  if (channel.isArchived) return { error: 'is_archived' };
  if (channel.members.has(world.botUser.id)) return { channel };
  if (channel.kind !== 'public') return { error: 'channel_not_found' };
  return world.scopes.has('chat:write.public') ? { channel } : { error: 'not_in_channel' };
}

function threadOf(
  args: Readonly<Record<string, unknown>>,
  channel: Channel,
  world: World,
): Pick<Message, 'threadTs' | 'isBroadcast'> | Failed {
  if (args.thread_ts === undefined) {
    return args.reply_broadcast === undefined
      ? { threadTs: undefined, isBroadcast: false }
      : { error: 'invalid_arguments' };
  }
  const parent = world.messages.find((one) => one.ts === args.thread_ts && one.channel === channel.id);
  if (parent === undefined) return { error: 'thread_not_found' };
  return { threadTs: parent.threadTs ?? parent.ts, isBroadcast: String(args.reply_broadcast) === 'true' };
}

const textLengthMax = 40_000;

export function contentOf(
  args: Readonly<Record<string, unknown>>,
): { readonly text: string; readonly blocks: readonly Block[] } | Failed {
  const blocks = args.blocks === undefined ? { ok: true as const, value: [] } : checkMessageBlocks(args.blocks);
  if (!blocks.ok) return { error: blocks.error, why: blocks.why };
  const text = typeof args.text === 'string' ? args.text.slice(0, textLengthMax) : '';
  if (text === '' && blocks.value.length === 0) return { error: 'no_text' };
  return { text, blocks: blocks.value };
}

/** Source: CHAT 2.1 */
const responseUrlMs = 30 * 60_000;
const responseUrlUseCountMax = 5;

/** What Slack answers to a post to a `response_url`: an HTTP status and a word. */
export function takeResponse(
  id: string,
  body: Readonly<Record<string, unknown>>,
  world: World,
): { readonly status: number; readonly text: string } {
  const url = world.responseUrls.get(id);
  const isOver =
    url === undefined || url.useCount >= responseUrlUseCountMax || world.nowMs() - url.bornAtMs > responseUrlMs;
  if (isOver) return { status: 404, text: 'used_url' };
  url.useCount += 1;
  const content = contentOf(body);
  if ('error' in content) {
    world.calls.push({ method: 'response_url', args: body, answer: `${content.error}: ${content.why ?? ''}` });
    return { status: 400, text: content.error };
  }
  const original = body.replace_original === true ? world.messages.find((one) => one.ts === url.originalTs) : undefined;
  if (original !== undefined) {
    Object.assign(original, content, { editCount: original.editCount + 1 });
    world.changes.emit('change');
  } else {
    const visibleTo = body.response_type === 'in_channel' ? undefined : url.user;
    const threadTs = typeof body.thread_ts === 'string' ? body.thread_ts : undefined;
    addMessage(world, { channel: url.channel, user: world.botUser.id, ...content, visibleTo, threadTs });
  }
  world.calls.push({ method: 'response_url', args: body, answer: 'ok' });
  return { status: 200, text: 'ok' };
}

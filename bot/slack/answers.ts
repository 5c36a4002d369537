import type { SlackMessage } from './messages.ts';
import { responseUrlLimits, type SlackClients } from './slack-clients.ts';
import type { Spot } from './slack-event.ts';
import { quiet } from './slack-surface.ts';

/** Where answers to one thing said or clicked go. Neither method throws: what cannot be said anywhere is logged. */
export type Answerer = {
  /** Only who asked sees it. */
  readonly toAsker: (message: SlackMessage) => Promise<void>;
  /** Everybody in the channel sees it. */
  readonly toChannel: (message: SlackMessage) => Promise<void>;
};

type AnswererDeps = {
  readonly clients: SlackClients;
  readonly channelOf: (place: string) => Promise<string>;
  readonly nowMs: () => number;
  readonly warn: (message: string, error?: unknown) => void;
};
type Asked = {
  readonly user: string;
  readonly spot: Spot | undefined;
  /** Answers for all go into this thread. */
  readonly publicThreadTs: string | undefined;
  readonly responseUrl: string | undefined;
};

/**
 * Tries, in this order: the `response_url`, which needs no membership and works 5 times in 30 minutes; the channel; a direct message.
 */
export function createAnswerer(asked: Asked, deps: AnswererDeps): Answerer {
  const { answering, respond } = deps.clients;
  const { user, spot, responseUrl, publicThreadTs } = asked;
  const bornAtMs = deps.nowMs();
  let useCount = 0;
  const byUrl = (kind: 'ephemeral' | 'in_channel', threadTs: string | undefined) => async (message: SlackMessage) => {
    const isOver = useCount >= responseUrlLimits.useCountMax || deps.nowMs() - bornAtMs > responseUrlLimits.validMs;
    if (responseUrl === undefined || isOver) throw new Error('the response_url is used up');
    useCount += 1;
    const thread = threadTs === undefined ? {} : { thread_ts: threadTs };
    await respond(responseUrl, { ...message, ...quiet, ...thread, response_type: kind, replace_original: false });
  };
  const ephemeral = async (message: SlackMessage) => {
    if (spot === undefined) throw new Error('it was not in a channel');
    const thread = spot.threadTs === undefined ? {} : { thread_ts: spot.threadTs };
    await answering.chat.postEphemeral({ channel: spot.channel, user, ...message, ...thread, ...calm });
  };
  const inChannel = async (message: SlackMessage) => {
    if (spot === undefined) throw new Error('it was not in a channel');
    const thread = publicThreadTs === undefined ? {} : { thread_ts: publicThreadTs };
    await answering.chat.postMessage({ channel: spot.channel, ...message, ...thread, ...quiet });
  };
  const direct = async (message: SlackMessage) => {
    await answering.chat.postMessage({ channel: await deps.channelOf(`user:${user}`), ...message, ...quiet });
  };
  return {
    toAsker: (message) => firstThatWorks(message, [byUrl('ephemeral', spot?.threadTs), ephemeral, direct], deps),
    toChannel: (message) => firstThatWorks(message, [byUrl('in_channel', publicThreadTs), inChannel, direct], deps),
  };
}

const calm = { parse: 'none', link_names: false } as const;

async function firstThatWorks(
  message: SlackMessage,
  ways: readonly ((message: SlackMessage) => Promise<void>)[],
  deps: AnswererDeps,
): Promise<void> {
  const errors: unknown[] = [];
  for (const way of ways) {
    try {
      return await way(message);
    } catch (error) {
      errors.push(error);
    }
  }
  // Without its text: an answer for one person may hold a one-time code.
  deps.warn('an answer could not be delivered in any way', new AggregateError(errors));
}

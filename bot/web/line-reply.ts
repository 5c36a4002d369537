import { type ChatReply, executeChatLine } from '../chat-line.ts';
import type { BotClient } from '../engine-client.ts';
import type { ObserveLine } from '../observed-line.ts';
import { cardForWeb } from './picture-address.ts';
import { sessionDigest } from './session-cookie.ts';
import type { LineReply } from './wire.ts';

type Deed = {
  readonly engine: Pick<BotClient, 'ask'>;
  readonly session: string;
  /** Of the page, for this deed: sent twice, it is done once. */
  readonly key: string;
  readonly nowMs: () => number;
  readonly observe?: ObserveLine | undefined;
};

/** Carries out a line of the grammar as the session's person: the same conversation as in chat. */
export async function replyToLine(line: string, deed: Deed): Promise<LineReply> {
  const { engine, session, key, nowMs, observe } = deed;
  let count = 0;
  const newKey = () => {
    count += 1;
    return `web:${sessionDigest(session)}:${key}${count === 1 ? '' : `:${count}`}`;
  };
  return lineReply(
    await executeChatLine(line, { engine, speaker: { session, isBegunByPerson: true }, newKey, nowMs, observe }),
  );
}

function lineReply({ cards, form, follow, about, files = [] }: ChatReply): LineReply {
  const topic = follow?.topic ?? about;
  return {
    kind: 'reply',
    cards: cards.map(cardForWeb),
    ...(form !== undefined && { form }),
    ...(topic !== undefined && { topic }),
    files: files.map(({ fileName, mediaType, bytes }) => ({
      name: fileName,
      type: mediaType,
      base64: bytes.toString('base64'),
    })),
  };
}

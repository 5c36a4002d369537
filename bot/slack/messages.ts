import type { types } from '@slack/bolt';
import type { Card } from '../card.ts';
import { fallbackText, lengthOf, renderBlocks, slackLimits } from './render-card.ts';

export type SlackMessage = { readonly text: string; readonly blocks: types.KnownBlock[] };

/** Cards in as few messages as Slack's limits allow, because a `response_url` works only five times. Source: CHAT 2.1 */
export function messagesOf(cards: readonly Card[], nowMs: number): SlackMessage[] {
  const messages: SlackMessage[] = [];
  for (const card of cards) {
    const drawn = { text: fallbackText(card), blocks: renderBlocks(card, { nowMs }) };
    const last = messages.at(-1);
    const joined = last === undefined ? undefined : join(last, drawn);
    if (joined === undefined) messages.push(drawn);
    else messages[messages.length - 1] = joined;
  }
  return messages;
}

function join(one: SlackMessage, other: SlackMessage): SlackMessage | undefined {
  const blocks = [...one.blocks, ...other.blocks];
  const tableCount = blocks.filter((block) => block.type === 'table').length;
  const fits = blocks.length <= slackLimits.messageBlockCount && lengthOf(blocks) <= slackLimits.blocksLength;
  return fits && tableCount <= 1 ? { text: one.text, blocks } : undefined;
}

import type { types } from '@slack/bolt';
import type { Card } from '../card.ts';
import { renderBlocks, slackLimits } from './render-card.ts';

const tableRowMax = 20;
const cardBlockMax = 24;

/** The home tab of one person, within Slack's 100 blocks: every card keeps its buttons, long tables their first 20 rows. */
export function homeView(cards: readonly Card[], nowMs: number): types.HomeView {
  const blocks = cards.flatMap((card, index): types.KnownBlock[] => {
    const drawn = renderBlocks(shortened(card), { nowMs, hasTables: false, blockCountMax: cardBlockMax });
    return index === 0 ? drawn : [{ type: 'divider' }, ...drawn];
  });
  return { type: 'home', blocks: blocks.slice(0, slackLimits.viewBlockCount) };
}

function shortened(card: Card): Card {
  const rest = (card.table?.rows.length ?? 0) - tableRowMax;
  if (card.table === undefined || rest <= 0) return card;
  const footer = [card.footer, `${rest} more`].filter((line) => line !== undefined).join(' · ');
  return { ...card, table: { ...card.table, rows: card.table.rows.slice(0, tableRowMax) }, footer };
}

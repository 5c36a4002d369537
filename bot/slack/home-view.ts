import type { types } from '@slack/bolt';
import type { ApiAnswer, ApiCall } from '../api-call.ts';
import type { Card } from '../card.ts';
import { runListCard } from '../conversation/run-cards.ts';
import { renderBlocks, slackLimits } from './render-card.ts';

const tableRowMax = 20;
const cardBlockMax = 24;
const approvalCountMax = 3;

/**
 * What the home tab shows: who I am, what waits for my decision, alerts, my runs, the worst lags.
 *
 * @param deps.cardsOf what a line that the person could have typed is answered with
 */
export async function homeCards(deps: {
  readonly cardsOf: (line: string) => Promise<readonly Card[]>;
  readonly ask: (call: ApiCall) => Promise<ApiAnswer>;
  readonly nowMs: number;
}): Promise<Card[]> {
  const who = await deps.cardsOf('whoami');
  const approvals = await deps.cardsOf('approvals --mine');
  const decisions: Card[] = [];
  for (const line of approvals.flatMap(approvalLines).slice(0, approvalCountMax)) {
    decisions.push(...(await deps.cardsOf(line)));
  }
  const alerts = await deps.cardsOf('alerts');
  return [...who, ...approvals, ...decisions, ...alerts, ...(await myRuns(deps)), ...(await deps.cardsOf('lag'))];
}

/** What waits for this person's decision is shown whole, with its buttons. */
function approvalLines(card: Card): string[] {
  return (card.buttons ?? []).map((button) => button.line).filter((line) => /^show apr_/.test(line));
}

/** None when the engine does not say; the cards beside it say why. */
async function myRuns(deps: Parameters<typeof homeCards>[0]): Promise<Card[]> {
  const whoami = await deps.ask({ kind: 'whoami' });
  if (whoami.kind !== 'whoami' || !whoami.whoami.isLinked) return [];
  const runs = await deps.ask({ kind: 'runs' });
  if (runs.kind !== 'runs') return [];
  const mine = runs.runs.filter((run) => run.requestedBy === whoami.whoami.name);
  const card = runListCard(mine, { page: 1, state: undefined, nowMs: deps.nowMs });
  return [{ ...card, title: `Mine: ${card.title}` }];
}

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

import type { ApiAnswer, ApiCall } from '../api-call.ts';
import type { Card } from '../card.ts';
import { runListCard } from './run-cards.ts';

const approvalCountMax = 3;

/**
 * What somebody sees who looks what there is for them, in Slack's home tab and as Teams' `home`: who I am, what waits for my decision, alerts, my runs, the worst lags.
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

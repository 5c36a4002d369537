import { type Card, cardLimits, type Section, shorten } from '../card.ts';
import { type ChatReply, executeChatLine } from '../chat-line.ts';
import { homeCards } from '../conversation/home-cards.ts';
import { idempotencyKeys } from './idempotency.ts';
import { placeOf } from './places.ts';
import type { TeamsDeps, Turn } from './replies.ts';

const rowCountMax = 20;

/** `home`, with or without the program's name before it. It is a word of Teams alone: Slack has a tab for the same. */
export function isHomeLine(line: string): boolean {
  return /^\s*(\/?dr\s+)?home\s*$/i.test(line);
}

/** One card with what waits for who asks, alerts, their runs and the worst lags. Source: CHAT 5.4 */
export async function homeReply({ activity, actor }: Turn, deps: TeamsDeps): Promise<ChatReply> {
  const { engine, nowMs } = deps;
  const newKey = idempotencyKeys(actor);
  const line = { engine, speaker: { actor }, place: placeOf(activity), newKey, nowMs };
  const cardsOf = async (typed: string) => (await executeChatLine(typed, line)).cards;
  const whoami = await engine.ask({ kind: 'whoami' }, { actor });
  if (whoami.kind !== 'whoami' || !whoami.whoami.isLinked) return { cards: await cardsOf('whoami') };
  const cards = await homeCards({ cardsOf, ask: (call) => engine.ask(call, { actor }), nowMs: nowMs() });
  return { cards: [homeCard(cards)] };
}

/** Requests are listed here; a button shows one with what is needed to decide it. */
function homeCard(cards: readonly Card[]): Card {
  const [who, ...rest] = cards.filter((card) => !isDecision(card));
  const buttons = rest.flatMap((card) => card.buttons ?? []).slice(0, cardLimits.buttonCount);
  const text = (who?.fields ?? []).map(({ label, value }) => `${label}: ${value}`).join(' · ');
  return {
    title: who?.title ?? 'Home',
    tone: 'neutral',
    audience: 'asker',
    text: [text],
    sections: rest.map(sectionOf),
    buttons,
  };
}

function isDecision(card: Card): boolean {
  return card.buttons?.some((button) => button.opens !== undefined) === true;
}

function sectionOf({ title, text = [], table }: Card): Section {
  const rows = (table?.rows ?? []).map(
    ([first = '', ...others]) => [first, others.filter(isSaid).join(' · ')] as const,
  );
  const left = rows.length - rowCountMax;
  const more = left > 0 ? [['…', `${left} more`] as const] : [];
  const heading = [title, ...text].join(' · ');
  return { title: shorten(heading, 300), rows: [...rows.slice(0, rowCountMax), ...more] };
}

function isSaid(cell: string): boolean {
  return cell.trim() !== '';
}

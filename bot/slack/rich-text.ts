import type { types } from '@slack/bolt';

/**
 * Text as Slack's rich text. Its text elements are shown letter by letter: no markup, no links, no mentions, no emoji codes.
 * So whatever people, guests or hosts wrote goes into these, and into `plain_text`, and nowhere else. Source: CHAT 2.1, 2.5
 */
export type RichElement = types.RichTextElement;

/** Bold words; nothing for an empty text, which Slack refuses. */
export function bold(text: string): RichElement[] {
  return text === '' ? [] : [{ type: 'text', text, style: { bold: true } }];
}

export function code(text: string): RichElement[] {
  return text === '' ? [] : [{ type: 'text', text, style: { code: true } }];
}

/** Plain words; `back-ticks` mark words to type. */
export function words(text: string): RichElement[] {
  return text.split(/(`[^`]+`)/).flatMap((piece) => {
    if (piece === '') return [];
    const isCode = piece.length > 2 && piece.startsWith('`') && piece.endsWith('`');
    return isCode ? code(piece.slice(1, -1)) : [{ type: 'text' as const, text: piece }];
  });
}

/** Each on a line of its own; nothing when all of them are empty. */
export function richText(paragraphs: readonly (readonly RichElement[])[]): types.RichTextBlock[] {
  const filled = paragraphs.filter((elements) => elements.length > 0);
  if (filled.length === 0) return [];
  const lineBreak: RichElement = { type: 'text', text: '\n' };
  const elements = filled.flatMap((line, index) => (index === 0 ? line : [lineBreak, ...line]));
  return [{ type: 'rich_text', elements: [{ type: 'rich_text_section', elements }] }];
}

/** Lines in a fixed-width font, to be copied or compared. */
export function preformatted(text: string): types.RichTextBlock[] {
  if (text === '') return [];
  return [{ type: 'rich_text', elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text }] }] }];
}

export function plainText(text: string): types.PlainTextElement {
  return { type: 'plain_text', text, emoji: false };
}

const instantPattern = /(?:(\d{4}-\d{2}-\d{2}) )?(\d{2}:\d{2}:\d{2})Z/g;
const dayMs = 86_400_000;

/**
 * The same words, and behind each UTC time the reader's own time, which Slack fills in.
 *
 * @param nowMs when the words were made: a time without a date is of that day
 */
export function wordsWithLocalTimes(text: string, nowMs: number): RichElement[] {
  const today = new Date(nowMs).toISOString().slice(0, 10);
  const elements: RichElement[] = [];
  let end = 0;
  for (const match of text.matchAll(instantPattern)) {
    const atMs = Date.parse(`${match[1] ?? today}T${match[2]}Z`);
    const isNear = Math.abs(atMs - nowMs) < 400 * dayMs;
    if (!isNear) continue;
    const next = match.index + match[0].length;
    elements.push(...words(`${text.slice(end, next)} `));
    elements.push({ type: 'date', timestamp: Math.floor(atMs / 1000), format: '({date_short_pretty} {time})' });
    end = next;
  }
  return [...elements, ...words(text.slice(end))];
}

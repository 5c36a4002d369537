import type { types } from '@slack/bolt';
import { addressOf, type Button, type Card, shorten, type Table, type Tone } from '../card.ts';
import { progressWords } from '../conversation/machine-words.ts';
import { displayWidth, padTo, safeText } from '../terminal/safe-text.ts';
import { textOfBlocks } from './block-text.ts';
import {
  bold,
  code,
  plainText,
  preformatted,
  type RichElement,
  richText,
  words,
  wordsWithLocalTimes,
} from './rich-text.ts';

export type SlackRenderOptions = {
  /** When the card was made: times of day in it are of that day. */
  readonly nowMs: number;
  /** What stands before a command to copy; `/dr ` if left out. */
  readonly commandPrefix?: string;
  /** False for modals and the home tab, where Slack takes no table block. */
  readonly hasTables?: boolean;
  /** True for a message that is kept true by the engine: its pictures come into its thread. */
  readonly isKept?: boolean;
  /** Chat users and user groups to mention. */
  readonly mentions?: readonly string[];
  /** Blocks and characters of the whole message; Slack's own limits if left out. */
  readonly blockCountMax?: number;
};

/**
 * Slack refuses messages near 13,200 characters of blocks, without documenting it. Source: CHAT 2.1
 */
export const slackLimits = {
  blocksLength: 12_000,
  headerLength: 150,
  messageBlockCount: 50,
  viewBlockCount: 100,
  fallbackLength: 1000,
} as const;

type Shape = {
  readonly table: 'block' | 'text';
  readonly rowCount: number;
  readonly paragraphLength: number;
  readonly fieldLength: number;
  readonly sectionRowCount: number;
  readonly buttonCount: number;
};
type View = Required<Pick<SlackRenderOptions, 'nowMs' | 'commandPrefix'>> &
  SlackRenderOptions & { readonly shape: Shape };

const signs: Readonly<Record<Tone, string>> = { neutral: '●', working: '▸', good: '✔', warning: '▲', bad: '✖' };
const full: Shape = {
  table: 'block',
  rowCount: 99,
  paragraphLength: 3000,
  fieldLength: 2000,
  sectionRowCount: 100,
  buttonCount: 5,
};
/** From whole to short: the first that fits is shown. What is to be decided and typed stays longest. */
const shapes: readonly Shape[] = [
  full,
  { ...full, table: 'text' },
  { ...full, table: 'text', rowCount: 25, paragraphLength: 1500 },
  { ...full, table: 'text', rowCount: 12, paragraphLength: 700, fieldLength: 500, sectionRowCount: 12 },
  { ...full, table: 'text', rowCount: 5, paragraphLength: 300, fieldLength: 200, sectionRowCount: 4 },
  ...[5, 3, 1, 0].map((buttonCount) => ({
    table: 'text' as const,
    rowCount: 0,
    paragraphLength: 150,
    fieldLength: 80,
    sectionRowCount: 0,
    buttonCount,
  })),
];
const deadlineLabel = /^(expires|ends|due|until|review)/i;
const cellLengthMax = 60;

/**
 * Draws a card as Block Kit, within all of Slack's limits. Nothing in the card can become markup: see rich-text.ts.
 * What does not fit is left out from the least important on, and the message says so.
 */
export function renderBlocks(rawCard: Card, options: SlackRenderOptions): types.KnownBlock[] {
  const card = harmless(rawCard);
  const blockCountMax = options.blockCountMax ?? slackLimits.messageBlockCount;
  const usable = shapes.filter((shape) => shape.table === 'text' || options.hasTables !== false);
  let drawn: types.KnownBlock[] = [];
  for (const shape of usable) {
    drawn = draw(card, { ...options, commandPrefix: options.commandPrefix ?? '/dr ', shape });
    if (drawn.length <= blockCountMax && lengthOf(drawn) <= slackLimits.blocksLength) return drawn;
  }
  return drawn;
}

/** What counts towards Slack's undocumented limit, with a margin: the blocks as they are sent. */
export function lengthOf(blocks: readonly types.KnownBlock[]): number {
  return JSON.stringify(blocks).length;
}

/** What a person reads in Slack, as text: the same blocks, read from top to bottom. */
export function renderSlackText(card: Card, options: SlackRenderOptions = { nowMs: 0 }): string {
  return textOfBlocks(renderBlocks(card, options)).join('\n');
}

/**
 * What a phone shows in its notification. This text is markup for Slack, so everything in it is escaped.
 * Send it with `parse: 'none'`, so that nothing in it becomes a link.
 */
export function fallbackText(rawCard: Card, mentions: readonly string[] = []): string {
  const card = harmless(rawCard);
  const body = [`${signs[card.tone]} ${card.title}`, ...(card.text ?? []).slice(0, 1)].join(' – ');
  const escaped = shorten(body, slackLimits.fallbackLength).replace(/[&<>]/g, (mark) => entities[mark] ?? '');
  return [...validMentions(mentions).map(mentionMarkup), escaped].join(' ');
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** Ids of users and user groups; anything else would be markup from outside. */
function validMentions(mentions: readonly string[]): string[] {
  return [...new Set(mentions)].filter((id) => /^[UWS][A-Z0-9]{2,20}$/.test(id)).slice(0, 20);
}

function mentionMarkup(id: string): string {
  return id.startsWith('S') ? `<!subteam^${id}>` : `<@${id}>`;
}

/** Every text in the card, wherever it stands: control characters, marks of direction and line breaks are gone after this. */
function harmless(card: Card): Card {
  return JSON.parse(JSON.stringify(card), (_, value: unknown) => (typeof value === 'string' ? safeText(value) : value));
}

function draw(card: Card, view: View): types.KnownBlock[] {
  const { shape } = view;
  const paragraphs = (card.text ?? []).map((text) => words(shorten(text, shape.paragraphLength)));
  const blocks = [
    { type: 'header', text: plainText(shorten(`${signs[card.tone]} ${card.title}`, slackLimits.headerLength)) },
    ...richText([mentionElements(view.mentions ?? [])]),
    ...richText([...paragraphs, ...linkParagraph(card), ...progressParagraph(card), ...fieldParagraphs(card, view)]),
    ...(card.table === undefined ? [] : tableBlocks(card.table, shape)),
    ...(card.sections ?? []).flatMap((part) => sectionBlocks(part, view)),
    ...(card.copyLine === undefined ? [] : preformatted(`${view.commandPrefix}${card.copyLine}`)),
    ...buttonBlocks((card.buttons ?? []).slice(0, shape.buttonCount)),
    ...contextBlocks(card, shape),
  ] satisfies types.KnownBlock[];
  return blocks;
}

function mentionElements(mentions: readonly string[]): RichElement[] {
  return validMentions(mentions).flatMap((id): RichElement[] => [
    id.startsWith('S') ? { type: 'usergroup', usergroup_id: id } : { type: 'user', user_id: id },
    { type: 'text', text: ' ' },
  ]);
}

/** The one element that Slack makes clickable; its address is one of ours. */
function linkParagraph(card: Card): RichElement[][] {
  const url = addressOf(card);
  return url === undefined ? [] : [[{ type: 'link', url, text: url }]];
}

function progressParagraph({ progress }: Card): RichElement[][] {
  if (progress === undefined) return [];
  const filled = Math.round((16 * Math.min(100, Math.max(0, progress.percent))) / 100);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(16 - filled)}`;
  return [words(`${bar} ${progressWords(progress)} · ${progress.label}`)];
}

function fieldParagraphs({ fields = [], picture }: Card, view: View): RichElement[][] {
  const rows = fields.map(({ label, value }) => {
    const cut = shorten(value, view.shape.fieldLength);
    const shown = deadlineLabel.test(label) ? wordsWithLocalTimes(cut, view.nowMs) : words(cut);
    return [...bold(label), ...words('  '), ...shown];
  });
  if (picture === undefined) return rows;
  const place = view.isKept === true ? `${picture.altText}, in the thread` : picture.path;
  return [...rows, [...bold('Picture'), ...words(`  ${shorten(place, view.shape.fieldLength)}`)]];
}

function tableBlocks(table: Table, shape: Shape): types.KnownBlock[] {
  const rows = table.rows.slice(0, shape.rowCount);
  if (rows.length === 0) return [];
  // A first column without a name holds signs; as text they stay beside what they are about.
  const isGrid = shape.table === 'block' && table.columns.length <= 20 && table.columns[0] !== '';
  return isGrid ? [gridBlock(table.columns, rows)] : preformatted(alignedLines(table.columns, rows).join('\n'));
}

function gridBlock(columns: readonly string[], rows: readonly (readonly string[])[]): types.TableBlock {
  const cellsOf = (row: readonly string[]) =>
    columns.map((_, index) => ({ type: 'raw_text' as const, text: row[index] === '' ? '–' : (row[index] ?? '–') }));
  return {
    type: 'table',
    rows: [cellsOf(columns), ...rows.map(cellsOf)],
    column_settings: columns.map(() => ({ is_wrapped: true })),
  };
}

/** Columns under each other, as in a terminal. */
export function alignedLines(columns: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cut = rows.map((row) => columns.map((_, index) => shorten(row[index] ?? '', cellLengthMax)));
  const all = columns[0] === '' ? cut : [columns, ...cut];
  const widths = columns.map((_, index) => Math.max(...all.map((row) => displayWidth(row[index] ?? ''))));
  return all.map((row) =>
    row
      .map((cell, index) => padTo(cell, widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function sectionBlocks(part: NonNullable<Card['sections']>[number], view: View): types.KnownBlock[] {
  const rows = part.rows.slice(0, view.shape.sectionRowCount);
  if (rows.length === 0) return [];
  const isList = rows.every(([, meaning]) => meaning === '');
  const lines = rows.map(([term, meaning]) =>
    isList ? code(`${view.commandPrefix}${term}`) : [...code(term), ...words(meaning === '' ? '' : `  ${meaning}`)],
  );
  return richText([bold(part.title), ...lines]);
}

function buttonBlocks(buttons: readonly Button[]): types.KnownBlock[] {
  if (buttons.length === 0) return [];
  return [{ type: 'actions', elements: buttons.map(buttonElement) }];
}

/** The value is the line itself; the action's id says whether a form comes first. */
function buttonElement(button: Button, index: number): types.Button {
  const isAsking = button.style === 'danger' && button.opens === undefined;
  return {
    type: 'button',
    action_id: `${button.opens ?? 'run'}:${index}`,
    text: plainText(button.label),
    value: button.line,
    ...(button.style !== 'default' && { style: button.style }),
    ...(isAsking && { confirm: confirmation(button) }),
  };
}

function confirmation(button: Button): types.ConfirmationDialog {
  return {
    title: plainText(shorten(`${button.label}?`, 100)),
    text: plainText(shorten(`This runs: ${button.line}`, 300)),
    confirm: plainText('Yes, do it'),
    deny: plainText('No'),
    style: 'danger',
  };
}

function contextBlocks(card: Card, shape: Shape): types.KnownBlock[] {
  const cut = isCut(card, shape) ? 'Shortened to fit into Slack; `dr` with the same words shows all of it.' : undefined;
  const lines = [card.footer, cut].filter((line) => line !== undefined && line !== '');
  if (lines.length === 0) return [];
  const elements = lines.map((line) => plainText(shorten(line ?? '', Math.min(2000, shape.paragraphLength))));
  return [{ type: 'context', elements }];
}

function isCut(card: Card, shape: Shape): boolean {
  return (
    (card.table?.rows.length ?? 0) > shape.rowCount ||
    (card.text ?? []).some((text) => text.length > shape.paragraphLength) ||
    (card.fields ?? []).some((field) => field.value.length > shape.fieldLength) ||
    (card.sections ?? []).some((part) => part.rows.length > shape.sectionRowCount) ||
    (card.buttons ?? []).length > shape.buttonCount
  );
}

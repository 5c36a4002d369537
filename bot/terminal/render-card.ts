import {
  addressOf,
  type Card,
  cardLimits,
  type Field,
  type Progress,
  type Section,
  type Table,
  type Tone,
} from '../card.ts';
import { progressWords } from '../conversation/machine-words.ts';
import { authenticatorLink } from '../qr-code.ts';
import { qrLines } from './qr-lines.ts';
import { displayWidth, padTo, safeText, wrapText } from './safe-text.ts';

export type RenderOptions = {
  /** Columns of the terminal; 20 at least. */
  readonly widthColumns: number;
  readonly isColored: boolean;
  /** What stands before a command that is to be copied: `/dr ` in chat, `dr ` for the program, nothing at the prompt. */
  readonly commandPrefix: string;
  /** Where the engine's pictures can be opened, when not as files on this host. */
  readonly pictureBaseUrl?: string;
  /** True on a terminal that a person looks at: then a link for an authenticator app is drawn as a QR code, if there is room for it. */
  readonly isTerminal?: boolean;
};

type Paint = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
const codes: Readonly<Record<Paint, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };
const signs: Readonly<Record<Tone, string>> = { neutral: '●', working: '▸', good: '✔', warning: '▲', bad: '✖' };
const tonePaints: Readonly<Record<Tone, Paint>> = {
  neutral: 'cyan',
  working: 'cyan',
  good: 'green',
  warning: 'yellow',
  bad: 'red',
};
const widthMin = 20;

/**
 * Draws a card as text: no line is wider than the terminal, except a command to copy, which must stay in one piece.
 * Everything in the card is made harmless here, whoever wrote it.
 */
export function renderCard(rawCard: Card, options: RenderOptions): string {
  const card = harmless(rawCard);
  const width = Math.max(widthMin, options.widthColumns);
  const view = { ...options, width };
  const lines = [
    ...titleLines(card, view),
    ...(card.text ?? []).flatMap((paragraph) => paragraphLines(paragraph, view)),
    ...linkLines(card),
    ...(card.progress === undefined ? [] : progressLines(card.progress, view)),
    ...fieldLines(card.fields ?? [], view),
    ...pictureLines(card, view),
    ...(card.table === undefined ? [] : tableLines(card.table, view)),
    ...(card.sections ?? []).flatMap((section) => sectionLines(section, view)),
    ...copyLines(card, view),
    ...(card.footer === undefined ? [] : paragraphLines(card.footer, view).map((line) => paint(line, 'dim', view))),
  ];
  return lines.join('\n');
}

/** Every text in the card, wherever it stands and whoever adds a field later, goes through `safeText` here and nowhere else. */
function harmless(card: Card): Card {
  return JSON.parse(JSON.stringify(card), (_, value: unknown) => (typeof value === 'string' ? safeText(value) : value));
}

type View = RenderOptions & { readonly width: number };

/** One line that says what changed, for outputs that cannot redraw: logs, pipes, files. */
export function renderChange(rawCard: Card): string {
  const card = harmless(rawCard);
  const progress = card.progress;
  const words = progress === undefined ? '' : ` · ${progressWords(progress)} · ${progress.label}`;
  const title = card.title.replace(/ · running for .*$/, '');
  return `${signs[card.tone]} ${title}${words}`;
}

function titleLines(card: Card, view: View): string[] {
  const lines = wrapText(card.title, view.width - 2);
  return lines.map((line, index) => {
    const sign = index === 0 ? paint(signs[card.tone], tonePaints[card.tone], view) : ' ';
    return `${sign} ${paint(line, 'bold', view)}`;
  });
}

function paragraphLines(paragraph: string, view: View): string[] {
  const text = paragraph.slice(0, cardLimits.paragraphLength);
  return wrapText(text, view.width - 2).map((line) => `  ${paintCommands(line, view)}`);
}

/** Alone on its line and in one piece, however narrow the terminal is: terminals make that something to click on. */
function linkLines(card: Card): string[] {
  const address = addressOf(card);
  return address === undefined ? [] : [`  ${address}`];
}

function progressLines(progress: Progress, view: View): string[] {
  const cells = Math.max(8, Math.min(24, view.width - 16));
  const filled = Math.round((cells * Math.min(100, Math.max(0, progress.percent))) / 100);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(cells - filled)}`;
  const words = wrapText(`${progressWords(progress)} · ${progress.label}`, view.width - 2);
  const isOneLine = words.length === 1 && cells + 3 + displayWidth(words[0] ?? '') <= view.width;
  const painted = paint(bar, 'cyan', view);
  return isOneLine ? [`  ${painted} ${words[0]}`] : [`  ${painted}`, ...words.map((line) => `  ${line}`)];
}

/** The path stays in one piece, however narrow the terminal: it is there to be opened. */
function pictureLines({ picture, fields = [] }: Card, view: View): string[] {
  if (picture === undefined) return [];
  const base = view.pictureBaseUrl;
  const place = base === undefined ? picture.path : `${base}${picture.apiPath}`;
  const labelWidth = Math.max('Picture'.length, ...fields.map((field) => displayWidth(field.label)));
  const label = paint(padTo('Picture', labelWidth), 'dim', view);
  return displayWidth(place) + labelWidth + 4 <= view.width ? [`  ${label}  ${place}`] : [`  ${label}`, `  ${place}`];
}

function fieldLines(fields: readonly Field[], view: View): string[] {
  const labelWidth = Math.max(0, ...fields.map((field) => displayWidth(field.label)));
  return fields.flatMap((field) => {
    const isToScan = view.isTerminal === true && field.value.startsWith(authenticatorLink);
    const code = isToScan ? qrLines(field.value, view) : undefined;
    if (code !== undefined) return code;
    const label = padTo(field.label, labelWidth);
    const lines = wrapText(field.value, Math.max(10, view.width - labelWidth - 4));
    return lines.map((line, index) => {
      const left = index === 0 ? paint(label, 'dim', view) : ' '.repeat(labelWidth);
      return `  ${left}  ${paintCommands(line, view)}`;
    });
  });
}

function tableLines(table: Table, view: View): string[] {
  const { rows } = table;
  const widths = table.columns.map((column, index) =>
    Math.max(displayWidth(column), ...rows.map((row) => displayWidth(row[index] ?? ''))),
  );
  const natural = widths.reduce((sum, cell) => sum + cell + 2, 0);
  return natural <= view.width
    ? gridLines(table.columns, rows, { widths, view })
    : stackedLines(table.columns, rows, view);
}

function gridLines(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  layout: { widths: readonly number[]; view: View },
): string[] {
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, index) => padTo(cell, layout.widths[index] ?? 0)).join('  ')}`.trimEnd();
  // A first column without a name means signs: then the others need no heading either.
  const head = columns[0] !== '' ? [paint(line(columns), 'dim', layout.view)] : [];
  return [...head, ...rows.map(line)];
}

/** A table that is too wide becomes one entry per row: the first cells lead, the others follow with their column's name. */
function stackedLines(columns: readonly string[], rows: readonly (readonly string[])[], view: View): string[] {
  const leadCount = columns[0] === '' ? 2 : 1;
  return rows.flatMap((row) => {
    const lead = row.slice(0, leadCount).join(' ');
    const rest = row.slice(leadCount).map((cell, index) => labelled(columns[index + leadCount] ?? '', cell));
    const lines = joinSegments([lead, ...rest.filter((cell) => cell !== '')], view.width - 4);
    return lines.map((line, index) => (index === 0 ? `  ${emphasize(line, lead, view)}` : `    ${line}`));
  });
}

/** Puts as many segments on a line as fit, so that a line ends between two of them when it can. */
function joinSegments(segments: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const segment of segments) {
    const last = lines.at(-1);
    const joined = last === undefined ? segment : `${last} · ${segment}`;
    if (last !== undefined && displayWidth(joined) <= width) lines[lines.length - 1] = joined;
    else lines.push(...wrapText(segment, width));
  }
  return lines;
}

function labelled(column: string, cell: string): string {
  if (cell === '' || cell === '–') return '';
  return ['State', 'Took', 'Kind', 'What', 'Outcome', 'Id', 'Run', 'Reason'].includes(column)
    ? cell
    : `${column.toLowerCase()} ${cell}`;
}

function emphasize(line: string, lead: string, view: View): string {
  return line.startsWith(lead) ? `${paint(lead, 'bold', view)}${line.slice(lead.length)}` : line;
}

function sectionLines(section: Section, view: View): string[] {
  const { rows } = section;
  const title = wrapText(section.title, view.width - 2).map((line) => `  ${paint(line, 'bold', view)}`);
  const isList = rows.every(([, meaning]) => meaning === '');
  if (isList) return [...title, ...rows.map(([term]) => `    ${paint(`${view.commandPrefix}${term}`, 'cyan', view)}`)];
  const termWidth = Math.max(0, ...rows.map(([term]) => displayWidth(term)));
  const isGrid = termWidth + 26 <= view.width;
  return [...title, ...rows.flatMap((row) => (isGrid ? gridRow(row, termWidth, view) : stackedRow(row, view)))];
}

function gridRow([term, meaning]: readonly [string, string], termWidth: number, view: View): string[] {
  const lines = wrapText(meaning, view.width - termWidth - 6);
  return lines.map((line, index) => {
    const left = index === 0 ? paint(padTo(term, termWidth), 'cyan', view) : ' '.repeat(termWidth);
    return `    ${left}  ${paintCommands(line, view)}`.trimEnd();
  });
}

function stackedRow([term, meaning]: readonly [string, string], view: View): string[] {
  const terms = wrapText(term, view.width - 4).map((line) => `    ${paint(line, 'cyan', view)}`);
  const meanings = meaning === '' ? [] : wrapText(meaning, view.width - 6);
  return [...terms, ...meanings.map((line) => `      ${paintCommands(line, view)}`)];
}

/** The line to copy, and the other buttons as lines: a terminal has no buttons to press. */
function copyLines(card: Card, view: View): string[] {
  const buttonLines = (card.buttons ?? []).map((button) => button.line);
  const lines = [...new Set([...(card.copyLine === undefined ? [] : [card.copyLine]), ...buttonLines])];
  return lines.map((line) => `  → ${paint(`${view.commandPrefix}${line}`, 'cyan', view)}`);
}

function paintCommands(line: string, view: View): string {
  return view.isColored ? line.replace(/`([^`]+)`/g, (_, words: string) => paint(words, 'cyan', view)) : line;
}

function paint(text: string, color: Paint, view: { readonly isColored: boolean }): string {
  return view.isColored && text !== '' ? `\u001b[${codes[color]}m${text}\u001b[0m` : text;
}

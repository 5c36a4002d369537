import {
  addressOf,
  type Button,
  type Card,
  cardLimits,
  type Progress,
  type Section,
  shorten,
  type Table,
  type Tone,
} from '../card.ts';
import { progressWords } from '../conversation/machine-words.ts';
import { type AdaptiveCard, adaptiveCardType, type ButtonData, type OutboundActivity } from './activity.ts';
import {
  container,
  type Element,
  harmless,
  harmlessWords,
  line,
  lineOf,
  plainRun,
  type Run,
  runsOf,
} from './card-elements.ts';
import { tableElements } from './render-table.ts';
import { teamsLimits } from './settings.ts';

export type CardView = {
  /** What stands before a command that is to be copied: `@DR ` in a channel, nothing in a private chat. */
  readonly commandPrefix: string;
  /**
   * People who may decide, as Teams' own user ids (`29:…`): they see Approve and Reject as soon as they look; everybody else sees the
   * state and a button that asks for their own view. Left out: the card is for one person, who sees all its buttons.
   */
  readonly viewers?: readonly string[];
  /** One of the viewers' own view of a card that others see as well. */
  readonly isOwnView?: boolean;
  /** People whose phones should ring. */
  readonly mentions?: readonly Mention[];
};
export type Mention = { readonly id: string; readonly name: string };

/** What fits into the column of labels without being cut. */
const labelWordLengthMax = 10;
const signs: Readonly<Record<Tone, string>> = { neutral: '●', working: '▸', good: '✔', warning: '▲', bad: '✖' };
const titleStyles: Readonly<Record<Tone, string>> = {
  neutral: 'emphasis',
  working: 'accent',
  good: 'good',
  warning: 'warning',
  bad: 'attention',
};

/**
 * Draws a card as an Adaptive Card 1.5 that Teams takes: no element is empty, nothing in it is markdown, and it is never larger than
 * `teamsLimits.cardBytes`; what does not fit is left out from the end of its lists, and the card says so.
 */
export function renderCard(card: Card, view: CardView): AdaptiveCard {
  for (const share of [1, 0.7, 0.45, 0.25, 0.1]) {
    const drawn = draw(share === 1 ? card : cutTo(card, share), view);
    if (Buffer.byteLength(JSON.stringify(drawn)) <= teamsLimits.cardBytes) return drawn;
  }
  return draw({ title: shorten(card.title, 60), tone: card.tone, audience: card.audience, text: [cutWords] }, view);
}

/** The message that carries a card. */
export function cardActivity(content: AdaptiveCard, summary: string, isNotifying: boolean): OutboundActivity {
  return {
    type: 'message',
    attachments: [{ contentType: adaptiveCardType, content }],
    summary: shorten(harmlessWords(summary), 200),
    ...(isNotifying && { channelData: { notification: { alert: true } } }),
  };
}

function draw(card: Card, view: CardView): AdaptiveCard {
  const { text = [], fields = [], sections = [], table, progress, copyLine, footer, picture } = card;
  const actions = [...openActions(card), ...actionsOf(card, view)];
  const refresh = refreshOf(card, view);
  const body: Element[] = [
    ...titleElements(card),
    ...mentionElements(view.mentions ?? []),
    ...text.flatMap((paragraph) => line(paragraph.slice(0, cardLimits.paragraphLength))),
    ...(progress === undefined ? [] : progressElements(progress)),
    ...fields.flatMap(({ label, value }, index) => fieldElement(label, value, index)),
    ...(table === undefined ? [] : tableElements(table)),
    ...sections.flatMap((section) => sectionElements(section, view.commandPrefix)),
    ...(picture === undefined ? [] : line(`Picture: ${picture.altText}`, { isSubtle: true })),
    ...(copyLine === undefined ? [] : copyElements(`${view.commandPrefix}${copyLine}`)),
    ...(footer === undefined ? [] : line(footer, { isSubtle: true, size: 'small' })),
  ];
  const entities = (view.mentions ?? []).map(mentionEntity);
  return {
    type: 'AdaptiveCard',
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    version: '1.5',
    fallbackText: harmlessWords(shorten(card.title, cardLimits.titleLength)),
    body,
    ...(actions.length > 0 && { actions }),
    ...(refresh !== undefined && { refresh }),
    msteams: { width: 'Full', ...(entities.length > 0 && { entities }) },
  };
}

function titleElements(card: Card): Element[] {
  const style = { weight: 'bolder', size: 'medium' } as const;
  const title = card.title.trim() === '' ? 'Lifeboat' : card.title;
  const runs: Run[] = [plainRun(`${signs[card.tone]} `, style), ...runsOf(title, style)];
  return container(lineOf(runs), { style: titleStyles[card.tone], bleed: true });
}

/** The only text block of a card: Teams makes mentions of nothing else. Its names are ours, not the card's. */
function mentionElements(mentions: readonly Mention[]): Element[] {
  if (mentions.length === 0) return [];
  return [{ type: 'TextBlock', text: mentions.map((person) => mentionTag(person)).join(' '), wrap: true }];
}

function mentionEntity(person: Mention) {
  return { type: 'mention', text: mentionTag(person), mentioned: { id: person.id, name: mentionName(person) } };
}

function mentionTag(person: Mention): string {
  return `<at>${mentionName(person)}</at>`;
}

/** Letters, digits and what stands between names: nothing that a text block could read as markdown, a tag or an address. */
function mentionName({ name }: Mention): string {
  const safe = name.replace(/[^\p{L}\p{M}\p{N} .,'’-]|\.(?=\S)/gu, '').trim();
  return safe === '' ? 'on call' : shorten(safe, 60);
}

function progressElements(progress: Progress): Element[] {
  const percent = Math.min(100, Math.max(0, progress.percent));
  const filled = Math.round((20 * percent) / 100);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(20 - filled)}`;
  const words = [progressWords(progress), progress.label].filter((part) => part !== '').join(' · ');
  return [
    ...lineOf([plainRun(bar, { fontType: 'monospace', color: 'accent' })]),
    ...line(words, {}, { spacing: 'small' }),
  ];
}

/** Label beside value; the label's column is narrow enough for a phone. */
function fieldElement(label: string, value: string, index: number): Element[] {
  const left = line(label, { isSubtle: true });
  const right = line(value.slice(0, cardLimits.fieldLength));
  const isNarrow = label.split(/\s+/).every((word) => word.length <= labelWordLengthMax);
  if (left.length === 0 || right.length === 0 || !isNarrow) return [...left, ...right];
  const columns = [
    { type: 'Column', width: '88px', items: left },
    { type: 'Column', width: 'stretch', items: right },
  ];
  return [{ type: 'ColumnSet', columns, ...(index > 0 && { spacing: 'small' }) }];
}

function sectionElements(section: Section, commandPrefix: string): Element[] {
  const isList = section.rows.every(([, meaning]) => meaning === '');
  const rows = section.rows.flatMap(([term, meaning]) => {
    if (isList) return lineOf([plainRun(`${commandPrefix}${term}`, { fontType: 'monospace' })], { spacing: 'small' });
    const runs = meaning === '' ? [] : [plainRun(' — '), ...runsOf(meaning)];
    return lineOf([plainRun(term, { fontType: 'monospace' }), ...runs], { spacing: 'small' });
  });
  return [...line(section.title, { weight: 'bolder' }), ...rows];
}

function copyElements(command: string): Element[] {
  return container(lineOf([plainRun(command, { fontType: 'monospace' })]), { style: 'emphasis' });
}

/** Opens a page of this installation in the browser. */
function openActions(card: Card): Element[] {
  const url = addressOf(card);
  if (url === undefined || card.link === undefined) return [];
  return [{ type: 'Action.OpenUrl', title: shorten(harmless(card.link.label), cardLimits.buttonLabelLength), url }];
}

/** Everybody sees the same shared card: what only some may press is behind a button that asks for one's own view of it. */
function actionsOf(card: Card, view: CardView): Element[] {
  const buttons = (card.buttons ?? []).slice(0, cardLimits.buttonCount);
  const isShared = view.viewers !== undefined && view.isOwnView !== true;
  const about = isShared ? approvalIn(buttons) : undefined;
  if (about === undefined) return buttons.map(actionOf);
  const line = `show ${about}`;
  const rest = buttons.filter((button) => !isDecision(button) && button.line !== line);
  return [execute({ label: 'Details and decision', style: 'primary' }, { kind: 'view', line }), ...rest.map(actionOf)];
}

function refreshOf(card: Card, view: CardView): Readonly<Record<string, unknown>> | undefined {
  const about = approvalIn(card.buttons ?? []);
  const userIds = (view.viewers ?? []).filter((id) => id.startsWith('29:')).slice(0, teamsLimits.refreshUserCount);
  if (about === undefined || userIds.length === 0) return undefined;
  const data: ButtonData = { kind: 'view', line: `show ${about}` };
  return { action: { type: 'Action.Execute', verb: 'view', title: 'Refresh', data: { lifeboat: data } }, userIds };
}

function isDecision(button: Button): boolean {
  return button.opens === 'approve' || button.opens === 'reject';
}

/** What the card asks somebody to decide. */
function approvalIn(buttons: readonly Button[]): string | undefined {
  const [id] = buttons.filter(isDecision).flatMap((button) => /\bapr_[0-9A-Z]+\b/.exec(button.line) ?? []);
  return id;
}

function actionOf(button: Button): Element {
  if (button.opens === undefined) return execute(button, { kind: 'line', line: button.line });
  const data: ButtonData = { kind: 'form', form: button.opens, line: button.line };
  return submit(button, { msteams: { type: 'task/fetch' }, lifeboat: data });
}

type Face = Pick<Button, 'label' | 'style'>;

/** Clients that do not know Action.Execute send the same data as a message. */
function execute(button: Face, data: ButtonData): Element {
  return {
    type: 'Action.Execute',
    title: titleOf(button),
    verb: data.kind,
    data: { lifeboat: data },
    ...styleOf(button),
    fallback: submit(button, { lifeboat: data }),
  };
}

function submit(button: Face, data: Readonly<Record<string, unknown>>): Element {
  return { type: 'Action.Submit', title: titleOf(button), data, ...styleOf(button) };
}

function titleOf(button: Face): string {
  return shorten(harmless(button.label), cardLimits.buttonLabelLength);
}

function styleOf(button: Face) {
  if (button.style === 'default') return {};
  return { style: button.style === 'primary' ? 'positive' : 'destructive' };
}

const cutWords = 'The rest is too long for Teams; `dr` in a terminal shows all of it.';

/** The card with a share of its lists and texts, and a line that says so. */
function cutTo(card: Card, share: number): Card {
  const count = (length: number) => Math.max(1, Math.floor(length * share));
  const { table, sections, text = [], fields } = card;
  const cutText = (value: string) => shorten(value, Math.max(80, Math.floor(cardLimits.paragraphLength * share)));
  return {
    ...card,
    text: [...text.slice(0, count(text.length)).map(cutText), cutWords],
    ...(fields !== undefined && {
      fields: fields.map(({ label, value }) => ({ label: shorten(label, 40), value: cutText(value) })),
    }),
    ...(table !== undefined && { table: cutTable(table, share, count) }),
    ...(sections !== undefined && { sections: sections.map((section) => cutSection(section, count, cutText)) }),
    ...(card.footer !== undefined && { footer: cutText(card.footer) }),
  };
}

function cutTable(table: Table, share: number, count: (length: number) => number): Table {
  const cell = (value: string) => shorten(value, Math.max(20, Math.floor(300 * share)));
  return {
    columns: table.columns.slice(0, 8),
    rows: table.rows.slice(0, count(table.rows.length)).map((row) => row.slice(0, 8).map(cell)),
  };
}

function cutSection(section: Section, count: (length: number) => number, cutText: (value: string) => string): Section {
  const rows = section.rows.slice(0, count(section.rows.length));
  return {
    title: shorten(section.title, 150),
    rows: rows.map(([term, meaning]) => [shorten(term, 150), cutText(meaning)] as const),
  };
}

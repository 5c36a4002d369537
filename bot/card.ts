import type { FormKind } from './form.ts';

/**
 * What is shown to a person, apart from any platform: Slack, Teams, the terminal and the web page draw the same card.
 *
 * Texts are plain; `back-ticks` mark words to type. They may hold anything that people, guests or hosts wrote:
 * each renderer makes them harmless for its platform. Source: CHAT 2.1, 3.2, 5.4
 */
export type Card = {
  readonly title: string;
  readonly tone: Tone;
  /** `asker`: only who asked sees it (help, errors, reads). `channel`: everybody in the place does. */
  readonly audience: 'asker' | 'channel';
  /** Paragraphs, most important first. */
  readonly text?: readonly string[];
  readonly progress?: Progress;
  readonly fields?: readonly Field[];
  readonly table?: Table;
  readonly sections?: readonly Section[];
  readonly picture?: Picture;
  /** A page of this installation, to be opened. Renderers draw nothing but `https:` addresses, whole. */
  readonly link?: Link;
  /** A command to copy, without `/dr`; the renderer puts what its platform needs before it. */
  readonly copyLine?: string;
  readonly buttons?: readonly Button[];
  readonly footer?: string;
};

export type Tone = 'neutral' | 'working' | 'good' | 'warning' | 'bad';
export type Field = { readonly label: string; readonly value: string };
export type Progress = {
  /** Whole per cent, 0 to 100. */
  readonly percent: number;
  readonly label: string;
  readonly bytesPerSecond?: number;
  readonly leftMs?: number;
};
export type Table = { readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] };
export type Section = { readonly title: string; readonly rows: readonly (readonly [term: string, meaning: string])[] };
export type Picture = {
  /** Path of a file on the engine's host. */
  readonly path: string;
  /** Path of the picture in the control API. */
  readonly apiPath: string;
  readonly altText: string;
};
export type Link = { readonly label: string; readonly url: string };
export type Button = {
  readonly label: string;
  /** The command that a click runs, as if typed by who clicked. */
  readonly line: string;
  readonly style: 'default' | 'primary' | 'danger';
  /** Set when a dialog must ask for more before the line is complete; `line` is then where the form begins. */
  readonly opens?: FormKind;
};

/**
 * The narrowest limits of the platforms; every card stays inside them, so that a renderer never has to cut.
 *
 * Slack: header 150, 10 fields of 2000, table 100 x 20, button text 75 and value 2000, about 12,000 characters in all.
 * Teams: 25 KB a card. Source: CHAT 2.1, 3.2
 */
export const cardLimits = {
  titleLength: 150,
  fieldCount: 10,
  fieldLength: 2000,
  tableRowCount: 50,
  tableColumnCount: 20,
  paragraphLength: 3000,
  buttonCount: 5,
  buttonLabelLength: 75,
  buttonLineLength: 2000,
  addressLength: 2000,
  totalLength: 12_000,
} as const;

/** The link's address when a renderer may draw it: of a web page, and in one piece. */
export function addressOf({ link }: Card): string | undefined {
  return link !== undefined && /^https:\/\/[\x21-\x7e]+$/.test(link.url) ? link.url : undefined;
}

/** Every limit that the card breaks, in words; empty for a card that all platforms take. */
export function brokenLimits(card: Card): string[] {
  const { fields = [], table, text = [], buttons = [] } = card;
  const checks: readonly (readonly [boolean, string])[] = [
    [card.title.length > 0 && card.title.length <= cardLimits.titleLength, 'title'],
    [fields.length <= cardLimits.fieldCount, 'number of fields'],
    [fields.every((field) => field.value.length <= cardLimits.fieldLength), 'length of a field'],
    [(table?.rows.length ?? 0) <= cardLimits.tableRowCount, 'rows of the table'],
    [(table?.columns.length ?? 0) <= cardLimits.tableColumnCount, 'columns of the table'],
    [text.every((paragraph) => paragraph.length <= cardLimits.paragraphLength), 'length of a paragraph'],
    [(card.link?.url.length ?? 0) <= cardLimits.addressLength, 'length of the link'],
    [buttons.length <= cardLimits.buttonCount, 'number of buttons'],
    [buttons.every((button) => button.label.length <= cardLimits.buttonLabelLength), 'length of a button'],
    [buttons.every((button) => button.line.length <= cardLimits.buttonLineLength), 'line of a button'],
    [JSON.stringify(card).length <= cardLimits.totalLength, 'size of the card'],
  ];
  return checks.filter(([isKept]) => !isKept).map(([, name]) => name);
}

/** Cuts a text from outside to a length that fits, and shows that it was cut. */
export function shorten(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax - 1)}…`;
}

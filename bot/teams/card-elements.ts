import { safeText } from '../terminal/safe-text.ts';

/**
 * The few elements of Adaptive Cards 1.5 that we draw with.
 *
 * Texts are `TextRun`s only: unlike `TextBlock`s and facts they know no markdown on any client, so that a name or a reason can never
 * become a link, a mention or bold type. Sizes and colours are names, not values: the client chooses them for light and dark.
 * Source: CHAT 3.2
 */
export type Element = Readonly<Record<string, unknown>> & { readonly type: string };
export type Run = {
  readonly type: 'TextRun';
  readonly text: string;
  readonly weight?: 'bolder';
  readonly size?: 'small' | 'medium';
  readonly isSubtle?: true;
  readonly color?: 'good' | 'warning' | 'attention' | 'accent';
  readonly fontType?: 'monospace';
};
export type RunStyle = Omit<Run, 'type' | 'text'>;

/**
 * A text from outside, as one that only says what it says: what hides or reorders text is shown as `�`, the same as in a terminal, and
 * `{{DATE(…)}}`, which clients fill in, stays as it was written.
 */
export function harmless(text: string): string {
  return safeText(text).replaceAll('{{', '{\u2060{');
}

/** The same for the few places where a client may read markdown or HTML: the words of a notification, a pop-up, a dialog's title. */
export function harmlessWords(text: string): string {
  return harmless(text)
    .replaceAll('<', '‹')
    .replaceAll('>', '›')
    .replaceAll('](', '] (')
    .replace(/[*_~`]/g, '');
}

/** A line of runs; `words` between back-ticks are set apart, because they are there to be typed. Undefined when there is nothing to say. */
export function line(text: string, style: RunStyle = {}, more: Readonly<Record<string, unknown>> = {}): Element[] {
  return lineOf(runsOf(text, style), more);
}

export function lineOf(runs: readonly Run[], more: Readonly<Record<string, unknown>> = {}): Element[] {
  const inlines = runs.filter((run) => run.text !== '');
  return inlines.every((run) => run.text.trim() === '') ? [] : [{ type: 'RichTextBlock', inlines, ...more }];
}

/** Splits a text at its back-ticks. */
export function runsOf(text: string, style: RunStyle = {}): Run[] {
  const safe = harmless(text);
  return safe.split(/(`[^`]+`)/).flatMap((piece): Run[] => {
    if (piece === '') return [];
    const isCode = piece.length > 2 && piece.startsWith('`') && piece.endsWith('`');
    if (isCode) return [{ type: 'TextRun', text: piece.slice(1, -1), ...style, fontType: 'monospace' }];
    return [{ type: 'TextRun', text: piece, ...style }];
  });
}

export function plainRun(text: string, style: RunStyle = {}): Run {
  return { type: 'TextRun', text: harmless(text), ...style };
}

export function container(items: readonly Element[], more: Readonly<Record<string, unknown>> = {}): Element[] {
  return items.length === 0 ? [] : [{ type: 'Container', items, ...more }];
}

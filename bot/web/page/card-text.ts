import { html, type TemplateResult } from 'lit-html';
import { safeText } from '../../terminal/safe-text.ts';

/** A text from anybody as a text: words between back-ticks as code, and nothing that hides, reorders or forges. */
export function textOf(raw: string): TemplateResult[] {
  const parts = safeText(raw).split(/(`[^`]+`)/);
  return parts
    .filter((part) => part !== '')
    .map((part) => (/^`[^`]+`$/.test(part) ? codeOf(part.slice(1, -1)) : html`${unbroken(part)}`));
}

/** Words to type. */
export function codeOf(raw: string): TemplateResult {
  return html`<code>${unbroken(safeText(raw))}</code>`;
}

// Browsers break lines at dashes, and between a number and its unit: `vm-7`, `--dry-run` and `9 s` stay in one piece.
// Nothing longer, so that nothing is wider than a phone.
const pieces = /((?<!\S)\S{0,20}-\S{1,20}(?!\S)|\d+ (?:ms|s|min|h|d|%|[KMGT]?i?B(?:\/s)?)(?![A-Za-z0-9]))/;

function unbroken(text: string): (TemplateResult | string)[] {
  return wordsOf(text, pieces);
}

const numbers = /(\d+ (?:ms|s|min|h|d|%|[KMGT]?i?B(?:\/s)?)(?![A-Za-z0-9]))/;

/** A harmless text whose lines break anywhere but between a number and its unit. */
export function numbersWhole(text: string): (TemplateResult | string)[] {
  return wordsOf(text, numbers);
}

function wordsOf(text: string, kept: RegExp): (TemplateResult | string)[] {
  return text.split(kept).map((part, index) => (index % 2 === 1 ? html`<span class="word">${part}</span>` : part));
}

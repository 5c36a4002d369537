import { html, nothing, type TemplateResult } from 'lit-html';
import { addressOf, type Button, type Card, type Progress, type Section, type Table, type Tone } from '../../card.ts';
import { progressWords } from '../../conversation/machine-words.ts';
import { authenticatorLink } from '../../qr-code.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { codeOf, textOf } from './card-text.ts';
import { copyLine, press, writeInChat } from './deeds.ts';
import type { Page } from './page.ts';
import { qrView } from './qr-view.ts';
import type { Place } from './talk.ts';

export type CardOptions = {
  /** Instead of carrying out the button's line. */
  readonly onButton?: (button: Button, event: Event) => void;
  /** Where the answers of its buttons are shown; the chat if left out. */
  readonly place?: Place;
  /** False where the lines of the card stand in something that has buttons of its own. */
  readonly hasActions?: boolean;
  /** True where a click's own line would not be seen in the chat. */
  readonly showsLines?: boolean;
  /** Of the title; 3 if left out. */
  readonly headingLevel?: 2 | 3 | 4;
};

const signs: Readonly<Record<Tone, string>> = { neutral: '●', working: '▸', good: '✔', warning: '▲', bad: '✖' };
const toneWords: Readonly<Record<Tone, string>> = {
  neutral: 'Info',
  working: 'Running',
  good: 'OK',
  warning: 'Attention',
  bad: 'Problem',
};

/** Draws a card of the conversation: the same words as in the terminal, Slack and Teams. All text stays text, whoever wrote it. */
export function cardView(page: Page, card: Card, options: CardOptions = {}): TemplateResult {
  const hasActions = options.hasActions !== false;
  return html`<article class="talk-card talk-card-${card.tone}">
    <header class="card-head">
      <span class="card-tone"><span aria-hidden="true">${signs[card.tone]}</span> ${toneWords[card.tone]}</span>
      ${heading(card.title, options.headingLevel ?? 3)}
    </header>
    ${(card.text ?? []).map((paragraph) => html`<p>${textOf(paragraph)}</p>`)}
    ${linkView(card)} ${card.progress === undefined ? nothing : progressView(card.progress)} ${fieldsView(card)}
    ${card.picture === undefined ? nothing : pictureView(page, card.picture)}
    ${card.table === undefined ? nothing : tableView(card.table, card.title)} ${(card.sections ?? []).map(sectionView)}
    ${card.copyLine === undefined || !hasActions ? nothing : copyView(page, card.copyLine, { canUse: true })}
    ${hasActions ? buttonsView(page, card.buttons ?? [], options) : nothing}
    ${card.footer === undefined ? nothing : html`<footer class="card-footer">${textOf(card.footer)}</footer>`}
  </article>`;
}

function heading(title: string, level: 2 | 3 | 4): TemplateResult {
  const text = textOf(title);
  if (level === 2) return html`<h2 class="card-title">${text}</h2>`;
  return level === 3 ? html`<h3 class="card-title">${text}</h3>` : html`<h4 class="card-title">${text}</h4>`;
}

function linkView(card: Card): TemplateResult | typeof nothing {
  const address = addressOf(card);
  if (address === undefined) return nothing;
  return html`<p><a href=${address} target="_blank" rel="noopener noreferrer">${address}</a></p>`;
}

function progressView(progress: Progress): TemplateResult {
  const percent = Math.min(100, Math.max(0, progress.percent));
  const words = progressWords(progress);
  return html`<div class="card-progress">
    <progress max="100" .value=${percent} aria-label=${safeText(progress.label)} aria-valuetext=${words}></progress>
    <p class="card-progress-words">${words} · ${textOf(progress.label)}</p>
  </div>`;
}

function fieldsView({ fields = [] }: Card): TemplateResult | typeof nothing {
  if (fields.length === 0) return nothing;
  return html`<dl class="card-fields">
    ${fields.map(({ label, value }) => html`<div><dt>${safeText(label)}</dt><dd>${valueView(value)}</dd></div>`)}
  </dl>`;
}

/** Another telephone scans it; on the same one a touch opens the authenticator app. */
function valueView(value: string): unknown {
  if (!value.startsWith(authenticatorLink)) return textOf(value);
  return html`${qrView(value, 'QR code of the link below, for your authenticator app')} <a href=${value}>${safeText(value)}</a>`;
}

/** Where there is no room for the columns, each row becomes a list of them: the page never scrolls sideways, nor does the table. */
function tableView({ columns, rows }: Table, title: string): TemplateResult {
  // A first column without a name holds signs or numbers; then the others need no visible heading either, as in the terminal.
  const isPlain = columns[0] === '';
  const name = (column: string, index: number) => (column !== '' ? column : index === 0 ? 'State' : 'More');
  // The roles are said once more, for what is drawn as a list is no table to some readers.
  return html`<div class="card-table">
    <table class=${isPlain ? 'is-plain' : columns.length > 3 ? 'is-wide' : ''} role="table" aria-label=${safeText(title)}>
      <thead class=${isPlain ? 'visually-hidden' : ''} role="rowgroup">
        <tr role="row">${columns.map((column, index) => html`<th scope="col" role="columnheader">${safeText(name(column, index))}</th>`)}</tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map(
          (row) =>
            html`<tr role="row">${columns.map((column, index) => html`<td role="cell" data-column=${safeText(column)}><span>${textOf(row[index] ?? '')}</span></td>`)}</tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Terms with their meanings, or, without any meaning, lines to type. */
function sectionView({ title, rows }: Section): TemplateResult {
  const isList = rows.every(([, meaning]) => meaning === '');
  return html`<section class="card-section">
    <p class="card-section-title">${textOf(title)}</p>
    ${
      isList
        ? html`<ul>${rows.map(([term]) => html`<li>${codeOf(`/dr ${term}`)}</li>`)}</ul>`
        : html`<dl>${rows.map(
            ([term, meaning]) =>
              html`<div><dt>${/^[-<a-z]/.test(term) ? codeOf(term) : safeText(term)}</dt><dd>${textOf(meaning)}</dd></div>`,
          )}</dl>`
    }
  </section>`;
}

/** The run whose console picture this is; pictures of anything else are not served to the page. */
function runOfPicture(apiPath: string): string | undefined {
  return /\/(?:runs|pictures)\/([A-Za-z0-9_-]+)(?:\/console\.png)?$/.exec(apiPath)?.[1];
}

function pictureView(page: Page, picture: NonNullable<Card['picture']>): TemplateResult {
  const altText = safeText(picture.altText);
  const runId = runOfPicture(picture.apiPath);
  if (runId === undefined) return html`<p class="card-picture-words">${altText}</p>`;
  const url = page.api.pictureUrl(runId);
  const enlarge = () => page.dispatch({ kind: 'talk-picture', picture: { url, altText } });
  return html`<figure class="card-picture">
    <button type="button" class="picture-button" @click=${enlarge}>
      <img src=${url} alt=${altText} width="720" height="400" loading="lazy" />
      <span class="visually-hidden">Show larger</span>
    </button>
    <figcaption>${altText}</figcaption>
  </figure>`;
}

/** A line to copy, with a button that says that it did. `canUse`: also one that puts it into the chat, to be changed and sent. */
export function copyView(page: Page, line: string, { canUse = false } = {}): TemplateResult {
  const text = `/dr ${safeText(line)}`;
  const isCopied = page.state.talk.copied === text;
  return html`<div class="copy-line">
    ${codeOf(text)}
    <button type="button" class="button button-small" aria-label=${`Copy ${text}`} @click=${() => void copyLine(page, text)}>
      ${isCopied ? 'Copied' : 'Copy'}
    </button>
    ${
      canUse
        ? html`<button type="button" class="button button-small" aria-label=${`Use ${text}`} @click=${() => writeInChat(page, line)}>Use</button>`
        : nothing
    }
  </div>`;
}

function buttonsView(page: Page, buttons: readonly Button[], options: CardOptions): TemplateResult | typeof nothing {
  if (buttons.length === 0) return nothing;
  const place = options.place ?? { kind: 'chat' };
  const onButton = options.onButton ?? ((button: Button, event: Event) => press(page, button, { event, place }));
  return html`<div class="card-buttons">
    ${buttons.map((button) => {
      const isBusy = page.state.talk.busy.some(({ line }) => line === button.line);
      return html`<button
        type="button"
        class="button button-${button.style}"
        title=${`/dr ${safeText(button.line)}`}
        aria-busy=${isBusy ? 'true' : 'false'}
        @click=${(event: Event) => onButton(button, event)}
      >${safeText(button.label)}</button>`;
    })}
  </div>
  ${options.showsLines === true ? linesView(buttons) : nothing}`;
}

/** What each button types, for who cannot point at it. Looking at details is no deed. */
function linesView(buttons: readonly Button[]): TemplateResult {
  const lines = buttons.map(({ line }) => line).filter((line) => !line.startsWith('show '));
  return html`<p class="card-lines">${lines.map((line) => html`${codeOf(`/dr ${line}`)} `)}</p>`;
}

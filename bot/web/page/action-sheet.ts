import { html, nothing, type TemplateResult } from 'lit-html';
import { keyed } from 'lit-html/directives/keyed.js';
import { ref } from 'lit-html/directives/ref.js';
import type { Card } from '../../card.ts';
import {
  actionTitle,
  completedLine,
  effectOf,
  isLineRefused,
  type MissingPiece,
  missingPieces,
  readAction,
  runLabel,
} from './action-lines.ts';
import { answerView } from './answer-view.ts';
import { textOf } from './card-text.ts';
import { type CardOptions, cardView } from './card-view.ts';
import { isRepeat, openSheet, pressInDialog, say } from './deeds.ts';
import { comeIntoView, dialogHead, submitOnEnter, takeFocus, typedView } from './dialog-parts.ts';
import { modal } from './modal.ts';
import type { Page } from './page.ts';
import type { Answer, Sheet } from './talk.ts';

/**
 * Opens the dialog of an action: what you would type, what it would do, and then the doing.
 *
 * @param line of the grammar, e.g. `failover vm-7 --test`; what it lacks is asked for
 */
export function openAction(page: Page, line: string): void {
  openSheet(page, line);
}

/** The dialog itself; stands once in the page, closed while no action is open. */
export function actionSheet(page: Page): TemplateResult {
  const { sheet } = page.state.talk;
  const close = () => page.dispatch({ kind: 'talk-sheet-closed' });
  return html`<dialog class="dialog dialog-wide" aria-labelledby="sheet-title" ${modal(sheet !== undefined)} @close=${() => page.state.talk.sheet !== undefined && close()}>
    ${sheet === undefined ? nothing : keyed(sheet.number, sheetView(page, sheet, close))}
  </dialog>`;
}

function sheetView(page: Page, sheet: Sheet, close: () => void): TemplateResult {
  const line = completedLine(sheet.line, sheet.answers);
  const isAsking = sheet.run.kind === 'none' || sheet.run.kind === 'asked';
  return html`${dialogHead({ id: 'sheet-title', title: actionTitle(sheet.line), close })}
    ${isAsking ? askingView(page, { sheet, line, close }) : doneView(page, { sheet, line, close })}`;
}

function answersIn(form: HTMLFormElement): Record<string, string> {
  return Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
}

type Parts = { readonly sheet: Sheet; readonly line: string; readonly close: () => void };

function askingView(page: Page, { sheet, line, close }: Parts): TemplateResult {
  const isBusy = sheet.run.kind === 'asked';
  const effect = effectOf(sheet.line);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement) || isLineRefused(sheet.dryRun)) return;
    // The fields know more than the last drawing: who types fast sends all of it.
    const typed = completedLine(sheet.line, answersIn(event.currentTarget));
    // A line that was refused and corrected is another one.
    if (!isBusy && !isRepeat(page, `sheet ${sheet.number} ${typed}`, event))
      void say(page, typed, { kind: 'sheet', number: sheet.number });
  };
  const pieces = missingPieces(sheet.line);
  const isOff = isLineRefused(sheet.dryRun);
  return html`<form class="dialog-form" autocomplete="off" @submit=${submit}>
    <div class="dialog-body">
      <div role="alert">${refusalView(page, sheet)}</div>
      ${typedView(page, line)} ${pieces.map((piece, index) => pieceView(page, sheet, { piece, isFirst: index === 0 }))}
      ${dryRunView(page, sheet)}
    </div>
    <div class="dialog-foot">
      ${isOff ? html`<p class="effect" id="sheet-off">Off: the line cannot be run as it stands. Why stands above.</p>` : effect === undefined ? nothing : html`<p class="effect">${textOf(effect)}</p>`}
      <button type="button" class="button button-default" @click=${close}>Cancel</button>
      <button type="submit" class="button button-primary" ${pieces.length === 0 ? ref(takeFocus) : nothing} aria-busy=${isBusy ? 'true' : 'false'}
        aria-disabled=${isOff ? 'true' : 'false'} aria-describedby=${isOff ? 'sheet-off' : nothing}>
        ${isBusy ? 'Sending …' : runLabel(sheet.line)}
      </button>
    </div>
  </form>`;
}

/** Why the line was not taken; its own lines and buttons are kept, for they can be the cure. */
function refusalView(page: Page, { refusal }: Sheet): TemplateResult | typeof nothing {
  if (refusal.kind === 'none') return nothing;
  const answer = answerView(page, refusal, { onButton: (button, event) => pressInDialog(page, button, event) });
  return html`<div class="sheet-answer" ${ref(comeIntoView)}>${answer}</div>`;
}

/** For `ref`: a refusal is read from the button that it turns off; who types in a field is left alone. */
function takeFocusFromRun(element: Element | undefined): void {
  if (document.activeElement?.matches('dialog [type="submit"]') === true) takeFocus(element);
}

/** True for an answer that says no more than that it did not work: what was written is worth a second try. */
function isFailed(run: Answer): boolean {
  return run.kind === 'failed' || (run.kind === 'cards' && run.topics.length === 0 && run.cards.some(isBad));
}

function isBad({ tone }: Card): boolean {
  return tone === 'bad';
}

function doneView(page: Page, { sheet, line, close }: Parts): TemplateResult {
  return html`<div class="dialog-body">
      ${typedView(page, line)}
      <div class="sheet-answer">${answerView(page, sheet.run, { onButton: (button, event) => pressInDialog(page, button, event) })}</div>
    </div>
    <div class="dialog-foot">
      ${
        isFailed(sheet.run)
          ? html`<button type="button" class="button button-default" @click=${() => page.dispatch({ kind: 'talk-sheet-back' })}>Back</button>`
          : nothing
      }
      <button type="button" class="button button-primary" ${ref(takeFocus)} @click=${close}>Close</button>
    </div>`;
}

/**
 * What it would do, before anything runs. Its own lines and buttons are left out: this dialog has them. A line that names no kind of failover
 * keeps them, for they are what it can be made of.
 */
function dryRunView(page: Page, { line, dryRun }: Sheet): TemplateResult | typeof nothing {
  const { hasDryRun, kind } = readAction(line);
  if (!hasDryRun) return nothing;
  const options: CardOptions =
    kind === 'other' ? { onButton: (button, event) => pressInDialog(page, button, event) } : { hasActions: false };
  const isRefused = isLineRefused(dryRun);
  return html`<section class="dry-run" aria-label="Dry run" aria-busy=${dryRun.kind === 'asked' ? 'true' : 'false'}>
    <p class="overline">What it would do</p>
    ${
      dryRun.kind === 'cards'
        ? html`<div class="sheet-answer" tabindex=${isRefused ? '-1' : nothing} ${isRefused ? ref(takeFocusFromRun) : nothing}>${dryRun.cards.map((card) => cardView(page, card, options))}</div>`
        : answerView(page, dryRun, { busyWords: 'Checking. Nothing is started …' })
    }
  </section>`;
}

function pieceView(
  page: Page,
  sheet: Sheet,
  { piece, isFirst }: { piece: MissingPiece; isFirst: boolean },
): TemplateResult {
  const id = `sheet-${piece.flag}`;
  const value = sheet.answers[piece.flag] ?? piece.value;
  const fill = (event: Event) => {
    const field = event.currentTarget;
    if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement)) return;
    page.dispatch({ kind: 'talk-sheet-filled', field: piece.flag, value: field.value });
  };
  return html`<div class="ask">
    <label for=${id}>${piece.label}${piece.isRequired ? nothing : html` <span class="optional">(optional)</span>`}</label>
    ${
      piece.kind === 'paragraph'
        ? html`<textarea class="field" id=${id} name=${piece.flag} rows="2" maxlength=${piece.lengthMax} ?required=${piece.isRequired} ${isFirst ? ref(takeFocus) : nothing}
            aria-describedby=${`${id}-hint`} .value=${value} @input=${fill} @keydown=${submitOnEnter}></textarea>`
        : html`<input class="field" id=${id} name=${piece.flag} type="text" maxlength=${piece.lengthMax} ?required=${piece.isRequired} ${isFirst ? ref(takeFocus) : nothing}
            aria-describedby=${`${id}-hint`} .value=${value} @input=${fill} />`
    }
    <p class="ask-hint" id=${`${id}-hint`}>${piece.hint}</p>
  </div>`;
}

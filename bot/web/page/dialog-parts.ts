import { html, type TemplateResult } from 'lit-html';
import { textOf } from './card-text.ts';
import { copyView } from './card-view.ts';
import { icon } from './icons.ts';
import type { Page } from './page.ts';

/** The head of a dialog: what it is about, and the way out of it. */
export function dialogHead(head: {
  readonly id: string;
  readonly title: string;
  readonly close: () => void;
}): TemplateResult {
  return html`<div class="dialog-head">
    <h2 id=${head.id}>${textOf(head.title)}</h2>
    <button type="button" class="button button-quiet button-icon" aria-label="Close" @click=${head.close}>${icon('close')}</button>
  </div>`;
}

/** The line that the dialog stands for. A six-digit code is never in it. */
export function typedView(page: Page, line: string): TemplateResult {
  return html`<div class="typed">
    <p class="overline">What you would type</p>
    ${copyView(page, line)}
  </div>`;
}

/** For `ref`: what has just come, e.g. why something was refused, is scrolled to. */
export function comeIntoView(element: Element | undefined): void {
  if (element !== undefined) queueMicrotask(() => element.scrollIntoView({ block: 'nearest' }));
}

/** For paragraphs: Enter sends, Shift-Enter makes a new line. */
export function submitOnEnter(event: KeyboardEvent): void {
  const field = event.target;
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || !(field instanceof HTMLTextAreaElement)) return;
  event.preventDefault();
  field.form?.requestSubmit();
}

/** For `ref`: an element that takes the place of the one that had the focus gets it, as soon as it stands in the document. */
export function takeFocus(element: Element | undefined): void {
  if (element instanceof HTMLElement) queueMicrotask(() => element.focus());
}

/** The same for the chat: only when the button that opened it has the focus, so that nothing is taken away from a reader. */
export function takeFocusFromNavigation(element: Element | undefined): void {
  if (document.activeElement?.closest('.navigation')) takeFocus(element);
}

import { html, nothing, type TemplateResult } from 'lit-html';
import { keyed } from 'lit-html/directives/keyed.js';
import { ref } from 'lit-html/directives/ref.js';
import type { FormAnswers, FormField } from '../../form.ts';
import { answerView, problemView } from './answer-view.ts';
import { textOf } from './card-text.ts';
import { cardView } from './card-view.ts';
import { isRepeat, pressInDialog, sendForm } from './deeds.ts';
import { comeIntoView, dialogHead, submitOnEnter, takeFocus, typedView } from './dialog-parts.ts';
import { modal } from './modal.ts';
import type { Page } from './page.ts';
import type { OpenForm } from './talk.ts';

/**
 * The form that the conversation asks for, as a dialog. What is typed stays in the browser's fields: a six-digit code is in no state
 * of the page, and gone from its field when it is sent.
 */
export function formDialog(page: Page): TemplateResult {
  const open = page.state.talk.form;
  const close = () => page.dispatch({ kind: 'talk-form-closed' });
  return html`<dialog class="dialog" aria-labelledby="form-title" ${modal(open !== undefined)} @close=${() => page.state.talk.form !== undefined && close()}>
    ${open === undefined ? nothing : keyed(open.number, formView(page, open, close))}
  </dialog>`;
}

function formView(page: Page, open: OpenForm, close: () => void): TemplateResult {
  const { form, result } = open;
  return html`${dialogHead({ id: 'form-title', title: form.title, close })}
    ${result === undefined ? fieldsView(page, open, close) : resultView(page, result, close)}`;
}

function resultView(page: Page, result: NonNullable<OpenForm['result']>, close: () => void): TemplateResult {
  return html`<div class="dialog-body" role="status">${answerView(page, result, { onButton: (button, event) => pressInDialog(page, button, event) })}</div>
    <div class="dialog-foot"><button type="button" class="button button-primary" ${ref(takeFocus)} @click=${close}>Close</button></div>`;
}

function fieldsView(page: Page, open: OpenForm, close: () => void): TemplateResult {
  const { form, isBusy } = open;
  const isRefused = open.refusal.length > 0 || open.problem !== undefined || form.problem !== undefined;
  const refused = refusedView(page, open);
  // Its code is gone and has to be typed again, so there it is said why; on a phone the head is far from it.
  const hasCode = form.fields.some(({ kind }) => kind === 'code');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement) || isRepeat(page, `form ${open.number}`, event)) return;
    void sendForm(page, form, takeAnswers(event.currentTarget, form.fields));
  };
  return html`<form class="dialog-form" autocomplete="off" @submit=${submit}>
    <div class="dialog-body">
      ${hasCode ? nothing : refused}
      <div class="form-text">${form.text.slice(form.problem === undefined ? 0 : 1).map((sentence) => html`<p>${textOf(sentence)}</p>`)}</div>
      ${form.fields.map((field, index) => html`${field.kind === 'code' ? refused : nothing}${fieldView(field, { isFirst: index === 0, isRefused })}`)}
    </div>
    <div class="dialog-foot">
      ${typedView(page, form.context)}
      <button type="button" class="button button-default" @click=${close}>Cancel</button>
      <button type="submit" class="button button-${form.style}" aria-busy=${isBusy ? 'true' : 'false'}>
        ${form.submitLabel}
      </button>
    </div>
  </form>`;
}

const refusalId = 'form-refusal';

/** Why the form was not taken. */
function refusedView(page: Page, { form, refusal, problem }: OpenForm): TemplateResult {
  const isAgain = form.problem !== undefined && problem === undefined && refusal.length === 0;
  return html`<div role="alert" id=${refusalId}>
    ${isAgain ? html`<p class="problem form-problem" ${ref(comeToCode)}>✖ ${textOf(form.problem ?? '')}</p>` : nothing}
    ${problem === undefined ? nothing : html`<div ${ref(comeToCode)}>${problemView(problem)}</div>`}
    ${
      refusal.length === 0
        ? nothing
        : html`<div class="sheet-answer form-refusal" ${ref(comeToCode)}>${refusal.map((card) => cardView(page, card, { hasActions: false, headingLevel: 3 }))}</div>`
    }
  </div>`;
}

/** For `ref`: a refusal comes into view, and the code can be typed again at once. */
function comeToCode(element: Element | undefined): void {
  if (element === undefined) return;
  queueMicrotask(() => {
    const code = element.closest('form')?.querySelector('.code-input');
    if (code instanceof HTMLElement) code.focus();
  });
  comeIntoView(element);
}

/** Reads the fields, and empties those that hold codes at once. */
function takeAnswers(element: HTMLFormElement, fields: readonly FormField[]): FormAnswers {
  const data = new FormData(element);
  const answers = fields.map((field) => [field.id, String(data.get(field.id) ?? '').trim()] as const);
  for (const field of fields) {
    const input = field.kind === 'code' ? element.elements.namedItem(field.id) : null;
    if (input instanceof HTMLInputElement) input.value = '';
  }
  return Object.fromEntries(answers.filter(([, value]) => value !== ''));
}

function fieldView(field: FormField, { isFirst, isRefused }: { isFirst: boolean; isRefused: boolean }): TemplateResult {
  const id = `form-${field.id}`;
  const hintId = `${id}-hint`;
  const isChoice = field.kind === 'choice';
  const words = html`${textOf(field.label)}${field.isRequired ? nothing : html` <span class="optional">(optional)</span>`}`;
  const hint = field.hint === undefined ? nothing : html`<p class="ask-hint" id=${hintId}>${textOf(field.hint)}</p>`;
  if (isChoice) {
    return html`<fieldset class="ask">
      <legend>${words}</legend>
      ${field.options.map((option, index) => choiceView(field, option, isFirst && index === 0))} ${hint}
    </fieldset>`;
  }
  const describedBy = [...(field.hint === undefined ? [] : [hintId]), ...(isRefused ? [refusalId] : [])];
  return html`<div class="ask">
    <label for=${id}>${words}</label>
    ${inputView(field, { id, isFirst, isRefused, hintId: describedBy.length === 0 ? nothing : describedBy.join(' ') })} ${hint}
  </div>`;
}

type Choice = Extract<FormField, { kind: 'choice' }>;

function choiceView(field: Choice, option: Choice['options'][number], isFirst: boolean): TemplateResult {
  return html`<label class="choice">
    <input
      type="radio"
      name=${field.id}
      value=${option.value}
      ?checked=${option.value === field.value}
      ?required=${field.isRequired}
      ${isFirst ? ref(takeFocus) : nothing}
    />
    <span>${textOf(option.label)}</span>
  </label>`;
}

type InputLook = {
  readonly id: string;
  readonly isFirst: boolean;
  readonly isRefused: boolean;
  /** Of what describes it: its hint, and why the form was not taken. */
  readonly hintId: string | typeof nothing;
};

function inputView(field: Exclude<FormField, Choice>, look: InputLook): TemplateResult {
  const { id, isFirst, isRefused, hintId } = look;
  if (field.kind === 'code') {
    return html`<input
      class="field code-input"
      id=${id}
      name=${field.id}
      type="text"
      inputmode="numeric"
      autocomplete="one-time-code"
      pattern="[0-9 ]{6,7}"
      title="Six digits"
      maxlength="7"
      spellcheck="false"
      ?required=${field.isRequired}
      ${isFirst ? ref(takeFocus) : nothing}
      aria-describedby=${hintId}
      aria-invalid=${isRefused ? 'true' : nothing}
    />`;
  }
  if (field.kind === 'paragraph') {
    return html`<textarea
      class="field"
      id=${id}
      name=${field.id}
      rows="3"
      @keydown=${submitOnEnter}
      maxlength=${field.lengthMax}
      ?required=${field.isRequired}
      ${isFirst ? ref(takeFocus) : nothing}
      aria-describedby=${hintId}
      .defaultValue=${field.value ?? ''}
    ></textarea>`;
  }
  return html`<input
    class="field"
    id=${id}
    name=${field.id}
    type="text"
    maxlength=${field.lengthMax}
    value=${field.value ?? ''}
    ?required=${field.isRequired}
    ${isFirst ? ref(takeFocus) : nothing}
    aria-describedby=${hintId}
  />`;
}

import { html, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import { ref } from 'lit-html/directives/ref.js';
import { completeLine } from '../../terminal/completion.ts';
import { isRunnableVerb, specOf } from '../../verb-table.ts';
import { withoutProgram } from './action-lines.ts';
import { choiceList, chosenOf, stepOf } from './choice-list.ts';
import { say } from './deeds.ts';
import { takeFocusFromNavigation } from './dialog-parts.ts';
import type { Page } from './page.ts';

const candidateCountMax = 8;
const lineLengthMax = 2000;

/** The line to type: a combobox over the grammar's completion. Arrow up without a list brings older lines back. */
export function chatInput(page: Page): TemplateResult {
  const { input, isListOpen } = page.state.talk;
  const { candidates } = candidatesOf(page, input);
  const chosen = chosenOf(page.state.talk.chosen, candidates.length);
  const isOpen = isListOpen && candidates.length > 0;
  return html`<form class="talk-form" autocomplete="off" @submit=${(event: Event) => submit(page, event)}>
    ${choiceList({
      id: 'talk-choices',
      label: 'Possible words',
      items: candidates.map((label) => ({ label, ...hintOf(input, label) })),
      chosen,
      isOpen,
      onPick: (index) => accept(page, input, index),
    })}
    <label class="talk-prompt" for="talk-input"><span aria-hidden="true">/dr</span><span class="visually-hidden">Command</span></label>
    <input
      id="talk-input"
      class="talk-input"
      name="line"
      type="text"
      role="combobox"
      aria-autocomplete="list"
      aria-expanded=${isOpen ? 'true' : 'false'}
      aria-controls="talk-choices"
      aria-activedescendant=${isOpen && chosen >= 0 ? `talk-choices-${chosen}` : ''}
      autocapitalize="none"
      spellcheck="false"
      enterkeyhint="send"
      placeholder="status vm-7"
      maxlength=${lineLengthMax}
      ${ref(takeFocusFromNavigation)}
      .value=${live(input)}
      @input=${(event: Event) => type(page, event)}
      @keydown=${(event: KeyboardEvent) => onKey(page, event)}
      @blur=${() => isListOpen && page.dispatch({ kind: 'talk-list-closed' })}
    />
    <button type="submit" class="button button-primary">Send</button>
  </form>`;
}

/** What the tabulator key would write, and the part of the line that it replaces. What was typed since the last drawing opens the list. */
function candidatesOf(page: Page, input: string): { candidates: readonly string[]; replaced: string } {
  const { input: drawn, isListOpen } = page.state.talk;
  if (input === '' || (input === drawn && !isListOpen)) return { candidates: [], replaced: '' };
  const names = (page.state.site?.machines ?? []).map(({ name }) => name);
  const [candidates, replaced] = completeLine(input, names);
  const others = candidates.filter((candidate) => candidate.trimEnd() !== replaced || candidates.length > 1);
  return { candidates: others.slice(0, candidateCountMax).map((candidate) => candidate.trimEnd()), replaced };
}

/** What the help says of a verb or a flag. */
function hintOf(input: string, candidate: string): { hint?: string } {
  const [verb = ''] = withoutProgram(input).split(/\s+/);
  if (candidate.startsWith('--')) {
    const flags = isRunnableVerb(verb) ? specOf(verb).flags : [];
    const hint = flags.find(({ name }) => `--${name}` === candidate)?.meaning;
    return hint === undefined ? {} : { hint };
  }
  const isVerb = !withoutProgram(input).includes(' ') && isRunnableVerb(candidate);
  return isVerb ? { hint: specOf(candidate).summary } : {};
}

function type(page: Page, event: Event): void {
  if (event.currentTarget instanceof HTMLInputElement)
    page.dispatch({ kind: 'talk-typed', text: event.currentTarget.value });
}

function accept(page: Page, input: string, index: number): void {
  const { candidates, replaced } = candidatesOf(page, input);
  const candidate = candidates[index];
  if (candidate === undefined) return;
  page.dispatch({ kind: 'talk-typed', text: `${input.slice(0, input.length - replaced.length)}${candidate} ` });
}

function submit(page: Page, event: Event): void {
  event.preventDefault();
  // The field knows more than the last drawing: who types fast sends all of it.
  const field = event.currentTarget instanceof HTMLFormElement ? event.currentTarget.elements.namedItem('line') : null;
  const line = field instanceof HTMLInputElement ? field.value.trim() : '';
  if (line === '') return;
  page.dispatch({ kind: 'talk-typed', text: '' });
  void say(page, line);
}

function onKey(page: Page, event: KeyboardEvent): void {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!(event.currentTarget instanceof HTMLInputElement)) return;
  const { value } = event.currentTarget;
  const { input, chosen: steps } = page.state.talk;
  const count = candidatesOf(page, value).candidates.length;
  const chosen = value === input ? chosenOf(steps, count) : -1;
  if (count > 0 && isTaken(event, chosen)) {
    event.preventDefault();
    accept(page, value, Math.max(0, chosen));
    return;
  }
  if (event.key === 'Escape' && count > 0) {
    event.preventDefault();
    event.stopPropagation();
    page.dispatch({ kind: 'talk-list-closed' });
    return;
  }
  onArrow(page, event, { count, chosen });
}

/** Tab takes the first one, Enter only one that was chosen: else it sends the line. */
function isTaken(event: KeyboardEvent, chosen: number): boolean {
  return (event.key === 'Tab' && !event.shiftKey) || (event.key === 'Enter' && chosen >= 0);
}

function onArrow(page: Page, event: KeyboardEvent, { count, chosen }: { count: number; chosen: number }): void {
  const step = stepOf(event.key);
  if (step === undefined) return;
  event.preventDefault();
  const isInList = count > 0 && (step === 1 || chosen >= 0);
  page.dispatch(isInList ? { kind: 'talk-candidate', step } : { kind: 'talk-recalled', step });
}

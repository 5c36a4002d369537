import { html, nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import { choiceList, chosenOf, stepOf } from './choice-list.ts';
import { openSheet, say } from './deeds.ts';
import { modal } from './modal.ts';
import type { Page } from './page.ts';
import { type PaletteItem, paletteItems } from './palette-items.ts';
import type { Palette } from './talk.ts';

/** One field over machines, pages and verbs: Ctrl-K or Cmd-K. */
export function palette(page: Page): TemplateResult {
  const open = page.state.talk.palette;
  return html`<dialog class="dialog dialog-palette" aria-label="Go to or run" ${modal(open !== undefined)} @close=${() => page.state.talk.palette !== undefined && close(page)}>
    ${open === undefined ? nothing : paletteView(page, open)}
  </dialog>`;
}

/** True when the key opened or closed the palette: to be asked at each `keydown` of the window. */
export function onPaletteKey(page: Page, event: KeyboardEvent): boolean {
  const isIt = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k';
  if (!isIt || page.state.me === undefined) return false;
  event.preventDefault();
  page.dispatch({ kind: page.state.talk.palette === undefined ? 'talk-palette-opened' : 'talk-palette-closed' });
  return true;
}

function close(page: Page): void {
  page.dispatch({ kind: 'talk-palette-closed' });
}

function paletteView(page: Page, { text, chosen: steps }: Palette): TemplateResult {
  const items = itemsOf(page, text);
  const chosen = chosenOf(steps, items.length);
  const isOpen = items.length > 0;
  return html`<input
      class="palette-input"
      type="text"
      role="combobox"
      aria-label="Machine, page, or line to run"
      aria-autocomplete="list"
      aria-expanded=${isOpen ? 'true' : 'false'}
      aria-controls="palette-choices"
      aria-activedescendant=${isOpen ? `palette-choices-${chosen}` : ''}
      placeholder="A machine, a page, or a line: failover vm-7 --test"
      autocomplete="off"
      autocapitalize="none"
      spellcheck="false"
      maxlength="2000"
      autofocus
      .value=${live(text)}
      @input=${(event: Event) => type(page, event)}
      @keydown=${(event: KeyboardEvent) => onKey(page, event)}
    />
    ${choiceList({ id: 'palette-choices', label: 'Choices', items, chosen, isOpen, onPick: (index) => take(page, items[index]) })}
    ${isOpen ? nothing : html`<p class="palette-empty" role="status">Nothing of that name. A line begins with a verb, such as status.</p>`}
    <p class="palette-keys" aria-hidden="true">↑ ↓ choose · Enter takes · Esc closes</p>`;
}

function itemsOf({ state }: Page, text: string): PaletteItem[] {
  const machineNames = (state.site?.machines ?? []).map(({ name }) => name);
  return paletteItems(text, { machineNames, recent: state.talk.recent });
}

function type(page: Page, event: Event): void {
  const field = event.currentTarget;
  if (field instanceof HTMLInputElement) page.dispatch({ kind: 'talk-palette-typed', text: field.value });
}

function onKey(page: Page, event: KeyboardEvent): void {
  if (event.isComposing || !(event.currentTarget instanceof HTMLInputElement)) return;
  // The field knows more than the last drawing: who types fast takes what was typed.
  const { value } = event.currentTarget;
  const drawn = page.state.talk.palette;
  const items = itemsOf(page, value);
  const chosen = drawn?.text === value ? chosenOf(drawn.chosen, items.length) : 0;
  const step = stepOf(event.key);
  const item = items[chosen];
  const isTab = event.key === 'Tab' && !event.shiftKey && item?.deed.kind === 'write';
  if (step === undefined && event.key !== 'Enter' && !isTab) return;
  event.preventDefault();
  if (step === undefined) take(page, item);
  else if (items.length > 0) page.dispatch({ kind: 'talk-palette-chosen', step });
}

function take(page: Page, item: PaletteItem | undefined): void {
  if (item === undefined) return;
  const { deed, key } = item;
  if (deed.kind === 'write') {
    page.dispatch({ kind: 'talk-palette-typed', text: deed.text });
    return;
  }
  page.dispatch({ kind: 'talk-palette-closed', ...(key !== undefined && { used: key }) });
  if (deed.kind === 'go') page.go(deed.path);
  else if (deed.kind === 'sheet') openSheet(page, deed.line);
  else void say(page, deed.line);
}

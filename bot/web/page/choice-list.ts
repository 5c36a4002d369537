import { html, nothing, type TemplateResult } from 'lit-html';

export type ChoiceList = {
  /** Of the list; its options are `<id>-0`, `<id>-1`, … */
  readonly id: string;
  readonly label: string;
  readonly items: readonly { readonly label: string; readonly hint?: string }[];
  /** -1: none. */
  readonly chosen: number;
  readonly isOpen: boolean;
  readonly onPick: (index: number) => void;
};

/** The list below a combobox: the arrow keys choose while the focus stays in the text field. */
export function choiceList({ id, label, items, chosen, isOpen, onPick }: ChoiceList): TemplateResult {
  return html`<ul class="choices" id=${id} role="listbox" aria-label=${label} ?hidden=${!isOpen || items.length === 0}>
    ${items.map(
      (item, index) => html`<li
        id="${id}-${index}"
        role="option"
        aria-selected=${index === chosen ? 'true' : 'false'}
        class=${index === chosen ? 'is-chosen' : ''}
        @mousedown=${(event: Event) => event.preventDefault()}
        @click=${() => onPick(index)}
      >
        <span class="choice-label">${item.label}</span>
        ${item.hint === undefined ? nothing : html`<span class="choice-hint">${item.hint}</span>`}
      </li>`,
    )}
  </ul>`;
}

/** Where so many steps lead in a list, round its end; -1 before the first step. */
export function chosenOf(steps: number | undefined, count: number): number {
  return steps === undefined || count === 0 ? -1 : ((steps % count) + count) % count;
}

/** Which way an arrow key goes; undefined for another key. */
export function stepOf(key: string): -1 | 1 | undefined {
  if (key === 'ArrowDown') return 1;
  return key === 'ArrowUp' ? -1 : undefined;
}

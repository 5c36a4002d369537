import { html, noChange, nothing, type TemplateResult } from 'lit-html';
import { Directive, directive, type ElementPart } from 'lit-html/directive.js';
import type { MachineAction } from '../../../domain/protected-machine.ts';
import type { MachineView } from '../../../protocol/control-api.ts';
import { formatCommand, quoteWord } from '../../format-command.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { machineKey } from '../site-changes.ts';
import { openAction } from './action-sheet.ts';
import { cleanupLine, drillLine, enableLine, plannedLine, whyNot } from './machine-actions.ts';
import { isDrillOpen } from './overview-rows.ts';
import type { Page } from './page.ts';

type Item = { readonly action: MachineAction; readonly label: string; readonly line: string };

/** What can be asked of a machine from its row. Each opens the sheet that shows the line and what it would do. */
function itemsOf(machine: MachineView, machines: readonly MachineView[]): readonly Item[] {
  const { name, replication, protection } = machine;
  if (protection.kind === 'not-protected') {
    return [{ action: 'enable', label: 'Enable', line: enableLine(machine, machines) }];
  }
  const word = quoteWord(name);
  return [
    isDrillOpen(machine)
      ? { action: 'cleanup', label: 'Clean up the test failover', line: cleanupLine(name) }
      : { action: 'test-failover', label: 'Test failover', line: drillLine(name, 'latest') },
    { action: 'planned-failover', label: 'Planned failover…', line: plannedLine(name) },
    { action: 'bookmark', label: 'Bookmark…', line: `bookmark ${word}` },
    replication.kind === 'paused'
      ? { action: 'resume', label: 'Resume', line: formatCommand({ verb: 'resume', machine: word }) }
      : { action: 'pause', label: 'Pause…', line: `pause ${word}` },
  ];
}

/** The one menu of the overview; it stands once in the page and opens beside the button of its row. */
export function machineMenu(page: Page, machine: MachineView | undefined): TemplateResult {
  // Before it closes, not after: a drawing between the two would open it again.
  const closes = (event: Event) => {
    if (event instanceof ToggleEvent && event.newState === 'closed')
      page.dispatch({ kind: 'overview-menu', machine: undefined });
  };
  const anchor = machine === undefined ? undefined : machineKey(machine);
  return html`<div
    class="card menu"
    popover
    role="menu"
    aria-label=${machine === undefined ? 'Actions' : `Actions on ${safeText(machine.name)}`}
    @beforetoggle=${closes}
    @keydown=${walk}
    ${opened(anchor)}
  >${machine === undefined ? nothing : itemsOf(machine, page.state.site?.machines ?? []).map((item) => itemView(page, machine, item))}</div>`;
}

function itemView(page: Page, machine: MachineView, { action, label, line }: Item): TemplateResult {
  const reason = whyNot(action, machine, page.state.me);
  const chosen = (event: Event) => {
    if (reason !== undefined) return;
    closeMenu(event);
    openAction(page, line);
  };
  return html`<button class="menu-item" type="button" role="menuitem" tabindex="-1" aria-disabled=${reason === undefined ? 'false' : 'true'} @click=${chosen}>
    <span>${label}</span>${reason === undefined ? html`<code class="muted">${safeText(line)}</code>` : html`<span class="muted">${reason}</span>`}
  </button>`;
}

function closeMenu(event: Event): void {
  const menu = event.currentTarget instanceof Element ? event.currentTarget.closest('[popover]') : null;
  if (menu instanceof HTMLElement) menu.hidePopover();
}

/** Arrows, Home and End walk through the items; Escape is the browser's. */
function walk(event: KeyboardEvent): void {
  const menu = event.currentTarget;
  if (!(menu instanceof HTMLElement)) return;
  const items = [...menu.querySelectorAll<HTMLElement>('[role="menuitem"]')];
  const at = items.findIndex((item) => item.matches(':focus'));
  const steps: Readonly<Record<string, number>> = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    Home: 0,
    End: items.length - 1,
  };
  const to = steps[event.key];
  if (event.key === 'Tab') menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  items[(to + items.length) % items.length]?.focus();
}

const gapPx = 4;

/** Opens and closes the popover that it stands on, beside the button of the row with this key. */
class Opened extends Directive {
  private shownKey: string | undefined;

  render(_key: string | undefined): unknown {
    return noChange;
  }

  override update({ element }: ElementPart, [key]: [string | undefined]): unknown {
    if (!(element instanceof HTMLElement)) return noChange;
    // The browser may have closed it, and it was asked for again before anything was drawn.
    if (key === this.shownKey && (key === undefined || element.matches(':popover-open'))) return noChange;
    this.shownKey = key;
    // After this drawing: only then its items, and the button that it belongs to, are there.
    queueMicrotask(() => {
      const isOpen = element.matches(':popover-open');
      if (key === undefined && isOpen) element.hidePopover();
      if (key !== undefined && element.isConnected) openBeside(element, key);
    });
    return noChange;
  }
}
const opened = directive(Opened);

function openBeside(menu: HTMLElement, key: string): void {
  const button = document.querySelector(`[data-key="${CSS.escape(key)}"] .row-actions`);
  const place = button?.getBoundingClientRect();
  if (place !== undefined) {
    const isLow = place.bottom > window.innerHeight * 0.6;
    const end = Math.max(gapPx, document.documentElement.clientWidth - place.right);
    menu.style.setProperty('--menu-end', `${end}px`);
    menu.style.setProperty('--menu-top', isLow ? 'auto' : `${place.bottom + gapPx}px`);
    menu.style.setProperty('--menu-bottom', isLow ? `${window.innerHeight - place.top + gapPx}px` : 'auto');
  }
  if (!menu.matches(':popover-open')) menu.showPopover();
  menu.querySelector<HTMLElement>('[role="menuitem"]')?.focus();
}

let pressedWhileOpen: string | undefined;

/** The browser closes the menu when its own button is pressed, before the click comes: that click must not open it again. */
export function menuButtonPressed(page: Page, key: string): void {
  pressedWhileOpen = page.state.overview.menuFor === key ? key : undefined;
}

/** A click, or Enter, on the button of a row: opens its menu, or closes it. */
export function menuButtonClicked(page: Page, key: string, { detail }: MouseEvent): void {
  // A key presses without a pointer.
  const wasOpen = detail > 0 && pressedWhileOpen === key;
  pressedWhileOpen = undefined;
  page.dispatch({ kind: 'overview-menu', machine: wasOpen ? undefined : key });
}

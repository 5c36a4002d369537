import { html, noChange, nothing, type TemplateResult } from 'lit-html';
import { Directive, directive, type ElementPart } from 'lit-html/directive.js';
import { admit, type MachineAction } from '../../../domain/protected-machine.ts';
import type { MachineView } from '../../../protocol/control-api.ts';
import { machineKey } from '../site-changes.ts';
import { openAction } from './action-sheet.ts';
import { isDrillOpen } from './overview-rows.ts';
import type { Page } from './page.ts';

type Item = { readonly action: MachineAction; readonly label: string; readonly line: string };

/** What can be asked of a machine from its row. Each opens the sheet that shows the line and what it would do. */
function itemsOf(machine: MachineView): readonly Item[] {
  const { name, replication } = machine;
  const isPaused = replication.kind === 'paused';
  const enable: readonly Item[] = [{ action: 'enable', label: 'Enable', line: `enable ${name} --policy default` }];
  const rest: readonly Item[] = [
    isDrillOpen(machine)
      ? { action: 'cleanup', label: 'Clean up the test failover', line: `cleanup ${name}` }
      : { action: 'test-failover', label: 'Test failover', line: `failover ${name} --test` },
    { action: 'planned-failover', label: 'Planned failover…', line: `failover ${name} --planned` },
    { action: 'bookmark', label: 'Bookmark…', line: `bookmark ${name}` },
    isPaused
      ? { action: 'resume', label: 'Resume', line: `resume ${name}` }
      : { action: 'pause', label: 'Pause…', line: `pause ${name}` },
  ];
  return machine.protection.kind === 'not-protected' ? enable : rest;
}

/** Why the action is not possible now, in the words of the one table that the engine uses too; undefined when it is. */
function whyNot(machine: MachineView, action: MachineAction): string | undefined {
  if (action === 'enable' && machine.unsupported !== null) return machine.unsupported;
  const { name, protection, replication, drill } = machine;
  const openDrill = { kind: 'open', pointTakenAtMs: drill?.point.takenAtMs ?? 0 } as const;
  const facts = {
    name,
    protection,
    replication,
    drill: isDrillOpen(machine) ? openDrill : ({ kind: 'none' } as const),
  };
  const admission = admit(action, facts);
  return admission.kind === 'refused' ? admission.message : undefined;
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
    aria-label=${machine === undefined ? 'Actions' : `Actions on ${machine.name}`}
    @beforetoggle=${closes}
    @keydown=${walk}
    ${opened(anchor)}
  >${machine === undefined ? nothing : itemsOf(machine).map((item) => itemView(page, machine, item))}</div>`;
}

function itemView(page: Page, machine: MachineView, { action, label, line }: Item): TemplateResult {
  const reason = whyNot(machine, action);
  const chosen = (event: Event) => {
    if (reason !== undefined) return;
    closeMenu(event);
    openAction(page, line);
  };
  return html`<button class="menu-item" type="button" role="menuitem" tabindex="-1" aria-disabled=${reason === undefined ? 'false' : 'true'} @click=${chosen}>
    <span>${label}</span>${reason === undefined ? html`<code class="muted">${line}</code>` : html`<span class="muted">${reason}</span>`}
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
    if (!(element instanceof HTMLElement) || key === this.shownKey) return noChange;
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

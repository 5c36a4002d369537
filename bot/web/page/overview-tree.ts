import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';

import type { MachineView } from '../../../protocol/control-api.ts';
import { relativeTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { openAction } from './action-sheet.ts';
import { icon } from './icons.ts';
import { cleanupLine, whyNot } from './machine-actions.ts';
import {
  agentCell,
  copyStateCell,
  drillCell,
  healthCell,
  lagCell,
  pointCell,
  protectionCell,
  rollUpCell,
  troubleOf,
} from './overview-cells.ts';
import { doDeed, keyDeed, openDeed } from './overview-keys.ts';
import { menuButtonClicked, menuButtonPressed } from './overview-menu.ts';
import type { Row, Tree } from './overview-rows.ts';
import { rowHeightsPx } from './overview-window.ts';
import type { Page } from './page.ts';
import { chip } from './state-chip.ts';
import { styled } from './styled.ts';

type RowOf<Kind extends Row['kind']> = Extract<Row, { kind: Kind }>;

const columns = ['Machine', 'Protection', 'Health', 'Lag', 'Newest point', 'Last drill', 'Actions'] as const;

/** Sites, their hosts, their guests, and the machines at the recovery site beside their sources. Source: A4, A6, A12 */
export function treeView(page: Page, tree: Tree): TemplateResult {
  const { layout, focusedKey } = page.state.overview;
  const { rows } = tree;
  const focusedIndex = Math.max(
    0,
    rows.findIndex((row) => row.key === focusedKey),
  );
  const height = rowHeightsPx[layout];
  return html`<div
    class="tree tree-${layout}"
    role="treegrid"
    aria-label="Sites, hosts and machines"
    aria-rowcount=${rows.length + 1}
    aria-colcount=${columns.length}
    @keydown=${(event: KeyboardEvent) => pressed(page, rows, event)}
    @click=${(event: Event) => clicked(page, rows, event)}
    @focusin=${(event: Event) => focused(page, rows, event)}
  >
    <div class="tree-head" role="rowgroup">
      <div class="row row-head" role="row" aria-rowindex="1">
        ${columns.map((name) => html`<span role="columnheader" class=${name === 'Actions' ? 'visually-hidden' : ''}>${name}</span>`)}
      </div>
    </div>
    <div id="tree-rows" class="tree-rows" role="rowgroup" ${styled({ 'block-size': `${rows.length * height}px` })}>
      ${repeat(
        drawnIndexes(rows.length, page.state.overview.window, focusedIndex),
        (index) => rows[index]?.key,
        (index) => rowView(page, rows[index], { index, top: index * height, isFocused: index === focusedIndex }),
      )}
    </div>
  </div>`;
}

/** Those of the window, and the one with the focus: a row that leaves the page would take the focus with it. */
function drawnIndexes(count: number, window: { first: number; last: number }, focusedIndex: number): number[] {
  const first = Math.min(window.first, count);
  const last = Math.min(window.last, count);
  const indexes = Array.from({ length: last - first }, (_, offset) => first + offset);
  if (count === 0 || (focusedIndex >= first && focusedIndex < last)) return indexes;
  return focusedIndex < first ? [focusedIndex, ...indexes] : [...indexes, focusedIndex];
}

type Spot = { readonly index: number; readonly top: number; readonly isFocused: boolean };

function rowView(page: Page, row: Row | undefined, { index, top, isFocused }: Spot): TemplateResult | typeof nothing {
  if (row === undefined) return nothing;
  const isGroup = row.kind === 'site' || row.kind === 'host';
  return html`<div
    class="row row-${row.kind} ${row.kind === 'machine' && hasLongState(row.machine) ? 'row-long' : ''}"
    role="row"
    tabindex=${isFocused ? '0' : '-1'}
    data-key=${row.key}
    data-index=${index}
    aria-rowindex=${index + 2}
    aria-level=${row.level}
    aria-posinset=${row.position}
    aria-setsize=${row.setSize}
    aria-expanded=${isGroup && row.rollUp.count > 0 ? String(row.isOpen) : nothing}
    ${styled({ top: `${top}px` })}
  >${cellsView(page, row, isFocused)}</div>`;
}

function cellsView(page: Page, row: Row, isFocused: boolean): TemplateResult {
  switch (row.kind) {
    case 'site':
      return groupCells(page, row, nothing);
    case 'host':
      return groupCells(page, row, html`<span role="gridcell" class="cell-agent">${agentCell(page, row.host)}</span>`);
    case 'machine':
      return machineCells(page, row, isFocused);
    case 'copy':
      return copyCells(page, row, isFocused);
    default:
      return row satisfies never;
  }
}

function groupCells(page: Page, row: RowOf<'site' | 'host'>, agent: TemplateResult | typeof nothing): TemplateResult {
  return html`<span role="rowheader" class="cell-name"
      ><span class="twist ${row.isOpen ? 'twist-open' : ''} ${row.rollUp.count === 0 ? 'twist-none' : ''}">${icon('chevron')}</span
      >${icon(row.kind)}<strong class="name">${safeText(row.name)}</strong></span
    ><span role="gridcell" class="cell-roll-up">${rollUpCell(page, row.rollUp)}</span>${agent}`;
}

function machineCells(page: Page, { machine, key }: RowOf<'machine'>, isFocused: boolean): TemplateResult {
  const trouble = troubleOf(machine);
  const point = machine.newestPoint === null ? '' : relativeTime(machine.newestPoint.takenAtMs, page.nowMs);
  return html`<span role="rowheader" class="cell-name">
      <a class="name" href="/machines/${encodeURIComponent(machine.name)}" tabindex="-1">${safeText(machine.name)}</a>${tagsView(machine.tags)}
    </span>
    <span role="gridcell" class="cell-state">${protectionCell(page, machine)}</span>
    <span role="gridcell" class="cell-health">${healthCell(page, machine)}</span>
    <span role="gridcell" class="cell-lag">${lagCell(page, machine)}</span>
    <span role="gridcell" class="cell-point">
      <span class="only-wide">${pointCell(page, machine)}</span>
      <span class="only-cards" aria-hidden="true">${trouble === undefined ? html`<span class="muted">${point}</span>` : chip(page, trouble.tone, trouble.word)}</span>
    </span>
    <span role="gridcell" class="cell-drill">${drillCell(page, machine)}</span>
    <span role="gridcell" class="cell-actions">
      <button
        class="button button-quiet button-icon row-actions"
        type="button"
        tabindex=${isFocused ? '0' : '-1'}
        aria-haspopup="menu"
        aria-expanded=${page.state.overview.menuFor === key ? 'true' : 'false'}
        aria-label="Actions on ${safeText(machine.name)}"
        @pointerdown=${() => menuButtonPressed(page, key)}
        @click=${(event: MouseEvent) => menuButtonClicked(page, key, event)}
      >${icon('more')}</button>
    </span>`;
}

/** Words that are longer than their column, of a machine without a lag: they take the columns beside it, and its health those of lag and point. Source: A6 */
function hasLongState({ protection }: MachineView): boolean {
  return protection.kind === 'initial-replication' || protection.kind === 'failed-over';
}

const shownTagCount = 2;

function tagsView(rawTags: readonly string[]): TemplateResult | typeof nothing {
  const tags = rawTags.map(safeText);
  if (tags.length === 0) return nothing;
  const more = tags.length - shownTagCount;
  return html`<span class="tags" title=${tags.join(', ')}
    >${tags.slice(0, shownTagCount).map((tag) => html`<span class="tag">${tag}</span>`)}${more > 0 ? html`<span class="tag">+${more}</span>` : nothing}</span
  >`;
}

/** The machine at the recovery site, under its source. Source: A12 */
function copyCells(page: Page, { machine, copy }: RowOf<'copy'>, isFocused: boolean): TemplateResult {
  const isDrill = copy.why === 'drill';
  const reason = whyNot('cleanup', machine, page.state.me);
  const cleanUp = () => reason === undefined && openAction(page, cleanupLine(machine.name));
  return html`<span role="rowheader" class="cell-name">${icon('copy')}<span class="name">${safeText(copy.vmName)}</span></span
    ><span role="gridcell" class="cell-copy-host"><span class="muted cell-words">host: ${safeText(copy.host)}</span></span
    ><span role="gridcell" class="cell-copy-state">${copyStateCell(page, machine)}</span
    ><span role="gridcell" class="cell-copy-actions"
      >${
        isDrill
          ? html`<button class="button row-clean-up" type="button" tabindex=${isFocused ? '0' : '-1'} aria-label="Clean up ${safeText(copy.vmName)}"
            aria-disabled=${reason === undefined ? 'false' : 'true'} aria-description=${reason ?? nothing} title=${reason ?? nothing} @click=${cleanUp}>
            Clean up
          </button>`
          : nothing
      }</span
    >`;
}

function rowOf(event: Event): HTMLElement | undefined {
  const row = event.target instanceof Element ? event.target.closest('[data-index]') : null;
  return row instanceof HTMLElement ? row : undefined;
}

function indexOf(row: HTMLElement): number {
  return Number(row.dataset.index ?? -1);
}

function pressed(page: Page, rows: readonly Row[], event: KeyboardEvent): void {
  const row = rowOf(event);
  if (row === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  // Enter on a button or a link within the row is the button's.
  if (event.key === 'Enter' && event.target !== row) return;
  const deed = keyDeed(event.key, rows, indexOf(row));
  if (deed === undefined) return;
  event.preventDefault();
  doDeed(page, rows, deed);
}

/** A click anywhere on a row, unless it was on something with a meaning of its own, or marked text. */
function clicked(page: Page, rows: readonly Row[], event: Event): void {
  const row = rowOf(event);
  const isOwn = event.target instanceof Element && event.target.closest('a, button') !== null;
  if (row === undefined || isOwn || getSelection()?.isCollapsed === false) return;
  const found = rows[indexOf(row)];
  if (found !== undefined) doDeed(page, rows, openDeed(found));
}

function focused(page: Page, rows: readonly Row[], event: Event): void {
  const row = rowOf(event);
  const key = row === undefined ? undefined : rows[indexOf(row)]?.key;
  if (key !== undefined) page.dispatch({ kind: 'overview-focused', key });
}

import { html, nothing, type TemplateResult } from 'lit-html';
import type { OverviewView } from '../../../protocol/console-api.ts';
import { countWords } from '../../conversation/machine-cards.ts';
import { machineKey } from '../site-changes.ts';
import { needsMeView } from './needs-me.ts';
import { machineMenu } from './overview-menu.ts';
import { overviewTree, type Tree } from './overview-rows.ts';
import {
  type Filters,
  isFiltered,
  noFilters,
  type OverviewUi,
  type SortOrder,
  type StateFilter,
  sortOrders,
  stateFilters,
} from './overview-state.ts';
import { treeView } from './overview-tree.ts';
import type { Page } from './page.ts';

/** The whole site at a glance: what needs me, then everything as a tree. Source: A4, A5, A6, A12 */
export function overviewView(page: Page): TemplateResult {
  const { site, overview } = page.state;
  const tree = site === undefined ? undefined : treeOf(site, overview);
  const { menuFor } = overview;
  const menuMachine = menuFor === undefined ? undefined : site?.machines.find((one) => machineKey(one) === menuFor);
  return html`<h1 class="visually-hidden">Overview</h1>
    ${needsMeView(page)}
    <section class="card machines" aria-label="Machines">
      ${filtersView(page, tree)}
      ${tree === undefined ? html`<div id="tree-rows" class="tree-rows tree-waiting" aria-busy="true"></div>` : treeView(page, tree)}
      ${tree !== undefined && tree.rows.length === 0 ? emptyView(page, tree) : nothing}
    </section>
    ${machineMenu(page, menuMachine)}`;
}

let lastTree:
  | { readonly site: OverviewView; readonly filters: Filters; readonly closed: unknown; readonly tree: Tree }
  | undefined;

/** The tree is made anew only when what it is made of has changed; ages and the window have not. */
function treeOf(site: OverviewView, { filters, closedKeys }: OverviewUi): Tree {
  const isSame = lastTree?.site === site && lastTree.filters === filters && lastTree.closed === closedKeys;
  if (lastTree !== undefined && isSame) return lastTree.tree;
  const tree = overviewTree(site, { filters, closedKeys });
  lastTree = { site, filters, closed: closedKeys, tree };
  return tree;
}

const stateWords: Readonly<Record<StateFilter, string>> = {
  all: 'All states',
  attention: 'Needs attention',
  enabled: 'Enabled',
  replicating: 'Enabled: Replicating',
  paused: 'Paused',
  'not-enabled': 'Not enabled',
  'failed-over': 'Failed over',
  'drill-open': 'Test failover open',
  'never-drilled': 'Never drilled',
};
const sortWords: Readonly<Record<SortOrder, string>> = { worst: 'Worst first', name: 'By name', lag: 'By lag' };

function filtersView(page: Page, tree: Tree | undefined): TemplateResult {
  const { filters } = page.state.overview;
  const set = (chosen: Partial<Filters>) => page.dispatch({ kind: 'overview-filters', filters: chosen });
  return html`<div class="filters">
    <p class="filters-count" role="status">${tree === undefined ? '' : countsWords(tree)}</p>
    ${choice(
      'State',
      { value: filters.state, options: stateFilters.map((value) => [value, stateWords[value]] as const) },
      (value) => set({ state: stateFilters.find((state) => state === value) ?? 'all' }),
    )}
    ${choice('Site', { value: filters.site, options: withAll('All sites', tree?.sites ?? [], filters.site) }, (site) => set({ site }))}
    ${choice('Tag', { value: filters.tag, options: withAll('All tags', tree?.tags ?? [], filters.tag) }, (tag) => set({ tag }))}
    ${choice(
      'Order',
      { value: filters.sort, options: sortOrders.map((value) => [value, sortWords[value]] as const) },
      (value) => set({ sort: sortOrders.find((order) => order === value) ?? 'worst' }),
    )}
    <button class="button button-quiet" type="button" ?disabled=${!isFiltered(filters)} @click=${() => set({ ...noFilters, sort: filters.sort })}>
      Clear
    </button>
  </div>`;
}

function countsWords({ shownCount, machineCount }: Tree): string {
  const all = countWords(machineCount, 'machine');
  return shownCount === machineCount ? all : `${shownCount} of ${all}`;
}

/** The chosen one stays a choice when nothing has it any more: a shared link must not look like another one. */
function withAll(all: string, values: readonly string[], chosen: string): (readonly [string, string])[] {
  const known = chosen === '' || values.includes(chosen) ? values : [...values, chosen];
  return [['', all] as const, ...known.map((value) => [value, value] as const)];
}

type Choice = { readonly value: string; readonly options: readonly (readonly [value: string, words: string])[] };

function choice(label: string, { value, options }: Choice, onChosen: (value: string) => void): TemplateResult {
  const changed = (event: Event) => event.target instanceof HTMLSelectElement && onChosen(event.target.value);
  return html`<select class="field choice" aria-label=${label} @change=${changed}>
    ${options.map(([one, words]) => html`<option value=${one} ?selected=${one === value} .selected=${one === value}>${words}</option>`)}
  </select>`;
}

function emptyView(page: Page, { machineCount }: Tree): TemplateResult {
  if (machineCount > 0) {
    return html`<p class="empty">
      No machine is like this.
      <button class="button" type="button" @click=${() => page.dispatch({ kind: 'overview-filters', filters: noFilters })}>Show all</button>
    </p>`;
  }
  return html`<p class="empty">No host with an agent has reported a machine yet.</p>`;
}

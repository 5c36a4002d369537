/** What the overview's person has chosen to see; the filters stand in the address too, so that a link shows the same. */
export type Filters = {
  /** Searched for in names, hosts, sites and tags; every word must be found. */
  readonly text: string;
  readonly state: StateFilter;
  /** Empty: all. */
  readonly site: string;
  readonly tag: string;
  readonly sort: SortOrder;
};

export const stateFilters = [
  'all',
  'attention',
  'enabled',
  'replicating',
  'paused',
  'not-enabled',
  'failed-over',
  'drill-open',
  'never-drilled',
] as const;
export type StateFilter = (typeof stateFilters)[number];
export const sortOrders = ['worst', 'name', 'lag'] as const;
export type SortOrder = (typeof sortOrders)[number];

/** How a row is drawn, by the width of the list itself: the chat beside it may take the rest. */
export type RowLayout = 'wide' | 'compact' | 'cards';

export type OverviewUi = {
  readonly filters: Filters;
  /** Keys of sites and hosts whose rows are hidden. */
  readonly closedKeys: ReadonlySet<string>;
  /** The row that the keyboard is on; undefined: the first one. */
  readonly focusedKey: string | undefined;
  /** The rows in view, of all rows: first inclusive, last exclusive. */
  readonly window: { readonly first: number; readonly last: number };
  readonly layout: RowLayout;
  /** The machine whose menu of actions is open. */
  readonly menuFor: string | undefined;
};

export type OverviewEvent =
  | { readonly kind: 'overview-filters'; readonly filters: Partial<Filters> }
  | { readonly kind: 'overview-toggled'; readonly key: string; readonly isOpen: boolean }
  | { readonly kind: 'overview-focused'; readonly key: string }
  | { readonly kind: 'overview-window'; readonly first: number; readonly last: number }
  | { readonly kind: 'overview-layout'; readonly layout: RowLayout }
  | { readonly kind: 'overview-menu'; readonly machine: string | undefined };

export const noFilters: Filters = { text: '', state: 'all', site: '', tag: '', sort: 'worst' };

/** Enough for a tall screen until the real size is known. */
const firstWindow = { first: 0, last: 40 };

/** The overview at an address; what is open and focused stays from before. */
export function initialOverview(query: URLSearchParams, before?: OverviewUi): OverviewUi {
  const ui = before ?? {
    filters: noFilters,
    closedKeys: new Set<string>(),
    focusedKey: undefined,
    window: firstWindow,
    layout: 'wide',
    menuFor: undefined,
  };
  return { ...ui, filters: filtersOf(query), window: firstWindow, menuFor: undefined };
}

export function reduceOverview(ui: OverviewUi, event: OverviewEvent): OverviewUi {
  switch (event.kind) {
    case 'overview-filters':
      return { ...ui, filters: { ...ui.filters, ...event.filters }, menuFor: undefined };
    case 'overview-toggled':
      return { ...ui, closedKeys: toggled(ui.closedKeys, event.key, event.isOpen), focusedKey: event.key };
    case 'overview-focused':
      return ui.focusedKey === event.key ? ui : { ...ui, focusedKey: event.key };
    case 'overview-window': {
      const { first, last } = event;
      const isSame = ui.window.first === first && ui.window.last === last;
      return isSame ? ui : { ...ui, window: { first, last } };
    }
    case 'overview-layout':
      return ui.layout === event.layout ? ui : { ...ui, layout: event.layout };
    case 'overview-menu':
      return ui.menuFor === event.machine ? ui : { ...ui, menuFor: event.machine };
    default:
      return event satisfies never;
  }
}

function toggled(keys: ReadonlySet<string>, key: string, isOpen: boolean): ReadonlySet<string> {
  const next = new Set(keys);
  if (isOpen) next.delete(key);
  else next.add(key);
  return next;
}

/** The filters that an address asks for; words that it does not know count as not said. */
export function filtersOf(query: URLSearchParams): Filters {
  return {
    text: (query.get('q') ?? '').slice(0, 200),
    state: stateFilters.find((state) => state === query.get('state')) ?? noFilters.state,
    site: query.get('site') ?? '',
    tag: query.get('tag') ?? '',
    sort: sortOrders.find((order) => order === query.get('sort')) ?? noFilters.sort,
  };
}

/** The address of the overview with these filters: only what differs from the first sight. */
export function pathOfFilters(filters: Filters): string {
  const query = new URLSearchParams();
  if (filters.text !== '') query.set('q', filters.text);
  if (filters.state !== noFilters.state) query.set('state', filters.state);
  if (filters.site !== '') query.set('site', filters.site);
  if (filters.tag !== '') query.set('tag', filters.tag);
  if (filters.sort !== noFilters.sort) query.set('sort', filters.sort);
  const text = query.toString();
  return text === '' ? '/' : `/?${text}`;
}

/** True when some machines may be hidden. */
export function isFiltered({ text, state, site, tag }: Filters): boolean {
  return text !== '' || state !== 'all' || site !== '' || tag !== '';
}

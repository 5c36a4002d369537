import type { OverviewView } from '../../../protocol/console-api.ts';
import type { HostView, MachineView } from '../../../protocol/control-api.ts';
import { type Urgency, urgencyOf } from '../../conversation/machine-words.ts';
import { machineKey } from '../site-changes.ts';
import type { Filters, OverviewUi, StateFilter } from './overview-state.ts';

/** How many machines of a group are how. */
export type RollUp = {
  readonly worst: Urgency;
  readonly count: number;
  readonly enabledCount: number;
  readonly replicatingCount: number;
  readonly movedCount: number;
  readonly needyCount: number;
  readonly lagMs: number;
};

/** What every row says to the tree: its place beside its siblings. */
type Place = {
  readonly key: string;
  readonly level: 1 | 2 | 3 | 4;
  readonly position: number;
  readonly setSize: number;
};
export type Row = Place &
  (
    | { readonly kind: 'site'; readonly name: string; readonly rollUp: RollUp; readonly isOpen: boolean }
    | {
        readonly kind: 'host';
        readonly name: string;
        /** Undefined for a host that only its machines name. */
        readonly host: HostView | undefined;
        readonly rollUp: RollUp;
        readonly isOpen: boolean;
      }
    | { readonly kind: 'machine'; readonly machine: MachineView; readonly copy: Copy | undefined }
    /** The machine at the recovery site, beside its source. Source: A12 */
    | { readonly kind: 'copy'; readonly machine: MachineView; readonly copy: Copy }
  );
export type Copy = { readonly vmName: string; readonly host: string; readonly why: 'drill' | 'failed-over' };

type Group = { readonly name: string; readonly machines: readonly MachineView[]; readonly rollUp: RollUp };
type HostGroup = Group & { readonly host: HostView | undefined };
type SiteGroup = Group & { readonly hosts: readonly HostGroup[] };

export type Tree = {
  readonly rows: readonly Row[];
  readonly shownCount: number;
  readonly machineCount: number;
  readonly sites: readonly string[];
  readonly tags: readonly string[];
};

/** The rows of the overview, from top to bottom. Pure; made anew only when the site or the choice changes. */
export function overviewTree(site: OverviewView, ui: Pick<OverviewUi, 'filters' | 'closedKeys'>): Tree {
  const hostByName = new Map(site.hosts.map((host) => [host.name, host]));
  const siteOf = (machine: MachineView) => hostByName.get(machine.hostName)?.siteName ?? 'main';
  const isShown = machineFilter(ui.filters, siteOf);
  const shown = site.machines.filter(isShown);
  const emptyHosts = hasChoice(ui.filters) ? [] : site.hosts;
  const groups = siteGroups({ machines: shown, hosts: emptyHosts, hostByName, siteOf }, ui.filters);
  return {
    rows: groups.flatMap((group, index) =>
      siteRows(group, { position: index + 1, setSize: groups.length }, ui.closedKeys),
    ),
    shownCount: shown.length,
    machineCount: site.machines.length,
    sites: sorted(new Set([...site.hosts.map((host) => host.siteName), ...site.machines.map(siteOf)])),
    tags: sorted(new Set(site.machines.flatMap((machine) => machine.tags))),
  };
}

function hasChoice({ text, state, site, tag }: Filters): boolean {
  return text !== '' || state !== 'all' || site !== '' || tag !== '';
}

function sorted(texts: ReadonlySet<string>): string[] {
  return [...texts].sort(byText);
}

// One collator for all: a comparison by `localeCompare` makes one each time, which 1,000 names feel.
const collator = new Intl.Collator('en', { numeric: true });
const byText = (a: string, b: string): number => collator.compare(a, b);

function machineFilter(filters: Filters, siteOf: (machine: MachineView) => string) {
  const words = filters.text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  return (machine: MachineView): boolean => {
    if (!matchesState(machine, filters.state)) return false;
    if (filters.site !== '' && siteOf(machine) !== filters.site) return false;
    if (filters.tag !== '' && !machine.tags.includes(filters.tag)) return false;
    if (words.length === 0) return true;
    const text = [machine.name, machine.hostName, siteOf(machine), copyOf(machine)?.vmName, ...machine.tags].join('\n');
    const found = text.toLowerCase();
    return words.every((word) => found.includes(word));
  };
}

function matchesState(machine: MachineView, state: StateFilter): boolean {
  switch (state) {
    case 'all':
      return true;
    case 'attention':
      return urgencyOf(machine) !== 'none';
    case 'enabled':
      return machine.protection.kind === 'protected';
    case 'replicating':
      return machine.protection.kind === 'initial-replication';
    case 'paused':
      return machine.replication.kind === 'paused';
    case 'not-enabled':
      return machine.protection.kind === 'not-protected';
    case 'failed-over':
      return machine.protection.kind === 'failed-over';
    case 'drill-open':
      return isDrillOpen(machine);
    case 'never-drilled':
      return machine.protection.kind === 'protected' && machine.lastDrill === null;
    default:
      return state satisfies never;
  }
}

/** True from the order to begin a test failover until its copy is deleted. */
export function isDrillOpen({ drill }: MachineView): boolean {
  return drill !== null && drill.state !== 'closed';
}

/** The machine at the recovery site that stands for this one, if there is one. Source: A12 */
export function copyOf(machine: MachineView): Copy | undefined {
  const { protection, drill } = machine;
  if (protection.kind === 'failed-over')
    return { vmName: protection.vmName, host: protection.target, why: 'failed-over' };
  if (drill === null || drill.state === 'closed') return undefined;
  return { vmName: drill.vmName, host: 'recovery site', why: 'drill' };
}

type Grouping = {
  readonly machines: readonly MachineView[];
  /** Those to list even when they have no machine. */
  readonly hosts: readonly HostView[];
  readonly hostByName: ReadonlyMap<string, HostView>;
  readonly siteOf: (machine: MachineView) => string;
};

function siteGroups({ machines, hosts, hostByName, siteOf }: Grouping, filters: Filters): SiteGroup[] {
  const hostNames = new Map<string, Set<string>>();
  const addHost = (site: string, host: string) => {
    const names = hostNames.get(site) ?? new Set<string>();
    hostNames.set(site, names.add(host));
  };
  for (const host of hosts) addHost(host.siteName, host.name);
  for (const machine of machines) addHost(siteOf(machine), machine.hostName);
  const byHost = Map.groupBy(machines, (machine) => machine.hostName);
  const groups = [...hostNames].map(([name, names]) => {
    const hostGroups = [...names].map((hostName): HostGroup => {
      const guests = [...(byHost.get(hostName) ?? [])].sort(machineOrder(filters.sort));
      return { name: hostName, host: hostByName.get(hostName), machines: guests, rollUp: rollUpOf(guests) };
    });
    const all = hostGroups.flatMap((group) => group.machines);
    return { name, hosts: hostGroups.sort(groupOrder(filters.sort)), machines: all, rollUp: rollUpOf(all) };
  });
  return groups.sort(groupOrder(filters.sort));
}

const urgencyRank: Readonly<Record<Urgency, number>> = { critical: 0, warning: 1, unknown: 2, none: 3 };

/** Among those that are well, those whose copy is still made come before those that nobody asked to protect. */
function restRank({ protection }: MachineView): number {
  return { 'failed-over': 0, 'initial-replication': 1, protected: 2, 'not-protected': 3 }[protection.kind];
}

function machineOrder(sort: Filters['sort']): (a: MachineView, b: MachineView) => number {
  const byName = (a: MachineView, b: MachineView) => byText(a.name, b.name);
  const byLag = (a: MachineView, b: MachineView) => (b.lagMs ?? -1) - (a.lagMs ?? -1);
  const byUrgency = (a: MachineView, b: MachineView) =>
    urgencyRank[urgencyOf(a)] - urgencyRank[urgencyOf(b)] || restRank(a) - restRank(b);
  if (sort === 'name') return byName;
  return sort === 'lag' ? (a, b) => byLag(a, b) || byName(a, b) : (a, b) => byUrgency(a, b) || byName(a, b);
}

function groupOrder(sort: Filters['sort']): (a: Group, b: Group) => number {
  const byName = (a: Group, b: Group) => byText(a.name, b.name);
  if (sort === 'name') return byName;
  if (sort === 'lag') return (a, b) => b.rollUp.lagMs - a.rollUp.lagMs || byName(a, b);
  return (a, b) => urgencyRank[a.rollUp.worst] - urgencyRank[b.rollUp.worst] || byName(a, b);
}

function rollUpOf(machines: readonly MachineView[]): RollUp {
  const urgencies = machines.map(urgencyOf);
  const count = (kind: MachineView['protection']['kind']) =>
    machines.filter((machine) => machine.protection.kind === kind).length;
  return {
    worst: (['critical', 'warning', 'unknown'] as const).find((urgency) => urgencies.includes(urgency)) ?? 'none',
    count: machines.length,
    enabledCount: count('protected'),
    replicatingCount: count('initial-replication'),
    movedCount: count('failed-over'),
    needyCount: urgencies.filter((urgency) => urgency !== 'none').length,
    lagMs: machines.reduce((worst, machine) => Math.max(worst, machine.lagMs ?? -1), -1),
  };
}

type Siblings = { readonly position: number; readonly setSize: number };

function siteRows(group: SiteGroup, siblings: Siblings, closedKeys: ReadonlySet<string>): Row[] {
  const { name, rollUp, hosts } = group;
  const key = `site:${name}`;
  const isOpen = !closedKeys.has(key);
  const row: Row = { kind: 'site', key, level: 1, ...siblings, name, rollUp, isOpen };
  if (!isOpen) return [row];
  const rows = hosts.flatMap((host, index) =>
    hostRows(host, { position: index + 1, setSize: hosts.length }, { site: name, closedKeys }),
  );
  return [row, ...rows];
}

function hostRows(
  group: HostGroup,
  siblings: Siblings,
  { site, closedKeys }: { site: string; closedKeys: ReadonlySet<string> },
): Row[] {
  const { name, host, rollUp, machines } = group;
  const key = `host:${site}/${name}`;
  const isOpen = !closedKeys.has(key);
  const row: Row = { kind: 'host', key, level: 2, ...siblings, name, host, rollUp, isOpen };
  if (!isOpen) return [row];
  return [
    row,
    ...machines.flatMap((machine, index) => machineRows(machine, { position: index + 1, setSize: machines.length })),
  ];
}

function machineRows(machine: MachineView, siblings: Siblings): Row[] {
  const copy = copyOf(machine);
  const row: Row = { kind: 'machine', key: machineKey(machine), level: 3, ...siblings, machine, copy };
  if (copy === undefined) return [row];
  return [row, { kind: 'copy', key: `copy:${machineKey(machine)}`, level: 4, position: 1, setSize: 1, machine, copy }];
}

import type { OverviewView } from '../../protocol/console-api.ts';
import type { HostView, MachineView } from '../../protocol/control-api.ts';
import type { ChangesOf, LiveEvent, SiteParts } from './wire.ts';

/** Pure, and without anything of Node: the server makes changes with it, the page applies them. */
export type SiteChange = Extract<LiveEvent, { kind: 'change' }>;

/** Lags that differ by less than this from the passing of time are not worth a message. */
const lagToleranceMs = 1500;

/** Two hosts may have guests of the same name. */
export function machineKey(machine: Pick<MachineView, 'hostName' | 'name'>): string {
  return `${machine.hostName}/${machine.name}`;
}

const hostKey = ({ name }: Pick<HostView, 'name'>): string => name;

/** What has changed between two looks. The lag that only grew with time is no change: `applyChange` lets it grow. */
export function changeBetween(before: OverviewView, after: OverviewView): SiteChange {
  const { atMs } = after;
  const passedMs = atMs - before.atMs;
  const machines = listChanges(before.machines, after.machines, {
    keyOf: machineKey,
    isSameItem: (old, now) => isSameMachine(old, now, passedMs),
  });
  // Each host is heard every few seconds, so some of them are in nearly every change; the names of their guests are long.
  const hosts = listChanges(before.hosts, after.hosts, { keyOf: hostKey, isSameItem: isSame });
  return {
    kind: 'change',
    atMs,
    ...(machines !== undefined && { machines }),
    ...(hosts !== undefined && { hosts }),
    ...partChanges(before, after),
  };
}

/** True when a change says nothing but the time. */
export function isEmptyChange(change: SiteChange): boolean {
  return Object.keys(change).every((key) => key === 'kind' || key === 'atMs');
}

/** The site after a change: what is not in it stays, but lags grow with the time that has passed. */
export function applyChange(site: OverviewView, change: SiteChange): OverviewView {
  const { kind: _, atMs, machines, hosts, ...parts } = change;
  const aged = grownOlder(site, atMs);
  return {
    ...aged,
    ...parts,
    machines: merged(aged.machines, machines, machineKey),
    hosts: merged(aged.hosts, hosts, hostKey),
  };
}

/** The same site, some time later by the database's clock. Also for `beat`. */
export function grownOlder(site: OverviewView, atMs: number): OverviewView {
  const passedMs = atMs - site.atMs;
  if (passedMs <= 0) return site;
  return { ...site, atMs, machines: site.machines.map((machine) => withOlderLag(machine, passedMs)) };
}

function withOlderLag(machine: MachineView, passedMs: number): MachineView {
  return machine.lagMs === null ? machine : { ...machine, lagMs: machine.lagMs + passedMs };
}

type Named = { readonly name: string };

/** The very list when nothing of it has changed: what is made of it is not made anew. */
function merged<Item extends Named>(
  items: Item[],
  changes: ChangesOf<Item> | undefined,
  keyOf: (item: Item) => string,
): Item[] {
  if (changes === undefined) return items;
  const fresh = new Map(changes.changed.map((item) => [keyOf(item), item]));
  const gone = new Set(changes.removed);
  const kept = items.filter((item) => !gone.has(keyOf(item)) && !fresh.has(keyOf(item)));
  // The engine's order: by name.
  return [...kept, ...fresh.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

type Comparison<Item> = {
  readonly keyOf: (item: Item) => string;
  readonly isSameItem: (before: Item, after: Item) => boolean;
};

function listChanges<Item>(
  before: readonly Item[],
  after: readonly Item[],
  { keyOf, isSameItem }: Comparison<Item>,
): ChangesOf<Item> | undefined {
  const old = new Map(before.map((item) => [keyOf(item), item]));
  const changed = after.filter((item) => {
    const known = old.get(keyOf(item));
    return known === undefined || !isSameItem(known, item);
  });
  const present = new Set(after.map(keyOf));
  const removed = [...old.keys()].filter((key) => !present.has(key));
  return changed.length === 0 && removed.length === 0 ? undefined : { changed, removed };
}

function isSameMachine(before: MachineView, after: MachineView, passedMs: number): boolean {
  if (!isSameLag(before.lagMs, after.lagMs, passedMs)) return false;
  return isSame({ ...before, lagMs: null }, { ...after, lagMs: null });
}

function isSameLag(before: number | null, after: number | null, passedMs: number): boolean {
  if (before === null || after === null) return before === after;
  return Math.abs(after - before - passedMs) < lagToleranceMs;
}

const partNames = ['runs', 'approvals', 'alerts', 'surfaces', 'versions'] as const satisfies (keyof SiteParts)[];

function partChanges(before: OverviewView, after: OverviewView): SiteParts {
  const changed = partNames.filter((name) => !isSame(before[name], after[name]));
  return Object.fromEntries(changed.map((name) => [name, after[name]]));
}

/** Both come from the same schema, so that their fields are in the same order. */
function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

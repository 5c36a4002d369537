import type { OverviewView } from '../../protocol/console-api.ts';
import type { MachineView } from '../../protocol/control-api.ts';
import type { LiveEvent, MachineChanges, SiteParts } from './wire.ts';

/** Pure, and without anything of Node: the server makes changes with it, the page applies them. */
export type SiteChange = Extract<LiveEvent, { kind: 'change' }>;

/** Lags that differ by less than this from the passing of time are not worth a message. */
const lagToleranceMs = 1500;

/** Two hosts may have guests of the same name. */
export function machineKey(machine: Pick<MachineView, 'hostName' | 'name'>): string {
  return `${machine.hostName}/${machine.name}`;
}

/** What has changed between two looks. The lag that only grew with time is no change: `applyChange` lets it grow. */
export function changeBetween(before: OverviewView, after: OverviewView): SiteChange {
  const { atMs } = after;
  const machines = machineChanges(before, after);
  return { kind: 'change', atMs, ...(machines !== undefined && { machines }), ...partChanges(before, after) };
}

/** True when a change says nothing but the time. */
export function isEmptyChange(change: SiteChange): boolean {
  return Object.keys(change).every((key) => key === 'kind' || key === 'atMs');
}

/** The site after a change: what is not in it stays, but lags grow with the time that has passed. */
export function applyChange(site: OverviewView, change: SiteChange): OverviewView {
  const { kind: _, atMs, machines, ...parts } = change;
  const aged = grownOlder(site, atMs);
  return { ...aged, ...parts, machines: machines === undefined ? aged.machines : merged(aged.machines, machines) };
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

function merged(machines: readonly MachineView[], { changed, removed }: MachineChanges): MachineView[] {
  const fresh = new Map(changed.map((machine) => [machineKey(machine), machine]));
  const gone = new Set(removed);
  const kept = machines.filter((machine) => !gone.has(machineKey(machine)) && !fresh.has(machineKey(machine)));
  // The engine's order: by name.
  return [...kept, ...fresh.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function machineChanges(before: OverviewView, after: OverviewView): MachineChanges | undefined {
  const passedMs = after.atMs - before.atMs;
  const old = new Map(before.machines.map((machine) => [machineKey(machine), machine]));
  const changed = after.machines.filter((machine) => {
    const known = old.get(machineKey(machine));
    return known === undefined || !isSameMachine(known, machine, passedMs);
  });
  const present = new Set(after.machines.map(machineKey));
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

const partNames = [
  'hosts',
  'runs',
  'approvals',
  'alerts',
  'surfaces',
  'versions',
] as const satisfies (keyof SiteParts)[];

function partChanges(before: OverviewView, after: OverviewView): SiteParts {
  const changed = partNames.filter((name) => !isSame(before[name], after[name]));
  return Object.fromEntries(changed.map((name) => [name, after[name]]));
}

/** Both come from the same schema, so that their fields are in the same order. */
function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

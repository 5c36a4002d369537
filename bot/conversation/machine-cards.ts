import { firstTierTag } from '../../domain/approval.ts';
import { formatBytes } from '../../domain/units.ts';
import type { DrillView, MachineView, PointView } from '../../protocol/control-api.ts';
import { type Button, type Card, type Field, shorten } from '../card.ts';
import type { PointFilter } from '../command.ts';
import {
  drillWords,
  enabledWords,
  hasOwnThresholds,
  isReplicated,
  lagWords,
  newestPointWords,
  pointWords,
  replicationProgress,
  stateWords,
  thresholdWords,
  toneOf,
  troubleSentences,
  urgencyOf,
  worstFirst,
} from './machine-words.ts';
import { age, instant } from './time-words.ts';

/** Rows of every list and table. */
export const pageSize = 20;

/** One line per machine, those that need somebody first. */
export function statusCard(machines: readonly MachineView[], about: string | undefined, nowMs: number): Card {
  const shown = worstFirst(machines).slice(0, pageSize);
  const rest = machines.length - shown.length;
  return {
    title: statusTitle(machines, about),
    tone: machines.length === 0 ? 'neutral' : toneOf(machines),
    audience: 'asker',
    text: shown.flatMap((machine) => troubleSentences(machine, nowMs)).map((line) => shorten(line, 300)),
    ...(machines.length > 0 && { table: machineTable(shown, nowMs) }),
    ...(machines.length === 0 && { footer: 'No host with an agent has reported a machine yet.' }),
    ...(rest > 0 && { footer: `and ${rest} more: \`list vms --page 2\`` }),
  };
}

function statusTitle(machines: readonly MachineView[], about: string | undefined): string {
  const needy = machines.filter((machine) => urgencyOf(machine) !== 'none').length;
  const place = about === undefined ? '' : ` on ${about}`;
  if (machines.length === 0) return `No machines${place}`;
  const need = needy === 0 ? '' : ` · ${needy} ${needy === 1 ? 'needs' : 'need'} attention`;
  return `${countWords(machines.length, 'machine')}${place} · ${enabledWords(machines)}${need}`;
}

function machineTable(machines: readonly MachineView[], nowMs: number) {
  const hasDrill = machines.some((machine) => drillWords(machine, nowMs) !== '–');
  return {
    columns: ['Machine', 'State', 'Lag', 'Newest point', ...(hasDrill ? ['Drill'] : [])],
    rows: machines.map((machine) => [
      machine.name,
      stateWords(machine),
      lagWords(machine),
      newestPointWords(machine, nowMs),
      ...(hasDrill ? [drillWords(machine, nowMs)] : []),
    ]),
  };
}

/** A page of `list vms`: where each machine is, and how. */
export function machineListCard(
  machines: readonly MachineView[],
  view: { page: number; state: string | undefined; nowMs: number },
): Card {
  const chosen = machines.filter((machine) => view.state === undefined || matches(machine, view.state));
  const ordered = chosen.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  const shown = ordered.slice((view.page - 1) * pageSize, view.page * pageSize);
  const filter = view.state === undefined ? '' : ` that are ${view.state}`;
  return {
    title: `${countWords(chosen.length, 'machine')}${filter}${pageWords(view.page, chosen.length)}`,
    tone: 'neutral',
    audience: 'asker',
    text: shown.filter((machine) => machine.unsupported !== null).map((machine) => unsupportedWords(machine)),
    ...(shown.length > 0 && {
      table: {
        columns: ['Machine', 'Host', 'State', 'Disks', 'Newest point'],
        rows: shown.map((machine) => [
          machine.name,
          machine.hostName,
          stateWords(machine),
          diskWords(machine),
          newestPointWords(machine, view.nowMs),
        ]),
      },
    }),
    ...(shown.length === 0 && chosen.length > 0 && { footer: `There is no page ${view.page}.` }),
  };
}

function unsupportedWords(machine: MachineView): string {
  return shorten(`${machine.name} cannot be protected: ${machine.unsupported ?? ''}`, 300);
}

function matches(machine: MachineView, state: string): boolean {
  if (state === 'paused') return machine.replication.kind === 'paused';
  const kinds: Readonly<Record<string, string>> = {
    enabled: 'protected',
    replicating: 'initial-replication',
    'not-enabled': 'not-protected',
    'failed-over': 'failed-over',
  };
  return machine.protection.kind === kinds[state];
}

/** Everything about one machine. */
export function machineCard(machine: MachineView, nowMs: number): Card {
  const { protection } = machine;
  return {
    title: `${machine.name} · ${stateWords(machine)}`,
    tone: toneOf([machine]),
    audience: 'asker',
    text: [
      ...troubleSentences(machine, nowMs).map((line) => shorten(line, 500)),
      ...(machine.unsupported === null ? [] : [unsupportedWords(machine)]),
    ],
    ...(protection.kind === 'initial-replication' && { progress: replicationProgress(protection) }),
    fields: machineFields(machine, nowMs),
    buttons: machineButtons(machine),
  };
}

function machineFields(machine: MachineView, nowMs: number): Field[] {
  const { newestPoint, policy, drill } = machine;
  const isOpen = drill !== null && drill.state !== 'closed';
  return [
    { label: 'Host', value: `${machine.hostName} (${machine.kind})` },
    ...(machine.tags.length === 0 ? [] : [{ label: 'Tags', value: shorten(tagWords(machine), 300) }]),
    { label: 'Disks', value: diskWords(machine) },
    { label: 'Changes', value: shorten(machine.tracking, 300) },
    ...(policy === null ? [] : [{ label: 'Policy', value: policyWords(policy, machine) }]),
    ...failedOverFields(machine, nowMs),
    ...(isReplicated(machine) && hasOwnThresholds(machine)
      ? [{ label: 'Lag limits', value: thresholdWords(machine) }]
      : []),
    ...(isReplicated(machine) ? [{ label: 'Lag', value: lagWords(machine) }] : []),
    ...(newestPoint === null
      ? []
      : [{ label: 'Newest', value: `${pointWords(newestPoint)}, ${instant(newestPoint.takenAtMs, nowMs)}` }]),
    ...(protectedFields(machine) ? [{ label: 'Points', value: `${machine.availablePointCount} available` }] : []),
    ...(protectedFields(machine) ? [{ label: 'Sent', value: formatBytes(machine.sentBytesTotal) }] : []),
    ...(isOpen ? [{ label: 'Drill', value: openDrillWords(machine, drill, nowMs) }] : []),
  ];
}

/** `tier:0 (two approvals), web`: that tag comes first, because a planned failover waits for two persons by it. Source: CHAT 5.2 */
function tagWords({ tags }: MachineView): string {
  const others = tags.filter((tag) => tag !== firstTierTag);
  return [...(tags.includes(firstTierTag) ? [`${firstTierTag} (two approvals)`] : []), ...others].join(', ');
}

/** Where it runs now, since when, and whether it still needs the vault for it. Source: A10 */
function failedOverFields({ protection }: MachineView, nowMs: number): Field[] {
  if (protection.kind !== 'failed-over') return [];
  const { target, vmName, atMs, disks, runId } = protection;
  return [
    { label: 'Runs', value: `${vmName} at ${target}, since ${instant(atMs, nowMs)}, by ${runId}` },
    {
      label: 'Data',
      value: disks === 'local' ? 'all local at the target' : 'still being read from the vault while it runs',
    },
    { label: 'Original', value: 'shut down and fenced: it cannot replicate, or start beside it unnoticed' },
  ];
}

function openDrillWords(machine: MachineView, drill: DrillView, nowMs: number): string {
  if (drill.state !== 'open') return `${drill.vmName}: ${drillWords(machine, nowMs)}, ${drill.runId}`;
  return `${drill.vmName}: open, ends by itself ${instant(drill.expiresAtMs, nowMs)}, ${drill.runId}`;
}

function protectedFields(machine: MachineView): boolean {
  return machine.protection.kind !== 'not-protected';
}

function policyWords(policy: NonNullable<MachineView['policy']>, machine: MachineView): string {
  const kept = `kept ${age(policy.retentionMs)}`;
  // What does not hold for the machine is not said of it.
  const limit = hasOwnThresholds(machine) ? '' : `, lag limit ${age(policy.rpoThresholdMs)}`;
  return `${policy.name}: a point every ${age(policy.crashConsistentEveryMs)}, ${kept}${limit}`;
}

function diskWords(machine: MachineView): string {
  const total = machine.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  return `${countWords(machine.disks.length, 'disk')}, ${formatBytes(total)}`;
}

function machineButtons(machine: MachineView): Button[] {
  const { name, protection, drill, replication, unsupported } = machine;
  if (protection.kind === 'not-protected') {
    return unsupported === null
      ? [{ label: 'Protect', line: `enable ${name} --policy default`, style: 'primary' }]
      : [];
  }
  const resume: Button[] =
    replication.kind === 'paused' ? [{ label: 'Resume', line: `resume ${name}`, style: 'default' }] : [];
  if (protection.kind !== 'protected') return resume;
  if (drill?.state === 'open') return [{ label: 'Clean up', line: `cleanup ${name}`, style: 'primary' }, ...resume];
  if (drill !== null && drill.state !== 'closed') {
    return [{ label: 'Watch', line: `show ${drill.runId}`, style: 'default' }, ...resume];
  }
  return [{ label: 'Test failover', line: `failover ${name} --test`, style: 'primary' }, ...resume];
}

/** Recovery points, newest first; only an available one can be failed over to. */
export function pointsCard(
  points: readonly PointView[],
  view: { machine: string; filter: PointFilter; nowMs: number },
): Card {
  const chosen = points.filter((point) => view.filter === 'all' || point.kind === view.filter);
  const newestFirst = [...chosen].sort((a, b) => b.takenAtMs - a.takenAtMs);
  const usable = chosen.filter((point) => point.state === 'available').length;
  const kind = view.filter === 'all' ? '' : ` ${view.filter}`;
  const rest = newestFirst.length - pageSize;
  const newest = newestFirst.find((point) => point.state === 'available');
  return {
    title: `${view.machine} · ${countWords(chosen.length, `${kind.trim()} point`.trim())}, ${usable} available`,
    tone: usable > 0 ? 'neutral' : 'warning',
    audience: 'asker',
    ...(chosen.length > 0 && {
      table: {
        columns: ['Taken', 'Id', 'Kind', 'State', 'Reason'],
        rows: newestFirst
          .slice(0, pageSize)
          .map((point) => [
            instant(point.takenAtMs, view.nowMs),
            point.id,
            point.kind === 'application-consistent' ? 'app' : 'crash',
            point.state,
            point.reason === '' ? '–' : `"${shorten(point.reason, 60)}"`,
          ]),
      },
    }),
    ...(newest !== undefined && { copyLine: `failover ${view.machine} --test --point ${newest.id}` }),
    ...(rest > 0 && { footer: `and ${rest} older` }),
    ...(chosen.length === 0 && { footer: `There is no${kind} recovery point of ${view.machine} yet.` }),
  };
}

export function countWords(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

export function pageWords(page: number, count: number): string {
  const pages = Math.max(1, Math.ceil(count / pageSize));
  return pages === 1 ? '' : ` · page ${page} of ${pages}`;
}

/** The page's slice of a list, in the size that every list has. */
export function pageOf<Item>(items: readonly Item[], page: number): Item[] {
  return items.slice((page - 1) * pageSize, page * pageSize);
}

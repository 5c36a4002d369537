import {
  type AlertMember,
  type AlertRule,
  type Condition,
  type Desired,
  keyOf,
  type OpenAlert,
  type Watch,
} from './alert.ts';
import { minuteMs } from './units.ts';

/** So many machines with one thing in common, within this time, are one alert. Source: CHAT 5.3 */
export const groupCountMin = 3;
export const groupWithinMs = minuteMs;

const groupedRules: readonly AlertRule[] = ['lag', 'resync-required', 'agent-silent'];

/** What a group says of a member that it does not stand for any more: it is well, or it is muted. */
const memberHasLeft = 'no longer part of it';

/** True when the group stands for this member now. */
export function isAtWork(member: AlertMember): boolean {
  return member.text !== memberHasLeft;
}

/** A look and what is remembered after it. */
export type Seen = { readonly watch: Watch; readonly condition: Condition };
/** A look that found something bad, and the alert that it would be alone. */
export type Single = { readonly seen: Seen; readonly alert: Desired };

function desiredOf({ watch, condition }: Seen, members: readonly AlertMember[]): Desired {
  const { rule, scope, title, text, nextStep, machineNames, host, step = 0 } = condition;
  return {
    rule,
    scope,
    severity: watch.taken ?? 'warning',
    title,
    text,
    nextStep,
    machineNames,
    members,
    host: host ?? null,
    groupScope: null,
    mutedWhy: watch.mutedWhy,
    step,
  };
}

/** Whether one alert explains that a machine lags: then the machine is a member of it, and no alert of its own. */
function explains(cause: Condition, machine: Condition): boolean {
  switch (cause.rule) {
    case 'agent-silent':
      return cause.scope === machine.host;
    case 'process-server-silent':
      return cause.scope === machine.processServer;
    case 'resync-required':
      return cause.scope === machine.scope;
    case 'vault-unreachable':
      return true;
    default:
      return false;
  }
}

/** Lag that other alerts explain, and of which people do not know yet. What is open already stays an alert of its own. */
export function explainedLag(seen: readonly Seen[], open: readonly OpenAlert[]): ReadonlySet<string> {
  const openKeys = new Set(open.map(keyOf));
  // A cause that is only a warning must not hide lag that is more than that.
  const causes = seen.filter(
    ({ watch }) => watch.rule !== 'lag' && watch.taken === 'critical' && watch.mutedWhy === null,
  );
  if (causes.length === 0) return new Set();
  const explained = lagging(seen).filter(
    ({ condition }) => !openKeys.has(keyOf(condition)) && causes.some((cause) => explains(cause.condition, condition)),
  );
  return new Set(explained.map(({ condition }) => keyOf(condition)));
}

/** Bad looks as alerts, each with the lag that it explains. */
export function withConsequences(bad: readonly Seen[], seen: readonly Seen[]): readonly Single[] {
  const late = lagging(seen);
  return bad.map((one) => {
    const members = late
      .filter(({ condition }) => explains(one.condition, condition))
      .map(({ condition }) => ({ scope: condition.scope, text: condition.text }));
    return { seen: one, alert: desiredOf(one, members) };
  });
}

function lagging(seen: readonly Seen[]): Seen[] {
  return seen.filter(({ condition }) => condition.rule === 'lag' && isBad(condition));
}

export function isBad({ level }: Condition): boolean {
  return level === 'warning' || level === 'critical';
}

/**
 * Replaces what has a common cause by one alert that names it. What belongs to an open group, or begins within a minute of it, is in it;
 * what comes later is an alert of its own, unless it is another burst.
 */
export function groupByCause(singles: readonly Single[], open: readonly OpenAlert[], nowMs: number): Desired[] {
  const left = new Set(singles);
  const groups: Desired[] = [];
  const take = (group: Group) => {
    groups.push(groupOf(group));
    for (const one of group.together) left.delete(one);
  };
  for (const rule of groupedRules) {
    const pool = () => [...left].filter(({ alert }) => alert.rule === rule && alert.mutedWhy === null);
    const parents = open.flatMap((alert) => (alert.rule === rule && alert.groupScope !== null ? [alert] : []));
    for (const parent of parents) {
      const together = belongingTo(parent, pool(), nowMs);
      if (together.length > 0) take({ rule, cause: parent.scope, together, parent });
    }
    for (const causeOf of causeKinds) {
      for (const [cause, together] of Map.groupBy(burstOf(pool(), nowMs), ({ seen }) => causeOf(seen.condition))) {
        const isTaken = parents.some((parent) => parent.groupScope === cause);
        if (cause !== undefined && !isTaken && together.length >= groupCountMin) {
          take({ rule, cause, together, parent: undefined });
        }
      }
    }
  }
  return [...[...left].map(({ alert }) => alert), ...groups];
}

/** Nearest cause first: a host, then a process server, then the site. */
const causeKinds: readonly ((condition: Condition) => string | undefined)[] = [
  ({ rule, host }) => (host === undefined || rule === 'agent-silent' ? undefined : `host ${host}`),
  ({ processServer }) => (processServer === undefined ? undefined : `process server ${processServer}`),
  () => 'the whole site',
];

function burstOf(singles: readonly Single[], nowMs: number): Single[] {
  return singles.filter(({ seen }) => nowMs - seen.watch.takenAtMs <= groupWithinMs);
}

function belongingTo(parent: OpenAlert, pool: readonly Single[], nowMs: number): Single[] {
  const members = new Set(parent.members.filter(isAtWork).map((member) => member.scope));
  const hasCause = ({ seen }: Single) => causeKinds.some((causeOf) => causeOf(seen.condition) === parent.groupScope);
  const isEarly = ({ seen }: Single) => Math.abs(seen.watch.takenAtMs - parent.openedAtMs) <= groupWithinMs;
  const old = pool.filter((one) => members.has(one.alert.scope) || (hasCause(one) && isEarly(one)));
  const late = burstOf(pool, nowMs).filter((one) => hasCause(one) && !old.includes(one));
  return late.length >= groupCountMin ? [...old, ...late] : old;
}

type Group = {
  readonly rule: AlertRule;
  readonly cause: string;
  readonly together: readonly Single[];
  readonly parent: OpenAlert | undefined;
};

function groupOf({ rule, cause, together, parent }: Group): Desired {
  const what = rule === 'lag' ? 'lag behind' : rule === 'agent-silent' ? 'are silent' : 'need a resynchronisation';
  const things = rule === 'agent-silent' ? 'hosts' : 'machines';
  const count = together.length === 1 ? `1 of the ${things}` : `${together.length} ${things}`;
  const nextStep = together[0]?.alert.nextStep ?? '';
  return {
    rule,
    scope: cause,
    severity: together.some(({ alert }) => alert.severity === 'critical') ? 'critical' : 'warning',
    title: `${count} of ${cause} ${together.length === 1 ? singular[what] : what}`,
    text: `They began within a minute of each other, so the cause is probably what they share: ${cause}.`,
    nextStep: `Look at ${cause} first (network, load, storage), then at single ${things}. ${nextStep}`.trim(),
    machineNames: [...new Set(together.flatMap(({ alert }) => alert.machineNames))].sort(),
    members: membersOf(together, parent?.members ?? []),
    host: cause.startsWith('host ') ? (together[0]?.alert.host ?? null) : null,
    groupScope: cause,
    mutedWhy: null,
    step: 0,
  };
}

const singular = {
  'lag behind': 'lags behind',
  'are silent': 'is silent',
  'need a resynchronisation': 'needs a resynchronisation',
} as const;

function membersOf(together: readonly Single[], before: readonly AlertMember[]): AlertMember[] {
  const now = new Map(together.map(({ alert }) => [alert.scope, alert.text]));
  const known = before.map(({ scope }) => ({ scope, text: now.get(scope) ?? memberHasLeft }));
  const knownScopes = new Set(before.map(({ scope }) => scope));
  const joined = [...now].filter(([scope]) => !knownScopes.has(scope)).map(([scope, text]) => ({ scope, text }));
  return [...known, ...joined];
}

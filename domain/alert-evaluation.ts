import {
  type AlertChange,
  type AlertMember,
  type AlertRule,
  afterGap,
  type Condition,
  type Desired,
  isForgettable,
  keyOf,
  look,
  muted,
  newWatch,
  type OpenAlert,
  type Watch,
} from './alert.ts';
import {
  explainedLag,
  groupByCause,
  groupCountMin,
  isAtWork,
  isBad,
  type Seen,
  withConsequences,
} from './alert-grouping.ts';
import { minuteMs } from './units.ts';

/** Words that only say it with newer figures are changed this often; everything else at once. */
const refreshWordsMs = minuteMs;

export type Evaluation = {
  readonly changes: readonly AlertChange[];
  /** What the next look needs to know; what is not here may be forgotten. */
  readonly watches: readonly Watch[];
};

export type EvaluationInput = {
  readonly conditions: readonly Condition[];
  /** Rules that were looked at. What one of them does not find any more is over; of the others nothing is known. */
  readonly lookedAt: ReadonlySet<AlertRule>;
  readonly watches: readonly Watch[];
  readonly open: readonly OpenAlert[];
  /** Nobody looked for a while before this look. */
  readonly isAfterGap: boolean;
};

/** Decides what people are told of: facts and memory in, changes out. Source: CHAT 5.3 */
export function evaluate(input: EvaluationInput, nowMs: number): Evaluation {
  const seen = lookAtAll(input, nowMs);
  const explained = explainedLag(seen, input.open);
  const desired = desiredAlerts(
    seen.filter(({ watch }) => !explained.has(keyOf(watch))),
    { seen, open: input.open, nowMs },
  );
  // When what explains it is over, it gets time to become good as after any mute.
  const watches = seen.map(({ watch }) =>
    explained.has(keyOf(watch)) ? muted(watch, 'another alert explains it') : watch,
  );
  return {
    changes: changesTo(desired, input, nowMs),
    watches: [...watches.filter((watch) => !isForgettable(watch)), ...unseen(input)],
  };
}

/** What is remembered of rules that could not be looked at stays as it is. */
function unseen(input: EvaluationInput): Watch[] {
  return input.watches.filter((watch) => !input.lookedAt.has(watch.rule));
}

function lookAtAll(input: EvaluationInput, nowMs: number): Seen[] {
  const known = new Map(input.watches.map((watch) => [keyOf(watch), watch]));
  const found = input.conditions.map((condition) => [keyOf(condition), condition] as const);
  const conditions = new Map(found);
  for (const watch of input.watches) {
    if (input.lookedAt.has(watch.rule) && !conditions.has(keyOf(watch))) conditions.set(keyOf(watch), gone(watch));
  }
  return [...conditions].map(([key, condition]) => {
    const before = known.get(key) ?? newWatch(condition);
    return { condition, watch: look(input.isAfterGap ? afterGap(before) : before, condition, nowMs) };
  });
}

function gone({ rule, scope }: Watch): Condition {
  return { rule, scope, level: 'clear', title: '', text: '', nextStep: '', machineNames: [] };
}

type Around = { readonly seen: readonly Seen[]; readonly open: readonly OpenAlert[]; readonly nowMs: number };

function desiredAlerts(candidates: readonly Seen[], { seen, open, nowMs }: Around): Desired[] {
  const bad = candidates.filter(({ watch }) => watch.taken !== null && !watch.isFlapping);
  const told = bad.filter((one) => isTold(one, open) || (one.watch.mutedWhy === null && isBad(one.condition)));
  const single = withConsequences(told, seen);
  return [...groupByCause(single, open, nowMs), ...flappingAlerts(seen)];
}

/**
 * People know of it already. Of what they do not know they are told only while it is bad: not while it is muted, and not in the moments in
 * which what explained it is over and it is about to be over as well.
 */
function isTold({ watch }: Seen, open: readonly OpenAlert[]): boolean {
  return open.some(
    (alert) =>
      keyOf(alert) === keyOf(watch) ||
      (alert.rule === watch.rule && alert.groupScope !== null && isMemberAtWork(alert, watch.scope)),
  );
}

function flappingAlerts(seen: readonly Seen[]): Desired[] {
  const byScope = Map.groupBy(
    seen.filter(({ watch }) => watch.isFlapping),
    ({ watch }) => watch.scope,
  );
  return [...byScope].map(([scope, flapping]) => {
    const rules = flapping.map(({ watch }) => watch.rule).join(', ');
    const count = Math.max(...flapping.map(({ watch }) => watch.transitionsMs.length));
    const isCritical = flapping.some(({ watch }) => watch.taken === 'critical');
    return {
      rule: 'flapping',
      scope,
      severity: isCritical ? 'critical' : 'warning',
      title: `${scope} comes and goes (${rules})`,
      text: `It changed between bad and good ${count} times within 30 min. You are told of it once, until it has been calm for 15 min.`,
      nextStep: 'Look for what comes and goes with it: network, load, or a threshold that is too tight.',
      machineNames: [...new Set(flapping.flatMap(({ condition }) => condition.machineNames))],
      members: flapping.map(({ watch, condition }) => ({
        scope: watch.scope,
        text: condition.text || `${watch.rule}: good at the last look`,
      })),
      host: flapping[0]?.condition.host ?? null,
      groupScope: null,
      mutedWhy: null,
      step: 0,
    };
  });
}

function changesTo(desired: readonly Desired[], input: EvaluationInput, nowMs: number): AlertChange[] {
  const wanted = new Map(desired.map((alert) => [keyOf(alert), alert]));
  const open = new Map(input.open.map((alert) => [keyOf(alert), alert]));
  const changes: AlertChange[] = [];
  for (const alert of desired) {
    const there = open.get(keyOf(alert));
    if (there === undefined) changes.push({ kind: 'open', alert });
    else changes.push(...changesOf(there, alert, nowMs));
  }
  const groups = desired.filter((alert) => alert.groupScope !== null);
  const looksAt = (alert: OpenAlert) => input.lookedAt.has(alert.rule) || alert.rule === 'flapping';
  for (const alert of input.open) {
    if (wanted.has(keyOf(alert)) || !looksAt(alert)) continue;
    const parent = groups.find((group) => group.rule === alert.rule && isMemberAtWork(group, alert.scope));
    if (parent === undefined) changes.push({ kind: 'recover', id: alert.id, alert });
    else if (alert.muteKind !== 'grouped') {
      changes.push({ kind: 'mute', id: alert.id, by: 'grouped', why: `Now part of “${parent.title}”.` });
    }
  }
  return changes;
}

function isMemberAtWork(group: Pick<Desired, 'members'>, scope: string): boolean {
  return group.members.some((member) => member.scope === scope && isAtWork(member));
}

function changesOf(there: OpenAlert, alert: Desired, nowMs: number): AlertChange[] {
  const changes: AlertChange[] = [];
  if (alert.mutedWhy !== null && there.muteKind === null) {
    changes.push({ kind: 'mute', id: there.id, by: 'maintenance', why: alert.mutedWhy });
  }
  const isMuteOver = alert.mutedWhy === null && (there.muteKind === 'maintenance' || there.muteKind === 'grouped');
  if (isMuteOver) changes.push({ kind: 'unmute', id: there.id });
  if (alert.severity === 'critical' && there.severity === 'warning') {
    changes.push({ kind: 'raise', id: there.id, alert });
  } else if (joinedOf(there, alert).length > 0) {
    changes.push(growth(there, alert));
  } else if (alert.severity !== there.severity) {
    changes.push({ kind: 'lower', id: there.id, alert });
  } else if (alert.step > there.step) {
    changes.push({ kind: 'remind', id: there.id, alert });
  } else if (isWorthAnEdit(there, alert, nowMs)) {
    changes.push({ kind: 'update', id: there.id, alert });
  }
  return changes;
}

/** Members of a group that it did not have, or that were well. */
function joinedOf(there: OpenAlert, alert: Desired): AlertMember[] {
  if (alert.groupScope === null) return [];
  const before = new Set(there.members.filter(isAtWork).map((member) => member.scope));
  return alert.members.filter((member) => isAtWork(member) && !before.has(member.scope));
}

function growth(there: OpenAlert, alert: Desired): AlertChange {
  const joined = joinedOf(there, alert);
  return { kind: 'grow', id: there.id, alert, joined, isNotifying: joined.length >= groupCountMin };
}

function isWorthAnEdit(there: OpenAlert, alert: Desired, nowMs: number): boolean {
  const scopes = (of: { members: readonly AlertMember[] }) => of.members.map((member) => member.scope).join('\n');
  if (scopes(there) !== scopes(alert) || there.title !== alert.title || there.step !== alert.step) return true;
  const isSame =
    there.text === alert.text && there.members.every((member, index) => member.text === alert.members[index]?.text);
  return !isSame && nowMs - there.wordsAtMs >= refreshWordsMs;
}

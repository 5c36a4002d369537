import type { AlertChange, Desired, OpenAlert, Watch } from '../../domain/alert.ts';
import { conditionsOf } from '../../domain/alert-conditions.ts';
import { evaluate } from '../../domain/alert-evaluation.ts';
import type { AlertFacts } from '../../domain/alert-facts.ts';
import { alertFacts } from './alert-facts.ts';

export type Told = { readonly atMs: number; readonly change: AlertChange };

/** Keeps alerts in memory as the engine's tables do, and evaluates them look by look. */
export function createDesk() {
  let watches: readonly Watch[] = [];
  let open: OpenAlert[] = [];
  let lastId = 0;
  const told: Told[] = [];
  const carryOut = (change: AlertChange, nowMs: number) => {
    told.push({ atMs: nowMs, change });
    switch (change.kind) {
      case 'open':
        lastId += 1;
        open.push(rowOf(`alr_${lastId}`, change.alert, nowMs));
        return;
      case 'raise':
      case 'remind':
      case 'lower':
      case 'update':
      case 'grow':
        edit(change.id, { ...wordsOf(change.alert), wordsAtMs: nowMs, severity: change.alert.severity });
        return;
      case 'recover':
        open = open.filter((alert) => alert.id !== change.id);
        return;
      case 'mute':
        edit(change.id, { state: 'muted', muteKind: change.by });
        return;
      case 'unmute':
        edit(change.id, { state: 'open', muteKind: null });
    }
  };
  const edit = (id: string, changes: Partial<OpenAlert>) => {
    open = open.map((alert) => (alert.id === id ? { ...alert, ...changes } : alert));
  };
  return {
    told,
    open: () => open as readonly OpenAlert[],
    watchCount: () => watches.length,
    edit,
    look(facts: AlertFacts, isAfterGap = false): readonly AlertChange[] {
      const found = conditionsOf(facts);
      const evaluation = evaluate({ ...found, watches, open, isAfterGap }, facts.nowMs);
      // As the table does: what comes back is what JSON could hold.
      watches = JSON.parse(JSON.stringify(evaluation.watches));
      for (const change of evaluation.changes) carryOut(change, facts.nowMs);
      return evaluation.changes;
    },
  };
}

function wordsOf({ title, text, nextStep, machineNames, members, step }: Desired) {
  return { title, text, nextStep, machineNames, members, step };
}

function rowOf(id: string, desired: Desired, nowMs: number): OpenAlert {
  const { rule, scope, severity, groupScope } = desired;
  const times = { openedAtMs: nowMs, wordsAtMs: nowMs };
  return { id, rule, scope, severity, groupScope, state: 'open', muteKind: null, ...wordsOf(desired), ...times };
}

export type Desk = ReturnType<typeof createDesk>;

/** Looks every ten seconds while the facts are what the function says; returns what was told, quiet edits left out. */
export function lookOn(
  desk: Desk,
  span: { readonly fromMs: number; readonly toMs: number },
  factsAt: (nowMs: number) => Partial<AlertFacts>,
): string[] {
  const before = desk.told.length;
  for (let nowMs = span.fromMs; nowMs < span.toMs; nowMs += 10_000) {
    desk.look(alertFacts({ nowMs, ...factsAt(nowMs) }));
  }
  return desk.told
    .slice(before)
    .filter(({ change }) => change.kind !== 'update')
    .map(({ change }) => shortOf(change));
}

/** `open lag vm-7 warning`: what a change says, in short. */
export function shortOf(change: AlertChange): string {
  if (change.kind === 'open') return `open ${change.alert.rule} ${change.alert.scope} ${change.alert.severity}`;
  if (change.kind === 'recover') return `recover ${change.alert.rule} ${change.alert.scope}`;
  if (change.kind === 'mute' || change.kind === 'unmute') return `${change.kind} ${change.id}`;
  return `${change.kind} ${change.alert.rule} ${change.alert.scope} ${change.alert.severity}`;
}

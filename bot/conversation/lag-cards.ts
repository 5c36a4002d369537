import { type PointGap, pointHistory } from '../../domain/recovery-point.ts';
import type { MachineView, PointView } from '../../protocol/control-api.ts';
import type { Card } from '../card.ts';
import type { Target } from '../command.ts';
import { pageSize } from './machine-cards.ts';
import { isReplicated, lagWords, newestPointWords, stateWords } from './machine-words.ts';
import { absoluteTime, age } from './time-words.ts';

const lagMeaning = 'Lag: how much data a failover would lose if it were started now.';

/** The machines that `lag` shows: those that are replicated, the worst lag first, as many as a table holds. */
export function machinesOfLag(machines: readonly MachineView[], target: Target | undefined): MachineView[] {
  return machines
    .filter((machine) => isReplicated(machine))
    .filter((machine) => target?.kind !== 'host' || machine.hostName === target.name)
    .sort((a, b) => (b.lagMs ?? Number.MAX_VALUE) - (a.lagMs ?? Number.MAX_VALUE))
    .slice(0, pageSize);
}

/** How much a failover now would lose, machine by machine, worst first. */
export function lagCard(machines: readonly MachineView[], nowMs: number): Card {
  const shown = machinesOfLag(machines, undefined);
  return {
    ...lagHead(machines),
    ...(shown.length > 0 && {
      table: {
        columns: ['Machine', 'Lag', 'Newest point', 'Replication'],
        rows: shown.map((machine) => [
          machine.name,
          lagWords(machine),
          newestPointWords(machine, nowMs),
          stateWords(machine),
        ]),
      },
      footer: restWords(machines, shown.length) ?? lagMeaning,
    }),
  };
}

/** The lag now, and beside it how many points came in a period and the worst lag that was reached in it. */
export function lagHistoryCard(
  machines: readonly MachineView[],
  pointsOf: readonly (readonly PointView[])[],
  view: { readonly sinceMs: number; readonly nowMs: number },
): Card {
  const shown = machinesOfLag(machines, undefined);
  return {
    ...lagHead(machines),
    text: shortMemories(shown, view.sinceMs),
    ...(shown.length > 0 && {
      table: {
        columns: ['Machine', 'Lag', `Points in ${age(view.sinceMs)}`, 'Longest gap'],
        rows: shown.map((machine, index) => {
          const history = pointHistory(pointsOf[index] ?? [], view.nowMs - view.sinceMs, view.nowMs);
          const counts = `${history.takenCount} taken, ${history.availableCount} available`;
          return [machine.name, lagWords(machine), counts, gapWords(history.longestGap, view.nowMs)];
        }),
      },
      footer:
        restWords(machines, shown.length) ?? 'Longest gap: the longest time without a newer point to fail over to.',
    }),
  };
}

function lagHead(machines: readonly MachineView[]): Pick<Card, 'title' | 'tone' | 'audience'> {
  const replicated = machines.filter((machine) => isReplicated(machine));
  const over = replicated.filter(({ lagMs, thresholds }) => thresholds !== null && (lagMs ?? 0) > thresholds.warnMs);
  const limits = over.length === 0 ? 'all within their limits' : `${over.length} over the limit`;
  return {
    title: replicated.length === 0 ? 'No protected machine, so no lag' : `Lag · ${limits}`,
    tone: over.length > 0 ? 'warning' : 'neutral',
    audience: 'asker',
  };
}

function restWords(machines: readonly MachineView[], shownCount: number): string | undefined {
  const rest = machines.filter((machine) => isReplicated(machine)).length - shownCount;
  return rest > 0 ? `and ${rest} more with less lag` : undefined;
}

/** Expired points are gone: a period longer than they are kept cannot be seen whole, and that is said. */
function shortMemories(machines: readonly MachineView[], sinceMs: number): string[] {
  return machines
    .filter((machine) => machine.policy !== null && machine.policy.retentionMs < sinceMs)
    .map(
      (machine) =>
        `${machine.name}: its points are kept ${age(machine.policy?.retentionMs ?? 0)}; older ones are not counted.`,
    );
}

function gapWords(gap: PointGap | undefined, nowMs: number): string {
  if (gap === undefined) return 'no point yet';
  const until = gap.toMs >= nowMs ? 'still open' : `until ${absoluteTime(gap.toMs, nowMs)}`;
  return `${age(gap.toMs - gap.fromMs)}, ${until}`;
}

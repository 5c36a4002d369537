import { invariant } from '../../domain/invariant.ts';
import type { MachineView, RunView } from '../../protocol/control-api.ts';
import type { ApiAnswer } from '../api-call.ts';
import type { Card } from '../card.ts';
import type { Command, Target } from '../command.ts';
import type { Reply } from './decide.ts';
import { lagCard, lagHistoryCard } from './lag-cards.ts';
import { replicationProgress, stateWords, troubleSentences } from './machine-words.ts';
import { unknownHostCard } from './plain-cards.ts';
import { runCard } from './run-cards.ts';

/** A card of the machines that a target names: one, those of a host, or all. */
export function presentMachines(
  target: Target | undefined,
  answers: readonly ApiAnswer[],
  draw: (machines: readonly MachineView[], about: string | undefined) => Card,
): Reply {
  const one = answers.find((answer) => answer.kind === 'machine');
  if (one !== undefined) return { cards: [draw([one.machine], undefined)], outcome: 'done' };
  const all = answers.find((answer) => answer.kind === 'machines')?.machines;
  invariant(all !== undefined, 'the machines were asked for');
  if (target === undefined) return { cards: [draw(all, undefined)], outcome: 'done' };
  const onHost = all.filter((machine) => machine.hostName === target.name);
  if (onHost.length > 0) return { cards: [draw(onHost, target.name)], outcome: 'done' };
  return { cards: [unknownHostCard(target.name)], outcome: 'refused' };
}

export function presentLag(
  command: Extract<Command, { verb: 'lag' }>,
  machines: readonly MachineView[],
  known: { readonly answers: readonly ApiAnswer[]; readonly nowMs: number },
): Card {
  if (command.sinceMs === undefined) return lagCard(machines, known.nowMs);
  // In the order in which `callsAfter` asked for them, which is the order of the card's rows.
  const pointsOf = known.answers.flatMap((answer) => (answer.kind === 'points' ? [answer.points] : []));
  return lagHistoryCard(machines, pointsOf, { sinceMs: command.sinceMs, nowMs: known.nowMs });
}

/** The card of a run as it is now; redrawn whole at every change. */
export function presentRun(run: RunView, machine: MachineView | undefined, nowMs: number): Reply {
  const drill = machine?.drill?.runId === run.id ? machine.drill : undefined;
  return { cards: [runCard(run, nowMs, drill?.expiresAtMs)], outcome: run.state === 'failed' ? 'refused' : 'done' };
}

/** The card of an initial replication as it is now, and whether it is over. Source: A5, A6 */
export function presentReplication(machine: MachineView, nowMs: number): { card: Card; isOver: boolean } {
  const { protection, name } = machine;
  const isOver = protection.kind !== 'initial-replication';
  const card: Card = {
    title: `${name} · ${protection.kind === 'initial-replication' ? 'Enabled: Replicating' : stateWords(machine)}`,
    tone: isOver ? 'good' : 'working',
    audience: 'channel',
    text: [
      ...troubleSentences(machine, nowMs),
      isOver ? `${name} is protected from now on.` : `${name} can be failed over as soon as it says "Enabled".`,
    ],
    ...(protection.kind === 'initial-replication' && { progress: replicationProgress(protection) }),
    ...(isOver && { copyLine: `failover ${name} --test` }),
  };
  return { card, isOver };
}

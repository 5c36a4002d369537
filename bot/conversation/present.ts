import { assertNever, invariant } from '../../domain/invariant.ts';
import type { MachineView, RefusalBody, RunView } from '../../protocol/control-api.ts';
import type { ApiAnswer } from '../api-call.ts';
import type { Card } from '../card.ts';
import type { Command, ShowSubject, Target } from '../command.ts';
import type { Reply } from './decide.ts';
import { helpCard, overviewCard } from './help-cards.ts';
import { lagCard, lagHistoryCard } from './lag-cards.ts';
import { machineCard, machineListCard, pointsCard, statusCard } from './machine-cards.ts';
import { replicationProgress, stateWords, troubleSentences } from './machine-words.ts';
import { doneCard, hostCard, hostListCard, refusalCard, versionCard, whoamiCard } from './plain-cards.ts';
import { planCard, runCard, runDetailCard, runListCard, startedCard } from './run-cards.ts';

/**
 * The cards for the engine's answers, in the order of the calls that `decide` asked for.
 *
 * @param nowMs for ages; epoch milliseconds
 */
export function present(command: Command, answers: readonly ApiAnswer[], nowMs: number): Reply {
  if (command.verb === 'help') return done(helpCard(factsOf(answers), nowMs));
  if (command.verb === 'overview') return done(overviewCard(factsOf(answers), nowMs));
  const refusal = refusalIn(answers);
  if (refusal !== undefined) return { cards: [refusalCard(refusal, command)], outcome: 'refused' };
  const order = answers.find((answer) => answer.kind === 'order');
  if (order !== undefined) return presentOrder(command, order, nowMs);
  return presentQuery(command, answers, nowMs);
}

function presentQuery(command: Command, answers: readonly ApiAnswer[], nowMs: number): Reply {
  switch (command.verb) {
    case 'status':
      return presentMachines(command.target, answers, (machines, about) => ({
        ...(command.target?.kind === 'vm' && machines[0] !== undefined
          ? machineCard(machines[0], nowMs)
          : statusCard(machines, about, nowMs)),
        audience: command.isPublic ? 'channel' : 'asker',
      }));
    case 'lag':
      return presentMachines(command.target, answers, (machines) => presentLag(command, machines, { answers, nowMs }));
    case 'list':
      return done(listCard(command, answers, nowMs));
    case 'show':
      return presentShow(command.subject, answers, nowMs);
    case 'points':
      return done(pointsCard(find(answers, 'points').points, { ...command, nowMs }));
    case 'whoami':
      return done(whoamiCard(find(answers, 'whoami').whoami));
    case 'version':
      return done(versionCard(find(answers, 'version').version));
    default:
      return invariantBroken(command);
  }
}

function presentMachines(
  target: Target | undefined,
  answers: readonly ApiAnswer[],
  draw: (machines: readonly MachineView[], about: string | undefined) => Card,
): Reply {
  if (target?.kind === 'vm') return done(draw([find(answers, 'machine').machine], undefined));
  const all = find(answers, 'machines').machines;
  if (target === undefined) return done(draw(all, undefined));
  const onHost = all.filter((machine) => machine.hostName === target.name);
  if (onHost.length > 0) return done(draw(onHost, target.name));
  return { cards: [unknownHost(target.name)], outcome: 'refused' };
}

function presentLag(
  command: Extract<Command, { verb: 'lag' }>,
  machines: readonly MachineView[],
  known: { readonly answers: readonly ApiAnswer[]; readonly nowMs: number },
): Card {
  if (command.sinceMs === undefined) return lagCard(machines, known.nowMs);
  // In the order in which `callsAfter` asked for them, which is the order of the card's rows.
  const pointsOf = known.answers.flatMap((answer) => (answer.kind === 'points' ? [answer.points] : []));
  return lagHistoryCard(machines, pointsOf, { sinceMs: command.sinceMs, nowMs: known.nowMs });
}

function unknownHost(name: string): Card {
  return {
    title: 'Not found; nothing was done',
    tone: 'warning',
    audience: 'asker',
    text: [`No host is called ${name}, or it has no machines.`],
    copyLine: 'list hosts',
  };
}

function listCard(command: Extract<Command, { verb: 'list' }>, answers: readonly ApiAnswer[], nowMs: number): Card {
  const view = { page: command.page, state: command.state, nowMs };
  if (command.object === 'runs') return runListCard(find(answers, 'runs').runs, view);
  const { machines } = find(answers, 'machines');
  if (command.object === 'hosts') return hostListCard(find(answers, 'hosts').hosts, machines, nowMs);
  return machineListCard(machines, view);
}

function presentShow(subject: ShowSubject, answers: readonly ApiAnswer[], nowMs: number): Reply {
  switch (subject.kind) {
    case 'vm':
      return done(machineCard(find(answers, 'machine').machine, nowMs));
    case 'run':
      return done(runDetailCard(find(answers, 'run').run, nowMs));
    case 'drill': {
      const machine = find(answers, 'machines').machines.find((candidate) => candidate.drill?.id === subject.id);
      return machine === undefined ? noSuchDrill(subject.id) : done(machineCard(machine, nowMs));
    }
    case 'host': {
      const host = find(answers, 'hosts').hosts.find((candidate) => candidate.name === subject.name);
      if (host === undefined) return { cards: [unknownHost(subject.name)], outcome: 'refused' };
      return done(hostCard(host, find(answers, 'machines').machines, nowMs));
    }
    default:
      return assertNever(subject);
  }
}

function noSuchDrill(id: string): Reply {
  const card: Card = {
    title: 'Not found',
    tone: 'warning',
    audience: 'asker',
    text: [`No open drill is called ${id}; a drill that was cleaned up is in \`list runs\`.`],
    copyLine: 'list runs',
  };
  return { cards: [card], outcome: 'refused' };
}

function presentOrder(command: Command, order: Extract<ApiAnswer, { kind: 'order' }>, nowMs: number): Reply {
  const { answer } = order;
  switch (answer.kind) {
    case 'plan':
      return done(planCard(answer.plan, nowMs));
    case 'run-started': {
      const what = `${command.verb === 'cleanup' ? 'Cleanup' : 'Test failover'} of ${machineOf(command)}`;
      const follow = { kind: 'run', runId: answer.runId, what } as const;
      return { cards: [startedCard(answer.runId, what)], outcome: 'done', follow };
    }
    case 'done': {
      const card = doneCard(command, answer.message);
      if (command.verb !== 'enable') return done(card);
      const follow = { kind: 'initial-replication', machine: command.machine } as const;
      return { cards: [card], outcome: 'done', follow };
    }
    default:
      return assertNever(answer);
  }
}

function machineOf(command: Command): string {
  return 'machine' in command ? command.machine : '';
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

function factsOf(answers: readonly ApiAnswer[]) {
  return {
    whoami: answers.find((answer) => answer.kind === 'whoami')?.whoami,
    machines: answers.find((answer) => answer.kind === 'machines')?.machines,
  };
}

function refusalIn(answers: readonly ApiAnswer[]): RefusalBody | undefined {
  return answers.find((answer) => answer.kind === 'refusal')?.refusal;
}

function find<Kind extends ApiAnswer['kind']>(answers: readonly ApiAnswer[], kind: Kind) {
  const found = answers.find((answer): answer is Extract<ApiAnswer, { kind: Kind }> => answer.kind === kind);
  invariant(found !== undefined, `the answers hold one of kind ${kind}`);
  return found;
}

function invariantBroken(command: Command): never {
  throw new Error(`broken invariant: ${command.verb} asked nothing of the engine`);
}

function done(card: Card): Reply {
  return { cards: [card], outcome: 'done' };
}

import { assertNever, invariant } from '../../domain/invariant.ts';
import type { ApiAnswer } from '../api-call.ts';
import type { Card } from '../card.ts';
import type { Command, ParsedLine, ShowSubject, Target } from '../command.ts';
import { alertDetailCard, alertListCard } from './alert-cards.ts';
import { approvalCard, approvalDetailCard, approvalListCard } from './approval-cards.ts';
import { auditCard } from './audit-cards.ts';
import type { Reply } from './decide.ts';
import { plannedPlanCard } from './failover-cards.ts';
import { type HelpFacts, helpCard, overviewCard } from './help-cards.ts';
import { machineCard, machineListCard, pointsCard, statusCard } from './machine-cards.ts';
import { surfaceFooter, surfaceTroubles } from './note-cards.ts';
import { authenticatorCard, linkCard, onCallCard, peopleCard, signInLinkCard, whoamiCard } from './people-cards.ts';
import { doneCard, hostCard, hostListCard, refusalCard, unknownHostCard, versionCard } from './plain-cards.ts';
import { presentLag, presentMachines } from './present-machines.ts';
import { planCard, runDetailCard, runListCard, startedCard } from './run-cards.ts';

/**
 * The cards for the engine's answers, in the order of the calls that `decide` asked for.
 *
 * @param nowMs for ages; epoch milliseconds
 */
export function present(command: Command, answers: readonly ApiAnswer[], nowMs: number): Reply {
  if (command.verb === 'help') return done(helpCard(factsOf(answers), nowMs));
  if (command.verb === 'overview') return done(overviewCard(factsOf(answers), nowMs));
  const refusal = answers.find((answer) => answer.kind === 'refusal')?.refusal;
  if (refusal !== undefined) return { cards: [refusalCard(refusal, command)], outcome: 'refused' };
  const order = answers.find((answer) => answer.kind === 'order');
  if (order !== undefined) return presentOrder(command, order, nowMs);
  return presentQuery(command, answers, nowMs);
}

/** What can be shown beside the outage when the engine was asked in vain: the verbs are known without it. */
export function cardsWithoutEngine(parsed: ParsedLine, nowMs: number): readonly Card[] {
  const isHelp = parsed.kind === 'command' && parsed.command.verb === 'help';
  return isHelp ? present(parsed.command, [], nowMs).cards : [];
}

function presentQuery(command: Command, answers: readonly ApiAnswer[], nowMs: number): Reply {
  switch (command.verb) {
    case 'status':
      return presentStatus(command, answers, nowMs);
    case 'lag':
      return presentMachines(command.target, answers, (machines) => presentLag(command, machines, { answers, nowMs }));
    case 'list':
    case 'approvals':
    case 'alerts':
      return done(listCard(command, answers, nowMs));
    case 'show':
      return presentShow(command.subject, answers, nowMs);
    case 'points':
      return done(pointsCard(find(answers, 'points').points, { ...command, nowMs }));
    case 'audit':
      return done(auditCard(find(answers, 'audit').audit, command.about, nowMs));
    case 'whoami':
      return done(whoamiCard(find(answers, 'whoami').whoami));
    case 'version':
      return done(versionCard(find(answers, 'version').version));
    case 'people':
      return done(peopleCard(find(answers, 'people').people));
    case 'oncall':
      return done(onCallCard(find(answers, 'people').people));
    case 'link':
      return done(linkCard(find(answers, 'link').link, nowMs));
    case 'console':
      return done(signInLinkCard(find(answers, 'signInLink').link, nowMs));
    case 'authenticator':
      return done(authenticatorCard(find(answers, 'authenticator').authenticator));
    default:
      return invariantBroken(command);
  }
}

type StatusCommand = { readonly target: Target | undefined; readonly isPublic: boolean };

function presentStatus(command: StatusCommand, answers: readonly ApiAnswer[], nowMs: number): Reply {
  const surfaces = answers.find((answer) => answer.kind === 'surfaces')?.surfaces ?? [];
  const troubles = surfaceTroubles(surfaces, nowMs);
  return presentMachines(command.target, answers, (machines, about) => {
    const one = command.target?.kind === 'vm' ? machines[0] : undefined;
    const card: Card = one === undefined ? statusCard(machines, about, nowMs) : machineCard(one, nowMs);
    const footer = card.footer ?? surfaceFooter(surfaces, nowMs);
    return {
      ...card,
      ...(troubles.length > 0 && { text: [...(card.text ?? []), ...troubles], tone: worse(card.tone) }),
      ...(footer !== undefined && { footer }),
      audience: command.isPublic ? 'channel' : 'asker',
    };
  });
}

function worse(tone: Card['tone']): Card['tone'] {
  return tone === 'bad' ? 'bad' : 'warning';
}

type Listing = Extract<Command, { verb: 'list' | 'approvals' | 'alerts' }>;

function listCard(command: Listing, answers: readonly ApiAnswer[], nowMs: number): Card {
  if (command.verb === 'alerts') {
    const open = find(answers, 'alerts').alerts.filter((alert) => alert.state !== 'recovered');
    return alertListCard(open, { title: 'alert', page: 1, nowMs });
  }
  if (command.verb === 'approvals') return approvalsCard(command.isMine, answers, nowMs);
  const view = { page: command.page, state: command.state, nowMs };
  switch (command.object) {
    case 'runs':
      return runListCard(find(answers, 'runs').runs, view);
    case 'hosts':
      return hostListCard(find(answers, 'hosts').hosts, find(answers, 'machines').machines, nowMs);
    case 'alerts': {
      const chosen = find(answers, 'alerts').alerts.filter(
        ({ state }) => view.state === undefined || state === view.state,
      );
      return alertListCard(chosen, { title: stateTitle(view.state, 'alert'), page: view.page, nowMs });
    }
    case 'approvals': {
      const all = find(answers, 'approvals').approvals;
      const chosen = all.filter(({ state }) => view.state === undefined || state === view.state);
      const title = stateTitle(view.state, 'request');
      return approvalListCard(chosen, { title, page: view.page, nowMs, person: personOf(answers) });
    }
    default:
      return machineListCard(find(answers, 'machines').machines, view);
  }
}

function stateTitle(state: string | undefined, noun: string): string {
  return state === undefined ? noun : `${state} ${noun}`;
}

/** What waits or runs; with `isMine` only what concerns who asks. */
function approvalsCard(isMine: boolean, answers: readonly ApiAnswer[], nowMs: number): Card {
  const person = personOf(answers);
  const open = find(answers, 'approvals').approvals.filter(({ state }) =>
    ['pending', 'approved', 'executing'].includes(state),
  );
  const mine = open.filter(({ eligible, requestedBy }) => person === requestedBy || eligible.includes(person ?? ''));
  const title = isMine ? 'open request of mine or for me' : 'open request';
  const shown = isMine ? mine : open;
  const card = approvalListCard(shown, { title: 'open request', page: 1, nowMs, person });
  return shown.length === 0 && isMine ? { ...card, title: `No ${title}` } : card;
}

function personOf(answers: readonly ApiAnswer[]): string | undefined {
  return answers.find((answer) => answer.kind === 'whoami')?.whoami.name;
}

function presentShow(subject: ShowSubject, answers: readonly ApiAnswer[], nowMs: number): Reply {
  switch (subject.kind) {
    case 'vm':
      return done(machineCard(find(answers, 'machine').machine, nowMs));
    case 'run':
      return done(runDetailCard(find(answers, 'run').run, nowMs));
    case 'approval':
      return done(approvalDetailCard(find(answers, 'approval').approval, nowMs, personOf(answers)));
    case 'alert':
      return done(alertDetailCard(find(answers, 'alert').alert, nowMs));
    case 'drill': {
      const machine = find(answers, 'machines').machines.find((candidate) => candidate.drill?.id === subject.id);
      return machine === undefined ? noSuchDrill(subject.id) : done(machineCard(machine, nowMs));
    }
    case 'host': {
      const host = find(answers, 'hosts').hosts.find((candidate) => candidate.name === subject.name);
      if (host === undefined) return { cards: [unknownHostCard(subject.name)], outcome: 'refused' };
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
    case 'failover-plan':
      return done(plannedPlanCard(answer.plan, 'reason' in command ? (command.reason ?? '') : '', nowMs));
    case 'run-started': {
      const what = `${startedWords(command)} of ${machineOf(command)}`;
      const follow = { kind: 'run', runId: answer.runId, what } as const;
      return { cards: [startedCard(answer.runId, what)], outcome: 'done', follow };
    }
    case 'approval':
      return presentApproval(command, answer, nowMs);
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

type ApprovalAnswer = Extract<Extract<ApiAnswer, { kind: 'order' }>['answer'], { kind: 'approval' }>;

/** Asked for, decided or withdrawn. Who runs a failover by it, by a last vote or a break-glass, sees the run. */
function presentApproval(command: Command, { approval, message }: ApprovalAnswer, nowMs: number): Reply {
  const isAsked = ['planned-failover', 'threshold', 'role'].includes(command.verb);
  const isOwn = isAsked || command.verb === 'tag';
  const card = approvalCard(approval, nowMs, isOwn ? approval.requestedBy : undefined);
  const cards = [{ ...card, text: [message, ...(card.text ?? [])] }];
  if (approval.state === 'executing' && approval.runId !== null) {
    const follow = { kind: 'run', runId: approval.runId, what: card.title } as const;
    return { cards, outcome: 'done', follow };
  }
  if (!isAsked) return { cards, outcome: 'done' };
  return { cards, outcome: 'done', follow: { kind: 'approval', approvalId: approval.id } };
}

function startedWords(command: Command): string {
  if (command.verb === 'cleanup') return 'Cleanup';
  return command.verb === 'planned-failover' ? 'Planned failover' : 'Test failover';
}

function machineOf(command: Command): string {
  return 'machine' in command ? command.machine : '';
}

function factsOf(answers: readonly ApiAnswer[]): HelpFacts {
  const refused = answers.find((answer) => answer.kind === 'refusal')?.refusal;
  return {
    whoami: answers.find((answer) => answer.kind === 'whoami')?.whoami,
    machines: answers.find((answer) => answer.kind === 'machines')?.machines,
    approvals: answers.find((answer) => answer.kind === 'approvals')?.approvals,
    alerts: answers.find((answer) => answer.kind === 'alerts')?.alerts,
    isStranger: refused?.kind === 'not-linked',
  };
}

/** The answer of a kind; it is there, because `decide` asked for it. */
export function find<Kind extends ApiAnswer['kind']>(answers: readonly ApiAnswer[], kind: Kind) {
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

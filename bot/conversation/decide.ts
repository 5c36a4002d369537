import { assertNever } from '../../domain/invariant.ts';
import { dayMs, hourMs, minuteMs } from '../../domain/units.ts';
import type { ChatPlace } from '../../protocol/chat-api.ts';
import type { ApiAnswer, ApiCall } from '../api-call.ts';
import type { Card } from '../card.ts';
import type { Command, ParsedLine, ShowSubject, Target } from '../command.ts';
import type { FormKind } from '../form.ts';
import { formatCommand } from '../format-command.ts';
import { verbHelpCard } from './help-cards.ts';
import { machinesOfLag } from './lag-cards.ts';
import { orderOf } from './orders.ts';
import { notAvailableCard, notInTerminalCard, plansCard, usageCard } from './plain-cards.ts';
import { questionCard } from './question-cards.ts';

/** How a line ended. `dr` turns it into its exit code. */
export type Outcome = 'done' | 'refused' | 'usage' | 'outage';

/** What to watch after the answer: it is redrawn from what the engine says. Runs and replications end by themselves. */
export type Follow =
  | { readonly kind: 'run'; readonly runId: string; readonly what: string }
  | { readonly kind: 'initial-replication'; readonly machine: string }
  | { readonly kind: 'approval'; readonly approvalId: string };

export type Reply = { readonly cards: readonly Card[]; readonly outcome: Outcome; readonly follow?: Follow };

/** When and where a line was written. */
export type Circumstances = {
  readonly nowMs: number;
  /** Undefined in a terminal. */
  readonly place?: ChatPlace;
};

/** What a line leads to: an answer at once, questions and orders to the engine, or something to be asked first. */
export type Decision =
  | { readonly kind: 'reply'; readonly reply: Reply }
  /** To be sent in this order. `extras` go with the answer when the engine gives them, and are no reason to fail. */
  | {
      readonly kind: 'ask';
      readonly command: Command;
      readonly calls: readonly ApiCall[];
      readonly extras: readonly ApiCall[];
    }
  /** More is needed: a form asks for it, or, where there are no forms, the reply does. `calls` are the facts that a form shows. */
  | {
      readonly kind: 'form';
      readonly formKind: FormKind;
      readonly line: string;
      readonly calls: readonly ApiCall[];
      readonly reply: Reply;
    };

/** Decides what a line of chat, a click on a button, or the arguments of `dr` lead to. Nothing happens here. */
export function decide(parsed: ParsedLine, at: Circumstances): Decision {
  if (parsed.kind === 'usage') return reply(usageCard(parsed.problem), 'usage');
  const { command } = parsed;
  switch (command.verb) {
    case 'help':
      return command.topic === undefined
        ? { kind: 'ask', command, calls: callsOf({ verb: 'overview' }, at), extras: extrasOf(command) }
        : reply(verbHelpCard(command.topic), 'done');
    case 'failover-question':
      return form('failover', command, [{ kind: 'machine', name: command.machine }]);
    case 'reject':
      return command.reason === undefined
        ? form('reject', command, [{ kind: 'approval', id: command.approval }])
        : ask(command, at);
    case 'snooze':
      return command.time === undefined
        ? form('snooze', command, [{ kind: 'alert', id: command.alert }])
        : ask(command, at);
    case 'subscribe':
      return at.place === undefined ? reply(notInTerminalCard('subscribe'), 'refused') : ask(command, at);
    case 'not-available':
      return reply(notAvailableCard(command.asked, command.instead), 'refused');
    case 'list':
      return command.object === 'plans' ? reply(plansCard(), 'done') : ask(command, at);
    default:
      return ask(command, at);
  }
}

type Asking = Exclude<Command, { verb: 'help' | 'failover-question' | 'not-available' }>;

function ask(command: Asking, at: Circumstances): Decision {
  return { kind: 'ask', command, calls: callsOf(command, at), extras: extrasOf(command) };
}

function form(
  formKind: FormKind,
  command: Extract<Command, { verb: 'failover-question' | 'reject' | 'snooze' }>,
  calls: readonly ApiCall[],
): Decision {
  const question: Reply = { cards: [questionCard(command)], outcome: 'usage' };
  return { kind: 'form', formKind, line: formatCommand(command), calls, reply: question };
}

/** What has to be asked once the first answers are there: `lag --since` needs the points of each machine that it shows. */
export function callsAfter(command: Command, answers: readonly ApiAnswer[]): readonly ApiCall[] {
  if (command.verb !== 'lag' || command.sinceMs === undefined) return [];
  return shownInLag(command.target, answers).map(({ name }) => ({ kind: 'points', machine: name }));
}

/** How far the curve of a lag looks back when nobody says how far. */
const lagSinceMs = hourMs;
/** The engine gives no longer one. */
const curveMsMax = 7 * dayMs;

/** The curve of the machine with the worst lag of those that `lag` shows. */
export function plotCalls(command: Command, answers: readonly ApiAnswer[]): readonly ApiCall[] {
  const worst = command.verb === 'lag' ? shownInLag(command.target, answers)[0] : undefined;
  if (command.verb !== 'lag' || worst === undefined) return [];
  const sinceMs = Math.min(curveMsMax, Math.max(minuteMs, command.sinceMs ?? lagSinceMs));
  return [{ kind: 'lagSeries', machine: worst.name, sinceMs }];
}

function shownInLag(target: Target | undefined, answers: readonly ApiAnswer[]) {
  const found = answers.flatMap((answer) => {
    if (answer.kind === 'machine') return [answer.machine];
    return answer.kind === 'machines' ? answer.machines : [];
  });
  return machinesOfLag(found, target);
}

function reply(card: Card, outcome: Outcome): Decision {
  return { kind: 'reply', reply: { cards: [card], outcome } };
}

/** What needs me, and whether the chats answer; who I am, to know what is mine. */
function extrasOf(command: Command): readonly ApiCall[] {
  switch (command.verb) {
    case 'help':
    case 'overview':
      return [{ kind: 'approvals' }, { kind: 'alerts' }];
    case 'status':
      return command.target === undefined ? [{ kind: 'surfaces' }] : [];
    case 'approvals':
      return [{ kind: 'whoami' }];
    case 'show':
      return command.subject.kind === 'approval' ? [{ kind: 'whoami' }] : [];
    case 'list':
      return command.object === 'approvals' ? [{ kind: 'whoami' }] : [];
    default:
      return [];
  }
}

function callsOf(command: Asking, at: Circumstances): readonly ApiCall[] {
  switch (command.verb) {
    case 'overview':
      return [{ kind: 'whoami' }, { kind: 'machines' }];
    case 'status':
    case 'lag':
      return machineCalls(command.target);
    case 'list':
      return listCalls(command.object);
    case 'show':
      return showCalls(command.subject);
    case 'points':
      return [{ kind: 'points', machine: command.machine }];
    case 'approvals':
      return [{ kind: 'approvals' }];
    case 'audit':
      return [{ kind: 'audit', about: command.about }];
    case 'oncall':
      return command.persons === undefined ? [{ kind: 'people' }] : [orderOf(command, at)];
    case 'alerts':
    case 'people':
    case 'whoami':
    case 'version':
      return [{ kind: command.verb }];
    default:
      return [orderOf(command, at)];
  }
}

function listCalls(object: Extract<Command, { verb: 'list' }>['object']): readonly ApiCall[] {
  switch (object) {
    case 'runs':
    case 'alerts':
    case 'approvals':
      return [{ kind: object }];
    case 'hosts':
      return [{ kind: 'hosts' }, { kind: 'machines' }];
    default:
      return [{ kind: 'machines' }];
  }
}

function machineCalls(target: Target | undefined): readonly ApiCall[] {
  return target?.kind === 'vm' ? [{ kind: 'machine', name: target.name }] : [{ kind: 'machines' }];
}

function showCalls(subject: ShowSubject): readonly ApiCall[] {
  switch (subject.kind) {
    case 'run':
    case 'approval':
    case 'alert':
      return [{ kind: subject.kind, id: subject.id }];
    case 'drill':
      return [{ kind: 'machines' }];
    case 'host':
      return [{ kind: 'hosts' }, { kind: 'machines' }];
    case 'vm':
      return [{ kind: 'machine', name: subject.name }];
    default:
      return assertNever(subject);
  }
}

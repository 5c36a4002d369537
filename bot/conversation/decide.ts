import { assertNever } from '../../domain/invariant.ts';
import type { ApiAnswer, ApiCall } from '../api-call.ts';
import type { Card } from '../card.ts';
import type { Command, ParsedLine, ShowSubject, Target } from '../command.ts';
import { verbHelpCard } from './help-cards.ts';
import { machinesOfLag } from './lag-cards.ts';
import { emptyListCard, failoverQuestionCard, notAvailableCard, usageCard } from './plain-cards.ts';

/** How a line ended. `dr` turns it into its exit code. */
export type Outcome = 'done' | 'refused' | 'usage' | 'outage';

/** What to watch after the answer: it ends by itself, and the card is redrawn from what the engine says. */
export type Follow =
  | { readonly kind: 'run'; readonly runId: string; readonly what: string }
  | { readonly kind: 'initial-replication'; readonly machine: string };

export type Reply = { readonly cards: readonly Card[]; readonly outcome: Outcome; readonly follow?: Follow };

/** What a line leads to: an answer at once, or questions and orders to the engine, to be sent in this order. */
export type Decision =
  | { readonly kind: 'reply'; readonly reply: Reply }
  | { readonly kind: 'ask'; readonly command: Command; readonly calls: readonly ApiCall[] };

/** Decides what a line of chat, a click on a button, or the arguments of `dr` lead to. Nothing happens here. */
export function decide(parsed: ParsedLine): Decision {
  if (parsed.kind === 'usage') return reply(usageCard(parsed.problem), 'usage');
  const { command } = parsed;
  switch (command.verb) {
    case 'help':
      return command.topic === undefined
        ? { kind: 'ask', command, calls: [{ kind: 'whoami' }, { kind: 'machines' }] }
        : reply(verbHelpCard(command.topic), 'done');
    case 'failover-question':
      return reply(failoverQuestionCard(command.machine, command.point), 'usage');
    case 'not-available':
      return reply(notAvailableCard(command.asked, command.instead), 'refused');
    case 'list':
      if (command.object === 'plans' || command.object === 'alerts' || command.object === 'approvals') {
        return reply(emptyListCard(command.object), 'done');
      }
      return { kind: 'ask', command, calls: callsOf(command) };
    default:
      return { kind: 'ask', command, calls: callsOf(command) };
  }
}

/** What has to be asked once the first answers are there: `lag --since` needs the points of each machine that it shows. */
export function callsAfter(command: Command, answers: readonly ApiAnswer[]): readonly ApiCall[] {
  if (command.verb !== 'lag' || command.sinceMs === undefined) return [];
  const found = answers.flatMap((answer) => {
    if (answer.kind === 'machine') return [answer.machine];
    return answer.kind === 'machines' ? answer.machines : [];
  });
  return machinesOfLag(found, command.target).map((machine) => ({ kind: 'points', machine: machine.name }));
}

function reply(card: Card, outcome: Outcome): Decision {
  return { kind: 'reply', reply: { cards: [card], outcome } };
}

type Asking = Exclude<Command, { verb: 'help' | 'failover-question' | 'not-available' }>;

function callsOf(command: Asking): readonly ApiCall[] {
  switch (command.verb) {
    case 'overview':
      return [{ kind: 'whoami' }, { kind: 'machines' }];
    case 'status':
    case 'lag':
      return machineCalls(command.target);
    case 'list':
      if (command.object === 'runs') return [{ kind: 'runs' }];
      return command.object === 'hosts' ? [{ kind: 'hosts' }, { kind: 'machines' }] : [{ kind: 'machines' }];
    case 'show':
      return showCalls(command.subject);
    case 'points':
      return [{ kind: 'points', machine: command.machine }];
    case 'whoami':
    case 'version':
      return [{ kind: command.verb }];
    default:
      return [orderOf(command)];
  }
}

function machineCalls(target: Target | undefined): readonly ApiCall[] {
  return target?.kind === 'vm' ? [{ kind: 'machine', name: target.name }] : [{ kind: 'machines' }];
}

function showCalls(subject: ShowSubject): readonly ApiCall[] {
  switch (subject.kind) {
    case 'run':
      return [{ kind: 'run', id: subject.id }];
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

type Ordering = Exclude<Extract<Asking, { machine: string }>, { verb: 'points' }>;

function orderOf(command: Ordering): ApiCall {
  const { machine } = command;
  switch (command.verb) {
    case 'enable': {
      const { policy, host } = command;
      return { kind: 'enable', body: { machine, policy, ...(host !== undefined && { host }) } };
    }
    case 'pause':
      return { kind: 'pause', body: { machine, forMs: command.forMs, reason: command.reason } };
    case 'resume':
      return { kind: 'resume', body: { machine } };
    case 'resync':
      return { kind: 'resync', body: { machine, reason: command.reason } };
    case 'bookmark': {
      const { reason, isApplicationConsistent: applicationConsistent } = command;
      return { kind: 'bookmark', body: { machine, reason, applicationConsistent } };
    }
    case 'test-failover':
      return { kind: 'testFailover', body: { machine, point: command.point, dryRun: command.isDryRun } };
    case 'cleanup':
      return { kind: 'cleanup', body: { machine, note: command.note } };
    default:
      return assertNever(command);
  }
}

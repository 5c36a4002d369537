import { assertNever, invariant } from '../../domain/invariant.ts';
import type { ApiOrder } from '../api-call.ts';
import type {
  AlertCommand,
  Command,
  DecisionCommand,
  DecisionTarget,
  MachineCommand,
  PersonWord,
  SetUpCommand,
} from '../command.ts';
import type { Circumstances } from './decide.ts';
import { clockAfterMs, resolveTime } from './time-words.ts';

export type Ordering =
  | Exclude<MachineCommand, { verb: 'failover-question' }>
  | Exclude<DecisionCommand, { verb: 'approvals' }>
  | Exclude<AlertCommand, { verb: 'alerts' }>
  | Exclude<SetUpCommand, { verb: 'people' | 'audit' }>;

/** The order to the engine that a command means, when and where it was written. */
export function orderOf(command: Ordering, at: Circumstances): ApiOrder {
  switch (command.verb) {
    case 'approve':
    case 'reject':
    case 'withdraw':
    case 'review':
      return decisionOrder(command);
    case 'ack':
    case 'unack':
    case 'unsnooze':
    case 'escalate':
      return { kind: command.verb, body: { alert: command.alert } };
    case 'mute':
      return { kind: 'mute', body: { alert: command.alert, reason: command.reason } };
    case 'snooze':
      return { kind: 'snooze', body: { alert: command.alert, forMs: snoozeMs(command, at.nowMs) } };
    case 'subscribe':
    case 'oncall':
    case 'role':
    case 'link':
    case 'authenticator':
    case 'console':
      return setUpOrder(command, at);
    default:
      return machineOrder(command, at);
  }
}

function snoozeMs({ time }: Extract<AlertCommand, { verb: 'snooze' }>, nowMs: number): number {
  invariant(time !== undefined, 'a snooze without a time is asked about first');
  return time.kind === 'for' ? time.ms : clockAfterMs(time, nowMs) - nowMs;
}

type Machine = Extract<Ordering, { machine: string }>;

function machineOrder(command: Machine, at: Circumstances): ApiOrder {
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
    case 'planned-failover':
      return plannedOrder(command, at);
    case 'cleanup':
      return { kind: 'cleanup', body: { machine, note: command.note } };
    case 'threshold': {
      const { warnMs, criticalMs, reason } = command;
      return { kind: 'threshold', body: { machine, warnMs, criticalMs, reason } };
    }
    case 'tag': {
      const { add, remove, reason } = command;
      return {
        kind: 'tag',
        body: { machine, add: [...add], remove: [...remove], ...(reason !== undefined && { reason }) },
      };
    }
    default:
      return assertNever(command);
  }
}

function plannedOrder(command: Extract<Command, { verb: 'planned-failover' }>, at: Circumstances): ApiOrder {
  const { machine, isDryRun: dryRun, typedName } = command;
  const reason = command.reason === '' ? 'dry run' : command.reason;
  const atMs = command.at === undefined ? undefined : resolveTime(command.at, at.nowMs);
  return {
    kind: 'plannedFailover',
    body: {
      machine,
      reason,
      dryRun,
      ...(atMs !== undefined && { atMs }),
      ...(typedName !== undefined && { breakGlass: { typedName } }),
      ...(command.code !== undefined && { code: command.code }),
    },
  };
}

type Decision = Exclude<DecisionCommand, { verb: 'approvals' }>;

function decisionOrder(command: Decision): ApiOrder {
  switch (command.verb) {
    case 'approve': {
      const { code, reason } = command;
      return { kind: 'approve', body: { ...shown(command), reason, ...(code !== undefined && { code }) } };
    }
    case 'reject':
      invariant(command.reason !== undefined, 'a rejection without a reason is asked about first');
      return { kind: 'reject', body: { ...shown(command), reason: command.reason } };
    case 'withdraw':
      return { kind: 'withdraw', body: shown(command) };
    case 'review':
      return { kind: 'review', body: { approval: command.approval, note: command.note } };
    default:
      return assertNever(command);
  }
}

function shown({ approval, revision, digest8 }: DecisionTarget) {
  return { approval, ...(revision !== undefined && { revision }), ...(digest8 !== undefined && { digest8 }) };
}

function nameOf(person: PersonWord): string {
  return person.kind === 'user' ? person.id : person.name;
}

function setUpOrder(command: Exclude<SetUpCommand, { verb: 'people' | 'audit' }>, at: Circumstances): ApiOrder {
  switch (command.verb) {
    case 'subscribe': {
      const { channel, severity: severityMin, host, site, isOn } = command;
      invariant(at.place !== undefined, 'a subscription is made in chat');
      const place = channel === undefined ? at.place : { ...at.place, place: channel };
      const scope = { ...(host !== undefined && { host }), ...(site !== undefined && { site }) };
      return { kind: 'subscribe', body: { place, severityMin, isOn, ...scope } };
    }
    case 'oncall': {
      const persons = (command.persons ?? []).map(nameOf);
      return { kind: 'onCall', body: { persons } };
    }
    case 'console':
      return command.isSignOut ? { kind: 'signOut', body: { isEverywhere: true } } : { kind: 'signInLink', body: {} };
    case 'role': {
      const { role, scope, reason } = command;
      return { kind: 'role', body: { person: nameOf(command.person), role, scope, reason } };
    }
    case 'link':
    case 'authenticator':
      return { kind: command.verb, body: command.code === undefined ? {} : { code: command.code } };
    default:
      return assertNever(command);
  }
}

import { isId } from '../../domain/ids.ts';
import { describeCauses, type OutageError } from '../../domain/outage.ts';
import { machineName } from '../../protocol/api-fields.ts';
import type { EventView, HostView, MachineView, RefusalBody } from '../../protocol/control-api.ts';
import type { VersionView } from '../api-call.ts';
import { type Button, type Card, shorten } from '../card.ts';
import type { Command, UsageProblem } from '../command.ts';
import { formatCommand } from '../format-command.ts';
import { specOf } from '../verb-table.ts';
import { countWords } from './machine-cards.ts';
import { stateWords } from './machine-words.ts';
import { absoluteTime, instant, relativeTime } from './time-words.ts';

const candidateCountMax = 3;

/** Why a line is not a command, and the line as it was probably meant. Nothing was done. Source: CHAT 5.1 */
export function usageCard(problem: UsageProblem): Card {
  const usage = problem.verb === undefined ? undefined : `Usage: \`${specOf(problem.verb).form}\``;
  return {
    title: 'Not understood; nothing was done',
    tone: 'warning',
    audience: 'asker',
    text: [shorten(problem.message, 1000), ...(usage === undefined ? [] : [usage])],
    ...(problem.correctedLine !== undefined && { copyLine: problem.correctedLine }),
    ...(problem.verb !== undefined && { footer: `help ${problem.verb}` }),
  };
}

/** The engine said no: why, what may have been meant, and what to do next. */
export function refusalCard(refusal: RefusalBody, command: Command): Card {
  const candidates = refusal.candidates.slice(0, candidateCountMax);
  const choices = candidates.flatMap((candidate) => chosen(command, candidate, refusal));
  const isNamed = candidates.length === 0 || candidates.every((candidate) => refusal.message.includes(candidate));
  const shown = candidates.map((candidate) => `\`${candidate}\``).join(', ');
  const first = choices[0];
  return {
    title: refusalTitle(refusal),
    tone: refusal.kind === 'outage' ? 'bad' : 'warning',
    audience: 'asker',
    text: [
      shorten(refusal.message, 1500),
      ...(isNamed ? [] : [`Possible: ${shown}`]),
      ...(refusal.nextStep === null ? [] : [`Next: ${shorten(refusal.nextStep, 500)}`]),
      ...withCode(refusal, command),
    ],
    ...(choices.length === 1 && first !== undefined && { copyLine: first.line }),
    ...(choices.length > 1 && { buttons: choices }),
  };
}

/** Who has no six-digit codes yet is told how to get them, and nothing of where to type one. */
export function noAuthenticatorCard(): Card {
  return {
    title: 'You have no authenticator yet; nothing was decided',
    tone: 'warning',
    audience: 'asker',
    text: [
      'An approval needs the six-digit code of an authenticator app. Set one up with the line below: it shows a secret for the app. Then approve.',
    ],
    copyLine: 'authenticator',
  };
}

/** Where there are no dialogs, the code is typed behind the line. */
function withCode(refusal: RefusalBody, command: Command): string[] {
  const takesCode = command.verb === 'approve' || command.verb === 'planned-failover';
  const isCodeMissing = refusal.nextStep === null || refusal.nextStep.includes('--code');
  if (refusal.kind !== 'step-up' || !takesCode || !isCodeMissing) return [];
  return [`With your code: \`${formatCommand({ ...command, code: undefined })} --code <six digits>\``];
}

function refusalTitle(refusal: RefusalBody): string {
  const titles: Readonly<Record<RefusalBody['kind'], string>> = {
    'unknown-target': 'Not found; nothing was done',
    'ambiguous-target': 'Which one? Nothing was done',
    refused: 'Refused; nothing was done',
    'bad-request': 'Refused; nothing was done',
    unauthenticated: 'The engine does not know you',
    forbidden: 'You may not do this',
    'not-linked': 'You are not linked to a person here yet; nothing was done',
    'step-up': 'Your six-digit code is needed; nothing was done',
    outage: 'The engine cannot do this now',
  };
  return titles[refusal.kind];
}

/** The command once more with the candidate in it: a host when the name is on several, a recovery point, or another name. */
function chosen(command: Command, candidate: string, refusal: RefusalBody): Button[] {
  // A click runs the line, so nothing but a name or an id gets into it.
  const line = machineName.safeParse(candidate).success ? lineWith(command, candidate, refusal) : undefined;
  return line === undefined ? [] : [{ label: shorten(candidate, 75), line, style: 'default' }];
}

function lineWith(command: Command, candidate: string, refusal: RefusalBody): string | undefined {
  if (refusal.kind === 'ambiguous-target') {
    return command.verb === 'enable' ? formatCommand({ ...command, host: candidate }) : `status host:${candidate}`;
  }
  if (isId('recoveryPoint', candidate)) {
    return command.verb === 'test-failover' ? formatCommand({ ...command, point: candidate }) : undefined;
  }
  if (isId('run', candidate)) return `show ${candidate}`;
  if (refusal.kind !== 'unknown-target') return undefined;
  // The engine says what it did not find; for `enable` that can be the policy.
  if (command.verb === 'enable' && refusal.message.includes(`policy ${command.policy}`)) {
    return formatCommand({ ...command, policy: candidate });
  }
  const target = { kind: 'vm', name: candidate } as const;
  if (command.verb === 'role') return formatCommand({ ...command, person: { kind: 'person', name: candidate } });
  if ('machine' in command) return formatCommand({ ...command, machine: candidate });
  if (command.verb === 'show') return formatCommand({ verb: 'show', subject: target });
  return command.verb === 'status' || command.verb === 'lag' ? formatCommand({ ...command, target }) : undefined;
}

/** The engine, or the way to it, is down. Says what was tried and what to do, because now it matters. */
export function outageCard(error: OutageError): Card {
  return {
    title: 'The engine cannot be reached or does not answer',
    tone: 'bad',
    audience: 'asker',
    text: [
      shorten(describeCauses(error), 1500),
      ...(error.nextStep === undefined ? [] : [`Next: ${shorten(error.nextStep, 500)}`]),
    ],
  };
}

export function notAvailableCard(asked: string, instead: string): Card {
  return {
    title: `${shorten(asked, 80)} is not available in this version; nothing was done`,
    tone: 'warning',
    audience: 'asker',
    text: [instead],
  };
}

/** Lists that this version cannot have anything in. */
export function plansCard(): Card {
  const text = ['Recovery plans are not part of this version; a failover is of one machine.'];
  return { title: 'There are no plans', tone: 'neutral', audience: 'asker', text };
}

export function unknownHostCard(name: string): Card {
  return {
    title: 'Not found; nothing was done',
    tone: 'warning',
    audience: 'asker',
    text: [`No host is called ${name}, or it has no machines.`],
    copyLine: 'list hosts',
  };
}

/** What only makes sense in a channel. */
export function notInTerminalCard(verb: string): Card {
  return {
    title: `\`${verb}\` belongs into a channel; nothing was done`,
    tone: 'warning',
    audience: 'asker',
    text: [`Write \`/dr ${verb}\` in the channel that is to be told.`],
  };
}

/** The engine did it and said so. */
export function doneCard(command: Command, message: string): Card {
  const about = aboutWords(command);
  // The agent does these at its next heartbeat; the engine's message says so.
  const isLater = command.verb === 'enable' || command.verb === 'resync' || command.verb === 'bookmark';
  return {
    title: `${command.verb[0]?.toUpperCase() ?? ''}${command.verb.slice(1)}${about} · ${isLater ? 'accepted' : 'done'}`,
    tone: 'good',
    // What concerns an alert or a request is seen there by everybody already.
    audience: 'machine' in command ? 'channel' : 'asker',
    text: [shorten(message, 1500)],
    ...(command.verb === 'pause' && { copyLine: `resume ${command.machine}` }),
    ...(command.verb === 'bookmark' && { copyLine: `points ${command.machine}` }),
    ...(command.verb === 'resync' && { copyLine: `status ${command.machine}` }),
  };
}

function aboutWords(command: Command): string {
  if ('machine' in command) return ` · ${command.machine}`;
  if (command.verb === 'role' && command.person.kind === 'person') return ` · ${command.person.name}`;
  return 'alert' in command ? ` · ${command.alert}` : '';
}

export function versionCard(version: VersionView): Card {
  return {
    title: `Lifeboat ${version.engine}`,
    tone: 'neutral',
    audience: 'asker',
    fields: [
      { label: 'Vault', value: version.vault },
      { label: 'Drills run on', value: version.accelerator },
      { label: 'PostgreSQL', value: version.postgres },
      { label: 'Node', value: version.node },
    ],
  };
}

/** Hosts with their guests beneath them, as a tree. Source: A4 */
export function hostListCard(hosts: readonly HostView[], machines: readonly MachineView[], nowMs: number): Card {
  return {
    title: hosts.length === 0 ? 'No host has an agent yet' : countWords(hosts.length, 'host'),
    tone: 'neutral',
    audience: 'asker',
    ...(hosts.length === 0 && { text: ['An agent is enrolled on a host with a one-time token.'] }),
    sections: hosts.slice(0, 10).map((host) => hostSection(host, machines, nowMs)),
    ...(hosts.length > 10 && { footer: `and ${hosts.length - 10} more; \`show host:<name>\` shows one` }),
  };
}

function hostSection(host: HostView, machines: readonly MachineView[], nowMs: number) {
  const seen = host.lastSeenMs === null ? 'never seen' : `seen ${relativeTime(host.lastSeenMs, nowMs)}`;
  const guests = host.guestNames.slice(0, 25).map((name) => {
    const machine = machines.find((candidate) => candidate.name === name && candidate.hostName === host.name);
    const reason = machine?.unsupported ? `: ${shorten(machine.unsupported, 200)}` : '';
    return [name, machine === undefined ? 'not known yet' : `${stateWords(machine)}${reason}`] as const;
  });
  const rest = host.guestNames.length - guests.length;
  return {
    title: `${host.name} · agent ${host.agentVersion} · ${seen}`,
    rows: rest > 0 ? [...guests, ['…', `and ${rest} more`] as const] : guests,
  };
}

/** One host: its agent, its certificate, its guests. */
export function hostCard(host: HostView, machines: readonly MachineView[], nowMs: number): Card {
  const { certificateExpiresAtMs, lastSeenMs } = host;
  return {
    title: `Host ${host.name}`,
    tone: 'neutral',
    audience: 'asker',
    fields: [
      { label: 'Agent', value: host.agentVersion },
      { label: 'Last seen', value: lastSeenMs === null ? 'never' : instant(lastSeenMs, nowMs) },
      {
        label: 'Certificate',
        value: certificateExpiresAtMs === null ? 'none' : `expires ${instant(certificateExpiresAtMs, nowMs)}`,
      },
    ],
    sections: [{ ...hostSection(host, machines, nowMs), title: 'Guests' }],
  };
}

/** One thing that happened, as one line: `14:02:33Z vm-7 is now Enabled`. */
export function eventLine(event: EventView, nowMs: number): string {
  const about = event.machineName !== null && !event.text.includes(event.machineName) ? `${event.machineName}: ` : '';
  return `${absoluteTime(event.atMs, nowMs)} ${about}${shorten(event.text, 500)}`;
}

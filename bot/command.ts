import type { RunnableVerb } from './verb-table.ts';

/** `vm:x` or a bare `x`: one machine. `host:x`: all machines of a host. */
export type Target = { readonly kind: 'vm' | 'host'; readonly name: string };

export type ListObject = 'vms' | 'plans' | 'hosts' | 'runs' | 'alerts' | 'approvals';
export type MachineFilter = 'enabled' | 'replicating' | 'not-enabled' | 'paused';
export type RunFilter = 'active' | 'succeeded' | 'failed';
export type PointFilter = 'all' | 'application-consistent' | 'crash-consistent';
export type ShowSubject =
  | { readonly kind: 'run'; readonly id: string }
  | { readonly kind: 'drill'; readonly id: string }
  | Target;

/** A line of the grammar that may be carried out. Durations are milliseconds. */
export type Command =
  | { readonly verb: 'overview' }
  | { readonly verb: 'help'; readonly topic: RunnableVerb | undefined }
  | { readonly verb: 'status'; readonly target: Target | undefined; readonly isPublic: boolean }
  | {
      readonly verb: 'list';
      readonly object: ListObject;
      readonly state: MachineFilter | RunFilter | undefined;
      readonly page: number;
    }
  | { readonly verb: 'show'; readonly subject: ShowSubject }
  | { readonly verb: 'points'; readonly machine: string; readonly filter: PointFilter }
  | {
      readonly verb: 'lag';
      readonly target: Target | undefined;
      /** Looks back so far; undefined: only the lag now. */
      readonly sinceMs: number | undefined;
    }
  | {
      readonly verb: 'enable';
      readonly machine: string;
      readonly policy: string;
      readonly host: string | undefined;
    }
  | { readonly verb: 'pause'; readonly machine: string; readonly forMs: number; readonly reason: string }
  | { readonly verb: 'resume'; readonly machine: string }
  | { readonly verb: 'resync'; readonly machine: string; readonly reason: string }
  | {
      readonly verb: 'bookmark';
      readonly machine: string;
      readonly reason: string;
      readonly isApplicationConsistent: boolean;
    }
  | {
      readonly verb: 'test-failover';
      readonly machine: string;
      readonly point: string;
      readonly isDryRun: boolean;
    }
  /** `failover vm-7` without a mode: a card asks, nothing runs. */
  | { readonly verb: 'failover-question'; readonly machine: string; readonly point: string }
  | { readonly verb: 'cleanup'; readonly machine: string; readonly note: string }
  | { readonly verb: 'whoami' }
  | { readonly verb: 'version' }
  /** Words of the grammar that this version understands and cannot do. */
  | { readonly verb: 'not-available'; readonly asked: string; readonly instead: string };

/** Why a line is not a command. It was not executed, and neither was the corrected line. */
export type UsageProblem = {
  readonly message: string;
  /** The line as it was probably meant; it is a valid command. */
  readonly correctedLine?: string;
  /** The verb whose usage helps. */
  readonly verb?: RunnableVerb;
};

export type ParsedLine =
  | { readonly kind: 'command'; readonly command: Command }
  | { readonly kind: 'usage'; readonly problem: UsageProblem };

/** The line that means the command, without `/dr`. `formatCommand` and `parseLine` are each other's inverse. */
export function formatCommand(command: Command): string {
  return wordsOf(command).join(' ');
}

function wordsOf(command: Command): string[] {
  switch (command.verb) {
    case 'overview':
      return [];
    case 'help':
      return ['help', ...(command.topic === undefined ? [] : [command.topic])];
    case 'status':
      return ['status', ...targetWords(command.target), ...(command.isPublic ? ['--public'] : [])];
    case 'list':
      return ['list', command.object, ...flag('state', command.state), ...pageWords(command.page)];
    case 'show':
      return ['show', ...('id' in command.subject ? [command.subject.id] : targetWords(command.subject))];
    case 'points':
      return ['points', command.machine, ...filterWords(command.filter)];
    case 'lag':
      return ['lag', ...targetWords(command.target), ...sinceWords(command.sinceMs)];
    case 'whoami':
    case 'version':
      return [command.verb];
    case 'not-available':
      return [quoteWord(command.asked)];
    default:
      return actionWords(command);
  }
}

type Action = Extract<Command, { readonly machine: string }>;

function actionWords(command: Exclude<Action, { verb: 'points' }>): string[] {
  switch (command.verb) {
    case 'enable':
      return ['enable', command.machine, ...flag('policy', command.policy), ...flag('host', command.host)];
    case 'pause':
      return ['pause', command.machine, '--for', durationWord(command.forMs), ...flag('reason', command.reason)];
    case 'resume':
      return ['resume', command.machine];
    case 'resync':
      return ['resync', command.machine, ...flag('reason', command.reason || undefined)];
    case 'bookmark': {
      const application = command.isApplicationConsistent ? ['--app'] : [];
      return ['bookmark', command.machine, ...application, ...flag('reason', command.reason)];
    }
    case 'test-failover': {
      const dryRun = command.isDryRun ? ['--dry-run'] : [];
      return ['failover', command.machine, '--test', ...pointWords(command.point), ...dryRun];
    }
    case 'failover-question':
      return ['failover', command.machine, ...pointWords(command.point)];
    case 'cleanup':
      return ['cleanup', command.machine, ...flag('note', command.note || undefined)];
    default:
      return command satisfies never;
  }
}

function targetWords(target: Target | undefined): string[] {
  if (target === undefined) return [];
  return [target.kind === 'vm' ? target.name : `${target.kind}:${target.name}`];
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`--${name}`, quoteWord(value)];
}

function pointWords(point: string): string[] {
  return point === 'latest' ? [] : ['--point', point];
}

function pageWords(page: number): string[] {
  return page === 1 ? [] : ['--page', String(page)];
}

function sinceWords(sinceMs: number | undefined): string[] {
  return sinceMs === undefined ? [] : ['--since', durationWord(sinceMs)];
}

function filterWords(filter: PointFilter): string[] {
  if (filter === 'all') return [];
  return [filter === 'application-consistent' ? '--app' : '--crash'];
}

function durationWord(ms: number): string {
  const units = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };
  const [unit = 's', unitMs = 1000] = Object.entries(units).find(([, size]) => ms % size === 0) ?? [];
  return `${Math.round(ms / unitMs)}${unit}`;
}

/** Writes a word so that reading it again gives the same word: in quotation marks when it must be. */
export function quoteWord(text: string): string {
  const escaped = text
    .replace(/&(?=(?:lt|gt|amp);)/g, '&amp;')
    .replace(/<(?=[@#!]|mailto:|tel:|https?:)/g, '&lt;')
    .replace(/\p{Cc}/gu, ' ');
  if (/^[^\s"'`<>\-–—―−][^\s"`]*$/.test(escaped)) return escaped;
  if (!escaped.includes('"')) return `"${escaped}"`;
  return /'( |$)/.test(escaped) ? `"${escaped.replaceAll('"', "'")}"` : `'${escaped}'`;
}

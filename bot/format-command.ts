import type {
  AlertCommand,
  Command,
  DecisionCommand,
  DecisionTarget,
  MachineCommand,
  PersonWord,
  PointFilter,
  SetUpCommand,
  SnoozeTime,
  Target,
  TimeWord,
} from './command.ts';

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
      return ['status', ...targetWords(command.target), ...switchWord('public', command.isPublic)];
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
    case 'people':
    case 'alerts':
      return [command.verb];
    case 'not-available':
      return [quoteWord(command.asked)];
    default:
      return orderWords(command);
  }
}

type Looking = { verb: 'overview' | 'help' | 'status' | 'list' | 'show' | 'points' | 'lag' | 'whoami' | 'version' };
type Ordering = Exclude<Command, Looking | { verb: 'people' | 'alerts' | 'not-available' }>;

function orderWords(command: Ordering): string[] {
  switch (command.verb) {
    case 'approvals':
    case 'approve':
    case 'reject':
    case 'withdraw':
    case 'review':
      return decisionWords(command);
    case 'ack':
    case 'unack':
    case 'unsnooze':
    case 'escalate':
    case 'snooze':
    case 'mute':
      return alertWords(command);
    case 'subscribe':
    case 'oncall':
    case 'link':
    case 'authenticator':
    case 'console':
    case 'audit':
    case 'role':
      return setUpWords(command);
    default:
      return machineWords(command);
  }
}

function machineWords(command: MachineCommand): string[] {
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
      const application = switchWord('app', command.isApplicationConsistent);
      return ['bookmark', command.machine, ...application, ...flag('reason', command.reason)];
    }
    case 'cleanup':
      return ['cleanup', command.machine, ...flag('note', command.note || undefined)];
    case 'threshold': {
      const limits = ['--warn', durationWord(command.warnMs), '--crit', durationWord(command.criticalMs)];
      return ['threshold', command.machine, ...limits, ...flag('reason', command.reason || undefined)];
    }
    case 'tag': {
      const added = flag('add', command.add.join(',') || undefined);
      const removed = flag('remove', command.remove.join(',') || undefined);
      return ['tag', command.machine, ...added, ...removed, ...flag('reason', command.reason || undefined)];
    }
    default:
      return failoverWords(command);
  }
}

type Failover = Extract<MachineCommand, { verb: 'test-failover' | 'planned-failover' | 'failover-question' }>;

function failoverWords(command: Failover): string[] {
  switch (command.verb) {
    case 'failover-question':
      return ['failover', command.machine, ...pointWords(command.point)];
    case 'test-failover': {
      const dryRun = switchWord('dry-run', command.isDryRun);
      return ['failover', command.machine, '--test', ...pointWords(command.point), ...dryRun];
    }
    case 'planned-failover': {
      const at = command.at === undefined ? [] : flag('at', timeWord(command.at));
      const glass =
        command.typedName === undefined
          ? []
          : ['--break-glass', ...flag('confirm', command.typedName), ...flag('code', command.code)];
      const reason = flag('reason', command.reason || undefined);
      const dryRun = switchWord('dry-run', command.isDryRun);
      return ['failover', command.machine, '--planned', ...at, ...reason, ...dryRun, ...glass];
    }
    default:
      return command satisfies never;
  }
}

function decisionWords(command: DecisionCommand): string[] {
  switch (command.verb) {
    case 'approvals':
      return ['approvals', ...switchWord('mine', command.isMine)];
    case 'approve': {
      const reason = flag('reason', command.reason || undefined);
      return ['approve', command.approval, ...flag('code', command.code), ...reason, ...shownWords(command)];
    }
    case 'reject':
      return ['reject', command.approval, ...flag('reason', command.reason), ...shownWords(command)];
    case 'withdraw':
      return ['withdraw', command.approval, ...shownWords(command)];
    case 'review':
      return ['review', command.approval, ...flag('note', command.note)];
    default:
      return command satisfies never;
  }
}

function shownWords(target: DecisionTarget): string[] {
  const revision = target.revision === undefined ? undefined : String(target.revision);
  return [...flag('rev', revision), ...flag('digest', target.digest8)];
}

function alertWords(command: Exclude<AlertCommand, { verb: 'alerts' }>): string[] {
  const words = [command.verb, command.alert];
  if (command.verb === 'snooze') return [...words, ...(command.time === undefined ? [] : snoozeWords(command.time))];
  return command.verb === 'mute' ? [...words, ...flag('reason', command.reason)] : words;
}

function snoozeWords(time: SnoozeTime): string[] {
  return time.kind === 'for' ? [durationWord(time.ms)] : ['until', clockWord(time)];
}

function setUpWords(command: Exclude<SetUpCommand, { verb: 'people' }>): string[] {
  switch (command.verb) {
    case 'subscribe': {
      const channel = command.channel === undefined ? [] : [`<#${command.channel}>`];
      const severity = flag('severity', command.severity === 'info' ? undefined : command.severity);
      const scope = [...flag('host', command.host), ...flag('site', command.site)];
      return ['subscribe', ...channel, ...severity, ...scope, ...switchWord('off', !command.isOn)];
    }
    case 'oncall':
      return ['oncall', ...(command.persons === undefined ? [] : ['set', ...command.persons.map(personWord)])];
    case 'link':
    case 'authenticator':
      return [command.verb, ...(command.code === undefined ? [] : [command.code])];
    case 'console':
      return ['console', ...switchWord('sign-out', command.isSignOut)];
    case 'role': {
      const { scope } = command;
      const where = scope.kind === 'everything' ? [] : flag(scope.kind, scope.kind === 'tag' ? scope.tag : scope.name);
      return [
        'role',
        personWord(command.person),
        command.role,
        ...where,
        ...flag('reason', command.reason || undefined),
      ];
    }
    case 'audit':
      return ['audit', command.about, ...switchWord('csv', command.isCsv)];
    default:
      return command satisfies never;
  }
}

function personWord(person: PersonWord): string {
  return person.kind === 'user' ? `<@${person.id}>` : person.name;
}

function targetWords(target: Target | undefined): string[] {
  if (target === undefined) return [];
  return [target.kind === 'vm' ? target.name : `${target.kind}:${target.name}`];
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`--${name}`, quoteWord(value)];
}

function switchWord(name: string, isOn: boolean): string[] {
  return isOn ? [`--${name}`] : [];
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

/** `22:00Z`, `2026-11-21T22:00Z`, `in 30m`. */
function timeWord(time: TimeWord): string {
  if (time.kind === 'in') return `in ${durationWord(time.ms)}`;
  return time.kind === 'clock' ? `${clockWord(time)}Z` : `${new Date(time.atMs).toISOString().slice(0, 16)}Z`;
}

function clockWord(clock: { readonly hour: number; readonly minute: number }): string {
  return [clock.hour, clock.minute].map((number) => String(number).padStart(2, '0')).join(':');
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
  // A bare question mark asks for help.
  if (escaped !== '?' && /^[^\s"'`<>\-–—―−][^\s"`]*$/.test(escaped)) return escaped;
  if (!escaped.includes('"')) return `"${escaped}"`;
  return /'( |$)/.test(escaped) ? `"${escaped.replaceAll('"', "'")}"` : `'${escaped}'`;
}

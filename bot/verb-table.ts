import type { Role } from '../domain/access.ts';

/** What `help` says of a verb, and which flags the verb takes. One table for the parser, the completion and the help. */
export type FlagSpec = {
  readonly name: string;
  /** What stands after the flag, as shown in the usage; undefined for a switch. */
  readonly value?: string;
  readonly meaning: string;
};
export type VerbGroup = 'Look' | 'Act' | 'Decide' | 'Set up';
export type VerbSpec = {
  readonly group: VerbGroup;
  /** Viewers look, operators act. Source: CHAT 5.1 */
  readonly role: Role;
  readonly form: string;
  readonly summary: string;
  readonly flags: readonly FlagSpec[];
  readonly approval: string;
  readonly effect: string;
  readonly examples: readonly string[];
  readonly related: readonly string[];
};

const reads = { role: 'viewer', approval: 'Nobody: it only reads.', effect: 'Nothing changes.' } as const;
const acts = { role: 'operator', approval: 'Nobody.' } as const;
const reasonFlag = { name: 'reason', value: '"<text>"', meaning: 'why; kept and shown to others' } as const;

/** The verbs that this version carries out, in the order in which help lists them. */
export const verbTable = {
  status: {
    ...reads,
    group: 'Look',
    form: 'status [<vm> | host:<name>]',
    summary: 'how every machine is',
    flags: [{ name: 'public', meaning: 'show the answer to the whole channel' }],
    examples: ['status', 'status vm-7'],
    related: ['show', 'lag', 'points'],
  },
  list: {
    ...reads,
    group: 'Look',
    form: 'list vms|hosts|runs',
    summary: 'machines, hosts, or runs',
    flags: [
      { name: 'state', value: '<state>', meaning: 'vms: enabled, replicating, not-enabled, paused; runs: active, …' },
      { name: 'page', value: '<n>', meaning: 'the next twenty' },
    ],
    examples: ['list vms', 'list vms --state not-enabled', 'list runs --state failed'],
    related: ['status', 'show'],
  },
  show: {
    ...reads,
    group: 'Look',
    form: 'show <vm> | host:<name> | run_… | drl_…',
    summary: 'everything about one thing',
    flags: [],
    examples: ['show vm-7', 'show run_7K3M9Q2WXA'],
    related: ['status', 'list'],
  },
  points: {
    ...reads,
    group: 'Look',
    form: 'points <vm>',
    summary: 'its recovery points, newest first',
    flags: [
      { name: 'app', meaning: 'only application-consistent points' },
      { name: 'crash', meaning: 'only crash-consistent points' },
    ],
    examples: ['points vm-7', 'points vm-7 --app'],
    related: ['lag', 'failover', 'bookmark'],
  },
  lag: {
    ...reads,
    group: 'Look',
    form: 'lag [<vm> | host:<name>]',
    summary: 'how much data a failover now would lose',
    flags: [
      { name: 'since', value: '<time>', meaning: 'also the points taken in that time (24h, 7d) and the longest gap' },
    ],
    examples: ['lag', 'lag vm-7', 'lag vm-7 --since 24h'],
    related: ['status', 'points'],
  },
  failover: {
    ...acts,
    group: 'Act',
    form: 'failover <vm> --test',
    summary: 'start a copy, apart from the original (a drill)',
    flags: [
      { name: 'test', meaning: 'a drill: the original keeps running' },
      { name: 'point', value: 'latest|rp_…', meaning: 'the recovery point to start from; latest if left out' },
      { name: 'network', value: 'isolated', meaning: 'the only network a drill gets in this version' },
      { name: 'dry-run', meaning: 'say what would happen; run nothing' },
    ],
    approval: 'Nobody for a test failover. Real failovers are not part of this version.',
    effect:
      'A copy of the machine starts from the recovery point, in a network of its own. The original keeps running and ' +
      'replicating. You get a console picture and the check of the boot. The drill ends by itself, or with `cleanup`.',
    examples: ['failover vm-7 --test', 'failover vm-7 --test --dry-run', 'failover vm-7 --test --point rp_7K3M9Q2WXA'],
    related: ['cleanup', 'points', 'show'],
  },
  cleanup: {
    ...acts,
    group: 'Act',
    form: 'cleanup <vm>',
    summary: 'end its drill and delete the copy',
    flags: [{ name: 'note', value: '"<text>"', meaning: 'what the drill showed; kept with the run' }],
    effect: 'The drill machine stops and its disk is deleted. The original and its recovery points are not touched.',
    examples: ['cleanup vm-7', 'cleanup vm-7 --note "boots, login works"'],
    related: ['failover', 'status'],
  },
  bookmark: {
    ...acts,
    group: 'Act',
    form: 'bookmark <vm> --reason "<text>"',
    summary: 'take a recovery point now',
    flags: [{ name: 'app', meaning: 'ask the guest to flush first (application-consistent)' }, reasonFlag],
    effect: 'The agent takes one more recovery point as soon as it hears of it; `points` shows it with your reason.',
    examples: ['bookmark vm-7 --reason "before the upgrade"', 'bookmark vm-7 --app --reason "before the upgrade"'],
    related: ['points', 'failover'],
  },
  pause: {
    ...acts,
    group: 'Act',
    form: 'pause <vm> --for <time> --reason "<text>"',
    summary: 'stop replicating for a while',
    flags: [{ name: 'for', value: '<time>', meaning: '90s, 15m, 4h or 2d; at most 7d' }, reasonFlag],
    effect: 'No new recovery points until the time is over or you `resume`; then it goes on by itself. The lag grows.',
    examples: ['pause vm-7 --for 2h --reason "storage work"'],
    related: ['resume', 'lag'],
  },
  resume: {
    ...acts,
    group: 'Act',
    form: 'resume <vm>',
    summary: 'replicate again before the pause is over',
    flags: [],
    effect: 'Replication goes on where it stopped.',
    examples: ['resume vm-7'],
    related: ['pause', 'status'],
  },
  resync: {
    ...acts,
    group: 'Act',
    form: 'resync <vm>',
    summary: 'compare all its disks with the vault again',
    flags: [reasonFlag],
    effect: 'Every block is read and compared; only what differs is sent. Recovery points stay usable meanwhile.',
    examples: ['resync vm-7', 'resync vm-7 --reason "disk moved"'],
    related: ['status', 'lag'],
  },
  enable: {
    ...acts,
    group: 'Set up',
    form: 'enable <vm> [--policy <name>] [--host <name>]',
    summary: 'protect a machine',
    flags: [
      { name: 'policy', value: '<name>', meaning: 'how it is replicated; `default` if left out' },
      { name: 'host', value: '<name>', meaning: 'its host, when two hosts have a machine of that name' },
    ],
    effect: 'The whole disks are copied to the vault. Until that is done no failover is possible.',
    examples: ['enable vm-7 --policy default', 'enable vm-7 --policy default --host hv-1'],
    related: ['status', 'list'],
  },
  whoami: {
    ...reads,
    group: 'Set up',
    form: 'whoami',
    summary: 'who the engine takes you for',
    flags: [],
    examples: ['whoami'],
    related: ['version', 'help'],
  },
  version: {
    ...reads,
    group: 'Set up',
    form: 'version',
    summary: 'which parts run here',
    flags: [],
    examples: ['version'],
    related: ['whoami'],
  },
  help: {
    ...reads,
    group: 'Set up',
    form: 'help [<verb>]',
    summary: 'this, or everything about one verb',
    flags: [],
    examples: ['help', 'help failover'],
    related: ['whoami'],
  },
} as const satisfies Record<string, VerbSpec>;

export type RunnableVerb = keyof typeof verbTable;
export const runnableVerbs = Object.keys(verbTable).filter(isRunnableVerb);

/** True for a verb of this version. */
export function isRunnableVerb(text: string): text is RunnableVerb {
  return Object.hasOwn(verbTable, text);
}

/** The verb's row, without the narrow types of its literals. */
export function specOf(verb: RunnableVerb): VerbSpec {
  return verbTable[verb];
}

const drill = 'What works today: `failover <vm> --test` starts a drill from a recovery point.';
const noApprovals = 'Nothing in this version needs an approval.';
const noAlerts = 'There are no alerts in this version; `status` shows what is wrong now.';

/** Verbs of the grammar that this version understands and cannot carry out, with what is possible instead. */
export const unavailableVerbs: Readonly<Record<string, string>> = {
  commit: drill,
  cancel: 'A run cannot be cancelled; a drill that has started ends with `cleanup <vm>`.',
  reprotect: drill,
  failback: drill,
  disable: 'To stop replicating for a while: `pause <vm> --for 2h --reason "<text>"`.',
  approvals: noApprovals,
  approve: noApprovals,
  reject: noApprovals,
  withdraw: noApprovals,
  alerts: noAlerts,
  ack: noAlerts,
  unack: noAlerts,
  snooze: noAlerts,
  unsnooze: noAlerts,
  escalate: noAlerts,
  threshold: 'The limit for the lag belongs to the replication policy; `show <vm>` says what it is.',
  subscribe: 'Watch `status`, or keep a terminal open: it says what happens as it happens.',
  oncall: '`whoami` shows who the engine takes you for.',
  link: 'In the terminal your certificate says who you are; `whoami` shows it.',
  exit: 'In a terminal, Ctrl-D at an empty prompt leaves.',
  quit: 'In a terminal, Ctrl-D at an empty prompt leaves.',
  audit: '`list runs` shows who ran what, and `show run_…` one run with its steps.',
};

/** The modes of a failover that are not part of this version. */
export const unavailableFailovers: Readonly<Record<string, string>> = {
  planned: drill,
  unplanned: drill,
};
/** Flags that belong to those modes only. */
export const realFailoverFlags: readonly FlagSpec[] = [
  { name: 'planned', meaning: '' },
  { name: 'unplanned', meaning: '' },
  { name: 'shutdown', meaning: '' },
  { name: 'no-shutdown', meaning: '' },
  { name: 'break-glass', meaning: '' },
  { name: 'at', value: '<time>', meaning: '' },
  { name: 'reason', value: '"<text>"', meaning: '' },
];

import { acts, reasonFlag, type VerbSpec } from './verb-spec.ts';

/** Verbs that do something to a machine. */
export const actVerbs = {
  failover: {
    ...acts,
    group: 'Act',
    form: 'failover <vm> --test | --planned --reason "<text>"',
    summary: 'start a copy apart from the original (a drill), or move the machine for real',
    flags: [
      { name: 'test', meaning: 'a drill: the original keeps running' },
      { name: 'point', value: 'latest|rp_…', meaning: 'drill: the recovery point to start from; latest if left out' },
      { name: 'network', value: 'isolated', meaning: 'drill: the only network that it gets in this version' },
      {
        name: 'planned',
        meaning: 'for real: the original is shut down, its last changes are sent, it starts at the target',
      },
      { name: 'reason', value: '"<text>"', meaning: 'planned: why; approvers decide by it' },
      { name: 'at', value: '22:00Z|in 30m', meaning: 'planned: not before this time' },
      { name: 'dry-run', meaning: 'make the checks and say what would happen; run nothing' },
      {
        name: 'break-glass',
        meaning: 'planned, on-call only: without an approver; all of them are told, and it is reviewed',
      },
      { name: 'confirm', value: '<vm>', meaning: "break-glass: the machine's name once more" },
      {
        name: 'code',
        value: '<six digits>',
        meaning: 'break-glass: from your authenticator; in chat a dialog asks for it',
      },
    ],
    approval:
      'Nobody for a test failover. One approver for a planned one, two for a machine with the tag tier:0; never who asks for it.',
    effect:
      'Test: a copy starts from the recovery point, in a network of its own; the original keeps running and replicating. ' +
      'The drill ends by itself, or with `cleanup`. Planned: after the approval the original is shut down in order, its last ' +
      'changes are sent, nothing is lost, and it starts at the target. If anything fails before that, the original runs again.',
    examples: [
      'failover vm-7 --test',
      'failover vm-7 --planned --reason "DC power work" --dry-run',
      'failover vm-7 --planned --at 22:00Z --reason "DC power work"',
      'failover vm-7 --planned --break-glass --confirm vm-7 --reason "site on fire"',
    ],
    related: ['cleanup', 'points', 'approvals', 'show'],
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
} as const satisfies Record<string, VerbSpec>;

import { reads, type VerbSpec } from './verb-spec.ts';

/** Verbs that only look. */
export const lookVerbs = {
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
    form: 'list vms|hosts|runs|approvals|alerts',
    summary: 'machines, hosts, runs, approvals, or alerts',
    flags: [
      {
        name: 'state',
        value: '<state>',
        meaning:
          'vms: enabled, replicating, not-enabled, paused, failed-over; runs: active, succeeded, failed; approvals: pending, …; alerts: open, …',
      },
      { name: 'page', value: '<n>', meaning: 'the next twenty' },
    ],
    examples: ['list vms', 'list vms --state not-enabled', 'list approvals --state pending'],
    related: ['status', 'show'],
  },
  show: {
    ...reads,
    group: 'Look',
    form: 'show <vm> | host:<name> | run_… | apr_… | alr_… | drl_…',
    summary: 'everything about one thing',
    flags: [],
    examples: ['show vm-7', 'show apr_7K3M9Q2WXA'],
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
      {
        name: 'since',
        value: '<time>',
        meaning: 'how far to look back (24h, 7d): the points taken, the longest gap, the curve',
      },
    ],
    examples: ['lag', 'lag vm-7', 'lag vm-7 --since 24h'],
    related: ['status', 'points'],
  },
  audit: {
    ...reads,
    group: 'Look',
    form: 'audit <id> | <vm> | <person>',
    summary: 'who did what, when and why',
    flags: [{ name: 'csv', meaning: 'all of it as a file, for a spreadsheet' }],
    effect: 'Nothing changes. Each entry is chained to the one before it; the answer says whether the chain is whole.',
    examples: ['audit vm-7', 'audit apr_7K3M9Q2WXA --csv'],
    related: ['show', 'approvals'],
  },
} as const satisfies Record<string, VerbSpec>;

import type { RunnableVerb } from '../verb-table.ts';
import type { VerbGroup } from '../verbs/verb-spec.ts';

/** A row of the help: verbs of one kind share it, so that no group has more than six. Source: CHAT 5.1 */
type HelpRow = {
  readonly verbs: readonly (readonly [verb: RunnableVerb, meaning: string])[];
  /** What stands after the verb or verbs. */
  readonly rest: string;
};

const rows: Readonly<Record<VerbGroup, readonly HelpRow[]>> = {
  Look: [
    { verbs: [['status', 'how every machine is']], rest: '[<vm> | host:<name>]' },
    { verbs: [['list', 'all of one kind']], rest: 'vms|hosts|runs|approvals|alerts' },
    { verbs: [['show', 'everything about one thing']], rest: '<vm> | host:<name> | run_… | apr_… | alr_…' },
    { verbs: [['points', 'its recovery points, newest first']], rest: '<vm>' },
    { verbs: [['lag', 'how much data a failover now would lose']], rest: '[<vm> | host:<name>]' },
    { verbs: [['audit', 'who did what, when and why']], rest: '<id> | <vm> | <person>' },
  ],
  Act: [
    {
      verbs: [['failover', 'start a copy apart from the original, or move it for real']],
      rest: '<vm> --test | --planned',
    },
    { verbs: [['cleanup', 'end its drill and delete the copy']], rest: '<vm>' },
    { verbs: [['bookmark', 'take a recovery point now']], rest: '<vm> --reason "<text>"' },
    { verbs: [['pause', 'stop replicating for a while']], rest: '<vm> --for <time> --reason "<text>"' },
    { verbs: [['resume', 'replicate again before the pause is over']], rest: '<vm>' },
    { verbs: [['resync', 'compare all its disks with the vault again']], rest: '<vm>' },
  ],
  Decide: [
    { verbs: [['approvals', 'what waits for a decision']], rest: '[--mine]' },
    {
      verbs: [
        ['approve', 'say yes'],
        ['reject', 'say no'],
      ],
      rest: '<apr_…>',
    },
    {
      verbs: [
        ['withdraw', 'take back a request of your own'],
        ['review', 'look at a break-glass'],
      ],
      rest: '<apr_…>',
    },
    { verbs: [['alerts', 'what is wrong now, worst first']], rest: '' },
    {
      verbs: [
        ['ack', 'I look after it'],
        ['snooze', 'quiet for a while'],
        ['escalate', 'call the next'],
      ],
      rest: '<alr_…>',
    },
    {
      verbs: [
        ['unack', 'give it back'],
        ['unsnooze', 'wake it up'],
        ['mute', 'quiet until it is well'],
      ],
      rest: '<alr_…>',
    },
  ],
  'Set up': [
    {
      verbs: [
        ['enable', 'protect a machine'],
        ['threshold', 'when its lag is an alert'],
        ['tag', 'group machines'],
      ],
      rest: '<vm>',
    },
    { verbs: [['subscribe', 'send what happens to a channel']], rest: '[#channel]' },
    {
      verbs: [
        ['oncall', 'who is called'],
        ['people', 'who has which role'],
        ['role', 'give or take one'],
      ],
      rest: '',
    },
    {
      verbs: [
        ['link', 'tie this chat account to your person'],
        ['authenticator', 'set up your six-digit codes'],
      ],
      rest: '[<code>]',
    },
    { verbs: [['console', 'a link to the web page, good once']], rest: '' },
    {
      verbs: [
        ['whoami', 'who the engine takes you for'],
        ['version', 'which parts run here'],
        ['help', 'this, or everything about one verb'],
      ],
      rest: '[<verb>]',
    },
  ],
};

/** The rows of each group, with only those verbs in them that the person may use. */
export function helpRows(
  verbs: readonly RunnableVerb[],
): readonly { readonly title: VerbGroup; readonly rows: readonly (readonly [string, string])[] }[] {
  const groups = Object.keys(rows) as VerbGroup[];
  return groups.map((title) => ({ title, rows: rows[title].flatMap((row) => rowFor(row, verbs)) }));
}

/** A verb alone, in the words of the help. */
export function shortRow(verb: RunnableVerb): readonly [string, string] {
  const row = Object.values(rows)
    .flat()
    .find((candidate) => candidate.verbs.some(([known]) => known === verb));
  const [own] = row === undefined ? [] : rowFor(row, [verb]);
  return own ?? [verb, ''];
}

function rowFor(row: HelpRow, verbs: readonly RunnableVerb[]): (readonly [string, string])[] {
  const allowed = row.verbs.filter(([verb]) => verbs.includes(verb));
  if (allowed.length === 0) return [];
  const names = allowed.map(([verb]) => verb).join(' | ');
  // Only `help` of its row takes a word.
  const rest = names.endsWith('help') ? '[<verb>]' : row.rest;
  return [[`${names} ${rest}`.trim(), allowed.map(([, meaning]) => meaning).join('; ')]];
}

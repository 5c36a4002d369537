import { roles } from '../../domain/access.ts';
import { runnableVerbs, specOf } from '../verb-table.ts';

const words: Readonly<Record<string, readonly string[]>> = {
  list: ['vms', 'hosts', 'runs', 'approvals', 'alerts'],
  oncall: ['set'],
  role: [],
  // These take an id, or nothing.
  ...Object.fromEntries(
    'approvals alerts approve reject withdraw review ack unack snooze unsnooze escalate mute'.split(' ').map(none),
  ),
  ...Object.fromEntries('people link authenticator console subscribe whoami version'.split(' ').map(none)),
  help: runnableVerbs,
};

/** The two kinds of failover, each with the flags that are its own: a line has those of one kind only. */
const modes: readonly (readonly string[])[] = [
  ['--test', '--point', '--network'],
  ['--planned', '--reason', '--at', '--break-glass', '--confirm', '--code'],
];

/**
 * What the tabulator key offers: verbs first, then the verb's flags and the machines' names.
 *
 * @returns the candidates, and the part of the line that they replace (readline's form)
 */
export function completeLine(line: string, machineNames: readonly string[]): [string[], string] {
  const typed = line.replace(/^\s*(\/?dr\s+)?/i, '');
  const parts = typed.split(/\s+/);
  const last = parts.at(-1) ?? '';
  if (parts.length === 1) return [matching(runnableVerbs, last), last];
  const verb = runnableVerbs.find((known) => known === parts[0]?.toLowerCase());
  if (verb === undefined) return [[], last];
  const known = specOf(verb).flags.filter((flag) => flag.isHidden !== true);
  const before = wordsBefore(typed);
  // A text that is still being written, or one that has to be: there is nothing to choose from.
  if (before === undefined) return [[], last];
  const asked = known.find((flag) => flag.value !== undefined && `--${flag.name}` === before.at(-1));
  if (asked !== undefined) return [asked.name === 'machine' ? matching(machineNames, last) : [], last];
  const others = verb === 'failover' ? otherModes(before) : [];
  const unused = known
    .map((flag) => `--${flag.name}`)
    .filter((flag) => !before.includes(flag) && !others.includes(flag));
  if (last.startsWith('-')) return [matching(unused, last), last];
  if (parts.length === 2) return [matching(words[verb] ?? machineNames, last), last];
  if (verb === 'role' && parts.length === 3) return [matching([...roles, 'none'], last), last];
  return [matching(unused, last), last];
}

/** The words before the last one, each text in quotation marks as one of them; undefined within such a text. */
function wordsBefore(typed: string): string[] | undefined {
  const plain = typed.replace(/(^|[\s=])(["']).*?\2(?=\s|$)/g, '$1text');
  if (/(^|[\s=])["']/.test(plain)) return undefined;
  return plain.toLowerCase().split(/\s+/).slice(0, -1);
}

/** The flags of the kinds of failover that this line is not. */
function otherModes(before: readonly string[]): string[] {
  const own = modes.find((mode) => mode.some((flag) => before.includes(flag)));
  return own === undefined ? [] : modes.filter((mode) => mode !== own).flat();
}

function none(verb: string): [string, readonly string[]] {
  return [verb, []];
}

function matching(known: readonly string[], typed: string): string[] {
  const lower = typed.toLowerCase();
  return known.filter((word) => word.toLowerCase().startsWith(lower)).map((word) => `${word} `);
}

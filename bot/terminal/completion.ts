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
  const flags = known.map((flag) => `--${flag.name}`);
  const unused = flags.filter((flag) => !parts.slice(1, -1).includes(flag));
  if (last.startsWith('-')) return [matching(unused, last), last];
  if (parts.length === 2) return [matching(words[verb] ?? machineNames, last), last];
  if (verb === 'role' && parts.length === 3) return [matching([...roles, 'none'], last), last];
  return [matching(parts.at(-2) === '--machine' ? machineNames : unused, last), last];
}

function none(verb: string): [string, readonly string[]] {
  return [verb, []];
}

function matching(known: readonly string[], typed: string): string[] {
  const lower = typed.toLowerCase();
  return known.filter((word) => word.toLowerCase().startsWith(lower)).map((word) => `${word} `);
}

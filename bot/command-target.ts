import { machineName } from '../protocol/api-fields.ts';
import type { Word } from './chat-text.ts';
import type { Target } from './command.ts';
import type { SplitWords } from './command-flags.ts';
import { type Interpreted, notAvailable, plain, type Rejection, rejected } from './rejection.ts';
import { type RunnableVerb, specOf } from './verb-table.ts';

type ReadTarget = { readonly kind: 'target'; readonly target: Target } | Interpreted;
export type ReadMachine = { readonly kind: 'machine'; readonly machine: string } | Interpreted;

const insteadOf: Readonly<Record<string, string>> = {
  plan: 'There are no recovery plans yet; name one machine.',
  group: 'There are no consistency groups yet; name one machine.',
  site: 'There are no sites yet; name one machine, or `host:<name>` to look at a host.',
};

/** Refuses words beyond the verb's last one, with the line as it was meant when they belong to a text without marks. */
export function onlyWords(split: SplitWords, countMax: number): Rejection | undefined {
  const extra = split.positionals[countMax];
  if (extra === undefined) return undefined;
  const shown = split.positionals.slice(countMax).map(({ word }) => `\`${word.text.slice(0, 40)}\``);
  const unquoted = unquotedText(split);
  if (unquoted !== undefined) return rejected('Put a text of several words in quotation marks.', unquoted);
  return rejected(
    `I did not expect ${shown.slice(0, 3).join(', ')}${countMax === 0 ? '' : ' after that'}; nothing was done.`,
  );
}

/** `--reason DC power work` becomes `--reason "DC power work"`. */
function unquotedText(split: SplitWords): readonly Word[] | undefined {
  const start = split.textIndexes.find((index) => split.positionals.some((extra) => extra.index === index + 1));
  if (start === undefined) return undefined;
  const rest = split.words.slice(start);
  const flagAt = rest.findIndex((word, index) => index > 0 && !word.isLiteral && word.text.startsWith('-'));
  const text = flagAt < 0 ? rest : rest.slice(0, flagAt);
  const joined = { text: text.map((word) => word.text).join(' '), isLiteral: true };
  return [...split.words.slice(0, start), joined, ...rest.slice(text.length)];
}

/** Reads the word at that place among the verb's words (flags not counted) as a target. */
export function readTarget(split: SplitWords, place: number): ReadTarget {
  const positional = split.positionals[place];
  if (positional === undefined) return rejected('Which machine? `list vms` shows their names.');
  const { word, index } = positional;
  if (word.reference !== undefined) {
    return rejected(`A machine's name belongs here, not a ${word.reference.kind} (${word.text.slice(0, 60)}).`);
  }
  const [, typedKind = 'vm', name = word.text] = /^([A-Za-z]+):(.*)$/s.exec(word.text) ?? [];
  const kind = typedKind.toLowerCase();
  const instead = Object.hasOwn(insteadOf, kind) ? insteadOf[kind] : undefined;
  if (instead !== undefined) return notAvailable(`${kind}:…`, instead);
  if (kind !== 'vm' && kind !== 'host') {
    return rejected(`\`${typedKind.slice(0, 40)}:\` is not a kind of target; write \`vm:<name>\` or \`host:<name>\`.`);
  }
  if (machineName.safeParse(name).success) return { kind: 'target', target: { kind, name } };
  return notAName(split, { name, index });
}

function notAName(split: SplitWords, typed: { name: string; index: number }): Rejection {
  const shown = typed.name.slice(0, 60);
  const message = `\`${shown}\` is not a name: names are letters, digits, dots and dashes.`;
  const mended = typed.name.replace(/[–—―−‐‑]/g, '-').replace(/[,;:!?]+$/, '');
  if (mended === typed.name || !machineName.safeParse(mended).success) return rejected(message);
  return rejected(`${message} Did you mean \`${mended}\`?`, split.words.with(typed.index, plain(mended)));
}

/** The one machine that a verb is about; hosts are refused. */
export function machineAt(split: SplitWords, verb: RunnableVerb): ReadMachine {
  if (split.positionals.length === 0) {
    return rejected(`Which machine? \`${specOf(verb).form}\`; \`list vms\` shows their names.`);
  }
  const read = readTarget(split, 0);
  if (read.kind !== 'target') return read;
  if (read.target.kind === 'host') return rejected(`\`${verb}\` works on one machine at a time, not on a host.`);
  return { kind: 'machine', machine: read.target.name };
}

/** Ids are read aloud and typed on phones: case does not matter, and I, L and O are the digits that they look like. */
export function normalizeId(text: string): string {
  const [, prefix, body] = /^([A-Za-z]{2,3})_([0-9A-Za-z]+)$/.exec(text) ?? [];
  if (prefix === undefined || body === undefined) return text;
  return `${prefix.toLowerCase()}_${body.toUpperCase().replace(/[IL]/g, '1').replace(/O/g, '0')}`;
}

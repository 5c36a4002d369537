import type { Word } from './chat-text.ts';
import { nearestWord } from './nearest-word.ts';
import { plain, type Rejection, rejected } from './rejection.ts';
import { type RunnableVerb, realFailoverFlags, specOf } from './verb-table.ts';
import type { FlagSpec } from './verbs/verb-spec.ts';

/** A verb's words, told apart: `flags` holds each flag once, with '' for a switch. */
export type SplitWords = {
  readonly kind: 'split';
  readonly words: readonly Word[];
  readonly positionals: readonly { readonly word: Word; readonly index: number }[];
  readonly flags: ReadonlyMap<string, string>;
  /** Where in `words` the value of a flag that holds free text stands. */
  readonly textIndexes: readonly number[];
};

type FlagWord = {
  readonly kind: 'flag';
  readonly spec: FlagSpec;
  readonly value: string;
  /** How many words the flag takes up: 2 in `--for 2h`. */
  readonly wordCount: number;
};

/** Tells flags from other words. Every flag must be known, stand once, and have a value exactly when it takes one. */
export function splitFlags(verb: RunnableVerb, words: readonly Word[]): SplitWords | Rejection {
  const known = verb === 'failover' ? [...specOf(verb).flags, ...realFailoverFlags] : specOf(verb).flags;
  const positionals: { word: Word; index: number }[] = [];
  const flags = new Map<string, string>();
  const textIndexes: number[] = [];
  let index = 0;
  while (index < words.length) {
    const word = words[index] ?? plain('');
    if (word.isLiteral || !word.text.startsWith('-') || word.text === '-') {
      positionals.push({ word, index });
      index += 1;
      continue;
    }
    const flag = readFlag(words, index, { verb, known });
    if (flag.kind === 'rejected') return flag;
    if (flags.has(flag.spec.name)) return rejected(`--${flag.spec.name} is given twice; give it once.`);
    flags.set(flag.spec.name, flag.value);
    if (flag.spec.value?.startsWith('"') && flag.wordCount === 2) textIndexes.push(index + 1);
    index += flag.wordCount;
  }
  return { kind: 'split', words, positionals, flags, textIndexes };
}

function readFlag(
  words: readonly Word[],
  index: number,
  grammar: { verb: RunnableVerb; known: readonly FlagSpec[] },
): FlagWord | Rejection {
  const text = words[index]?.text ?? '';
  const equals = text.indexOf('=');
  const typed = equals < 0 ? text : text.slice(0, equals);
  const name = typed.slice(2).toLowerCase();
  const spec = typed.startsWith('--') ? grammar.known.find((candidate) => candidate.name === name) : undefined;
  if (spec === undefined) return unknownFlag(words, index, { ...grammar, typed });
  if (spec.value === undefined) {
    if (equals >= 0) return rejected(`--${name} takes no value; write --${name} or leave it out.`);
    return { kind: 'flag', spec, value: '', wordCount: 1 };
  }
  const next = words[index + 1];
  const hasNext = next !== undefined && (next.isLiteral || !next.text.startsWith('-'));
  const value = equals >= 0 ? text.slice(equals + 1) : hasNext ? next.text : '';
  if (value === '') return rejected(`--${name} needs a value: --${name} ${spec.value}`);
  return { kind: 'flag', spec, value, wordCount: equals >= 0 ? 1 : 2 };
}

function unknownFlag(
  words: readonly Word[],
  index: number,
  grammar: { verb: RunnableVerb; known: readonly FlagSpec[]; typed: string },
): Rejection {
  const { verb, known, typed } = grammar;
  const shown = typed.slice(0, 60);
  const names = known.map((flag) => flag.name);
  if (names.length === 0) return rejected(`\`${verb}\` takes no flags, so I did not use \`${shown}\`.`);
  const near = nearestWord(typed.replace(/^-+/, ''), names);
  if (near === undefined) {
    const usable = specOf(verb).flags.map((flag) => `--${flag.name}`);
    return rejected(`\`${verb}\` has no flag \`${shown}\`. It has ${usable.join(', ')}.`);
  }
  const text = words[index]?.text ?? '';
  const corrected = plain(`--${near}${text.slice(typed.length)}`);
  return rejected(`\`${verb}\` has no flag \`${shown}\`. Did you mean \`--${near}\`?`, words.with(index, corrected));
}

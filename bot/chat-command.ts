import { type ReadText, type Reference, readWords, type Word, wordsOfArguments } from './chat-text.ts';
import type { ParsedLine } from './command.ts';
import { buildCommand } from './command-builder.ts';
import { splitFlags } from './command-flags.ts';
import { quoteWord } from './format-command.ts';
import { nearestWord } from './nearest-word.ts';
import { type Interpreted, plain, type Rejection, rejected } from './rejection.ts';
import { isRunnableVerb, type RunnableVerb, runnableVerbs, unavailableVerbs } from './verb-table.ts';

const correctionCountMax = 4;

/**
 * Reads one line of chat, with or without `/dr` or `dr` before it, as a command or as a mistake with its correction.
 *
 * Nothing with an unknown word in it becomes a command, however near it is to one. Source: CHAT 5.1
 */
export function parseLine(text: string): ParsedLine {
  return parseRead(readWords(text));
}

/** The same for words that a shell has separated, as in `dr failover vm-7 --test`. */
export function parseArguments(programArguments: readonly string[]): ParsedLine {
  return parseRead(wordsOfArguments(programArguments));
}

function parseRead(read: ReadText): ParsedLine {
  if (read.kind === 'refused') return { kind: 'usage', problem: { message: read.message } };
  const words = withoutProgramName(read.words);
  const interpreted = interpret(words);
  if (interpreted.kind === 'command') return interpreted;
  const correctedLine = validCorrection(interpreted);
  return {
    kind: 'usage',
    problem: {
      message: interpreted.message,
      ...(correctedLine !== undefined && { correctedLine }),
      ...(interpreted.verb !== undefined && { verb: interpreted.verb }),
    },
  };
}

/** Follows correction after correction; a line is only offered when it is a command itself. */
function validCorrection(rejection: Rejection): string | undefined {
  let current: Interpreted = rejection;
  let words: readonly Word[] = [];
  for (let count = 0; count < correctionCountMax; count += 1) {
    if (current.kind === 'command') return words.map(writeWord).join(' ');
    if (current.corrected === undefined) return undefined;
    words = current.corrected;
    current = interpret(words);
  }
  return undefined;
}

function writeWord(word: Word): string {
  if (word.reference !== undefined) return referenceWord(word.reference);
  const flagWithValue = word.isLiteral ? null : /^(--[A-Za-z-]+)=(.*)$/s.exec(word.text);
  if (flagWithValue !== null) return `${flagWithValue[1]}=${quoteWord(flagWithValue[2] ?? '')}`;
  return word.text.startsWith('--') && !word.isLiteral ? word.text : quoteWord(word.text);
}

function referenceWord({ kind, id }: Reference): string {
  const signs = { person: '@', channel: '#', group: '!subteam^' } as const;
  return `<${signs[kind]}${id}>`;
}

function withoutProgramName(words: readonly Word[]): readonly Word[] {
  const first = words[0];
  return first !== undefined && !first.isLiteral && /^\/?dr$/i.test(first.text) ? words.slice(1) : words;
}

function interpret(words: readonly Word[]): Interpreted {
  const first = words[0];
  if (first === undefined) return { kind: 'command', command: { verb: 'overview' } };
  const rest = words.slice(1);
  if (isHelpFlag(first)) return interpret([plain('help'), ...rest]);
  const verb = first.text.toLowerCase();
  const unavailable = Object.hasOwn(unavailableVerbs, verb) ? unavailableVerbs[verb] : undefined;
  if (unavailable !== undefined && !first.isLiteral) {
    return { kind: 'command', command: { verb: 'not-available', asked: verb, instead: unavailable } };
  }
  if (!isRunnableVerb(verb) || first.isLiteral) return unknownVerb(first, rest);
  if (rest.some(isHelpFlag)) {
    return { kind: 'command', command: { verb: 'help', topic: verb === 'help' ? undefined : verb } };
  }
  const split = splitFlags(verb, rest);
  if (split.kind === 'rejected') return withVerb(split, first, verb);
  const built = buildCommand(verb, split);
  return built.kind === 'rejected' ? withVerb(built, first, verb) : built;
}

/** Corrections of a verb's own words are put behind the verb again. */
function withVerb(rejection: Rejection, first: Word, verb: RunnableVerb): Rejection {
  const { corrected, message } = rejection;
  return { kind: 'rejected', message, verb, ...(corrected && { corrected: [first, ...corrected] }) };
}

function unknownVerb(first: Word, rest: readonly Word[]): Rejection {
  const shown = first.text.slice(0, 60);
  if (!first.isLiteral && first.text.startsWith('-')) {
    return rejected(`A command begins with a verb, not with \`${shown}\`. \`help\` lists the verbs.`);
  }
  const known = [...runnableVerbs, ...Object.keys(unavailableVerbs)];
  const second = rest[0];
  if (second !== undefined && known.includes(second.text.toLowerCase()) && !second.isLiteral) {
    return rejected(`The verb comes first: \`${second.text}\`, then \`${shown}\`.`, [second, first, ...rest.slice(1)]);
  }
  const typed = first.text.replace(/^\//, '');
  const near = nearestWord(typed, runnableVerbs) ?? nearestWord(typed, Object.keys(unavailableVerbs));
  if (near === undefined) return rejected(`I do not know the verb \`${shown}\`. \`help\` lists the verbs.`);
  return rejected(`I do not know the verb \`${shown}\`. Did you mean \`${near}\`?`, [plain(near), ...rest]);
}

function isHelpFlag(word: Word): boolean {
  return !word.isLiteral && /^(--help|-h|\?)$/i.test(word.text);
}

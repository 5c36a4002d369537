import { type Id, type IdKind, idPrefixes, isId } from '../domain/ids.ts';
import { formatDuration, parseDuration } from '../domain/units.ts';
import type { Command, Target } from './command.ts';
import type { SplitWords } from './command-flags.ts';
import { machineAt, normalizeId, onlyWords, type ReadMachine, readTarget } from './command-target.ts';
import { type Interpreted, type Rejection, rejected } from './rejection.ts';
import type { RunnableVerb } from './verb-table.ts';

const reasonLengthMax = 500;

export function command(built: Command): Interpreted {
  return { kind: 'command', command: built };
}

export function withTarget(split: SplitWords, build: (target: Target | undefined) => Command): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  if (split.positionals.length === 0) return command(build(undefined));
  const read = readTarget(split, 0);
  return read.kind === 'target' ? command(build(read.target)) : read;
}

export function withMachine(
  split: SplitWords,
  verb: RunnableVerb,
  build: (machine: string) => Interpreted,
): Interpreted {
  const read: ReadMachine | Interpreted = onlyWords(split, 1) ?? machineAt(split, verb);
  return read.kind === 'machine' ? build(read.machine) : read;
}

export function withReason(split: SplitWords, build: (reason: string) => Command): Interpreted {
  const reason = split.flags.get('reason');
  if (reason === undefined)
    return rejected('The reason is missing; add --reason "<text>". It is kept and shown to others.');
  return tooLong('reason', reason) ?? command(build(reason));
}

export function tooLong(name: string, text: string): Rejection | undefined {
  return text.length > reasonLengthMax
    ? rejected(`--${name} is longer than ${reasonLengthMax} characters.`)
    : undefined;
}

const idWords = { approval: 'an approval', alert: 'an alert' } as const;
type ReadId<Kind extends IdKind> = { readonly kind: 'id'; readonly id: Id<Kind> } | Rejection;

/** The id that a verb is about, as its first word. */
export function idAt<Kind extends 'approval' | 'alert'>(split: SplitWords, kind: Kind): ReadId<Kind> {
  const word = split.positionals[0]?.word;
  const list = `\`${kind}s\` lists them`;
  if (word === undefined) return rejected(`Which one? Write the id of ${idWords[kind]}; ${list}.`);
  const id = normalizeId(word.text);
  if (isId(kind, id)) return { kind: 'id', id };
  const shown = word.text.slice(0, 60);
  if (new RegExp(`^${idPrefixes[kind]}_`, 'i').test(id)) {
    return rejected(`\`${shown}\` is not a whole id; an id has ten characters after the line below.`);
  }
  return rejected(`\`${shown}\` is not the id of ${idWords[kind]} (\`${idPrefixes[kind]}_…\`); ${list}.`);
}

export function withId<Kind extends 'approval' | 'alert'>(
  split: SplitWords,
  kind: Kind,
  build: (id: string) => Interpreted,
): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  const read = idAt(split, kind);
  return read.kind === 'id' ? build(read.id) : read;
}

type ReadDuration = { readonly kind: 'duration'; readonly ms: number } | Rejection;

/** A time such as `15m` between two limits. `about` begins the sentence that refuses another one. */
export function readDuration(typed: string, limits: { about: string; minMs: number; maxMs: number }): ReadDuration {
  const ms = parseDuration(typed.toLowerCase());
  if (ms === undefined)
    return rejected(`\`${typed.slice(0, 40)}\` is not a time I can read; write 90s, 15m, 4h or 2d.`);
  if (ms >= limits.minMs && ms <= limits.maxMs) return { kind: 'duration', ms };
  return rejected(`${limits.about} is from ${formatDuration(limits.minMs)} to ${formatDuration(limits.maxMs)}.`);
}

type ReadCode = { readonly kind: 'code'; readonly code: string | undefined } | Rejection;

/** Six digits, with or without the gap that authenticators show. What was typed is not repeated: it may be a secret. */
export function readCode(typed: string | undefined): ReadCode {
  if (typed === undefined) return { kind: 'code', code: undefined };
  const code = typed.replaceAll(/[ -]/g, '');
  if (/^\d{6}$/.test(code)) return { kind: 'code', code };
  return rejected('The code is the six digits that your authenticator shows now.');
}

import { type Grant, type Role, roles } from '../domain/access.ts';
import { idPrefixes, isId } from '../domain/ids.ts';
import { machineName } from '../protocol/api-fields.ts';
import { personName } from '../protocol/chat-api.ts';
import { command, readCode, tooLong } from './builder-words.ts';
import type { Word } from './chat-text.ts';
import type { PersonWord } from './command.ts';
import type { SplitWords } from './command-flags.ts';
import { normalizeId, onlyWords } from './command-target.ts';
import { nearestWord } from './nearest-word.ts';
import { type Interpreted, plain, type Rejection, rejected } from './rejection.ts';

const severities = ['info', 'warning', 'critical'] as const;
const onCallCountMax = 10;

/** The verbs that set up places and people, and the audit. */
export const setUpBuilders = {
  subscribe: buildSubscribe,
  oncall: buildOnCall,
  people: (split: SplitWords) => onlyWords(split, 0) ?? command({ verb: 'people' }),
  role: buildRole,
  link: buildLink,
  authenticator: buildAuthenticator,
  console: (split: SplitWords) =>
    onlyWords(split, 0) ?? command({ verb: 'console', isSignOut: split.flags.has('sign-out') }),
  audit: buildAudit,
};

function buildSubscribe(split: SplitWords): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  const word = split.positionals[0]?.word;
  if (word !== undefined && word.reference?.kind !== 'channel') {
    return rejected(
      `\`${word.text.slice(0, 60)}\` is not a channel that I can find. Choose it from the list that appears after #, or write \`subscribe\` in the channel itself.`,
    );
  }
  const typed = split.flags.get('severity')?.toLowerCase() ?? 'info';
  const severity = severities.find((known) => known === typed);
  if (severity === undefined) return rejected(`--severity is one of ${severities.join(', ')}.`);
  const host = split.flags.get('host');
  if (host !== undefined && !machineName.safeParse(host).success) return rejected('--host is the name of a host.');
  const site = split.flags.get('site')?.replace(/^site:/i, '');
  if (site !== undefined && !machineName.safeParse(site).success) return rejected('--site is the name of a site.');
  if (host !== undefined && site !== undefined) return rejected('One of them: --host or --site.');
  const isOn = !split.flags.has('off');
  return command({ verb: 'subscribe', channel: word?.reference?.id, severity, host, site, isOn });
}

function buildOnCall(split: SplitWords): Interpreted {
  const [first, ...rest] = split.positionals;
  if (first === undefined) return command({ verb: 'oncall', persons: undefined });
  if (first.word.text.toLowerCase() !== 'set' || first.word.isLiteral) {
    const corrected = split.words.toSpliced(first.index, 0, plain('set'));
    return rejected('To change who is on call: `oncall set <person…>`.', corrected);
  }
  if (rest.length === 0) return rejected('Who is on call? `oncall set ana ben`: the first one is called first.');
  if (rest.length > onCallCountMax) return rejected(`At most ${onCallCountMax} people can be on call.`);
  const persons: PersonWord[] = [];
  for (const { word } of rest) {
    const read = readPerson(word);
    if (read.kind === 'rejected') return read;
    persons.push(read.person);
  }
  return command({ verb: 'oncall', persons });
}

const roleWords = [...roles, 'none'] as const satisfies readonly (Role | 'none')[];

function buildRole(split: SplitWords): Interpreted {
  const extra = onlyWords(split, 2);
  if (extra !== undefined) return extra;
  const [who, what] = split.positionals;
  if (who === undefined) return rejected('Whose role? `role ben approver`; `people` shows who is known.');
  const read = readPerson(who.word);
  if (read.kind === 'rejected') return read;
  const typed = what?.word.text.toLowerCase();
  const role = roleWords.find((known) => known === typed);
  if (what === undefined || role === undefined) return unknownRole(split, what);
  const scope = readScope(split.flags);
  if (scope.kind === 'rejected') return scope;
  const reason = split.flags.get('reason') ?? '';
  return tooLong('reason', reason) ?? command({ verb: 'role', person: read.person, role, scope: scope.scope, reason });
}

function unknownRole(split: SplitWords, what: SplitWords['positionals'][number] | undefined): Rejection {
  const message = `A role is one of ${roleWords.join(', ')}; none takes it away.`;
  const near = what === undefined ? undefined : nearestWord(what.word.text.toLowerCase(), roleWords);
  return rejected(message, what && near !== undefined ? split.words.with(what.index, plain(near)) : undefined);
}

type ReadScope = { readonly kind: 'scope'; readonly scope: Grant['scope'] } | Rejection;

/** Everything, unless a machine or a tag is named; never two of them. */
function readScope(flags: SplitWords['flags']): ReadScope {
  const named = ['machine', 'tag', 'everything'].filter((flag) => flags.has(flag));
  if (named.length > 1) return rejected(`A role counts for one of them: --${named.join(' or --')}.`);
  const machine = flags.get('machine')?.replace(/^vm:/i, '');
  const tag = flags.get('tag');
  if (machine !== undefined) {
    if (!machineName.safeParse(machine).success) return rejected('--machine is the name of one machine.');
    return { kind: 'scope', scope: { kind: 'machine', name: machine } };
  }
  if (tag === undefined) return { kind: 'scope', scope: { kind: 'everything' } };
  if (!/^[a-z0-9][a-z0-9:._-]{0,59}$/.test(tag)) return rejected('--tag is one tag, such as tier:0 or web.');
  return { kind: 'scope', scope: { kind: 'tag', tag } };
}

function readPerson(word: Word): { readonly kind: 'read'; readonly person: PersonWord } | Rejection {
  const { reference, text } = word;
  if (reference?.kind === 'person') return { kind: 'read', person: { kind: 'user', id: reference.id } };
  const name = text.replace(/^@/, '').toLowerCase();
  if (reference === undefined && personName.safeParse(name).success) {
    return { kind: 'read', person: { kind: 'person', name } };
  }
  return rejected(`\`${text.slice(0, 60)}\` is not a person; name them one by one. \`people\` shows who is known.`);
}

function buildLink(split: SplitWords): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  const code = split.positionals[0]?.word.text;
  if (code === undefined || /^[A-Za-z0-9][A-Za-z0-9-]{0,39}$/.test(code)) return command({ verb: 'link', code });
  return rejected('That is not a code for linking: it is letters and digits. `link` alone gives you one.');
}

function buildAuthenticator(split: SplitWords): Interpreted {
  const words = split.positionals.map(({ word }) => word.text);
  const isSpaced = words.length === 2 && words.every((word) => /^\d{3}$/.test(word));
  const extra = isSpaced ? undefined : onlyWords(split, 1);
  if (extra !== undefined) return rejected('The code is the six digits that your authenticator shows now.');
  const read = readCode(words.length === 0 ? undefined : words.join(''));
  return read.kind === 'rejected' ? read : command({ verb: 'authenticator', code: read.code });
}

function buildAudit(split: SplitWords): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  const word = split.positionals[0]?.word;
  if (word === undefined)
    return rejected('The audit of what? `audit <vm>`, `audit <person>`, `audit apr_…`, or the number of an entry.');
  if (word.reference !== undefined) {
    return rejected(
      `Write the name that the engine knows, not a ${word.reference.kind} of the chat; \`people\` shows it.`,
    );
  }
  const id = normalizeId(word.text);
  const kinds = Object.keys(idPrefixes) as (keyof typeof idPrefixes)[];
  const isCsv = split.flags.has('csv');
  if (kinds.some((kind) => isId(kind, id))) return command({ verb: 'audit', about: id, isCsv });
  const about = word.text.replace(/^(vm|host):/i, '');
  if (machineName.safeParse(about).success) return command({ verb: 'audit', about, isCsv });
  return rejected(`\`${word.text.slice(0, 60)}\` is neither a name nor an id.`);
}

import { isId } from '../domain/ids.ts';
import { dayMs, parseDuration, secondMs } from '../domain/units.ts';
import type { Command, ListObject, MachineFilter, PointFilter, RunFilter, Target } from './command.ts';
import type { SplitWords } from './command-flags.ts';
import { machineAt, normalizeId, onlyWords, type ReadMachine, readTarget } from './command-target.ts';
import { nearestWord } from './nearest-word.ts';
import { type Interpreted, notAvailable, plain, type Rejection, rejected } from './rejection.ts';
import {
  isRunnableVerb,
  type RunnableVerb,
  runnableVerbs,
  unavailableFailovers,
  unavailableVerbs,
} from './verb-table.ts';

const reasonLengthMax = 500;
const pauseMsMax = 7 * dayMs;
const sinceMsMax = 90 * dayMs;
const listObjects = ['vms', 'hosts', 'runs', 'plans', 'alerts', 'approvals'] as const satisfies readonly ListObject[];
const machineFilters = ['enabled', 'replicating', 'not-enabled', 'paused'] as const satisfies readonly MachineFilter[];
const runFilters = ['active', 'succeeded', 'failed'] as const satisfies readonly RunFilter[];

/** Turns the words of a known verb, whose flags are known too, into a command. */
export function buildCommand(verb: RunnableVerb, split: SplitWords): Interpreted {
  return builders[verb](split);
}

const builders: Record<RunnableVerb, (split: SplitWords) => Interpreted> = {
  help: buildHelp,
  status: (split) => withTarget(split, (target) => ({ verb: 'status', target, isPublic: split.flags.has('public') })),
  list: buildList,
  show: buildShow,
  points: buildPoints,
  lag: buildLag,
  enable: (split) => withMachine(split, 'enable', (machine) => buildEnable(machine, split)),
  pause: (split) => withMachine(split, 'pause', (machine) => buildPause(machine, split)),
  resume: (split) => withMachine(split, 'resume', (machine) => command({ verb: 'resume', machine })),
  resync: (split) => withMachine(split, 'resync', (machine) => buildResync(machine, split)),
  bookmark: (split) => withMachine(split, 'bookmark', (machine) => buildBookmark(machine, split)),
  failover: (split) => withMachine(split, 'failover', (machine) => buildFailover(machine, split)),
  cleanup: (split) => withMachine(split, 'cleanup', (machine) => buildCleanup(machine, split)),
  whoami: (split) => onlyWords(split, 0) ?? command({ verb: 'whoami' }),
  version: (split) => onlyWords(split, 0) ?? command({ verb: 'version' }),
};

function buildHelp(split: SplitWords): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  const typed = split.positionals[0]?.word.text.toLowerCase();
  if (typed === undefined) return command({ verb: 'help', topic: undefined });
  if (isRunnableVerb(typed)) return command({ verb: 'help', topic: typed });
  const instead = Object.hasOwn(unavailableVerbs, typed) ? unavailableVerbs[typed] : undefined;
  if (instead !== undefined) return notAvailable(typed, instead);
  const near = nearestWord(typed, runnableVerbs);
  const message = `There is no verb \`${typed.slice(0, 60)}\` to explain; \`help\` lists the verbs.`;
  return rejected(message, near === undefined ? undefined : [plain(near)]);
}

function buildList(split: SplitWords): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  const typed = split.positionals[0]?.word.text.toLowerCase();
  if (typed === undefined) return rejected('What shall I list? `list vms`, `list hosts` or `list runs`.');
  const object = listObjects.find((known) => known === typed || known === `${typed}s`);
  if (object === undefined) return unknownListObject(split, typed);
  const page = Number(split.flags.get('page') ?? '1');
  if (!Number.isInteger(page) || page < 1 || page > 1000) {
    return rejected(`--page is a number from 1 on, not \`${split.flags.get('page')?.slice(0, 40)}\`.`);
  }
  const state = readState(object, split.flags.get('state')?.toLowerCase());
  return state.kind === 'rejected' ? state : command({ verb: 'list', object, state: state.state, page });
}

function unknownListObject(split: SplitWords, typed: string): Rejection {
  const near = nearestWord(typed, listObjects);
  const message = `I cannot list \`${typed.slice(0, 60)}\`. I can list vms, hosts and runs.`;
  const index = split.positionals[0]?.index ?? 0;
  return rejected(message, near === undefined ? undefined : split.words.with(index, plain(near)));
}

type ReadState = { readonly kind: 'state'; readonly state: MachineFilter | RunFilter | undefined } | Rejection;

function readState(object: ListObject, typed: string | undefined): ReadState {
  if (typed === undefined) return { kind: 'state', state: undefined };
  const states: readonly (MachineFilter | RunFilter)[] =
    object === 'vms' ? machineFilters : object === 'runs' ? runFilters : [];
  if (states.length === 0) return rejected(`\`list ${object}\` has no states to choose from; leave --state out.`);
  const state = states.find((known) => known === typed);
  if (state !== undefined) return { kind: 'state', state };
  const near = nearestWord(typed, states);
  const guess = near === undefined ? '' : ` Did you mean ${near}?`;
  return rejected(`--state for ${object} is one of ${states.join(', ')}.${guess}`);
}

function buildShow(split: SplitWords): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  const word = split.positionals[0]?.word;
  if (word === undefined) return rejected('What shall I show? `show <vm>` or `show run_…`.');
  const id = normalizeId(word.text);
  if (isId('run', id)) return command({ verb: 'show', subject: { kind: 'run', id } });
  if (isId('drill', id)) return command({ verb: 'show', subject: { kind: 'drill', id } });
  if (isId('recoveryPoint', id)) {
    return notAvailable('show rp_…', '`points <vm>` lists the points of a machine with all that is known of them.');
  }
  if (/^(apr|alr)_/i.test(id)) return notAvailable(`show ${id.slice(0, 4)}…`, '`list runs` shows what has been run.');
  if (/^(run|drl|rp)_/i.test(id)) {
    return rejected(`\`${word.text.slice(0, 60)}\` is not a whole id; an id has ten characters after the line below.`);
  }
  const read = readTarget(split, 0);
  return read.kind === 'target' ? command({ verb: 'show', subject: read.target }) : read;
}

function buildPoints(split: SplitWords): Interpreted {
  return withMachine(split, 'points', (machine) => {
    const isApplication = split.flags.has('app');
    if (isApplication && split.flags.has('crash'))
      return rejected('Choose --app or --crash, or neither for all points.');
    const chosen: PointFilter = isApplication ? 'application-consistent' : 'crash-consistent';
    return command({ verb: 'points', machine, filter: isApplication || split.flags.has('crash') ? chosen : 'all' });
  });
}

function buildLag(split: SplitWords): Interpreted {
  const typed = split.flags.get('since');
  const sinceMs = typed === undefined ? undefined : parseDuration(typed.toLowerCase());
  if (typed !== undefined && (sinceMs === undefined || sinceMs < secondMs || sinceMs > sinceMsMax)) {
    return rejected(`\`${typed.slice(0, 40)}\` is not a time I can look back; write 15m, 24h or 7d, at most 90d.`);
  }
  return withTarget(split, (target) => ({ verb: 'lag', target, sinceMs }));
}

function buildEnable(machine: string, split: SplitWords): Interpreted {
  const policy = split.flags.get('policy') ?? 'default';
  return command({ verb: 'enable', machine, policy, host: split.flags.get('host') });
}

function buildPause(machine: string, split: SplitWords): Interpreted {
  const typed = split.flags.get('for');
  if (typed === undefined) return rejected(`For how long? \`pause ${machine} --for 2h --reason "<text>"\``);
  const forMs = parseDuration(typed.toLowerCase());
  if (forMs === undefined)
    return rejected(`\`${typed.slice(0, 40)}\` is not a time I can read; write 90s, 15m, 4h or 2d.`);
  if (forMs < secondMs || forMs > pauseMsMax) return rejected('A pause lasts from 1s to 7d; then replication goes on.');
  return withReason(split, (reason) => ({ verb: 'pause', machine, forMs, reason }));
}

function buildResync(machine: string, split: SplitWords): Interpreted {
  const reason = split.flags.get('reason') ?? '';
  return tooLong('reason', reason) ?? command({ verb: 'resync', machine, reason });
}

function buildBookmark(machine: string, split: SplitWords): Interpreted {
  const isApplicationConsistent = split.flags.has('app');
  return withReason(split, (reason) => ({ verb: 'bookmark', machine, reason, isApplicationConsistent }));
}

function buildCleanup(machine: string, split: SplitWords): Interpreted {
  const note = split.flags.get('note') ?? '';
  return tooLong('note', note) ?? command({ verb: 'cleanup', machine, note });
}

function buildFailover(machine: string, split: SplitWords): Interpreted {
  const { flags } = split;
  const modes = ['test', 'planned', 'unplanned'].filter((mode) => flags.has(mode));
  if (modes.length > 1) {
    const shown = modes.map((mode) => `--${mode}`).join(' and ');
    return rejected(`A failover has exactly one mode; ${shown} exclude each other. Nothing was started.`);
  }
  const mode = modes[0];
  const instead = mode === undefined ? undefined : unavailableFailovers[mode];
  if (instead !== undefined) return notAvailable(`failover --${mode}`, instead);
  const stray = ['shutdown', 'no-shutdown', 'break-glass', 'at', 'reason'].find((name) => flags.has(name));
  if (stray !== undefined) return strayFlag(split, stray);
  return buildTestFailover(machine, split, mode === 'test');
}

function strayFlag(split: SplitWords, name: string): Rejection {
  const message = `--${name} belongs to a real failover, and this version runs test failovers only. Nothing was started.`;
  const index = split.words.findIndex((word) => !word.isLiteral && word.text.toLowerCase().startsWith(`--${name}`));
  const isPair = split.flags.get(name) !== '' && !split.words[index]?.text.includes('=');
  return rejected(message, split.words.toSpliced(index, isPair ? 2 : 1));
}

function buildTestFailover(machine: string, split: SplitWords, isTest: boolean): Interpreted {
  const network = split.flags.get('network');
  if (network !== undefined && network.toLowerCase() !== 'isolated') {
    return notAvailable(
      'failover --test --network <name>',
      'A drill gets a network of its own, apart from everything; leave --network out.',
    );
  }
  const typed = split.flags.get('point') ?? 'latest';
  const point = typed.toLowerCase() === 'latest' ? 'latest' : normalizeId(typed);
  if (typed === 'app' || typed === 'processed') {
    return notAvailable(
      `failover --point ${typed}`,
      `\`points ${machine}\` lists the ids; name one, or leave --point out.`,
    );
  }
  if (point !== 'latest' && !isId('recoveryPoint', point)) {
    return rejected(
      `\`${typed.slice(0, 60)}\` is not a recovery point; write latest or an id from \`points ${machine}\`.`,
    );
  }
  if (!isTest) return command({ verb: 'failover-question', machine, point });
  return command({ verb: 'test-failover', machine, point, isDryRun: split.flags.has('dry-run') });
}

function withReason(split: SplitWords, build: (reason: string) => Command): Interpreted {
  const reason = split.flags.get('reason');
  if (reason === undefined)
    return rejected('The reason is missing; add --reason "<text>". It is kept and shown to others.');
  return tooLong('reason', reason) ?? command(build(reason));
}

function tooLong(name: string, text: string): Rejection | undefined {
  return text.length > reasonLengthMax
    ? rejected(`--${name} is longer than ${reasonLengthMax} characters.`)
    : undefined;
}

function withTarget(split: SplitWords, build: (target: Target | undefined) => Command): Interpreted {
  const extra = onlyWords(split, 1);
  if (extra !== undefined) return extra;
  if (split.positionals.length === 0) return command(build(undefined));
  const read = readTarget(split, 0);
  return read.kind === 'target' ? command(build(read.target)) : read;
}

function withMachine(split: SplitWords, verb: RunnableVerb, build: (machine: string) => Interpreted): Interpreted {
  const read: ReadMachine | Interpreted = onlyWords(split, 1) ?? machineAt(split, verb);
  return read.kind === 'machine' ? build(read.machine) : read;
}

function command(built: Command): Interpreted {
  return { kind: 'command', command: built };
}

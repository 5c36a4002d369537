import { isId } from '../domain/ids.ts';
import { dayMs, parseDuration, secondMs } from '../domain/units.ts';
import { alertBuilders } from './alert-builder.ts';
import { command, withMachine, withTarget } from './builder-words.ts';
import {
  alertFilters,
  approvalFilters,
  type ListFilter,
  type ListObject,
  machineFilters,
  type PointFilter,
  runFilters,
} from './command.ts';
import type { SplitWords } from './command-flags.ts';
import { normalizeId, onlyWords, readTarget } from './command-target.ts';
import { decisionBuilders } from './decision-builder.ts';
import { machineBuilders } from './machine-builder.ts';
import { nearestWord } from './nearest-word.ts';
import { type Interpreted, notAvailable, plain, type Rejection, rejected } from './rejection.ts';
import { setUpBuilders } from './set-up-builder.ts';
import { isRunnableVerb, type RunnableVerb, runnableVerbs, unavailableVerbs } from './verb-table.ts';

const sinceMsMax = 90 * dayMs;
const listObjects = ['vms', 'hosts', 'runs', 'approvals', 'alerts', 'plans'] as const satisfies readonly ListObject[];

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
  whoami: (split) => onlyWords(split, 0) ?? command({ verb: 'whoami' }),
  version: (split) => onlyWords(split, 0) ?? command({ verb: 'version' }),
  ...machineBuilders,
  ...decisionBuilders,
  ...alertBuilders,
  ...setUpBuilders,
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
  if (typed === undefined) return rejected('What shall I list? `list vms`, `hosts`, `runs`, `approvals` or `alerts`.');
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
  const message = `I cannot list \`${typed.slice(0, 60)}\`. I can list vms, hosts, runs, approvals and alerts.`;
  const index = split.positionals[0]?.index ?? 0;
  return rejected(message, near === undefined ? undefined : split.words.with(index, plain(near)));
}

type ReadState = { readonly kind: 'state'; readonly state: ListFilter | undefined } | Rejection;

const filtersOf: Readonly<Record<ListObject, readonly ListFilter[]>> = {
  vms: machineFilters,
  runs: runFilters,
  approvals: approvalFilters,
  alerts: alertFilters,
  hosts: [],
  plans: [],
};

function readState(object: ListObject, typed: string | undefined): ReadState {
  if (typed === undefined) return { kind: 'state', state: undefined };
  const states = filtersOf[object];
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
  const kind = (['run', 'drill', 'approval', 'alert'] as const).find((known) => isId(known, id));
  if (kind !== undefined) return command({ verb: 'show', subject: { kind, id } });
  if (isId('recoveryPoint', id)) {
    return notAvailable('show rp_…', '`points <vm>` lists the points of a machine with all that is known of them.');
  }
  if (/^(run|drl|rp|apr|alr)_/i.test(id)) {
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

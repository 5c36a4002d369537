import { actVerbs } from './verbs/act.ts';
import { decideVerbs } from './verbs/decide.ts';
import { lookVerbs } from './verbs/look.ts';
import { setUpVerbs } from './verbs/set-up.ts';
import type { FlagSpec, VerbSpec } from './verbs/verb-spec.ts';

/** The verbs that this version carries out, in the order in which help lists them. */
export const verbTable = { ...lookVerbs, ...actVerbs, ...decideVerbs, ...setUpVerbs };

export type RunnableVerb = keyof typeof verbTable;
export const runnableVerbs = Object.keys(verbTable).filter(isRunnableVerb);

/** True for a verb of this version. */
export function isRunnableVerb(text: string): text is RunnableVerb {
  return Object.hasOwn(verbTable, text);
}

/** The verb's row, without the narrow types of its literals. */
export function specOf(verb: RunnableVerb): VerbSpec {
  return verbTable[verb];
}

const wayBack =
  'The state is kept ready for it: the machine runs at the target, the original is stopped and cannot replicate. It comes with a later version.';

/** Verbs of the grammar that this version understands and cannot carry out, with what is possible instead. */
export const unavailableVerbs: Readonly<Record<string, string>> = {
  commit: wayBack,
  reprotect: wayBack,
  failback: wayBack,
  cancel:
    'A run that has begun cannot be cancelled. A request for approval can: `withdraw <apr_…>`. A drill ends with `cleanup <vm>`.',
  disable: 'To stop replicating for a while: `pause <vm> --for 2h --reason "<text>"`.',
  exit: 'In a terminal, Ctrl-D at an empty prompt leaves.',
  quit: 'In a terminal, Ctrl-D at an empty prompt leaves.',
};

/** The modes of a failover that are not part of this version. */
export const unavailableFailovers: Readonly<Record<string, string>> = {
  unplanned:
    'What works today: `failover <vm> --planned --reason "<text>"` while the original can still be reached, and `failover <vm> --test`.',
};
/** Flags that belong to those modes only. */
export const realFailoverFlags: readonly FlagSpec[] = [
  { name: 'unplanned', meaning: '' },
  { name: 'shutdown', meaning: '' },
  { name: 'no-shutdown', meaning: '' },
];

import type { Role } from '../../domain/access.ts';

/** What `help` says of a verb, and which flags the verb takes. One table for the parser, the completion and the help. */
export type FlagSpec = {
  readonly name: string;
  /** What stands after the flag, as shown in the usage; undefined for a switch. */
  readonly value?: string;
  readonly meaning: string;
  /** Buttons write it and people need not: left out of the help and the completion. */
  readonly isHidden?: boolean;
};
export type VerbGroup = 'Look' | 'Act' | 'Decide' | 'Set up';
export type VerbSpec = {
  readonly group: VerbGroup;
  /** The least role that may use it; `anybody`: also somebody in chat who is linked to no person yet. Source: CHAT 5.1 */
  readonly role: Role | 'anybody';
  readonly form: string;
  readonly summary: string;
  readonly flags: readonly FlagSpec[];
  readonly approval: string;
  readonly effect: string;
  readonly examples: readonly string[];
  readonly related: readonly string[];
};

/** What rows of the verb tables have in common. */
export const reads = { role: 'viewer', approval: 'Nobody: it only reads.', effect: 'Nothing changes.' } as const;
export const acts = { role: 'operator', approval: 'Nobody.' } as const;
export const responds = { role: 'operator', approval: 'Nobody.' } as const;
export const decides = {
  role: 'approver',
  approval: 'This is the approval; never for a request of your own.',
} as const;
export const administers = { role: 'admin', approval: 'Nobody.' } as const;
export const anybody = { role: 'anybody', approval: 'Nobody.', effect: 'Nothing changes.' } as const;
export const reasonFlag = { name: 'reason', value: '"<text>"', meaning: 'why; kept and shown to others' } as const;

/** What the person saw who pressed the button: when it is no longer so, the engine refuses. Source: CHAT 5.2 (1) */
export const buttonFlags = [
  { name: 'rev', value: '<n>', meaning: 'the revision that was shown', isHidden: true },
  { name: 'digest', value: '<eight digits>', meaning: 'the digest that was shown', isHidden: true },
] as const;

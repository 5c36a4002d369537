import { command, readCode, tooLong, withId } from './builder-words.ts';
import type { DecisionTarget } from './command.ts';
import type { SplitWords } from './command-flags.ts';
import { onlyWords } from './command-target.ts';
import { type Interpreted, type Rejection, rejected } from './rejection.ts';

/** The verbs that decide approvals. */
export const decisionBuilders = {
  approvals: (split: SplitWords) =>
    onlyWords(split, 0) ?? command({ verb: 'approvals', isMine: split.flags.has('mine') }),
  approve: (split: SplitWords) => withShown(split, (shown) => buildApprove(split, shown)),
  reject: (split: SplitWords) => withShown(split, (shown) => buildReject(split, shown)),
  withdraw: (split: SplitWords) => withShown(split, (shown) => command({ verb: 'withdraw', ...shown })),
  review: (split: SplitWords) => withId(split, 'approval', (approval) => buildReview(split, approval)),
};

/** The approval, and what of it the person saw: a button carries both, typed lines neither. */
function withShown(split: SplitWords, build: (target: DecisionTarget) => Interpreted): Interpreted {
  return withId(split, 'approval', (approval) => {
    const revision = readRevision(split.flags.get('rev'));
    if (revision.kind === 'rejected') return revision;
    const digest8 = split.flags.get('digest')?.toLowerCase();
    if (digest8 !== undefined && !/^[0-9a-f]{8}$/.test(digest8)) {
      return rejected('--digest is the first eight digits of what the request shows; leave it out.');
    }
    return build({ approval, revision: revision.revision, digest8 });
  });
}

type ReadRevision = { readonly kind: 'revision'; readonly revision: number | undefined } | Rejection;

function readRevision(typed: string | undefined): ReadRevision {
  if (typed === undefined) return { kind: 'revision', revision: undefined };
  const revision = /^\d{1,9}$/.test(typed) ? Number(typed) : 0;
  return revision >= 1 ? { kind: 'revision', revision } : rejected('--rev is a number from 1 on; leave it out.');
}

function buildApprove(split: SplitWords, shown: DecisionTarget): Interpreted {
  const code = readCode(split.flags.get('code'));
  if (code.kind === 'rejected') return code;
  const reason = split.flags.get('reason') ?? '';
  return tooLong('reason', reason) ?? command({ verb: 'approve', ...shown, code: code.code, reason });
}

function buildReject(split: SplitWords, shown: DecisionTarget): Interpreted {
  const reason = split.flags.get('reason');
  return tooLong('reason', reason ?? '') ?? command({ verb: 'reject', ...shown, reason });
}

function buildReview(split: SplitWords, approval: string): Interpreted {
  const note = split.flags.get('note');
  if (note === undefined) return rejected('What did you find? Add --note "<text>". It is kept for good.');
  return tooLong('note', note) ?? command({ verb: 'review', approval, note });
}

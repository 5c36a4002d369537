import type { decideVote, StepUp } from '../../domain/approval.ts';
import type { RunId } from '../../domain/ids.ts';
import type { Database } from '../store/database.ts';
import type { Store } from '../store/open.ts';
import type { Target } from '../target/target.ts';
import type { createApprovedRun } from '../workflow/approved-run.ts';

/** What asking for, deciding about and beginning an approved operation need. */
export type ApprovalDeps = {
  readonly store: Store;
  readonly target: Pick<Target, 'check' | 'describe'>;
  readonly heartbeatEveryMs: number;
  /** Checks a person's six-digit code and burns it, in the transaction that counts the vote. */
  readonly verifyStepUp: (
    db: Database,
    proof: { readonly person: string; readonly code: string },
  ) => Promise<Exclude<StepUp, 'unchecked' | 'not-given'>>;
  /** Makes the run of an approval, in the transaction that begins it. */
  readonly createApprovedRun: typeof createApprovedRun;
  /** Hands a run to the job engine; called after the commit. Adoption does it when this engine dies in between. */
  readonly startRun: (runId: RunId) => Promise<void>;
  /** Tests put broken rules here, to prove that they are noticed. */
  readonly decideVote?: typeof decideVote;
};

export type Speaker = {
  readonly person: string;
  /** By which way, in a word: `slack`, `certificate`. */
  readonly via: string;
  /** The same for the audit trail, with the chat user: `slack:T1:U1`. */
  readonly identity: string;
};
/** What the schedule does. */
export const theEngine: Speaker = { person: 'engine', via: 'schedule', identity: 'schedule' };

/** What a command about an approval led to: words for whoever sent it. */
export type ApprovalOutcome =
  | {
      readonly kind: 'done';
      readonly approvalId: string;
      readonly message: string;
      /** Started by it; the caller hands it to the job engine after the commit. */
      readonly runId?: RunId | undefined;
    }
  | ApprovalRefusal;
export type ApprovalRefusal = {
  readonly kind: 'refused';
  readonly why: 'unknown' | 'not-allowed' | 'not-now' | 'step-up';
  readonly message: string;
  readonly nextStep?: string | undefined;
};

export function refused(
  why: ApprovalRefusal['why'],
  message: string,
  more: { readonly nextStep?: string | undefined } = {},
): ApprovalRefusal {
  return { kind: 'refused', why, message, ...more };
}

import type { ApprovalState } from '../../domain/approval.ts';
import { assertNever } from '../../domain/invariant.ts';
import { type ApprovalRecord, moveApproval } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import type { Speaker } from './deps.ts';
import { audit, tell } from './tell.ts';

/** How an approval ends without anything being done. */
export type EndWithoutRun = {
  readonly state: Extract<ApprovalState, 'rejected' | 'expired' | 'withdrawn' | 'superseded'>;
  readonly speaker: Speaker;
  /** Why; shown to everybody. */
  readonly reason: string;
};

/** Ends an approval: its buttons are dead from here on, and everybody is told why. */
export async function endWithoutRun(db: Database, approval: ApprovalRecord, end: EndWithoutRun): Promise<NewEvent> {
  const { state, speaker, reason } = end;
  await audit(db, { speaker, what: `approval ${state}`, approval, detail: `reason: ${reason}` });
  await moveApproval(db, approval.id, { state, decided: { by: speaker.person, reason } });
  return tell(db, {
    approval,
    kind: `approval-${state}`,
    tone: state === 'rejected' ? 'bad' : 'warning',
    text: endSentence(approval, end),
    isForRequester: speaker.person !== approval.requestedBy,
  });
}

function endSentence(approval: ApprovalRecord, { state, speaker, reason }: EndWithoutRun): string {
  const what = `${whatOf(approval)} (${approval.id})`;
  if (state === 'rejected') return `${speaker.person} rejected the ${what}: ${reason}`;
  if (state === 'withdrawn') return `${speaker.person} withdrew the ${what}.`;
  return `The ${what} ${state === 'expired' ? 'has expired' : 'was replaced'}: ${reason}`;
}

/** E.g. `planned failover of vm-7`. */
export function whatOf(approval: Pick<ApprovalRecord, 'operation' | 'machineName' | 'concerns'>): string {
  switch (approval.operation) {
    case 'planned-failover':
      return `planned failover of ${approval.machineName}`;
    case 'raise-threshold':
      return `weaker alert thresholds of ${approval.machineName}`;
    case 'change-approvers':
      return approval.concerns === undefined
        ? `change of the tags of ${approval.machineName}`
        : `role change of ${approval.concerns}`;
    default:
      return assertNever(approval.operation);
  }
}

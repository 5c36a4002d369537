import { formatDuration } from '../../domain/units.ts';
import { findApprovalOfRun, lockApproval, moveApproval } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { theEngine } from './deps.ts';
import { whatOf } from './end.ts';
import { audit, tell } from './tell.ts';

/** How the run of an approval ended; figures are measured, not planned. */
export type ApprovedRunEnd =
  | { readonly kind: 'succeeded'; readonly measured: { readonly rpoMs: number; readonly rtoMs: number } }
  | { readonly kind: 'failed'; readonly failure: string };

/**
 * Ends the approval that a run was started with and keeps what was measured with it. Call it in the transaction that ends the run,
 * before its event. A run without an approval, and an approval that has ended already, change nothing.
 */
export async function endApprovalOfRun(db: Database, runId: string, end: ApprovedRunEnd): Promise<void> {
  const found = await findApprovalOfRun(db, runId);
  const approval = found && (await lockApproval(db, found.id));
  if (approval?.state !== 'executing') return;
  const words = endWordsOf(end);
  await audit(db, { speaker: theEngine, what: `approval ${end.kind}`, approval, detail: `run ${runId}; ${words}` });
  const decidedBy = approval.decidedBy ?? theEngine.person;
  await moveApproval(db, approval.id, {
    state: end.kind,
    ...(end.kind === 'succeeded' ? { measured: end.measured } : { decided: { by: decidedBy, reason: end.failure } }),
  });
  // Without its event: the run's own end is told in this transaction, and two sentences of one thing are one too many.
  await tell(db, {
    approval,
    kind: `approval-${end.kind}`,
    tone: end.kind === 'succeeded' ? 'good' : 'bad',
    severity: end.kind === 'succeeded' ? 'warning' : 'critical',
    text: `The ${whatOf(approval)} ${end.kind === 'succeeded' ? 'is done' : 'failed'}: ${words}`,
    isForRequester: true,
  });
}

function endWordsOf(end: ApprovedRunEnd): string {
  if (end.kind === 'failed') return end.failure;
  const { rpoMs, rtoMs } = end.measured;
  return `lost ${rpoMs === 0 ? 'nothing' : formatDuration(rpoMs)} (RPO ${rpoMs} ms), away for ${formatDuration(rtoMs)} (RTO ${rtoMs} ms).`;
}

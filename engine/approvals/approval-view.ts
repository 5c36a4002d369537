import type { ApprovalView } from '../../protocol/chat-api.ts';
import { type ApprovalRecord, findApproval, listApprovals } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { eligibleFor } from './eligible.ts';

/** An approval as people are shown it, as it is now; undefined when there is none of this id. */
export async function approvalViewOf(db: Database, id: string): Promise<ApprovalView | undefined> {
  const approval = await findApproval(db, id);
  return approval && viewOf(db, approval);
}

/** The open ones first, then the newest. */
export async function approvalViews(db: Database): Promise<ApprovalView[]> {
  const views: ApprovalView[] = [];
  for (const approval of await listApprovals(db)) views.push(await viewOf(db, approval));
  return views;
}

async function viewOf(db: Database, approval: ApprovalRecord): Promise<ApprovalView> {
  const isOpen = approval.state === 'pending' || approval.state === 'approved';
  const eligible = isOpen ? await eligibleFor(db, approval) : [];
  return {
    id: approval.id,
    revision: approval.revision,
    digest: approval.digest,
    operation: approval.operation,
    machineNames: [approval.machineName],
    state: approval.state,
    requestedBy: approval.requestedBy,
    requestedVia: approval.requestedVia,
    reason: approval.reason,
    requestedAtMs: approval.requestedAtMs,
    expiresAtMs: approval.expiresAtMs,
    neededCount: approval.neededCount,
    votes: [...approval.votes],
    eligible: eligible.filter((person) => person !== approval.requestedBy),
    ...approval.shown,
    isBreakGlass: approval.isBreakGlass,
    review: approval.review,
    decidedBy: approval.decidedBy ?? null,
    decidedAtMs: approval.decidedAtMs ?? null,
    decisionReason: approval.decisionReason || null,
    runId: approval.runId ?? null,
    measured: approval.measured,
  };
}

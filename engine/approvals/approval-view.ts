import { tagChangeWords } from '../../domain/tag-change.ts';
import type { ApprovalView } from '../../protocol/chat-api.ts';
import {
  type ApprovalRecord,
  approvalsOfIds,
  approvalsOfRuns,
  currentApprovals,
  findApproval,
  listApprovals,
} from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { eligibleForEach } from './eligible.ts';
import { changeWordsOf, roleChangeOf } from './role-proposal.ts';
import { tagChangeOf } from './tag-proposal.ts';

/** An approval as people are shown it, as it is now; undefined when there is none of this id. */
export async function approvalViewOf(db: Database, id: string): Promise<ApprovalView | undefined> {
  const approval = await findApproval(db, id);
  return approval && (await viewsOf(db, [approval]))[0];
}

/** The open ones first, then the newest. */
export async function approvalViews(db: Database): Promise<ApprovalView[]> {
  return viewsOf(db, await listApprovals(db));
}

/** The open ones, and those that ended within a time. */
export async function currentApprovalViews(db: Database, endedWithinMs: number): Promise<ApprovalView[]> {
  return viewsOf(db, await currentApprovals(db, endedWithinMs));
}

/** What let these runs run, by run. */
export async function approvalViewsOfRuns(db: Database, runIds: readonly string[]): Promise<Map<string, ApprovalView>> {
  const views = await viewsOf(db, await approvalsOfRuns(db, runIds));
  return new Map(views.flatMap((view) => (view.runId === null ? [] : [[view.runId, view]])));
}

/** These approvals, the oldest first. */
export async function approvalViewsOfIds(db: Database, ids: readonly string[]): Promise<ApprovalView[]> {
  const views = await viewsOf(db, await approvalsOfIds(db, ids));
  return views.sort((a, b) => a.requestedAtMs - b.requestedAtMs || (a.id < b.id ? -1 : 1));
}

async function viewsOf(db: Database, approvals: readonly ApprovalRecord[]): Promise<ApprovalView[]> {
  const waiting = approvals.filter(
    ({ state, review }) => state === 'pending' || state === 'approved' || review?.reviewedBy === null,
  );
  const eligible = await eligibleForEach(db, waiting);
  const eligibleOf = new Map(waiting.map(({ id }, index) => [id, eligible[index]]));
  return approvals.map((approval) => viewOf(approval, eligibleOf.get(approval.id) ?? []));
}

function viewOf(approval: ApprovalRecord, eligible: readonly string[]): ApprovalView {
  return {
    id: approval.id,
    revision: approval.revision,
    digest: approval.digest,
    operation: approval.operation,
    machineNames: approval.machineName === undefined ? [] : [approval.machineName],
    ...(approval.concerns !== undefined && {
      subject: { person: approval.concerns, change: changeWordsOf(roleChangeOf(approval.params)) },
    }),
    ...(approval.operation === 'change-approvers' &&
      approval.concerns === undefined && { tagChange: tagChangeWords(tagChangeOf(approval.params)) }),
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

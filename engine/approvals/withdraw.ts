import { decideWithdraw } from '../../domain/approval.ts';
import { decideReview } from '../../domain/break-glass.ts';
import { lockApproval, saveReview } from '../store/approvals.ts';
import { type ApprovalDeps, type ApprovalOutcome, refused, type Speaker } from './deps.ts';
import { eligibleFor } from './eligible.ts';
import { endWithoutRun, whatOf } from './end.ts';
import { appendEvents, audit, tell } from './tell.ts';
import { unknownApproval } from './vote.ts';

/** Whoever asked takes it back. */
export async function withdraw(
  deps: Pick<ApprovalDeps, 'store'>,
  order: { readonly approvalId: string; readonly speaker: Speaker },
): Promise<ApprovalOutcome> {
  return deps.store.write(async (db) => {
    const approval = await lockApproval(db, order.approvalId);
    if (approval === undefined) return unknownApproval(order.approvalId);
    const { speaker } = order;
    const decision = decideWithdraw(approval, speaker.person);
    if (decision.kind === 'refused') return refused('not-now', decision.message, { nextStep: decision.nextStep });
    const told = await endWithoutRun(db, approval, { state: 'withdrawn', speaker, reason: '' });
    await appendEvents(db, [told]);
    return { kind: 'done', approvalId: approval.id, message: told.text };
  });
}

/** Another person has looked at what was done without approval. Source: CHAT 5.2 */
export async function review(
  deps: Pick<ApprovalDeps, 'store'>,
  order: { readonly approvalId: string; readonly speaker: Speaker; readonly note: string },
): Promise<ApprovalOutcome> {
  return deps.store.write(async (db) => {
    const approval = await lockApproval(db, order.approvalId);
    if (approval === undefined) return unknownApproval(order.approvalId);
    const { speaker, note } = order;
    const { person } = speaker;
    const decision = decideReview({
      approval,
      isBreakGlass: approval.isBreakGlass,
      reviewedBy: approval.review?.reviewedBy ?? undefined,
      person,
      isEligible: (await eligibleFor(db, approval)).includes(person),
    });
    if (decision.kind === 'refused') return refused('not-now', decision.message, { nextStep: decision.nextStep });
    await audit(db, { speaker, what: 'approval reviewed', approval, detail: `note: ${note}` });
    await saveReview(db, approval.id, { person, note });
    const text = `${person} reviewed the ${whatOf(approval)} that ${approval.requestedBy} did alone: ${note}`;
    const news = { approval, kind: 'approval-reviewed', tone: 'good', text, isForRequester: true } as const;
    await appendEvents(db, [await tell(db, news)]);
    return { kind: 'done', approvalId: approval.id, message: text };
  });
}

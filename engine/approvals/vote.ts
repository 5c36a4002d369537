import {
  decideVote,
  standingApprovals,
  type Vote,
  type VoteDecision,
  type VoteFacts,
  type VoteRefusal,
  whoMay,
} from '../../domain/approval.ts';
import { assertNever } from '../../domain/invariant.ts';
import { type ApprovalRecord, lockApproval, moveApproval, saveVote } from '../store/approvals.ts';
import { type Database, databaseNowMs } from '../store/database.ts';
import { isPersonActive } from '../store/people.ts';
import { begin } from './begin.ts';
import { startRunOf } from './break-glass.ts';
import {
  type ApprovalDeps,
  type ApprovalOutcome,
  type ApprovalRefusal,
  refused,
  type Speaker,
  theEngine,
} from './deps.ts';
import { eligibleFor } from './eligible.ts';
import { endWithoutRun, whatOf } from './end.ts';
import { failoverTarget } from './failover-facts.ts';
import { mayRequesterAsk } from './may-ask.ts';
import { type Around, atWords } from './proposal.ts';
import { type Reproposal, repropose } from './repropose.ts';
import { appendEvents, audit, tell } from './tell.ts';

export type VoteOrder = Pick<Vote, 'decision' | 'reason' | 'seen'> & {
  readonly approvalId: string;
  readonly speaker: Speaker;
  /** The six-digit code; needed to approve. */
  readonly code: string | undefined;
};

/**
 * Counts a vote, and begins what it decides, in one transaction: state, expiry, roles, the person and the plan itself are looked at again
 * while nobody else can decide. Source: CHAT 5.2 (2), RELIABILITY 2b (2)-(7)
 */
export async function vote(deps: ApprovalDeps, order: VoteOrder): Promise<ApprovalOutcome> {
  const around = { target: await failoverTarget(deps.target), heartbeatEveryMs: deps.heartbeatEveryMs };
  const outcome = await deps.store.write(async (db): Promise<ApprovalOutcome> => {
    const approval = await lockApproval(db, order.approvalId);
    if (approval === undefined) return unknownApproval(order.approvalId);
    const { facts, reproposal } = await votingFacts(db, { approval, around, person: order.speaker.person });
    const decision = await decide(deps, db, { order, facts });
    return carryOut(deps, db, { order, approval, facts, reproposal, decision });
  });
  await startRunOf(deps, outcome);
  return outcome;
}

export function unknownApproval(id: string): ApprovalRefusal {
  return refused('unknown', `There is no approval ${id.slice(0, 80).replaceAll('\u0000', '\uFFFD')}.`, {
    nextStep: '`approvals` lists them.',
  });
}

type Voting = { readonly facts: VoteFacts; readonly reproposal: Reproposal };

/** Everything that a decision about the approval is made from, read under its lock. */
export async function votingFacts(
  db: Database,
  given: { readonly approval: ApprovalRecord; readonly around: Around; readonly person: string },
): Promise<Voting> {
  const { approval, around, person } = given;
  // Before and after the look at the plan: whom a tag made eligible in between is none of those who were asked.
  const before = await eligibleFor(db, approval);
  const reproposal = await repropose(db, approval, around);
  const eligible = (await eligibleFor(db, approval)).filter((one) => before.includes(one));
  const facts: VoteFacts = {
    approval,
    eligible,
    proposal: reproposal.now,
    isRequesterActive: await isPersonActive(db, approval.requestedBy),
    mayRequesterAsk: await mayRequesterAsk(db, approval),
    isVoterActive: await isPersonActive(db, person),
    // Last: whatever took its time before must not let an expired approval pass.
    nowMs: await databaseNowMs(db),
  };
  return { facts, reproposal };
}

/** The code is checked, and burned, only when everything else is right. */
async function decide(
  deps: ApprovalDeps,
  db: Database,
  given: { readonly order: VoteOrder; readonly facts: VoteFacts },
): Promise<VoteDecision> {
  const { order, facts } = given;
  const { decision, reason, seen, code } = order;
  const { person } = order.speaker;
  const rules = deps.decideVote ?? decideVote;
  const unproven = rules(facts, {
    person,
    decision,
    reason,
    seen,
    stepUp: code === undefined ? 'not-given' : 'unchecked',
  });
  if (unproven.kind !== 'refused' || unproven.why !== 'step-up' || code === undefined) return unproven;
  const stepUp = await deps.verifyStepUp(db, { person, code });
  return rules(facts, { person, decision, reason, seen, stepUp });
}

type Deciding = Voting & {
  readonly order: VoteOrder;
  readonly approval: ApprovalRecord;
  readonly decision: VoteDecision;
};

async function carryOut(deps: ApprovalDeps, db: Database, deciding: Deciding): Promise<ApprovalOutcome> {
  const { approval, decision, order } = deciding;
  switch (decision.kind) {
    case 'refused':
      return refused(refusalKinds[decision.why], decision.message, { nextStep: decision.nextStep });
    case 'expired':
    case 'superseded': {
      const end = { state: decision.kind, speaker: theEngine, reason: decision.message };
      await appendEvents(db, [await endWithoutRun(db, approval, end)]);
      return refused('not-now', decision.message);
    }
    case 'rejected':
      return reject(db, deciding);
    case 'counted':
      await keepVote(db, order, approval);
      return countVote(db, deciding, decision.missingCount);
    case 'approved':
      await keepVote(db, order, approval);
      return approve(deps, db, deciding);
    default:
      return assertNever(decision);
  }
}

const refusalKinds: Record<VoteRefusal, ApprovalRefusal['why']> = {
  'already-decided': 'not-now',
  'already-voted': 'not-now',
  'own-request': 'not-allowed',
  'own-rights': 'not-allowed',
  disabled: 'not-allowed',
  'not-an-approver': 'not-allowed',
  stale: 'not-now',
  'not-now': 'not-now',
  'reason-missing': 'not-now',
  'step-up': 'step-up',
};

async function keepVote(db: Database, order: VoteOrder, approval: ApprovalRecord): Promise<void> {
  const { speaker, decision, reason } = order;
  const stepUp = decision === 'approve' ? 'totp' : 'none';
  const detail = `revision ${approval.revision}, step-up ${stepUp}, reason: ${reason}`;
  await audit(db, { speaker, what: `vote ${decision}`, approval, detail });
  await saveVote(db, approval.id, { person: speaker.person, via: speaker.via, decision, reason, stepUp });
}

async function reject(db: Database, { order, approval }: Deciding): Promise<ApprovalOutcome> {
  await keepVote(db, order, approval);
  const { speaker, reason } = order;
  const told = await endWithoutRun(db, approval, { state: 'rejected', speaker, reason });
  await appendEvents(db, [told]);
  return { kind: 'done', approvalId: approval.id, message: told.text };
}

async function countVote(
  db: Database,
  { order, approval, facts }: Deciding,
  missingCount: number,
): Promise<ApprovalOutcome> {
  const { person, via } = order.speaker;
  await moveApproval(db, approval.id, { state: 'pending' });
  const voted = { ...approval, votes: [...approval.votes, { person, decision: 'approve' as const }] };
  const text = `${person} approved the ${whatOf(approval)} (by ${via}); ${missingCount} more must agree. ${whoMay(voted, facts.eligible)}`;
  await appendEvents(db, [await tell(db, { approval, kind: 'approval-vote', tone: 'working', text })]);
  return { kind: 'done', approvalId: approval.id, message: text };
}

async function approve(deps: ApprovalDeps, db: Database, deciding: Deciding): Promise<ApprovalOutcome> {
  const { order, approval, facts, reproposal } = deciding;
  const { speaker } = order;
  const approvers = [...new Set([...standingApprovals(approval, facts.eligible), speaker.person])];
  if (approval.notBeforeMs !== undefined && facts.nowMs < approval.notBeforeMs) {
    const at = atWords(approval.notBeforeMs);
    await moveApproval(db, approval.id, { state: 'approved', decided: { by: approvers.join(', '), reason: '' } });
    const text = `${approvers.join(', ')} approved the ${whatOf(approval)}; it begins at ${at}, after another look.`;
    const news = { approval, kind: 'approval-waits', tone: 'good', text, isForRequester: true } as const;
    await appendEvents(db, [await tell(db, news)]);
    return { kind: 'done', approvalId: approval.id, message: text };
  }
  const begun = await begin(deps, db, { approval, speaker, approvers, plan: reproposal.plan, isBreakGlass: false });
  await appendEvents(db, begun.events);
  return { kind: 'done', approvalId: approval.id, message: begun.message, runId: begun.runId };
}

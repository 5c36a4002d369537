import { assertNever } from './invariant.ts';
import { hourMs, minuteMs } from './units.ts';

/**
 * What another person must agree to before it happens. Source: CHAT 5.2, RELIABILITY 2b
 *
 * ```
 *            ┌──▶ rejected     one person who may decide says no
 *            ├──▶ withdrawn    by whoever asked
 * pending ───┼──▶ expired      by the database's clock
 *    │       └──▶ superseded   anything changed, or somebody asked for something else
 *    │
 *    ├─ quorum ──▶ approved (waits for its time; all four ends above are still possible) ──▶ executing
 *    └─ quorum, or break-glass ──▶ executing ──▶ succeeded | failed | cancelled
 * ```
 */
export const openStates = ['pending', 'approved', 'executing'] as const;
export const endedStates = [
  'rejected',
  'expired',
  'withdrawn',
  'superseded',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export type ApprovalState = (typeof openStates)[number] | (typeof endedStates)[number];
export type ApprovalOperation = 'planned-failover' | 'raise-threshold' | 'change-approvers';

/** Who must agree, how many of them, and within which time. */
export type ApprovalRule = {
  readonly role: 'approver' | 'admin';
  readonly neededCount: number;
  readonly openForMs: number;
};

/** A machine with this tag needs two persons. */
export const firstTierTag = 'tier:0';
const manyMachines = 10;
/** How long after its time an approved operation may still begin. */
const beginWithinMs = 15 * minuteMs;

/** The one table of what needs whose agreement. Source: CHAT 5.2 */
export function approvalRule(
  operation: ApprovalOperation,
  machines: readonly { readonly tags: readonly string[] }[],
  roleChange: { readonly isOfSiteAdmin: boolean; readonly deciderCount: number } | undefined = undefined,
): ApprovalRule {
  switch (operation) {
    case 'planned-failover': {
      const isGrave = machines.length > manyMachines || machines.some(({ tags }) => tags.includes(firstTierTag));
      return { role: 'approver', neededCount: isGrave ? 2 : 1, openForMs: 30 * minuteMs };
    }
    case 'raise-threshold':
      return { role: 'admin', neededCount: 1, openForMs: 24 * hourMs };
    case 'change-approvers': {
      // Two only where there are two: neither who asks nor whom it is about decides.
      const isGrave = roleChange?.isOfSiteAdmin === true && roleChange.deciderCount > 1;
      return { role: 'admin', neededCount: isGrave ? 2 : 1, openForMs: 24 * hourMs };
    }
    default:
      return assertNever(operation);
  }
}

/** Until when people may decide and it may begin, from the moment of asking. Milliseconds. */
export function openForMs(rule: ApprovalRule, beginsInMs: number | undefined): number {
  return beginsInMs === undefined ? rule.openForMs : beginsInMs + beginWithinMs;
}

export type CastVote = { readonly person: string; readonly decision: 'approve' | 'reject' };

/** An approval as its rows say. Times are epoch milliseconds by the database's clock. */
export type Approval = {
  readonly id: string;
  readonly operation: ApprovalOperation;
  /** Undefined for what is about a person. */
  readonly machineName: string | undefined;
  /** The person whose rights it changes, who never decides about it. */
  readonly concerns?: string | undefined;
  readonly state: ApprovalState;
  readonly revision: number;
  readonly digest: string;
  readonly requestedBy: string;
  readonly expiresAtMs: number;
  /** Not before this time; undefined: at once. */
  readonly notBeforeMs: number | undefined;
  readonly neededCount: number;
  readonly votes: readonly CastVote[];
  readonly decidedBy: string | undefined;
  readonly decisionReason: string | undefined;
};

/** What the same request would do if it were made now. */
export type ProposalNow =
  | { readonly kind: 'planned'; readonly digest: string; readonly changes: readonly string[] }
  /** It may become possible again; a sentence for people. */
  | {
      readonly kind: 'not-now';
      readonly message: string;
      readonly digest: string | undefined;
      readonly changes: readonly string[];
    }
  /** Asking again does not help. */
  | { readonly kind: 'over'; readonly message: string };

export type StepUp = 'unchecked' | 'not-given' | 'proven' | 'wrong' | 'used' | 'locked' | 'no-authenticator';

export type VoteFacts = {
  readonly approval: Approval;
  readonly nowMs: number;
  readonly proposal: ProposalNow;
  readonly isRequesterActive: boolean;
  /** Whether who asked may still ask for it, by their role and its scope at this moment. */
  readonly mayRequesterAsk: boolean;
  /** Persons who may decide by their role and its scope at this moment; whoever asks may be among them. */
  readonly eligible: readonly string[];
  readonly isVoterActive: boolean;
};

export type Vote = {
  readonly person: string;
  readonly decision: 'approve' | 'reject';
  readonly reason: string;
  /** What the person saw; undefined on the command line, where the approval as it is now is meant. */
  readonly seen: { readonly revision: number | undefined; readonly digest8: string | undefined };
  readonly stepUp: StepUp;
};

export type VoteRefusal =
  | 'already-decided'
  | 'already-voted'
  | 'own-request'
  | 'own-rights'
  | 'disabled'
  | 'not-an-approver'
  | 'stale'
  | 'not-now'
  | 'reason-missing'
  | 'step-up';

export type VoteDecision =
  | { readonly kind: 'refused'; readonly why: VoteRefusal; readonly message: string; readonly nextStep?: string }
  /** The approval ends without a decision; the vote does not count. */
  | { readonly kind: 'expired'; readonly message: string }
  | { readonly kind: 'superseded'; readonly message: string }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'counted'; readonly missingCount: number }
  | { readonly kind: 'approved' };

/**
 * What a vote does. A vote that is refused changes nothing; the reasons are sentences for the person who voted.
 *
 * The six-digit code is asked for last, so that it is never spent on a vote that could not count.
 * Source: CHAT 5.2 (1)-(4), RELIABILITY 2b (1)-(7), I4
 */
export function decideVote(facts: VoteFacts, vote: Vote): VoteDecision {
  const { approval } = facts;
  return (
    refuseEnded(facts, vote) ??
    refuseVoter(facts, vote) ??
    refuseStale(approval, vote) ??
    (vote.decision === 'reject' ? decideReject(vote) : decideApprove(facts, vote))
  );
}

function refuseEnded({ approval, nowMs }: VoteFacts, vote: Vote): VoteDecision | undefined {
  const isOpen = approval.state === 'pending' || (approval.state === 'approved' && vote.decision === 'reject');
  if (!isOpen) return { kind: 'refused', why: 'already-decided', message: endWords(approval) };
  if (nowMs >= approval.expiresAtMs) return { kind: 'expired', message: expiryWords(approval) };
  return undefined;
}

function refuseVoter({ approval, eligible, isVoterActive }: VoteFacts, vote: Vote): VoteDecision | undefined {
  if (!isVoterActive)
    return { kind: 'refused', why: 'disabled', message: `${vote.person} is disabled and decides nothing.` };
  if (vote.person === approval.requestedBy) {
    const message = 'This is your own request: somebody else must decide, whichever way you came here.';
    return { kind: 'refused', why: 'own-request', message, nextStep: `To take it back: \`withdraw ${approval.id}\`.` };
  }
  if (vote.person === approval.concerns) {
    const message = `This is about your own rights: somebody else must decide. ${whoMay(approval, eligible)}`;
    return { kind: 'refused', why: 'own-rights', message };
  }
  if (eligible.includes(vote.person)) return undefined;
  const message = `You are not ${roleNeededFor(approval)}. ${whoMay(approval, eligible)}`;
  return { kind: 'refused', why: 'not-an-approver', message };
}

function roleNeededFor({ operation, machineName }: Approval): string {
  switch (operation) {
    case 'planned-failover':
      return `an approver for ${machineName}`;
    case 'raise-threshold':
      return `an admin for ${machineName}`;
    case 'change-approvers':
      return 'an admin of everything';
    default:
      return assertNever(operation);
  }
}

function refuseStale(approval: Approval, { seen }: Vote): VoteDecision | undefined {
  // A lower revision with the same digest is no other thing: only votes came in between.
  const isOther = seen.digest8 !== undefined && seen.digest8 !== approval.digest.slice(0, 8);
  if (!isOther && (seen.revision ?? 0) <= approval.revision) return undefined;
  const message = `What you saw is not what ${approval.id} asks for: the button is stale or was tampered with.`;
  return { kind: 'refused', why: 'stale', message, nextStep: `Look again: \`show ${approval.id}\`.` };
}

function decideReject(vote: Vote): VoteDecision {
  if (vote.reason.trim() !== '') return { kind: 'rejected' };
  return {
    kind: 'refused',
    why: 'reason-missing',
    message: 'A rejection needs a reason: it is shown to whoever asked.',
  };
}

function decideApprove(facts: VoteFacts, vote: Vote): VoteDecision {
  const { approval, proposal } = facts;
  const change = changeSince(facts);
  if (change !== undefined) return { kind: 'superseded', message: change };
  if (proposal.kind === 'not-now') {
    const nextStep = 'Nothing was decided; approve again when it is repaired.';
    return { kind: 'refused', why: 'not-now', message: proposal.message, nextStep };
  }
  const standing = standingApprovals(approval, facts.eligible);
  const missingCount = approval.neededCount - new Set([...standing, vote.person]).size;
  if (missingCount > 0 && standing.includes(vote.person)) {
    const message = `You have approved this already; ${missingCount} more must agree. ${whoMay(approval, facts.eligible)}`;
    return { kind: 'refused', why: 'already-voted', message };
  }
  if (vote.stepUp !== 'proven') return { kind: 'refused', why: 'step-up', ...stepUpWords(vote.stepUp) };
  return missingCount > 0 ? { kind: 'counted', missingCount } : { kind: 'approved' };
}

/** Why what was asked for is not what would be done now, in a sentence; undefined when it still is. */
function changeSince(facts: Omit<VoteFacts, 'isVoterActive' | 'nowMs'>): string | undefined {
  const { approval, proposal, isRequesterActive, mayRequesterAsk } = facts;
  const again = 'Ask again, so that people decide about what is true now.';
  if (!isRequesterActive) return `${approval.requestedBy}, who asked for it, is disabled. ${again}`;
  if (proposal.kind === 'over') return proposal.message;
  if (!mayRequesterAsk) {
    return `${approval.requestedBy}, who asked for it, may not ask for it any more: the role is gone. Somebody who may must ask again.`;
  }
  if (proposal.digest === undefined || proposal.digest === approval.digest) return undefined;
  return `What would be done has changed since it was asked for: ${proposal.changes.join('; ')}. ${again}`;
}

/**
 * The persons whose approval counts: those who may still decide at this moment, each once, never whoever asked. Source: CHAT 5.2 (2)
 */
export function standingApprovals(
  approval: Pick<Approval, 'votes' | 'requestedBy'>,
  eligible: readonly string[],
): string[] {
  const persons = approval.votes
    .filter((vote) => vote.decision === 'approve' && vote.person !== approval.requestedBy)
    .map((vote) => vote.person);
  return [...new Set(persons)].filter((person) => eligible.includes(person));
}

export type StartDecision =
  | { readonly kind: 'begin' }
  /** Its time has not come, or it cannot be done at this moment. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'expired'; readonly message: string }
  | { readonly kind: 'superseded'; readonly message: string };

/** Whether an approved operation that waited for its time may begin now: everything is looked at again. Source: CHAT 5.2 */
export function decideStart(facts: Omit<VoteFacts, 'isVoterActive'>): StartDecision {
  const { approval, nowMs, proposal } = facts;
  if (nowMs >= approval.expiresAtMs) {
    const why = proposal.kind === 'not-now' ? ` ${proposal.message}` : '';
    return { kind: 'expired', message: `${expiryWords(approval)}${why}` };
  }
  if (approval.state !== 'approved' || nowMs < (approval.notBeforeMs ?? 0)) return { kind: 'wait' };
  const dead = whyDead(facts);
  if (dead !== undefined) return { kind: 'superseded', message: dead };
  return { kind: proposal.kind === 'not-now' ? 'wait' : 'begin' };
}

/** Why nobody needs to decide about an open request any more, or wait for its time; undefined while it can still come to something. */
export function whyDead(facts: Omit<VoteFacts, 'isVoterActive' | 'nowMs'>): string | undefined {
  const { approval, eligible } = facts;
  if (approval.state !== 'pending' && approval.state !== 'approved') return undefined;
  const change = changeSince(facts);
  if (change !== undefined) return change;
  if (approval.state === 'pending' || standingApprovals(approval, eligible).length >= approval.neededCount)
    return undefined;
  return 'Not everybody who approved it may decide about it any more. Ask again.';
}

export type SimpleDecision =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'refused'; readonly message: string; readonly nextStep?: string };

/** Whoever asked takes it back, as long as it has not begun. */
export function decideWithdraw(approval: Approval, person: string): SimpleDecision {
  if (approval.state !== 'pending' && approval.state !== 'approved') {
    return { kind: 'refused', message: endWords(approval) };
  }
  if (person === approval.requestedBy) return { kind: 'allowed' };
  return {
    kind: 'refused',
    message: `${approval.requestedBy} asked for this; only they can withdraw it.`,
    nextStep: `To stop it as an approver: \`reject ${approval.id} --reason …\`.`,
  };
}

/** Who may still decide, in a sentence. */
export function whoMay(approval: Pick<Approval, 'requestedBy' | 'votes'>, eligible: readonly string[]): string {
  const standing = standingApprovals(approval, eligible);
  const left = eligible.filter((person) => person !== approval.requestedBy && !standing.includes(person));
  return left.length === 0 ? 'Nobody else may decide about it at this moment.' : `Who may: ${left.join(', ')}.`;
}

/** How an approval stands or ended, for somebody who comes too late. */
export function endWords(approval: Approval): string {
  const { id, state, decidedBy, decisionReason, requestedBy } = approval;
  const why = decisionReason === undefined || decisionReason === '' ? '' : `: ${decisionReason}`;
  const by = decidedBy ?? 'the engine';
  switch (state) {
    case 'pending':
      return `${id} still waits for a decision.`;
    case 'approved':
      return `Already decided: ${by} approved ${id}; it waits for its time.`;
    case 'executing':
      return `Already decided: ${by} approved ${id}, and it is at work.`;
    case 'succeeded':
      return `Already decided: ${by} approved ${id}, and it is done.`;
    case 'failed':
      return `Already decided: ${by} approved ${id}; it was tried and failed${why}`;
    case 'cancelled':
      return `${id} was cancelled${why}`;
    case 'rejected':
      return `Already decided: ${by} rejected ${id}${why}`;
    case 'withdrawn':
      return `${requestedBy} has withdrawn ${id}.`;
    case 'expired':
      return `${id} has expired${why}`;
    case 'superseded':
      return `${id} was replaced${why}`;
    default:
      return assertNever(state);
  }
}

function expiryWords(approval: Approval): string {
  return `Nobody decided about ${approval.id} in time, or it could not begin in time. Ask for it again.`;
}

/** What to tell somebody whose six-digit code is missing or was not accepted. */
export function stepUpWords(stepUp: Exclude<StepUp, 'proven'>): { message: string; nextStep?: string } {
  switch (stepUp) {
    case 'unchecked':
    case 'not-given':
      return {
        message: 'Your approval needs the six-digit code of your authenticator.',
        nextStep: 'Give it with `--code`.',
      };
    case 'wrong':
      return { message: 'The six-digit code is wrong. After five wrong ones it is locked for 15 minutes.' };
    case 'used':
      return { message: 'This code was used already. Wait for the next one.' };
    case 'locked':
      return { message: 'Too many wrong codes: yours is locked for 15 minutes.' };
    case 'no-authenticator':
      return {
        message: 'You have no authenticator yet, so you cannot approve.',
        nextStep: 'Set one up: `authenticator`.',
      };
    default:
      return assertNever(stepUp);
  }
}

import type { ApprovalView } from '../../../protocol/chat-api.ts';
import { deciderWords, namesWords } from '../../conversation/approval-cards.ts';
import { absoluteTime, age, relativeTime } from '../../conversation/time-words.ts';
import type { Me } from '../wire.ts';

/** What this person can do about a request, or why nothing. The engine decides again when a button is pressed. */
export type MyPart =
  | { readonly kind: 'decide'; readonly hint: string | undefined }
  | { readonly kind: 'withdraw'; readonly words: string }
  /** It was done alone, and this person may look at it afterwards. */
  | { readonly kind: 'review'; readonly words: string }
  | { readonly kind: 'nothing'; readonly words: string };

/** Source: CHAT 5.2 */
export function myPart(approval: ApprovalView, me: Me | undefined): MyPart {
  const { state, requestedBy, eligible, votes, neededCount, subject } = approval;
  if (me === undefined) return { kind: 'nothing', words: 'Sign in to decide.' };
  if (isReviewDue(approval)) return reviewPart(approval, me);
  if (state !== 'pending') return { kind: 'nothing', words: endedWords(approval) };
  if (requestedBy === me.name) {
    const who =
      eligible.length === 0
        ? 'Nobody can approve it now. An admin can give the role.'
        : `These can: ${namesWords(eligible)}.`;
    return { kind: 'withdraw', words: `You asked for this, so another person decides. ${who}` };
  }
  const mine = votes.find((vote) => vote.person === me.name);
  if (mine !== undefined) {
    const missing = neededCount - votes.filter((vote) => vote.decision === 'approve').length;
    return {
      kind: 'nothing',
      words: `You have approved it. ${missing} more ${missing === 1 ? 'person has' : 'people have'} to.`,
    };
  }
  if (subject?.person === me.name) {
    return { kind: 'nothing', words: 'This is about your own rights, so another person decides.' };
  }
  if (!eligible.includes(me.name)) {
    const { role, of } = deciderWords(approval);
    const who = eligible.length === 0 ? 'Nobody can approve it now.' : `These can: ${namesWords(eligible)}.`;
    return {
      kind: 'nothing',
      words: `You are no ${role} ${of}, so you can read this and not decide it. ${who}`,
    };
  }
  const hint = me.hasAuthenticator
    ? undefined
    : 'You have no authenticator yet, and approving needs its six-digit code.';
  return { kind: 'decide', hint };
}

/** Something was done alone, has ended, and nobody has looked at it yet. Source: CHAT 5.2 */
export function isReviewDue({ state, review }: ApprovalView): boolean {
  return review !== null && review.reviewedBy === null && state !== 'executing';
}

function reviewPart({ requestedBy, eligible }: ApprovalView, me: Me): MyPart {
  const done = `${requestedBy} did this without an approver.`;
  if (requestedBy === me.name) return { kind: 'nothing', words: 'You did this alone, so another person reviews it.' };
  if (eligible.includes(me.name)) return { kind: 'review', words: `${done} Look at it, and say what you found.` };
  const who = eligible.length === 0 ? '' : ` These can: ${namesWords(eligible)}.`;
  return { kind: 'nothing', words: `${done} An approver reviews it.${who}` };
}

/** Until when something has to be done about it; empty when nothing has. */
export function deadlineWords(approval: ApprovalView, nowMs: number): string {
  const { state, expiresAtMs, review } = approval;
  if (state === 'pending') return `expires ${relativeTime(expiresAtMs, nowMs)}, at ${absoluteTime(expiresAtMs, nowMs)}`;
  if (review === null || review.reviewedBy !== null) return '';
  const when = `${absoluteTime(review.dueAtMs, nowMs)} (${dueWords(approval, nowMs)})`;
  return `${isReviewDue(approval) ? 'Needs a review' : 'When it has ended, it needs a review'} by ${when}`;
}

/** `due in 23 h`, `overdue for 12 min`. */
export function dueWords({ review }: ApprovalView, nowMs: number): string {
  if (review === null) return '';
  const { dueAtMs } = review;
  return dueAtMs > nowMs ? `due ${relativeTime(dueAtMs, nowMs)}` : `overdue for ${age(nowMs - dueAtMs)}`;
}

function endedWords({ state, decidedBy, decisionReason, isBreakGlass }: ApprovalView): string {
  const by = decidedBy === null ? '' : ` by ${decidedBy}`;
  const why = decisionReason === null || decisionReason === '' ? '' : ` Why: ${decisionReason}`;
  switch (state) {
    case 'pending':
      return '';
    case 'approved':
      return 'It is approved. There is nothing left to decide.';
    case 'executing':
      return isBreakGlass
        ? `It runs without an approval${by}. There is nothing to decide.`
        : 'It is approved and runs now.';
    case 'rejected':
      return `It was rejected${by}. Nothing was done.${why}`;
    case 'withdrawn':
      return `It was withdrawn${by}. Nothing was done.`;
    case 'expired':
      return 'It has expired. Nothing was done. Who asked can ask again.';
    case 'superseded':
      return `Something changed, so it no longer holds. Nothing was done.${why}`;
    case 'succeeded':
      return 'It is done.';
    case 'failed':
      return `It was approved and has failed.${why}`;
    case 'cancelled':
      return `It was cancelled${by}.`;
    default:
      return state satisfies never;
  }
}

/** Those that wait for me first, then the others that are open, then those that have ended; within each, what expires first. */
export function sortedApprovals(
  approvals: readonly ApprovalView[],
  me: Me | undefined,
): Record<'mine' | 'open' | 'ended', ApprovalView[]> {
  const isOpen = (approval: ApprovalView) =>
    ['pending', 'approved', 'executing'].includes(approval.state) || isReviewDue(approval);
  const isMine = (approval: ApprovalView) => ['decide', 'review'].includes(myPart(approval, me).kind);
  const open = approvals.filter(isOpen).sort((a, b) => dueAtMs(a) - dueAtMs(b));
  const ended = approvals
    .filter((approval) => !isOpen(approval))
    .sort((a, b) => (b.decidedAtMs ?? 0) - (a.decidedAtMs ?? 0));
  return { mine: open.filter(isMine), open: open.filter((approval) => !isMine(approval)), ended };
}

function dueAtMs({ state, review, expiresAtMs }: ApprovalView): number {
  return state === 'pending' || review === null ? expiresAtMs : review.dueAtMs;
}

import type { ApprovalView } from '../../../protocol/chat-api.ts';
import { deciderWords, namesWords } from '../../conversation/approval-cards.ts';
import type { Me } from '../wire.ts';

/** What this person can do about a request, or why nothing. The engine decides again when a button is pressed. */
export type MyPart =
  | { readonly kind: 'decide'; readonly hint: string | undefined }
  | { readonly kind: 'withdraw'; readonly words: string }
  | { readonly kind: 'nothing'; readonly words: string };

/** Source: CHAT 5.2 */
export function myPart(approval: ApprovalView, me: Me | undefined): MyPart {
  const { state, requestedBy, eligible, votes, neededCount, subject } = approval;
  if (me === undefined) return { kind: 'nothing', words: 'Sign in to decide.' };
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
  const isOpen = ({ state }: ApprovalView) => state === 'pending' || state === 'approved' || state === 'executing';
  const isMine = (approval: ApprovalView) => myPart(approval, me).kind === 'decide';
  const open = approvals.filter(isOpen).sort((a, b) => a.expiresAtMs - b.expiresAtMs);
  const ended = approvals
    .filter((approval) => !isOpen(approval))
    .sort((a, b) => (b.decidedAtMs ?? 0) - (a.decidedAtMs ?? 0));
  return { mine: open.filter(isMine), open: open.filter((approval) => !isMine(approval)), ended };
}

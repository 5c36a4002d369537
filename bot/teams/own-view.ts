import type { ApprovalView } from '../../protocol/chat-api.ts';
import type { Card } from '../card.ts';
import { approvalDetailCard, isMineToDecide } from '../conversation/approval-cards.ts';
import type { TeamsDeps, Turn } from './replies.ts';

export type OwnView =
  | { readonly kind: 'card'; readonly card: Card }
  | { readonly kind: 'refused'; readonly words: string };

/**
 * A request for approval as one person may see it: with buttons for those who may decide, and for all others why there are none.
 * The engine is asked as that person, and decides again when a button is pressed: this is for the eyes only.
 */
export async function ownView(line: string, { actor }: Turn, deps: TeamsDeps): Promise<OwnView> {
  const [id] = /\bapr_[0-9A-Z]+\b/.exec(line) ?? [];
  if (id === undefined) return { kind: 'refused', words: 'There is nothing to decide here any more.' };
  const options = { actor };
  const [answer, whoami] = await Promise.all([
    deps.engine.ask({ kind: 'approval', id }, options),
    deps.engine.ask({ kind: 'whoami' }, options),
  ]);
  if (answer.kind === 'refusal') return { kind: 'refused', words: wordsOf(answer.refusal) };
  if (answer.kind !== 'approval') return { kind: 'refused', words: 'The engine did not show this request.' };
  const person = whoami.kind === 'whoami' && whoami.whoami.isLinked ? whoami.whoami.name : undefined;
  return { kind: 'card', card: cardFor(person, answer.approval, deps.nowMs()) };
}

function cardFor(person: string | undefined, approval: ApprovalView, nowMs: number): Card {
  const card = approvalDetailCard(approval, nowMs);
  if (approval.state !== 'pending' || isMineToDecide(approval, person)) return card;
  const buttons = (card.buttons ?? []).filter((button) => button.opens === undefined);
  return { ...card, text: [...(card.text ?? []), whyNot(person, approval)], buttons };
}

function whyNot(person: string | undefined, approval: ApprovalView): string {
  if (person === approval.requestedBy) return 'You asked for this, so somebody else decides.';
  const own = approval.votes.find((vote) => vote.person === person);
  if (own !== undefined) return `You have ${own.decision === 'approve' ? 'approved' : 'rejected'} this.`;
  return 'You are no approver for this, so there is nothing for you to press.';
}

function wordsOf(refusal: { readonly message: string; readonly nextStep: string | null }): string {
  return refusal.nextStep === null ? refusal.message : `${refusal.message} ${refusal.nextStep}`;
}

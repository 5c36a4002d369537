import { isId } from '../../domain/ids.ts';
import type { AlertView, ApprovalView } from '../../protocol/chat-api.ts';
import { alertCard } from '../conversation/alert-cards.ts';
import { approvalCard } from '../conversation/approval-cards.ts';
import { presentRun } from '../conversation/present-machines.ts';
import { type Asker, answerTo, optionsOf } from './ask-engine.ts';
import { cardForWeb } from './picture-address.ts';
import { notFound } from './problem.ts';
import type { CardAnswer } from './wire.ts';

/** The card of a run, a request or an alert as it is now: the same one that chat shows. @throws WebProblem when there is none */
export async function cardOfTopic(topic: string, asker: Asker, nowMs: number): Promise<CardAnswer> {
  const [kind, id = ''] = topic.split(':', 2);
  if (kind === 'run' && isId('run', id)) return runTopic(id, asker, nowMs);
  if (kind === 'approval' && isId('approval', id)) {
    const { approval } = await answerTo({ kind: 'approval', id }, asker);
    return { kind: 'card', card: cardForWeb(approvalCard(approval, nowMs)), isFinal: isApprovalFinal(approval) };
  }
  if (kind === 'alert' && isId('alert', id)) {
    const { alert } = await answerTo({ kind: 'alert', id }, asker);
    return { kind: 'card', card: cardForWeb(alertCard(alert, nowMs)), isFinal: isAlertFinal(alert) };
  }
  throw notFound('There is no such run, request or alert.');
}

async function runTopic(id: string, asker: Asker, nowMs: number): Promise<CardAnswer> {
  const { run } = await answerTo({ kind: 'run', id }, asker);
  // When the drill ends stands with the machine; without it the card says so in words.
  const about = { kind: 'machine', name: run.machineName } as const;
  const answer = await asker.engine.ask(about, optionsOf(asker));
  const machine = answer.kind === 'machine' ? answer.machine : undefined;
  const [card] = presentRun(run, machine, nowMs).cards;
  if (card === undefined) throw notFound('This run has nothing to show.');
  return { kind: 'card', card: cardForWeb(card), isFinal: run.state !== 'active' };
}

/** A break-glass is not over before somebody has looked at it. */
function isApprovalFinal({ state, review }: ApprovalView): boolean {
  const isOver = state !== 'pending' && state !== 'approved' && state !== 'executing';
  return isOver && (review === null || review.reviewedBy !== null);
}

function isAlertFinal({ state }: AlertView): boolean {
  return state === 'recovered';
}

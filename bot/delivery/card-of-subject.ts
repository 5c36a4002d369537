import { assertNever } from '../../domain/invariant.ts';
import type { DeliveryView } from '../../protocol/chat-api.ts';
import type { MachineView, RunView } from '../../protocol/control-api.ts';
import type { Card } from '../card.ts';
import { alertCard } from '../conversation/alert-cards.ts';
import { approvalCard } from '../conversation/approval-cards.ts';
import { noteCard } from '../conversation/note-cards.ts';
import { presentRun } from '../conversation/present-machines.ts';

export type Drawable = Exclude<DeliveryView['subject'], { kind: 'picture' | 'run' }>;

/** The card of what the engine wants people to see: the same wherever it is shown. */
export function cardOfSubject(subject: Drawable, nowMs: number): Card {
  switch (subject.kind) {
    case 'approval':
      return approvalCard(subject.approval, nowMs);
    case 'alert':
      return alertCard(subject.alert, nowMs);
    case 'note':
      return noteCard(subject.note);
    default:
      return assertNever(subject);
  }
}

/** A run as a message: its picture comes as a file in the thread, and the path on the engine's host is nobody's business here. */
export function cardOfRun(run: RunView, machine: MachineView | undefined, nowMs: number): Card | undefined {
  const [card] = presentRun(run, machine, nowMs).cards;
  if (card === undefined) return undefined;
  const { picture: _, ...shown } = card;
  return shown;
}

import { type AlertOrder, decideOrder, type OrderOutcome } from '../../domain/alert-attention.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import { formatDuration } from '../../domain/units.ts';
import { type AlertRecord, lockAlert, type OpenAlertRecord, setAlertState } from '../store/alerts.ts';
import type { Database } from '../store/database.ts';
import { appendEvent } from '../store/events.ts';
import { addNote, touchTopic } from '../store/messages.ts';
import { alertNote, alertTopic } from './apply-changes.ts';
import { escalateTo } from './attention.ts';

export type PersonsOrder = AlertOrder & { readonly alertId: string; readonly person: string };
export type OrderReply =
  | { readonly kind: 'done'; readonly message: string }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'refused'; readonly message: string; readonly nextStep?: string | undefined };

/** Does with an alert what a person orders: row, messages and event in the caller's transaction. Source: CHAT 5.3 */
export async function orderAlert(db: Database, order: PersonsOrder): Promise<OrderReply> {
  const alert = await lockAlert(db, order.alertId);
  if (alert === undefined) return { kind: 'unknown' };
  const outcome = decideOrder(alert, order);
  if (outcome.kind === 'refused') return outcome;
  const message = await carryOut(db, { alert, order, outcome });
  const topic = alertTopic(alert.id);
  await touchTopic(db, topic);
  await addNote(db, { topic, note: alertNote('neutral', '', [message]), severity: 'info', isNotifying: false });
  const machineName = alert.machineNames.length === 1 ? alert.machineNames[0] : undefined;
  await appendEvent(db, { kind: `alert-${order.kind}`, text: message, machineName });
  return { kind: 'done', message };
}

type Decided = {
  readonly alert: AlertRecord;
  readonly order: PersonsOrder;
  readonly outcome: Exclude<OrderOutcome, { kind: 'refused' }>;
};

async function carryOut(db: Database, { alert, order, outcome }: Decided): Promise<string> {
  const { person } = order;
  const what = `${alert.id} (${alert.title})`;
  switch (outcome.kind) {
    case 'acknowledged':
      await setAlertState(db, alert.id, { kind: 'acknowledged', owner: person });
      return outcome.isConfirmation && alert.owner === person
        ? `${person} is still at work on ${what}.`
        : `${person} acknowledged ${what} and owns it now; it does not escalate any more.`;
    case 'snoozed':
      await setAlertState(db, alert.id, { kind: 'snoozed', owner: person, forMs: outcome.forMs });
      return `${person} snoozed ${what} for ${formatDuration(outcome.forMs)}; becoming worse ends that.`;
    case 'muted':
      await setAlertState(db, alert.id, {
        kind: 'muted',
        owner: person,
        by: 'person',
        why: `${outcome.reason} (${person}, until it is healthy)`,
      });
      return `${person} muted ${what} until it is healthy: ${outcome.reason}`;
    case 'open':
      return reopenOrEscalate(db, { alert, order, outcome });
    default:
      return assertNever(outcome);
  }
}

async function reopenOrEscalate(db: Database, { alert, order, outcome }: Decided): Promise<string> {
  invariant(outcome.kind === 'open', 'this is for orders that open an alert');
  const { person } = order;
  await setAlertState(db, alert.id, outcome);
  const what = `${alert.id} (${alert.title})`;
  const level = outcome.escalationLevel;
  if (level === 0) return `${person} gave ${what} back: it is open, and escalates when nobody takes it.`;
  const { state } = alert;
  invariant(state !== 'recovered', 'an alert that is over is not escalated');
  const told = await escalateTo(db, { ...alert, state } satisfies OpenAlertRecord, level);
  return `${person} escalated ${what}. ${told.text}`;
}

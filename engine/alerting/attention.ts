import { type AttentionDue, type AttentionLook, attentionDue } from '../../domain/alert-attention.ts';
import { assertNever } from '../../domain/invariant.ts';
import { formatDuration } from '../../domain/units.ts';
import { noteEscalation, noteReminder, type OpenAlertRecord, setAlertState } from '../store/alerts.ts';
import { healthyTenancies, personsInReach, placesOfPersons } from '../store/chat-places.ts';
import type { Database } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import { addNote, listCopies, showTopic, tellPersons, touchTopic } from '../store/messages.ts';
import { wantPager } from '../store/pager-calls.ts';
import { onCallPersons } from '../store/people.ts';
import { alertNote, alertTopic } from './apply-changes.ts';

/** Asks again for attention where it is due: escalation, reminders, ends of snoozes. Returns the events to append last. Source: CHAT 5.3 */
export async function giveAttention(
  db: Database,
  open: readonly OpenAlertRecord[],
  nowMs: number,
): Promise<NewEvent[]> {
  const events: NewEvent[] = [];
  const look: AttentionLook = { nowMs, isChatDown: (await healthyTenancies(db)).length === 0 };
  for (const alert of open) {
    const event = await attend(db, alert, { due: attentionDue(alert, look), nowMs });
    if (event !== undefined) events.push(event);
  }
  return events;
}

async function attend(
  db: Database,
  alert: OpenAlertRecord,
  now: { readonly due: AttentionDue; readonly nowMs: number },
): Promise<NewEvent | undefined> {
  const { due, nowMs } = now;
  switch (due.kind) {
    case 'none':
      return undefined;
    case 'escalate':
      return escalateTo(db, alert, due.level);
    case 'remind-owner':
      return remindOwner(db, alert, nowMs);
    case 'reopen':
      return reopen(db, alert, `${alert.owner ?? 'Its owner'} did not confirm that somebody is at work on it.`);
    case 'wake':
      return reopen(db, alert, 'The snooze is over, and it is still bad.');
    case 'remind-daily':
      return remindAll(db, alert, nowMs);
    default:
      return assertNever(due);
  }
}

/**
 * Tells more people: the first on call, then everybody else on call, then the pager. Where none of them can be reached in chat, for they
 * are linked nowhere or the platform takes no messages, the next are told at once. Source: CHAT 5.2 (7), 5.3
 */
export async function escalateTo(db: Database, alert: OpenAlertRecord, level: 1 | 2 | 3): Promise<NewEvent> {
  const { id, title, text, nextStep } = alert;
  await noteEscalation(db, id, level);
  const topic = alertTopic(id);
  await touchTopic(db, topic);
  if (level === 3) {
    await wantPager(db, { about: id, title, text: `${text} ${nextStep}`.trim() });
    return told(db, alert, 'nobody has acknowledged it; the pager is next');
  }
  const onCall = await onCallPersons(db);
  const persons = level === 1 ? onCall.slice(0, 1) : onCall.slice(1);
  for (const person of persons) await tellDirectly(db, alert, person);
  const inReach = await personsInReach(db, persons);
  if (inReach.length === 0) return escalateTo(db, alert, level === 1 ? 2 : 3);
  return told(db, alert, `nobody has acknowledged it; ${toldWords(persons, inReach)}`);
}

function toldWords(persons: readonly string[], inReach: readonly string[]): string {
  const others = persons.filter((person) => !inReach.includes(person));
  const rest = others.length === 0 ? '' : `; ${others.join(', ')} cannot be reached in chat`;
  return `${inReach.join(', ')} (on call) ${inReach.length === 1 ? 'is' : 'are'} told directly${rest}`;
}

/**
 * The alert itself as a direct message, with its buttons; who has it already gets a line. Where a platform takes no messages now it waits
 * and follows.
 */
async function tellDirectly(db: Database, alert: OpenAlertRecord, person: string): Promise<void> {
  const { id, title, text, nextStep } = alert;
  const topic = alertTopic(id);
  const places = await placesOfPersons(db, [person]);
  const known = new Set((await listCopies(db, topic)).map((copy) => copy.place));
  if (places.some(({ place }) => known.has(place))) {
    const note = alertNote('bad', title, [text, nextStep, 'Nobody has acknowledged it yet.'], `ack ${id}`);
    await tellPersons(db, { persons: [person], note, severity: 'critical' });
  }
  await showTopic(db, { topic, severity: 'critical', channels: 'none', persons: [person] });
}

async function told(db: Database, alert: OpenAlertRecord, what: string): Promise<NewEvent> {
  const note = alertNote('warning', 'Escalated', [`${alert.title}: ${what}.`], `ack ${alert.id}`);
  await addNote(db, { topic: alertTopic(alert.id), note, severity: 'critical', isNotifying: false });
  return eventOf('alert-escalated', alert, `${alert.id} “${alert.title}”: ${what}.`);
}

async function remindOwner(db: Database, alert: OpenAlertRecord, nowMs: number): Promise<undefined> {
  const { id, owner, title, confirmedAtMs } = alert;
  await noteReminder(db, id);
  const since = formatDuration(nowMs - (confirmedAtMs ?? nowMs));
  const lines = [
    `You took it ${since} ago and it is still bad.`,
    `Is somebody at work on it? \`ack ${id}\` confirms it.`,
  ];
  const note = alertNote('warning', title, lines, `ack ${id}`);
  const topic = alertTopic(id);
  await addNote(db, {
    topic,
    note: { ...note, title: `Reminder for ${owner ?? 'its owner'}` },
    severity: 'info',
    isNotifying: false,
  });
  if (owner !== null) await tellPersons(db, { persons: [owner], note, severity: alert.severity });
}

async function reopen(db: Database, alert: OpenAlertRecord, why: string): Promise<NewEvent> {
  const { id, title, text, severity } = alert;
  await setAlertState(db, id, { kind: 'open', escalationLevel: 0 });
  const topic = alertTopic(id);
  await touchTopic(db, topic, { isNotifying: true });
  const note = alertNote(severity === 'critical' ? 'bad' : 'warning', `Open again: ${title}`, [why, text], `ack ${id}`);
  await addNote(db, { topic, note, severity, isNotifying: true });
  return eventOf('alert-reopened', alert, `${id} “${title}” is open again. ${why}`);
}

async function remindAll(db: Database, alert: OpenAlertRecord, nowMs: number): Promise<NewEvent> {
  const { id, title, text, nextStep, severity, openedAtMs } = alert;
  await noteReminder(db, id);
  const line = `Still so after ${formatDuration(nowMs - openedAtMs)}. ${text}`;
  const topic = alertTopic(id);
  await touchTopic(db, topic);
  await addNote(db, { topic, note: alertNote('warning', title, [line, nextStep]), severity, isNotifying: true });
  return eventOf('alert-reminder', alert, `${title} (${id}). ${line}`);
}

function eventOf(kind: string, { machineNames }: OpenAlertRecord, text: string): NewEvent {
  return { kind, text, machineName: machineNames.length === 1 ? machineNames[0] : undefined };
}

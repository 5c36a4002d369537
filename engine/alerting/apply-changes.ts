import type { AlertChange, Desired } from '../../domain/alert.ts';
import type { AlertId } from '../../domain/ids.ts';
import { assertNever } from '../../domain/invariant.ts';
import { formatDuration } from '../../domain/units.ts';
import type { NoteView } from '../../protocol/chat-api.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { changeAlert, type OpenAlertRecord, openAlert, recoverAlert, setAlertState } from '../store/alerts.ts';
import type { Database } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import { addNote, addPicture, showTopic, type Topic, touchTopic } from '../store/messages.ts';

export function alertTopic(id: string): Topic {
  return `alert:${id}`;
}

/** A line under an alert. */
export function alertNote(tone: NoteView['tone'], title: string, text: readonly string[], copyLine?: string): NoteView {
  return {
    title: title.slice(0, 150),
    tone,
    text: text.map((line) => line.slice(0, 3000)),
    copyLine: copyLine ?? null,
  };
}

/**
 * Carries the changes of one look out: rows, messages, and the events for those who look on without chat, which the caller appends last.
 * Only an opening and a rise ring. Source: CHAT 5.3
 */
export async function applyChanges(
  db: Database,
  changes: readonly AlertChange[],
  before: { readonly open: readonly OpenAlertRecord[]; readonly nowMs: number },
): Promise<NewEvent[]> {
  const known: Known = { nowMs: before.nowMs, open: new Map(before.open.map((alert) => [alert.id, alert])) };
  const events: NewEvent[] = [];
  for (const change of changes) {
    const event = await applyChange(db, change, known);
    if (event !== undefined) events.push(event);
  }
  return events;
}

type Known = { readonly open: ReadonlyMap<string, OpenAlertRecord>; readonly nowMs: number };

async function applyChange(db: Database, change: AlertChange, known: Known): Promise<NewEvent | undefined> {
  switch (change.kind) {
    case 'open':
      return open(db, change.alert);
    case 'raise':
      return raise(db, change, known.open.get(change.id));
    case 'remind':
      return remind(db, change, known.open.get(change.id));
    case 'lower':
    case 'update':
      await changeAlert(db, change.id, { desired: change.alert, isRise: false });
      await touchTopic(db, alertTopic(change.id));
      return undefined;
    case 'grow':
      return grow(db, change);
    case 'recover':
      return recover(db, change.id, known);
    case 'mute':
      return mute(db, change);
    case 'unmute':
      await setAlertState(db, change.id, { kind: 'open', escalationLevel: 0 });
      await touchTopic(db, alertTopic(change.id));
      await quietNote(db, change.id, alertNote('warning', 'No longer muted', ['People are told of it again.']));
      return undefined;
    default:
      return assertNever(change);
  }
}

async function open(db: Database, desired: Desired): Promise<NewEvent> {
  const { id, isAgain } = await openAlert(db, desired);
  const { severity, title, text, nextStep } = desired;
  const topic = alertTopic(id);
  if (isAgain) {
    await touchTopic(db, topic, { isNotifying: true, severity });
    const note = alertNote(toneOf(severity), `Again: ${title}`, [text, nextStep]);
    await addNote(db, { topic, note, severity, isNotifying: true });
  }
  await show(db, topic, desired);
  await addLagPlot(db, id, desired);
  return eventOf('alert-opened', desired, `${severityWords[severity]} ${id}: ${title}. ${text}`);
}

async function show(db: Database, topic: Topic, { severity, host }: Desired): Promise<void> {
  await showTopic(db, {
    topic,
    severity,
    channels: 'subscribed',
    persons: [],
    host: host ?? undefined,
    isNotifying: true,
  });
}

/** The curve that led here, for those who look at it on a phone. */
async function addLagPlot(db: Database, id: AlertId, { rule, machineNames }: Desired): Promise<void> {
  const [name, ...others] = machineNames;
  if (rule !== 'lag' || name === undefined || others.length > 0) return;
  await addPicture(db, {
    topic: alertTopic(id),
    apiPath: chatRoutes.lagSeries.replace(':name', encodeURIComponent(name)),
    fileName: `lag-${name}.png`,
    altText: `The lag of ${name} before the alert`,
  });
}

type Worded = Extract<AlertChange, { kind: 'raise' | 'lower' | 'update' | 'remind' }>;

async function raise(db: Database, change: Worded, before: OpenAlertRecord | undefined): Promise<NewEvent> {
  const { id, alert } = change;
  await changeAlert(db, id, { desired: alert, isRise: true });
  const topic = alertTopic(id);
  // A person who muted it until it is healthy does not want to hear of it.
  const isNotifying = before?.state !== 'muted';
  await touchTopic(db, topic, { isNotifying, severity: alert.severity });
  // A channel that wants critical alerts only has no copy yet.
  if (isNotifying) await show(db, topic, alert);
  const woken = before?.state === 'snoozed' ? ['The snooze is over: it became worse.'] : [];
  const note = alertNote('bad', `Now critical: ${alert.title}`, [alert.text, ...woken, alert.nextStep]);
  await addNote(db, { topic, note, severity: 'critical', isNotifying });
  return eventOf('alert-raised', alert, `Now critical ${id}: ${alert.title}. ${alert.text}`);
}

/** It is as severe as before, and time has passed: whoever took it may have forgotten it. */
async function remind(db: Database, { id, alert }: Worded, before: OpenAlertRecord | undefined): Promise<NewEvent> {
  await changeAlert(db, id, { desired: alert, isRise: true });
  const topic = alertTopic(id);
  const isNotifying = before?.state !== 'muted';
  const { severity, title, text, nextStep } = alert;
  await touchTopic(db, topic, { isNotifying });
  await addNote(db, { topic, note: alertNote(toneOf(severity), title, [text, nextStep]), severity, isNotifying });
  return eventOf('alert-reminder', alert, `${title} (${id}). ${text}`);
}

async function grow(db: Database, change: Extract<AlertChange, { kind: 'grow' }>): Promise<NewEvent> {
  const { id, alert, joined, isNotifying } = change;
  await changeAlert(db, id, { desired: alert, isRise: false });
  const topic = alertTopic(id);
  await touchTopic(db, topic, { isNotifying });
  const lines = joined.slice(0, 18).map((member) => `${member.scope}: ${member.text}`);
  const note = alertNote(toneOf(alert.severity), `${joined.length} more: ${alert.title}`, lines);
  await addNote(db, { topic, note, severity: alert.severity, isNotifying });
  return eventOf(
    'alert-grew',
    alert,
    `${id}: ${alert.title}; joined: ${joined.map((member) => member.scope).join(', ')}`,
  );
}

async function recover(db: Database, id: string, known: Known): Promise<NewEvent | undefined> {
  await recoverAlert(db, id);
  await touchTopic(db, alertTopic(id));
  const before = known.open.get(id);
  if (before === undefined) return undefined;
  const after = formatDuration(known.nowMs - before.openedAtMs);
  const title = `Recovered: ${before.title}`;
  await quietNote(db, id, alertNote('good', title, [`It is well again, after ${after}.`]));
  return {
    kind: 'alert-recovered',
    text: `${title} (${id}), after ${after}.`,
    machineName: before.machineNames.length === 1 ? before.machineNames[0] : undefined,
  };
}

async function mute(db: Database, change: Extract<AlertChange, { kind: 'mute' }>): Promise<undefined> {
  const { id, by, why } = change;
  await setAlertState(db, id, { kind: 'muted', owner: null, by, why });
  await touchTopic(db, alertTopic(id));
  await quietNote(db, id, alertNote('neutral', 'Muted', [why]));
  return undefined;
}

async function quietNote(db: Database, id: string, note: NoteView): Promise<void> {
  await addNote(db, { topic: alertTopic(id), note, severity: 'info', isNotifying: false });
}

const severityWords = { warning: 'Warning', critical: 'Critical' } as const;

function toneOf(severity: Desired['severity']): NoteView['tone'] {
  return severity === 'critical' ? 'bad' : 'warning';
}

function eventOf(kind: string, { machineNames }: Desired, text: string): NewEvent {
  return { kind, text, machineName: machineNames.length === 1 ? machineNames[0] : undefined };
}

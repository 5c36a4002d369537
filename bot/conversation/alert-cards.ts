import { assertNever } from '../../domain/invariant.ts';
import type { AlertView } from '../../protocol/chat-api.ts';
import { type Button, type Card, type Field, shorten, type Tone } from '../card.ts';
import { countWords, pageOf, pageWords } from './machine-cards.ts';
import { instant, relativeTime } from './time-words.ts';

const memberCountMax = 20;

/** `Critical`, as words: a colour alone is not seen by everybody. */
export function severityWords(alert: AlertView): string {
  if (alert.state === 'recovered') return 'Recovered';
  return alert.severity === 'critical' ? 'CRITICAL' : 'Warning';
}

/** An alert, drawn whole from what the engine knows; one message is edited for as long as it lives. Source: CHAT 5.3 */
export function alertCard(alert: AlertView, nowMs: number): Card {
  const { title, text, nextStep, state } = alert;
  return {
    title: shorten(`${severityWords(alert)} · ${shorten(title, 100)}${stateSuffix(alert)}`, 150),
    tone: toneOf(alert),
    audience: 'channel',
    text: [
      shorten(text, 1500),
      ...(nextStep === '' || state === 'recovered' ? [] : [`Next: ${shorten(nextStep, 600)}`]),
    ],
    fields: fieldsOf(alert, nowMs),
    ...(alert.members.length > 0 && { table: memberTable(alert) }),
    buttons: buttonsOf(alert),
    footer: `${alert.id} · ${alert.rule} · revision ${alert.revision}`,
  };
}

function stateSuffix({ state, owner }: AlertView): string {
  const who = owner === null ? '' : ` by ${owner}`;
  switch (state) {
    case 'open':
    case 'recovered':
      return '';
    case 'acknowledged':
      return owner === null ? ' · taken' : ` · ${owner} looks after it`;
    case 'snoozed':
      return ` · snoozed${who}`;
    case 'muted':
      return ` · muted${who}`;
    default:
      return assertNever(state);
  }
}

function toneOf({ state, severity }: AlertView): Tone {
  if (state === 'recovered') return 'good';
  if (state === 'snoozed' || state === 'muted') return 'neutral';
  return severity === 'critical' ? 'bad' : 'warning';
}

function fieldsOf(alert: AlertView, nowMs: number): Field[] {
  const { recoveredAtMs, snoozedUntilMs, owner, state, escalationLevel } = alert;
  const levels = ['the channel', 'the first on call', 'everybody on call', 'the pager'] as const;
  return [
    { label: 'About', value: shorten(alert.scope, 200) },
    { label: 'Since', value: instant(alert.openedAtMs, nowMs) },
    ...(recoveredAtMs === null ? [] : [{ label: 'Recovered', value: instant(recoveredAtMs, nowMs) }]),
    ...(owner === null || state === 'recovered' ? [] : [{ label: 'Owner', value: owner }]),
    ...(state === 'snoozed' && snoozedUntilMs !== null
      ? [{ label: 'Until', value: `${instant(snoozedUntilMs, nowMs)}, or when it gets more severe` }]
      : []),
    ...(alert.occurrences > 1 ? [{ label: 'Seen', value: `${alert.occurrences} times` }] : []),
    ...(escalationLevel > 0 ? [{ label: 'Told', value: levels[escalationLevel] ?? 'the pager' }] : []),
  ];
}

function memberTable({ members }: AlertView) {
  const rest = members.length - memberCountMax;
  const rows = members.slice(0, memberCountMax).map(({ scope, text }) => [shorten(scope, 80), shorten(text, 200)]);
  return { columns: ['About', 'What'], rows: rest > 0 ? [...rows, ['…', `and ${rest} more`]] : rows };
}

/** Three at most: a phone shows no more. Source: CHAT 5.3 */
function buttonsOf({ id, state }: AlertView): Button[] {
  const button = (label: string, line: string, more: Partial<Button> = {}): Button => ({
    label,
    line,
    style: 'default',
    ...more,
  });
  const details = button('Details', `show ${id}`);
  const snooze = button('Snooze', `snooze ${id}`, { opens: 'snooze' });
  switch (state) {
    case 'open':
      return [button('Ack', `ack ${id}`, { style: 'primary' }), snooze, details];
    case 'acknowledged':
      return [button('Give back', `unack ${id}`), snooze, details];
    case 'snoozed':
      return [button('Wake up', `unsnooze ${id}`), details];
    case 'muted':
      return [details];
    case 'recovered':
      return [];
    default:
      return assertNever(state);
  }
}

/** The same for one person, with what else can be done. */
export function alertDetailCard(alert: AlertView, nowMs: number): Card {
  const card = alertCard(alert, nowMs);
  const isOver = alert.state === 'recovered';
  const machines = alert.machineNames.slice(0, 10).join(', ');
  return {
    ...card,
    audience: 'asker',
    ...(machines !== '' && { fields: [...(card.fields ?? []), { label: 'Machines', value: machines }] }),
    ...(card.buttons !== undefined && { buttons: card.buttons.filter((button) => button.label !== 'Details') }),
    ...(!isOver && {
      sections: [
        {
          title: 'Also',
          rows: [
            [`escalate ${alert.id}`, 'call the next person now'],
            [`mute ${alert.id} --reason "<text>"`, 'quiet until it is well again'],
          ],
        },
      ],
    }),
  };
}

/** A list of alerts, worst and newest first. */
export function alertListCard(
  alerts: readonly AlertView[],
  view: { readonly title: string; readonly page: number; readonly nowMs: number },
): Card {
  const ordered = worstAlertsFirst(alerts);
  const shown = pageOf(ordered, view.page);
  const open = ordered.filter((alert) => alert.state === 'open');
  return {
    title:
      alerts.length === 0
        ? `No ${view.title}s`
        : `${countWords(alerts.length, view.title)}${pageWords(view.page, alerts.length)}`,
    tone: open[0] === undefined ? (alerts.length === 0 ? 'good' : 'neutral') : toneOf(open[0]),
    audience: 'asker',
    ...(shown.length > 0 && {
      table: {
        columns: ['Alert', 'Severity', 'What', 'State', 'Since'],
        rows: shown.map((alert) => [
          alert.id,
          severityWords(alert),
          shorten(alert.title, 80),
          listState(alert),
          relativeTime(alert.openedAtMs, view.nowMs),
        ]),
      },
    }),
    buttons: open.slice(0, 3).map((alert) => ({
      label: shorten(`Ack ${alert.title}`, 75),
      line: `ack ${alert.id}`,
      style: 'default',
    })),
    ...(shown.length === 0 && alerts.length > 0 && { footer: `There is no page ${view.page}.` }),
  };
}

function listState(alert: AlertView): string {
  return alert.owner === null || alert.state === 'open' ? alert.state : `${alert.state} (${alert.owner})`;
}

/** Open ones first, critical ones before warnings, the newest of them first. */
export function worstAlertsFirst(alerts: readonly AlertView[]): AlertView[] {
  const rank = ({ state, severity }: AlertView) =>
    (state === 'open' ? 0 : state === 'recovered' ? 8 : 4) + (severity === 'critical' ? 0 : 1);
  return [...alerts].sort((a, b) => rank(a) - rank(b) || b.openedAtMs - a.openedAtMs);
}

/** True for an alert that nobody looks after yet. */
export function isUnattended(alert: AlertView): boolean {
  return alert.state === 'open';
}

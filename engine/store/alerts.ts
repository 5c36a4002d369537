import { and, asc, desc, eq, ne, or, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { AlertMember, Desired, OpenAlert } from '../../domain/alert.ts';
import type { AttentionFacts } from '../../domain/alert-attention.ts';
import type { AlertId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { type AlertView, alertView } from '../../protocol/chat-api.ts';
import { alerts } from './alert-schema.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf } from './rows.ts';

/** An alert as its row says. */
export type AlertRecord = AlertView & {
  readonly host: string | null;
  readonly groupScope: string | null;
  readonly wordsAtMs: number;
  readonly confirmedAtMs: number | null;
  readonly reminderCount: number;
  readonly remindedAtMs: number;
  readonly muteKind: OpenAlert['muteKind'];
  readonly muteWhy: string | null;
  readonly escalatesFromMs: number;
  readonly step: number;
};

/** One that is not over. */
export type OpenAlertRecord = AlertRecord & OpenAlert & AttentionFacts & { readonly id: AlertId };

const memberSchema = z.array(z.object({ scope: z.string(), text: z.string() }));
const rowSchema = z.object({
  rule: alertView.shape.rule,
  severity: alertView.shape.severity,
  state: alertView.shape.state,
  muteKind: z.enum(['person', 'maintenance', 'grouped']).nullable(),
  machineNames: z.array(z.string()),
  members: memberSchema,
  escalationLevel: alertView.shape.escalationLevel,
});

/** All alerts that are not over, locked until the transaction ends, oldest first. */
export async function lockOpenAlerts(db: Database): Promise<OpenAlertRecord[]> {
  const rows = await db
    .select()
    .from(alerts)
    .where(ne(alerts.state, 'recovered'))
    .orderBy(asc(alerts.openedAt), asc(alerts.id))
    .for('update');
  return rows.map((row) => openOf(recordOf(row)));
}

function openOf(record: AlertRecord): OpenAlertRecord {
  const { state } = record;
  invariant(state !== 'recovered', 'an open alert is not over');
  return { ...record, state };
}

/** The alert, locked until the transaction ends. */
export async function lockAlert(db: Database, id: string): Promise<AlertRecord | undefined> {
  const [row] = await db.select().from(alerts).where(eq(alerts.id, id)).for('update');
  return row && recordOf(row);
}

/** An alert as people are shown it, as it is now. */
export async function alertViewOf(db: Database, id: string): Promise<AlertView | undefined> {
  const [row] = await db.select().from(alerts).where(eq(alerts.id, id));
  return row && viewOf(recordOf(row));
}

/** Those that are not over, newest first, then those that ended within a day. */
export async function listAlertViews(db: Database, limit = 200): Promise<AlertView[]> {
  const isOpen = sql`${alerts.state} <> 'recovered'`;
  const rows = await db
    .select()
    .from(alerts)
    .where(or(isOpen, sql`${alerts.recoveredAt} > now() - interval '1 day'`))
    .orderBy(desc(isOpen), desc(alerts.openedAt), desc(alerts.id))
    .limit(limit);
  return rows.map((row) => viewOf(recordOf(row)));
}

/** Those that are not over, newest first. */
export async function openAlertViews(db: Database, limit = 500): Promise<AlertView[]> {
  const rows = await db
    .select()
    .from(alerts)
    .where(ne(alerts.state, 'recovered'))
    .orderBy(desc(alerts.openedAt), desc(alerts.id))
    .limit(limit);
  return rows.map((row) => viewOf(recordOf(row)));
}

/** What a muted alert is muted for is said in its words. */
function viewOf(record: AlertRecord): AlertView {
  const muted = record.state === 'muted' ? ` Muted: ${record.muteWhy ?? ''}` : '';
  return alertView.parse({ ...record, text: `${record.text}${muted}`.slice(0, 3000) });
}

function recordOf(row: typeof alerts.$inferSelect): AlertRecord {
  const { rule, severity, state, muteKind, machineNames, members, escalationLevel } = rowSchema.parse(row);
  return {
    ...{ rule, severity, state, muteKind, machineNames, members, escalationLevel },
    id: idOf('alert', row.id),
    revision: row.revision,
    scope: row.scope,
    title: row.title,
    text: row.text,
    nextStep: row.nextStep,
    occurrences: row.occurrences,
    openedAtMs: row.openedAt.getTime(),
    changedAtMs: row.changedAt.getTime(),
    wordsAtMs: row.wordsAt.getTime(),
    recoveredAtMs: row.recoveredAt?.getTime() ?? null,
    owner: row.owner,
    confirmedAtMs: row.confirmedAt?.getTime() ?? null,
    reminderCount: row.reminderCount,
    remindedAtMs: row.remindedAt.getTime(),
    snoozedUntilMs: row.snoozedUntil?.getTime() ?? null,
    muteWhy: row.muteWhy,
    escalatesFromMs: row.escalatesFrom.getTime(),
    host: row.host,
    groupScope: row.groupScope,
    step: row.step,
  };
}

const now = sql`now()`;
const nobody = { owner: null, confirmedAt: null, reminderCount: 0, snoozedUntil: null, muteKind: null, muteWhy: null };
const changed = { revision: sql`${alerts.revision} + 1`, changedAt: now };
/** Back to the beginning: from here on it escalates anew. */
const openAgain = { ...nobody, ...changed, state: 'open', escalationLevel: 0, escalatesFrom: now, remindedAt: now };

/** One that comes back within this time is the same one again. */
const sameAgainWithinMs = 30 * 60_000;

/** Opens an alert; one of the same rule and scope that ended a short time ago is opened again. */
export async function openAlert(
  db: Database,
  desired: Desired,
): Promise<{ readonly id: AlertId; readonly isAgain: boolean }> {
  const words = wordsOf(desired);
  const { rule, scope, host, groupScope, severity } = desired;
  const [before] = await db
    .select({ id: alerts.id })
    .from(alerts)
    .where(
      and(
        eq(alerts.rule, rule),
        eq(alerts.scope, scope),
        sql`${alerts.recoveredAt} > now() - make_interval(secs => ${sameAgainWithinMs / 1000})`,
      ),
    )
    .orderBy(desc(alerts.recoveredAt))
    .limit(1);
  if (before !== undefined) {
    await db
      .update(alerts)
      .set({
        ...openAgain,
        ...words,
        severity,
        recoveredAt: null,
        openedAt: now,
        occurrences: sql`${alerts.occurrences} + 1`,
      })
      .where(eq(alerts.id, before.id));
    return { id: idOf('alert', before.id), isAgain: true };
  }
  const id = newId('alert');
  await db.insert(alerts).values({ id, rule, scope, host, groupScope, severity, ...words });
  return { id, isAgain: false };
}

function wordsOf({ title, text, nextStep, machineNames, members, step }: Desired) {
  return {
    title: title.slice(0, 150),
    text,
    nextStep,
    machineNames: [...machineNames],
    members: [...members] as AlertMember[],
    step,
    wordsAt: now,
  };
}

/** New words, and a new severity. A rise, or a reminder that is due, ends a snooze, and escalation begins anew. */
export async function changeAlert(
  db: Database,
  id: string,
  change: { readonly desired: Desired; readonly isRise: boolean },
): Promise<void> {
  const { desired, isRise } = change;
  const wakes = sql`case when ${alerts.state} = 'snoozed' then 'open' else ${alerts.state} end`;
  const rise = isRise ? { state: wakes, snoozedUntil: null, escalatesFrom: now, escalationLevel: 0 } : {};
  await db
    .update(alerts)
    .set({ ...changed, ...wordsOf(desired), severity: desired.severity, ...rise })
    .where(eq(alerts.id, id));
}

export async function recoverAlert(db: Database, id: string): Promise<void> {
  const over = {
    state: 'recovered',
    recoveredAt: now,
    confirmedAt: null,
    snoozedUntil: null,
    muteKind: null,
    muteWhy: null,
  };
  await db
    .update(alerts)
    .set({ ...changed, ...over })
    .where(eq(alerts.id, id));
}

export type NewState =
  | { readonly kind: 'open'; readonly escalationLevel: 0 | 1 | 2 | 3 }
  | { readonly kind: 'acknowledged'; readonly owner: string }
  | { readonly kind: 'snoozed'; readonly owner: string; readonly forMs: number }
  | {
      readonly kind: 'muted';
      readonly owner: string | null;
      readonly by: NonNullable<OpenAlert['muteKind']>;
      readonly why: string;
    };

/** Moves an alert that is not over. */
export async function setAlertState(db: Database, id: string, next: NewState): Promise<void> {
  await db
    .update(alerts)
    .set({ ...openAgain, ...columnsOf(next) })
    .where(and(eq(alerts.id, id), ne(alerts.state, 'recovered')));
}

function columnsOf(next: NewState) {
  switch (next.kind) {
    case 'open':
      return { escalationLevel: next.escalationLevel };
    case 'acknowledged':
      return { state: 'acknowledged', owner: next.owner, confirmedAt: now };
    case 'snoozed':
      return {
        state: 'snoozed',
        owner: next.owner,
        snoozedUntil: sql`now() + make_interval(secs => ${next.forMs / 1000})`,
      };
    case 'muted':
      return { state: 'muted', owner: next.owner, muteKind: next.by, muteWhy: next.why };
  }
}

/** Notes that people were told more urgently; the clock of the escalation goes on. */
export async function noteEscalation(db: Database, id: string, level: 1 | 2 | 3): Promise<void> {
  await db
    .update(alerts)
    .set({ ...changed, escalationLevel: level })
    .where(eq(alerts.id, id));
}

/** Notes that its owner, or everybody, was reminded of it. */
export async function noteReminder(db: Database, id: string): Promise<void> {
  await db
    .update(alerts)
    .set({ reminderCount: sql`${alerts.reminderCount} + 1`, remindedAt: now })
    .where(eq(alerts.id, id));
}

/** Removes alerts that ended that long ago. */
export async function deleteOldAlerts(db: Database, retentionMs: number): Promise<void> {
  await db.delete(alerts).where(sql`${alerts.recoveredAt} < now() - make_interval(secs => ${retentionMs / 1000})`);
}

import { and, asc, desc, eq, gt, sql } from 'drizzle-orm';
import type { EventView } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { lockInTransaction } from './database.ts';
import { eventsChannel } from './listen.ts';
import { events } from './schema.ts';

export type NewEvent = {
  readonly kind: string;
  readonly text: string;
  readonly machineName?: string | undefined;
  readonly runId?: string | undefined;
};

/**
 * Writes down what people are told, in the transaction that changes the state; waiters hear of it when that commits.
 *
 * Call it last in the transaction: from here on all other writers of events wait, so that events become visible in
 * the order of their
 * numbers and nobody who reads "after number n" can miss one.
 */
export async function appendEvent(db: Database, event: NewEvent): Promise<void> {
  await lockInTransaction(db, 'events');
  await db.insert(events).values({
    kind: event.kind,
    text: event.text,
    machineName: event.machineName ?? null,
    runId: event.runId ?? null,
  });
  await db.execute(sql`select pg_notify(${eventsChannel}, '')`);
}

/** The events after a number, oldest first. */
export async function listEvents(db: Database, afterNumber: number, limit = 500): Promise<EventView[]> {
  const rows = await db
    .select()
    .from(events)
    .where(gt(events.number, afterNumber))
    .orderBy(asc(events.number))
    .limit(limit);
  return rows.map(eventViewOf);
}

/** The number of the newest event, 0 when there is none. */
export async function newestEventNumber(db: Database): Promise<number> {
  const [row] = await db.select({ number: events.number }).from(events).orderBy(desc(events.number)).limit(1);
  return row?.number ?? 0;
}

/** True when people were told this of the run. */
export async function hasEvent(db: Database, kind: string, runId: string): Promise<boolean> {
  return (await db.$count(events, and(eq(events.kind, kind), eq(events.runId, runId)))) > 0;
}

/** Removes events older than that; they are for showing, the audit trail is elsewhere. */
export async function deleteOldEvents(db: Database, retentionMs: number): Promise<void> {
  await db.delete(events).where(sql`${events.at} < now() - make_interval(secs => ${retentionMs / 1000})`);
}

function eventViewOf(row: typeof events.$inferSelect): EventView {
  return {
    number: row.number,
    atMs: row.at.getTime(),
    machineName: row.machineName,
    runId: row.runId,
    kind: row.kind,
    text: row.text,
  };
}

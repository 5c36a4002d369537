import { and, asc, eq, inArray, isNotNull, sql } from 'drizzle-orm';
import type { MessageId } from '../../domain/ids.ts';
import { type ChatPlace, type MessageRef, messageRef, type NoteView } from '../../protocol/chat-api.ts';
import { type MessageSeverity, placesOfPersons, subscribedPlaces } from './chat-places.ts';
import type { Database } from './database.ts';
import { eventsChannel } from './listen.ts';
import { messages } from './message-schema.ts';
import { newId } from './new-id.ts';
import { idOf } from './rows.ts';

/**
 * The outbox: what people should see in chat is stored with the state that it tells of, in one transaction, and delivered at least once.
 * Chat is a projection of it. Call these functions before `appendEvent`. Source: CHAT 5.2 (6, 7), RELIABILITY I8
 */
export type Topic = `run:${string}` | `approval:${string}` | `alert:${string}`;

/**
 * How soon a copy is drawn again after it was drawn last: people read, they do not watch a film, and Slack takes about fifty edits a minute
 * from all copies together. The web page and terminals follow a run by its events, not by these. Source: CHAT 2.1, 5.2 (6), 5.3
 */
const redrawEveryMs = { run: 10_000, approval: 0, alert: 10_000 } as const;

/** Every copy of the topic is drawn again, coalesced; at once when it is to ring. A copy that was left out of a storm comes back then. */
export async function touchTopic(
  db: Database,
  topic: Topic,
  options: { readonly isNotifying?: boolean; readonly severity?: MessageSeverity } = {},
): Promise<void> {
  const { isNotifying = false, severity } = options;
  const found = await db
    .select({ id: messages.id, state: messages.state })
    .from(messages)
    .where(and(eq(messages.topic, topic), eq(messages.kind, 'copy')))
    // One order for everybody: two that touch the same topic wait for each other instead of blocking each other.
    .orderBy(asc(messages.number))
    .for('no key update');
  const ids = found
    .filter(({ state }) => state === 'live' || (state === 'superseded' && isNotifying))
    .map(({ id }) => id);
  if (ids.length === 0) return;
  const pauseMs = isNotifying ? 0 : redrawPauseMs(topic);
  const earliest = sql`greatest(now(), ${messages.deliveredAt} + make_interval(secs => ${pauseMs / 1000}))`;
  await db
    .update(messages)
    .set({
      wantedRevision: sql`${messages.wantedRevision} + 1`,
      wantedAt: sql`case when ${messages.deliveredRevision} < ${messages.wantedRevision} then ${messages.wantedAt} else now() end`,
      // After a failure its pause counts; and what is to be drawn at once waits for nothing that comes after it.
      dueAt: sql`case when ${messages.attemptCount} > 0 then greatest(${earliest}, ${messages.dueAt})
        when ${messages.deliveredRevision} < ${messages.wantedRevision} then least(${earliest}, ${messages.dueAt})
        else ${earliest} end`,
      isNotifying: isNotifying ? true : messages.isNotifying,
      state: 'live',
      endedAt: null,
      digestId: null,
      ...(severity === undefined ? {} : { severity }),
    })
    .where(inArray(messages.id, ids));
  await wakeBots(db);
}

/** How long a copy of the topic stays as it was drawn, unless it is to ring. */
export function redrawPauseMs(topic: string): number {
  if (topic.startsWith('run:')) return redrawEveryMs.run;
  return topic.startsWith('alert:') ? redrawEveryMs.alert : redrawEveryMs.approval;
}

/**
 * Adds copies of a topic where there is none yet: in the subscribed channels, and as direct messages to persons, in every surface where
 * they are linked.
 *
 * @param show host: whose it is; subscriptions of another host are left out
 */
export async function showTopic(
  db: Database,
  show: {
    readonly topic: Topic;
    readonly severity: MessageSeverity;
    readonly channels: 'subscribed' | 'none';
    readonly persons: readonly string[];
    readonly host?: string | undefined;
    readonly isNotifying?: boolean;
  },
): Promise<void> {
  const channels = show.channels === 'none' ? [] : await subscribedPlaces(db, show);
  const direct = await placesOfPersons(db, show.persons);
  await insertCopies(db, show, [...channels, ...direct]);
}

type NewCopy = {
  readonly topic: Topic;
  readonly severity: MessageSeverity;
  readonly isNotifying?: boolean;
  readonly ref?: MessageRef | null;
};

async function insertCopies(db: Database, copy: NewCopy, places: readonly ChatPlace[]): Promise<void> {
  if (places.length === 0) return;
  const { topic, severity, isNotifying = severity !== 'info', ref = null } = copy;
  const rows = places.map((place) => ({
    id: newId('message'),
    ...place,
    kind: 'copy',
    topic,
    severity,
    isNotifying,
    ref,
  }));
  await db.insert(messages).values(rows).onConflictDoNothing();
  await wakeBots(db);
}

/**
 * Keeps a topic true in one more place, e.g. where a command was typed. The message that is there already becomes the copy when it has
 * none; otherwise the first one stays the copy.
 */
export async function followTopic(
  db: Database,
  follow: { readonly topic: Topic; readonly place: ChatPlace; readonly ref: MessageRef | null },
): Promise<void> {
  const { topic, place, ref } = follow;
  await insertCopies(db, { topic, severity: 'info', isNotifying: false, ref }, [place]);
  if (ref === null) return;
  const { surface, tenant } = place;
  await db
    .update(messages)
    .set({ ref })
    .where(
      and(
        eq(messages.topic, topic),
        eq(messages.kind, 'copy'),
        eq(messages.surface, surface),
        eq(messages.tenant, tenant),
        eq(messages.place, place.place),
        // While a bot posts it, what it posts is the copy.
        sql`${messages.ref} is null and ${messages.leasedUntil} is null`,
      ),
    );
}

/** A line in the thread of every copy. `isNotifying`: it rings (a broadcast to the channel, with mentions). */
export async function addNote(
  db: Database,
  order: {
    readonly topic: Topic;
    readonly note: NoteView;
    readonly severity: MessageSeverity;
    readonly isNotifying: boolean;
  },
): Promise<void> {
  const { note, ...columns } = order;
  await insertInThreads(db, { kind: 'note', content: note, ...columns });
}

/** Shows a picture in the thread of every copy; the bot fetches it from the API when it delivers it. */
export async function addPicture(
  db: Database,
  order: {
    readonly topic: Topic;
    readonly apiPath: string;
    readonly fileName: string;
    readonly altText: string;
  },
): Promise<void> {
  const { topic, ...content } = order;
  await insertInThreads(db, { kind: 'picture', content, topic, severity: 'info', isNotifying: false });
}

type InThread = {
  readonly kind: 'note' | 'picture';
  readonly topic: Topic;
  readonly content: unknown;
  readonly severity: MessageSeverity;
  readonly isNotifying: boolean;
};

async function insertInThreads(db: Database, order: InThread): Promise<void> {
  const copies = await db
    .select({ id: messages.id, surface: messages.surface, tenant: messages.tenant, place: messages.place })
    .from(messages)
    .where(and(eq(messages.topic, order.topic), eq(messages.kind, 'copy'), eq(messages.state, 'live')))
    .orderBy(asc(messages.number));
  if (copies.length === 0) return;
  const rows = copies.map(({ id, ...place }) => ({ id: newId('message'), parentId: id, ...place, ...order }));
  await db.insert(messages).values(rows);
  await wakeBots(db);
}

/**
 * Direct messages to persons, in every surface where they are linked.
 *
 * @returns how many messages that makes: 0 when none of them is linked anywhere
 */
export async function tellPersons(
  db: Database,
  order: {
    readonly persons: readonly string[];
    readonly note: NoteView;
    readonly severity: MessageSeverity;
  },
): Promise<number> {
  const places = await placesOfPersons(db, order.persons);
  const { severity, note } = order;
  return insertDirect(db, { severity, note }, places);
}

/** A message of its own in every subscribed channel: about what is no run, approval or alert. */
export async function tellChannels(
  db: Database,
  order: { readonly note: NoteView; readonly severity: MessageSeverity },
): Promise<void> {
  await insertDirect(db, order, await subscribedPlaces(db, order));
}

async function insertDirect(
  db: Database,
  order: { readonly severity: MessageSeverity; readonly note: NoteView },
  places: readonly ChatPlace[],
): Promise<number> {
  if (places.length === 0) return 0;
  const { note, severity } = order;
  const rows = places.map((place) => ({
    id: newId('message'),
    ...place,
    kind: 'direct',
    content: note,
    severity,
    isNotifying: true,
  }));
  await db.insert(messages).values(rows);
  await wakeBots(db);
  return rows.length;
}

/** The messages of a topic, by place. */
export async function listCopies(
  db: Database,
  topic: Topic,
): Promise<{ readonly id: MessageId; readonly place: string; readonly ref: unknown }[]> {
  const rows = await db
    .select({ id: messages.id, place: messages.place, ref: messages.ref })
    .from(messages)
    .where(and(eq(messages.topic, topic), eq(messages.kind, 'copy')))
    .orderBy(asc(messages.number));
  return rows.map((row) => ({ ...row, id: idOf('message', row.id) }));
}

const linkCountMax = 50;

/**
 * Where the copies of a topic stand, in the platforms' own words, for the audit trail: who reads it later can look up what people saw.
 * E.g. `slack T1 C1 (channel C1, ts 1732.1)`. Empty when it stands nowhere.
 */
export async function copyLinks(db: Database, topic: Topic): Promise<string> {
  const rows = await db
    .select({ surface: messages.surface, tenant: messages.tenant, place: messages.place, ref: messages.ref })
    .from(messages)
    .where(and(eq(messages.topic, topic), eq(messages.kind, 'copy'), isNotNull(messages.ref)))
    .orderBy(asc(messages.number));
  const shown = rows
    .slice(0, linkCountMax)
    .map(({ surface, tenant, place, ref }) => `${surface} ${tenant} ${place} (${refWords(messageRef.parse(ref))})`);
  return [...shown, ...(rows.length > linkCountMax ? [`${rows.length - linkCountMax} more`] : [])].join('; ');
}

/** Ids only: an address of the platform's servers says nothing about the message. */
function refWords(ref: MessageRef): string {
  const ids = Object.entries(ref).filter(([, value]) => typeof value === 'string' && !value.startsWith('http'));
  return ids
    .map(([name, value]) => `${name} ${String(value)}`)
    .sort()
    .join(', ');
}

/** Removes what was settled that long ago. */
export async function deleteOldMessages(db: Database, retentionMs: number): Promise<void> {
  const old = sql`coalesce(${messages.endedAt}, ${messages.deliveredAt}) < now() - make_interval(secs => ${retentionMs / 1000})`;
  await db
    .delete(messages)
    .where(
      and(
        sql`(${messages.state} <> 'live' or ${messages.deliveredRevision} = ${messages.wantedRevision})`,
        sql`${messages.leasedUntil} is null`,
        old,
      ),
    );
}

/** Bots that wait for messages look again when this commits. */
export async function wakeBots(db: Database): Promise<void> {
  await db.execute(sql`select pg_notify(${eventsChannel}, '')`);
}

import { and, asc, desc, eq, inArray, isNotNull, isNull, lt, lte, notExists, or, type SQL, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import type { MessageId } from '../../domain/ids.ts';
import {
  type ChatPlace,
  chatSurfaceName,
  type DeliveryOutcome,
  deliveryView,
  type MessageRef,
  messageRef,
} from '../../protocol/chat-api.ts';
import type { MessageSeverity, Tenancy } from './chat-places.ts';
import { type Database, lockInTransaction } from './database.ts';
import { digestStorms } from './message-digest.ts';
import { type messageKinds, messages } from './message-schema.ts';
import { redrawPauseMs } from './messages.ts';
import { idOf } from './rows.ts';

/** So long a bot may take for a message that it claimed; then another one may claim it. */
export const leaseMs = 30_000;
/** Then it is given up, and an alert says so: with the pauses between them that is most of a day. */
export const attemptCountMax = 100;
const pauseMsMax = 300_000;

export type ClaimedMessage = {
  readonly id: MessageId;
  readonly place: ChatPlace;
  readonly kind: (typeof messageKinds)[number];
  readonly topic: string | null;
  readonly content: unknown;
  readonly revision: number;
  readonly ref: MessageRef | null;
  readonly parentRef: MessageRef | null;
  readonly isNotifying: boolean;
  readonly severity: MessageSeverity;
};

/**
 * Gives a bot what it should deliver next, critical first, then by age; nobody else gets the same while its lease lasts. Of a thread
 * only the oldest line is given, so that lines never change places. Call it in a transaction.
 */
export async function claimMessages(
  db: Database,
  claim: Tenancy & { readonly countMax: number },
): Promise<ClaimedMessage[]> {
  const { surface, tenant } = claim;
  // Two claims at once would see the same storm and make two digests of it.
  await lockInTransaction(db, `deliveries of ${surface} ${tenant}`);
  await giveUpExhausted(db, claim);
  await digestStorms(db, claim);
  const due = await dueMessages(db, claim);
  if (due.length === 0) return [];
  const leased = await db
    .update(messages)
    .set({
      leasedUntil: sql`now() + make_interval(secs => ${leaseMs / 1000})`,
      leasedRevision: messages.wantedRevision,
      attemptCount: sql`${messages.attemptCount} + 1`,
    })
    .where(inArray(messages.id, due))
    .returning();
  const parents = await refsOf(db, leased);
  const byId = new Map(leased.map((row) => [row.id, row]));
  return due.flatMap((id) => {
    const row = byId.get(id);
    return row === undefined ? [] : [claimedOf(row, parents)];
  });
}

const isUndelivered = sql`${messages.state} = 'live' and ${messages.deliveredRevision} < ${messages.wantedRevision}`;
const isFree = or(isNull(messages.leasedUntil), lt(messages.leasedUntil, sql`now()`));

function inTenancy({ surface, tenant }: Tenancy) {
  return and(eq(messages.surface, surface), eq(messages.tenant, tenant));
}

function rankOf(severity: SQL | typeof messages.severity): SQL<number> {
  return sql<number>`case ${severity} when 'critical' then 2 when 'warning' then 1 else 0 end`;
}

/** In the order in which they are to be delivered. */
async function dueMessages(db: Database, claim: Tenancy & { readonly countMax: number }): Promise<string[]> {
  const parent = alias(messages, 'parent');
  const sibling = alias(messages, 'sibling');
  const siblingWaits = sql`${sibling.parentId} = ${messages.parentId} and ${sibling.state} = 'live'
    and ${sibling.deliveredRevision} < ${sibling.wantedRevision}`;
  const olderLine = db
    .select({ id: sibling.id })
    .from(sibling)
    .where(and(siblingWaits, lt(sibling.number, messages.number)));
  // A line that stands before a critical one is as urgent as that.
  const urgency = sql`greatest(${rankOf(messages.severity)},
    (select max(${rankOf(sql`${sibling.severity}`)}) from ${messages} ${sql.identifier('sibling')} where ${siblingWaits}))`;
  const rows = await db
    .select({ id: messages.id })
    .from(messages)
    .leftJoin(parent, eq(messages.parentId, parent.id))
    .where(
      and(
        inTenancy(claim),
        isUndelivered,
        isFree,
        lte(messages.dueAt, sql`now()`),
        or(isNull(messages.parentId), and(isNotNull(parent.ref), notExists(olderLine))),
      ),
    )
    .orderBy(desc(urgency), asc(messages.wantedAt), asc(messages.number))
    .limit(claim.countMax)
    .for('update', { of: messages, skipLocked: true });
  return rows.map((row) => row.id);
}

type MessageRow = typeof messages.$inferSelect;

async function refsOf(db: Database, rows: readonly MessageRow[]): Promise<Map<string, unknown>> {
  const ids = rows.flatMap((row) => (row.parentId === null ? [] : [row.parentId]));
  if (ids.length === 0) return new Map();
  const parents = await db
    .select({ id: messages.id, ref: messages.ref })
    .from(messages)
    .where(inArray(messages.id, ids));
  return new Map(parents.map((row) => [row.id, row.ref]));
}

function claimedOf(row: MessageRow, parents: Map<string, unknown>): ClaimedMessage {
  const parentRef = row.parentId === null ? null : (parents.get(row.parentId) ?? null);
  return {
    id: idOf('message', row.id),
    place: { surface: chatSurfaceName.parse(row.surface), tenant: row.tenant, place: row.place },
    // The column's CHECK allows these values only.
    kind: row.kind as ClaimedMessage['kind'],
    topic: row.topic,
    content: row.content,
    revision: row.wantedRevision,
    ref: messageRef.nullable().parse(row.ref),
    parentRef: messageRef.nullable().parse(parentRef),
    isNotifying: row.isNotifying,
    severity: deliveryView.shape.severity.parse(row.severity),
  };
}

/** Messages that were claimed again and again and of which no bot ever said what became of them. */
async function giveUpExhausted(db: Database, claim: Tenancy): Promise<void> {
  const exhausted = await db
    .select({ id: messages.id })
    .from(messages)
    .where(and(inTenancy(claim), isUndelivered, isFree, sql`${messages.attemptCount} >= ${attemptCountMax}`))
    .for('update', { skipLocked: true });
  for (const { id } of exhausted) {
    await endMessage(db, id, { state: 'undeliverable', why: `given up after ${attemptCountMax} attempts` });
  }
}

/** Ends a message; what stands in its thread and was not delivered ends with it. */
export async function endMessage(
  db: Database,
  id: string,
  end: { readonly state: 'superseded' | 'undeliverable'; readonly why: string },
): Promise<void> {
  const ended = { leasedUntil: null, leasedRevision: null, endedAt: sql`now()` };
  await db
    .update(messages)
    .set({ ...ended, state: end.state, lastError: end.why })
    .where(eq(messages.id, id));
  await db
    .update(messages)
    .set({ ...ended, state: 'superseded', lastError: `its thread ended: ${end.why}` })
    .where(and(eq(messages.parentId, id), isUndelivered));
}

/** What became of a delivery. Reporting it again, or late, does no harm: an older drawing than the newest is drawn over. */
export async function settleDelivery(
  db: Database,
  id: string,
  report: { readonly revision: number; readonly outcome: DeliveryOutcome },
): Promise<'settled' | 'unknown-message'> {
  const [row] = await db.select().from(messages).where(eq(messages.id, id)).for('update');
  if (row === undefined || report.revision > row.wantedRevision) return 'unknown-message';
  const { outcome, revision } = report;
  if (outcome.kind === 'delivered') await settleDelivered(db, row, { revision, ref: outcome.ref });
  // A late failure of an older lease says nothing about the newer one.
  else if (row.state === 'live' && row.leasedRevision === revision) await settleFailed(db, row, outcome);
  return 'settled';
}

async function settleDelivered(
  db: Database,
  row: MessageRow,
  done: { readonly revision: number; readonly ref: MessageRef },
): Promise<void> {
  const wasDrawnOver = row.kind === 'copy' && done.revision < row.deliveredRevision;
  const isNewest = done.revision === row.wantedRevision;
  const endsLease = row.leasedRevision !== null && done.revision >= row.leasedRevision;
  await db
    .update(messages)
    .set({
      ref: done.ref,
      deliveredRevision: Math.max(row.deliveredRevision, done.revision),
      wantedRevision: row.wantedRevision + (wasDrawnOver ? 1 : 0),
      deliveredAt: sql`now()`,
      attemptCount: 0,
      lastError: null,
      ...(isNewest ? { isNotifying: false } : { wantedAt: sql`now()`, ...(wasDrawnOver ? {} : dueAfter(row)) }),
      ...(endsLease ? { leasedUntil: null, leasedRevision: null } : {}),
    })
    .where(eq(messages.id, row.id));
}

/** What changed while a copy was on its way is drawn together with what follows; what rings is not kept waiting. */
function dueAfter({ topic, kind, isNotifying }: MessageRow): { readonly dueAt?: SQL } {
  if (kind !== 'copy' || topic === null || isNotifying) return {};
  return { dueAt: sql`now() + make_interval(secs => ${redrawPauseMs(topic) / 1000})` };
}

async function settleFailed(
  db: Database,
  row: MessageRow,
  outcome: Exclude<DeliveryOutcome, { kind: 'delivered' }>,
): Promise<void> {
  if (outcome.kind === 'undeliverable' || row.attemptCount >= attemptCountMax) {
    await endMessage(db, row.id, { state: 'undeliverable', why: outcome.error });
    return;
  }
  const pauseMs = Math.max(outcome.retryAfterMs, Math.min(pauseMsMax, 1000 * 2 ** Math.min(row.attemptCount - 1, 10)));
  await db
    .update(messages)
    .set({
      dueAt: sql`now() + make_interval(secs => ${pauseMs / 1000})`,
      lastError: outcome.error,
      leasedUntil: null,
      leasedRevision: null,
    })
    .where(eq(messages.id, row.id));
}

/** A place whose messages were given up, since it took one last. */
export type DeadPlace = { readonly place: ChatPlace; readonly count: number; readonly lastError: string };

/** A place that takes messages again is dead so long all the same: one of them was lost there. */
const deadForMs = 600_000;

/** Places where messages were given up within that time and nothing was delivered since, or a short time ago. */
export async function deadPlaces(db: Database, withinMs: number): Promise<DeadPlace[]> {
  const later = alias(messages, 'later');
  const cameLater = db
    .select({ id: later.id })
    .from(later)
    .where(
      and(
        eq(later.surface, messages.surface),
        eq(later.tenant, messages.tenant),
        eq(later.place, messages.place),
        sql`${later.deliveredAt} > ${messages.endedAt}`,
      ),
    );
  const rows = await db
    .select({
      surface: messages.surface,
      tenant: messages.tenant,
      place: messages.place,
      count: sql<number>`count(*)::int`,
      lastError: sql<string>`coalesce((array_agg(${messages.lastError} order by ${messages.endedAt} desc))[1], '')`,
    })
    .from(messages)
    .where(
      and(
        eq(messages.state, 'undeliverable'),
        sql`${messages.endedAt} > now() - make_interval(secs => ${withinMs / 1000})`,
        or(notExists(cameLater), sql`${messages.endedAt} > now() - make_interval(secs => ${deadForMs / 1000})`),
      ),
    )
    .groupBy(messages.surface, messages.tenant, messages.place);
  return rows.map(({ surface, tenant, place, count, lastError }) => ({
    place: { surface: chatSurfaceName.parse(surface), tenant, place },
    count,
    lastError,
  }));
}

/** How long the oldest message of a tenant has waited. */
export type WaitingMessages = Tenancy & {
  readonly count: number;
  readonly oldestMs: number;
  /** 0 when none is critical. */
  readonly oldestCriticalMs: number;
};

export async function waitingMessages(db: Database): Promise<WaitingMessages[]> {
  const age = sql`(extract(epoch from now() - ${messages.wantedAt}) * 1000)::bigint`;
  const rows = await db
    .select({
      surface: messages.surface,
      tenant: messages.tenant,
      count: sql<number>`count(*)::int`,
      oldestMs: sql<string>`max(${age})`,
      oldestCriticalMs: sql<string>`coalesce(max(${age}) filter (where ${messages.severity} = 'critical'), 0)`,
    })
    .from(messages)
    .where(isUndelivered)
    .groupBy(messages.surface, messages.tenant);
  return rows.map((row) => ({
    surface: chatSurfaceName.parse(row.surface),
    tenant: row.tenant,
    count: row.count,
    oldestMs: Number(row.oldestMs),
    oldestCriticalMs: Number(row.oldestCriticalMs),
  }));
}

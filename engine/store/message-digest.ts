import { and, asc, eq, inArray, isNull, lt, or, type SQL, sql } from 'drizzle-orm';
import { deliveryView } from '../../protocol/chat-api.ts';
import type { MessageSeverity, Tenancy } from './chat-places.ts';
import type { Database } from './database.ts';
import { messages, severities } from './message-schema.ts';
import { newId } from './new-id.ts';

/** More undelivered lines than this that are older than this, or more new ones within this time, become one digest. Source: CHAT 5.2 (7), 5.3 */
export const stormCount = 20;
export const stormMs = 60_000;

const minute = sql`make_interval(secs => ${stormMs / 1000})`;
const isFree = or(isNull(messages.leasedUntil), lt(messages.leasedUntil, sql`now()`));
/** What a digest may tell of instead: lines, direct notes, and alerts that nobody has seen yet and that are not critical. */
const isLine = or(
  inArray(messages.kind, ['note', 'picture', 'direct']),
  and(
    eq(messages.kind, 'copy'),
    sql`${messages.topic} like 'alert:%' and ${messages.deliveredRevision} = 0 and ${messages.ref} is null`,
    sql`${messages.severity} <> 'critical'`,
  ),
);
const isWaiting = and(
  eq(messages.state, 'live'),
  sql`${messages.deliveredRevision} < ${messages.wantedRevision}`,
  isFree,
  isLine,
);

/** Replaces what would flood a place by one digest. What it replaces is kept, superseded. */
export async function digestStorms(db: Database, tenancy: Tenancy): Promise<void> {
  for (const place of await stormyPlaces(db, tenancy)) await digestPlace(db, tenancy, place);
}

async function stormyPlaces(db: Database, { surface, tenant }: Tenancy): Promise<string[]> {
  const here = and(eq(messages.surface, surface), eq(messages.tenant, tenant));
  const waiting = await placesWhere(db, and(here, isWaiting));
  // Most of the time nothing, or little, waits: then there is nothing to count.
  if (waiting.size === 0) return [];
  const stale = await placesWhere(db, and(here, isWaiting, sql`${messages.createdAt} < now() - ${minute}`));
  const recent = await placesWhere(
    db,
    and(
      here,
      sql`${messages.createdAt} > now() - ${minute}`,
      inArray(messages.kind, ['note', 'picture', 'direct', 'copy']),
      sql`(${messages.kind} <> 'copy' or ${messages.topic} like 'alert:%')`,
    ),
  );
  const isStorm = (place: string) => (stale.get(place) ?? 0) > stormCount || (recent.get(place) ?? 0) > stormCount;
  return [...waiting.keys()].filter(isStorm);
}

async function placesWhere(db: Database, condition: SQL | undefined): Promise<Map<string, number>> {
  const rows = await db
    .select({ place: messages.place, count: sql<number>`count(*)::int` })
    .from(messages)
    .where(condition)
    .groupBy(messages.place);
  return new Map(rows.map((row) => [row.place, row.count]));
}

async function digestPlace(db: Database, { surface, tenant }: Tenancy, place: string): Promise<void> {
  const here = and(eq(messages.surface, surface), eq(messages.tenant, tenant), eq(messages.place, place));
  const members = await db
    .select({ id: messages.id, severity: messages.severity, isNotifying: messages.isNotifying })
    .from(messages)
    .where(and(here, isWaiting))
    .for('update', { skipLocked: true });
  if (members.length === 0) return;
  const digestId = await openDigest(db, { surface, tenant, place }, members);
  const ids = members.map((member) => member.id);
  await db
    .update(messages)
    .set({ state: 'superseded', digestId, endedAt: sql`now()`, leasedUntil: null, leasedRevision: null })
    .where(inArray(messages.id, ids));
  // Lines that wait for a message which will not be posted now.
  await db
    .update(messages)
    .set({ state: 'superseded', digestId, endedAt: sql`now()`, leasedUntil: null, leasedRevision: null })
    .where(and(inArray(messages.parentId, ids), eq(messages.state, 'live'), eq(messages.deliveredRevision, 0)));
}

type Member = { readonly severity: string; readonly isNotifying: boolean };

/** The place's digest that is not on its way yet, or a new one; at most one a minute, unless something critical is in it. */
async function openDigest(
  db: Database,
  place: Tenancy & { readonly place: string },
  members: readonly Member[],
): Promise<string> {
  const here = and(
    eq(messages.surface, place.surface),
    eq(messages.tenant, place.tenant),
    eq(messages.place, place.place),
    eq(messages.kind, 'digest'),
  );
  const severity = worstOf(members);
  const isNotifying = members.some((member) => member.isNotifying);
  const [waiting] = await db
    .select({ id: messages.id, severity: messages.severity, isNotifying: messages.isNotifying })
    .from(messages)
    .where(and(here, eq(messages.state, 'live'), eq(messages.deliveredRevision, 0), isFree))
    .for('update');
  if (waiting !== undefined) {
    const both = {
      severity: worstOf([waiting, { severity, isNotifying }]),
      isNotifying: isNotifying || waiting.isNotifying,
    };
    const dueAt = both.severity === 'critical' ? sql`least(${messages.dueAt}, now())` : messages.dueAt;
    await db
      .update(messages)
      .set({ ...both, dueAt })
      .where(eq(messages.id, waiting.id));
    return waiting.id;
  }
  const last = sql`(select max(delivered_at) from ${messages} where ${here}) + ${minute}`;
  // Columns hold milliseconds: a rounded now() may lie ahead of now(), and this claim should see the digest.
  const atOnce = sql`date_trunc('milliseconds', now())`;
  const dueAt = severity === 'critical' ? atOnce : sql`greatest(${atOnce}, ${last})`;
  const id = newId('message');
  await db.insert(messages).values({ id, ...place, kind: 'digest', severity, isNotifying, dueAt });
  return id;
}

function worstOf(members: readonly Member[]): MessageSeverity {
  return [...severities].reverse().find((one) => members.some((member) => member.severity === one)) ?? 'info';
}

/** What a digest tells of. */
export type DigestMember = {
  readonly kind: string;
  readonly topic: string | null;
  readonly content: unknown;
  readonly severity: MessageSeverity;
  readonly createdAtMs: number;
};

/** Oldest first. */
export async function digestMembers(db: Database, digestId: string): Promise<DigestMember[]> {
  const rows = await db.select().from(messages).where(eq(messages.digestId, digestId)).orderBy(asc(messages.number));
  return rows.map((row) => ({
    kind: row.kind,
    topic: row.topic,
    content: row.content,
    severity: deliveryView.shape.severity.parse(row.severity),
    createdAtMs: row.createdAt.getTime(),
  }));
}

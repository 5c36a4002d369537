import { and, asc, eq, exists, inArray, ne, sql } from 'drizzle-orm';
import type { z } from 'zod';
import {
  type ChatPlace,
  chatSurfaceName,
  type DeliveryView,
  messageRef,
  type placeView,
  type SurfaceView,
  unknownTenant,
} from '../../protocol/chat-api.ts';
import { alertLooks } from './alert-schema.ts';
import type { Database } from './database.ts';
import { chatPlaces, chatSurfaces, messages, severities, subscriptions } from './message-schema.ts';
import { chatUsersOf } from './people.ts';
import { chatLinks } from './people-schema.ts';
import { agents } from './schema.ts';

export type MessageSeverity = DeliveryView['severity'];
export type Tenancy = Pick<ChatPlace, 'surface' | 'tenant'>;
type PlaceView = z.infer<typeof placeView>;

/** The channels that want to see something of this severity and host, or of the site where the host stands. */
export async function subscribedPlaces(
  db: Database,
  wanted: { readonly severity: MessageSeverity; readonly host?: string | undefined },
): Promise<ChatPlace[]> {
  const low = severities.slice(0, severities.indexOf(wanted.severity) + 1);
  const scopes = wanted.host === undefined ? [''] : ['', wanted.host, ...(await sitesOf(db, wanted.host)).map(ofSite)];
  const rows = await db
    .selectDistinct({ surface: subscriptions.surface, tenant: subscriptions.tenant, place: subscriptions.place })
    .from(subscriptions)
    .where(and(inArray(subscriptions.severityMin, low), inArray(subscriptions.host, scopes)));
  return rows.map(placeOf);
}

async function sitesOf(db: Database, host: string): Promise<string[]> {
  const rows = await db.selectDistinct({ site: agents.siteName }).from(agents).where(eq(agents.hostName, host));
  return rows.map(({ site }) => site);
}

/** No host is called so: a name has no colon in it. */
function ofSite(site: string): string {
  return `site:${site}`;
}

/** Where persons are written to directly: `user:<id>` in every tenant that we know and where they are linked. */
export async function placesOfPersons(db: Database, persons: readonly string[]): Promise<ChatPlace[]> {
  if (persons.length === 0) return [];
  const places: ChatPlace[] = [];
  for (const tenancy of await knownTenancies(db)) {
    for (const { user } of await chatUsersOf(db, persons, tenancy)) places.push({ ...tenancy, place: `user:${user}` });
  }
  return places;
}

/** A bot says every minute whether its platform answers. What is older was said by one that runs no more. */
const reportedWithinSeconds = 180;

/** The chat platforms that take messages now. While nobody listened to bots their silence was our own. Source: CHAT 5.2 (7) */
export async function healthyTenancies(db: Database): Promise<Tenancy[]> {
  const listenedSince = sql`coalesce((select resumed_at from ${alertLooks}), ${chatSurfaces.reportedAt})`;
  const heardAt = sql`greatest(${chatSurfaces.reportedAt}, ${listenedSince})`;
  const rows = await db
    .select({ surface: chatSurfaces.surface, tenant: chatSurfaces.tenant })
    .from(chatSurfaces)
    .where(sql`${chatSurfaces.isHealthy} and ${heardAt} > now() - make_interval(secs => ${reportedWithinSeconds})`);
  return rows.map(({ surface, tenant }) => ({ surface: chatSurfaceName.parse(surface), tenant }));
}

/** Those of them who would see a message now: they are linked where the platform takes messages. */
export async function personsInReach(db: Database, persons: readonly string[]): Promise<string[]> {
  const inReach = new Set<string>();
  for (const tenancy of await healthyTenancies(db)) {
    for (const { person } of await chatUsersOf(db, persons, tenancy)) inReach.add(person);
  }
  return persons.filter((person) => inReach.has(person));
}

/** Every tenant that a bot has spoken of. */
async function knownTenancies(db: Database): Promise<Tenancy[]> {
  const rows = await db.execute<{ surface: string; tenant: string }>(
    sql`select surface, tenant from ${chatSurfaces} where ${ne(chatSurfaces.tenant, unknownTenant)} union select surface, tenant from ${chatPlaces}
      union select surface, tenant from ${subscriptions} union select surface, tenant from ${chatLinks} order by 1, 2`,
  );
  return rows.rows.map(({ surface, tenant }) => ({ surface: chatSurfaceName.parse(surface), tenant }));
}

function placeOf(row: { surface: string; tenant: string; place: string }): ChatPlace {
  return { surface: chatSurfaceName.parse(row.surface), tenant: row.tenant, place: row.place };
}

/** Only of this host, or of all hosts of this site; everything if both are undefined. */
type SubscribedScope = { readonly host?: string | undefined; readonly site?: string | undefined };

function scopeOf({ host, site }: SubscribedScope): string | undefined {
  return site === undefined ? host : ofSite(site);
}

export type Subscription = SubscribedScope & { readonly place: ChatPlace; readonly severityMin: MessageSeverity };

/** Shows a channel what happens from now on; doing it again changes the severity. */
export async function subscribe(db: Database, order: Subscription & { readonly person: string }): Promise<void> {
  const { place, severityMin, person } = order;
  const host = scopeOf(order) ?? '';
  await db
    .insert(subscriptions)
    .values({ ...place, host, severityMin, subscribedBy: person })
    .onConflictDoUpdate({
      target: [subscriptions.surface, subscriptions.tenant, subscriptions.place, subscriptions.host],
      set: { severityMin, subscribedBy: person, subscribedAt: sql`now()` },
    });
  await db.insert(chatPlaces).values(place).onConflictDoNothing();
}

/** Ends a subscription; without a host and a site: all of the channel's. */
export async function unsubscribe(
  db: Database,
  order: SubscribedScope & { readonly place: ChatPlace },
): Promise<'ended' | 'was-none'> {
  const { place } = order;
  const host = scopeOf(order);
  const ended = await db
    .delete(subscriptions)
    .where(
      and(
        eq(subscriptions.surface, place.surface),
        eq(subscriptions.tenant, place.tenant),
        eq(subscriptions.place, place.place),
        host === undefined ? undefined : eq(subscriptions.host, host),
      ),
    )
    .returning({ place: subscriptions.place });
  return ended.length > 0 ? 'ended' : 'was-none';
}

/**
 * Notes what a bot says of its platform. When that answers again, everything that waits for it is tried at once.
 *
 * @returns `changed`: it was the other way before, so people are told
 */
export async function saveSurface(
  db: Database,
  report: Omit<SurfaceView, 'reportedAtMs'>,
): Promise<'first' | 'same' | 'changed'> {
  const { surface, tenant, isHealthy, detail } = report;
  const at = (name: string) => and(eq(chatSurfaces.surface, surface), eq(chatSurfaces.tenant, name));
  const here = at(tenant);
  // It has answered since: what was said of it before it had a name is said under its name from now on.
  if (tenant !== unknownTenant) await db.delete(chatSurfaces).where(at(unknownTenant));
  const [before] = await db.select().from(chatSurfaces).where(here).for('update');
  if (before === undefined) {
    await db.insert(chatSurfaces).values(report).onConflictDoNothing();
    return 'first';
  }
  const isChanged = before.isHealthy !== isHealthy;
  const changedAt = isChanged ? sql`now()` : chatSurfaces.changedAt;
  await db.update(chatSurfaces).set({ isHealthy, detail, reportedAt: sql`now()`, changedAt }).where(here);
  if (isChanged && isHealthy) await tryAtOnce(db, { surface, tenant });
  return isChanged ? 'changed' : 'same';
}

async function tryAtOnce(db: Database, { surface, tenant }: Tenancy): Promise<void> {
  await db
    .update(messages)
    .set({ dueAt: sql`least(${messages.dueAt}, now())` })
    .where(
      and(
        eq(messages.surface, surface),
        eq(messages.tenant, tenant),
        sql`${messages.state} = 'live' and ${messages.attemptCount} > 0`,
        sql`${messages.deliveredRevision} < ${messages.wantedRevision}`,
      ),
    );
}

/** The chat platforms as their bots see them. */
export async function listSurfaces(db: Database): Promise<SurfaceView[]> {
  const rows = await db.select().from(chatSurfaces).orderBy(asc(chatSurfaces.surface), asc(chatSurfaces.tenant));
  return rows.map(({ surface, tenant, isHealthy, detail, reportedAt }) => ({
    surface: chatSurfaceName.parse(surface),
    tenant,
    isHealthy,
    detail,
    reportedAtMs: reportedAt.getTime(),
  }));
}

/** Keeps what a platform wants to be given when a place is written to first. */
export async function savePlace(db: Database, place: Omit<PlaceView, 'isSubscribed'>): Promise<void> {
  const { reference, ...key } = place;
  await db
    .insert(chatPlaces)
    .values({ ...key, reference })
    .onConflictDoUpdate({
      target: [chatPlaces.surface, chatPlaces.tenant, chatPlaces.place],
      set: { reference, savedAt: sql`now()` },
    });
}

/** All places of a tenant that can be written to. */
export async function listPlaces(db: Database, { surface, tenant }: Tenancy): Promise<PlaceView[]> {
  const isSubscribed = exists(
    db
      .select({ place: subscriptions.place })
      .from(subscriptions)
      .where(
        // In a list of columns drizzle leaves the table's name out; here it must be there.
        sql`${subscriptions}.surface = ${chatPlaces}.surface and ${subscriptions}.tenant = ${chatPlaces}.tenant
          and ${subscriptions}.place = ${chatPlaces}.place`,
      ),
  ).mapWith(Boolean);
  const rows = await db
    .select({ place: chatPlaces.place, reference: chatPlaces.reference, isSubscribed })
    .from(chatPlaces)
    .where(and(eq(chatPlaces.surface, surface), eq(chatPlaces.tenant, tenant)))
    .orderBy(asc(chatPlaces.place));
  return rows.map((row) => ({ surface, tenant, ...row, reference: messageRef.parse(row.reference) }));
}

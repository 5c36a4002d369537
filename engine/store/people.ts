import { and, asc, eq, inArray, isNull, sql } from 'drizzle-orm';
import { coversAll, type Grant } from '../../domain/access.ts';
import type { OnCallPlace } from '../../domain/break-glass.ts';
import { isDeciding } from '../../domain/role-change.ts';
import type { DecidingTagGrant } from '../../domain/tag-change.ts';
import { type GrantView, grantView, type PersonView } from '../../protocol/chat-api.ts';
import { endSessionsOf } from './console-sessions.ts';
import type { Database } from './database.ts';
import { lockInTransaction } from './database.ts';
import { tagsOfMachines } from './machine-tags.ts';
import { authenticators, chatLinks, grants, onCall, persons } from './people-schema.ts';

export type { Grant };
export type ChatUser = { readonly surface: 'slack' | 'teams'; readonly tenant: string; readonly user: string };
export type PersonRecord = { readonly name: string; readonly isDisabled: boolean; readonly grants: readonly Grant[] };

/** The person with what they may do now; undefined when there is none of that name. */
export async function findPerson(db: Database, name: string): Promise<PersonRecord | undefined> {
  const rows = await db
    .select({ disabledAt: persons.disabledAt, grant: grants })
    .from(persons)
    .leftJoin(grants, eq(grants.person, persons.name))
    .where(eq(persons.name, name));
  const [first] = rows;
  if (first === undefined) return undefined;
  const held = rows.flatMap(({ grant }) => (grant === null ? [] : [grantOf(grant)]));
  return { name, isDisabled: first.disabledAt !== null, grants: held };
}

/** What a person may do now; nothing when they are disabled or unknown. */
export async function grantsOf(db: Database, person: string): Promise<readonly Grant[]> {
  const found = await findPerson(db, person);
  return found === undefined || found.isDisabled ? [] : found.grants;
}

/** True for a person who is known and not disabled. */
export async function isPersonActive(db: Database, person: string): Promise<boolean> {
  return (await findPerson(db, person))?.isDisabled === false;
}

/** The persons, by name, who are active and may approve on every one of these machines; the requester may be among them. */
export async function eligibleApprovers(
  db: Database,
  machineNames: readonly string[],
  role: 'approver' | 'admin' = 'approver',
): Promise<string[]> {
  const [persons] = await eligiblePersons(db, [{ machineNames, role }]);
  return persons ?? [];
}

/** The same of many questions at once, in their order. */
export async function eligiblePersons(
  db: Database,
  asked: readonly { readonly machineNames: readonly string[]; readonly role: 'approver' | 'admin' }[],
): Promise<string[][]> {
  if (asked.length === 0) return [];
  const tags = await tagsOfMachines(db, [...new Set(asked.flatMap(({ machineNames }) => machineNames))]);
  const held = [...(await activeGrants(db))];
  return asked.map(({ machineNames, role }) => {
    const machines = machineNames.map((name) => ({ name, tags: tags.get(name) ?? [] }));
    return held.filter(([, each]) => coversAll(each, role, machines)).map(([person]) => person);
  });
}

async function activeGrants(db: Database): Promise<Map<string, Grant[]>> {
  const rows = await db
    .select({ grant: grants })
    .from(grants)
    .innerJoin(persons, eq(grants.person, persons.name))
    .where(isNull(persons.disabledAt))
    .orderBy(asc(persons.name));
  const held = new Map<string, Grant[]>();
  for (const { grant } of rows) held.set(grant.person, [...(held.get(grant.person) ?? []), grantOf(grant)]);
  return held;
}

/** Who is on call and not disabled, the one to be asked first at the beginning. */
export async function onCallPersons(db: Database): Promise<string[]> {
  const rows = await db
    .select({ person: onCall.person })
    .from(onCall)
    .innerJoin(persons, eq(onCall.person, persons.name))
    .where(isNull(persons.disabledAt))
    .orderBy(asc(onCall.position));
  return rows.map(({ person }) => person);
}

/**
 * Replaces the on-call list. Call it in a transaction. Who was on it before and stays keeps by whom and since when, so that a new order of
 * the list makes nobody newer; only when another one confirms who had put themselves there, this one counts from now on.
 */
export async function setOnCall(db: Database, names: readonly string[], by: string): Promise<void> {
  await lockInTransaction(db, 'on-call list');
  const before = await db.delete(onCall).returning();
  if (names.length === 0) return;
  const rows = names.map((person, position) => {
    const old = before.find((row) => row.person === person);
    const isConfirmed = old?.setBy === person && by !== person;
    if (old !== undefined && !isConfirmed) return { ...old, position };
    return { person, position, setBy: by, setAt: sql`clock_timestamp()` };
  });
  await db.insert(onCall).values(rows);
}

/** The person's place on the on-call list, by the database's clock; undefined when they are not on it. */
export async function onCallPlaceOf(db: Database, person: string): Promise<OnCallPlace | undefined> {
  const sinceMs = sql<number>`(extract(epoch from clock_timestamp() - ${onCall.setAt}) * 1000)::float8`;
  const [row] = await db
    .select({ setBy: onCall.setBy, sinceMs })
    .from(onCall)
    .innerJoin(persons, eq(onCall.person, persons.name))
    .where(and(eq(onCall.person, person), isNull(persons.disabledAt)));
  return row && { isSelfSet: row.setBy === person, sinceMs: Math.max(0, Math.floor(row.sinceMs)) };
}

/** Who somebody in chat is; undefined for a chat user who is linked to nobody. */
export async function linkedPerson(db: Database, user: ChatUser): Promise<string | undefined> {
  const [row] = await db.select({ person: chatLinks.person }).from(chatLinks).where(isUser(user));
  return row?.person;
}

/** By which users of one tenant these persons are known there. */
export async function chatUsersOf(
  db: Database,
  names: readonly string[],
  where: { readonly surface: 'slack' | 'teams'; readonly tenant: string },
): Promise<{ person: string; user: string }[]> {
  if (names.length === 0) return [];
  return db
    .select({ person: chatLinks.person, user: chatLinks.user })
    .from(chatLinks)
    .where(
      and(
        inArray(chatLinks.person, [...names]),
        eq(chatLinks.surface, where.surface),
        eq(chatLinks.tenant, where.tenant),
      ),
    )
    .orderBy(asc(chatLinks.person), asc(chatLinks.linkedAt));
}

/** Links a chat user to a person; `other-person`: the user is linked to somebody else, and stays so. */
export async function linkUser(
  db: Database,
  link: ChatUser & { readonly person: string; readonly displayName: string },
): Promise<'linked' | 'other-person'> {
  await db.insert(chatLinks).values(link).onConflictDoNothing();
  return (await linkedPerson(db, link)) === link.person ? 'linked' : 'other-person';
}

/** Takes a person's chat users away. */
export async function unlinkUsers(db: Database, person: string, surfaces: readonly ChatUser['surface'][]) {
  await db.delete(chatLinks).where(and(eq(chatLinks.person, person), inArray(chatLinks.surface, [...surfaces])));
}

/** Makes a person who is not there yet. */
export async function addPerson(db: Database, name: string, by: string): Promise<'added' | 'was-there'> {
  const added = await db.insert(persons).values({ name, createdBy: by }).onConflictDoNothing().returning();
  return added.length === 1 ? 'added' : 'was-there';
}

/** Replaces everything that a person may do. Call it in a transaction. */
export async function setGrants(db: Database, person: string, next: readonly Grant[], by: string): Promise<void> {
  await db.delete(grants).where(eq(grants.person, person));
  if (next.length === 0) return;
  const rows = next.map(({ role, scope }) => ({
    person,
    role,
    scopeKind: scope.kind,
    scopeValue: scopeValueOf(scope),
    grantedBy: by,
  }));
  await db.insert(grants).values(rows).onConflictDoNothing();
}

/** Disabling ends the person's sessions at the web console too: they do not come back with the person. */
export async function setDisabled(db: Database, person: string, isDisabled: boolean): Promise<void> {
  if (isDisabled) await endSessionsOf(db, person, 'disabled');
  await db
    .update(persons)
    .set({ disabledAt: isDisabled ? sql`coalesce(${persons.disabledAt}, now())` : null })
    .where(eq(persons.name, person));
}

/** Active persons who are admin of everything: there must always be one. Changes of them wait for each other. */
export async function activeAdmins(db: Database): Promise<string[]> {
  await lockInTransaction(db, 'admins');
  return siteAdmins(db);
}

/** The same at a glance: nobody waits. */
export async function siteAdmins(db: Database): Promise<string[]> {
  const held = await activeGrants(db);
  const isAdmin = ({ role, scope }: Grant) => role === 'admin' && scope.kind === 'everything';
  return [...held].filter(([, each]) => each.some(isAdmin)).map(([person]) => person);
}

/** Everybody who decides by a tag, also persons who are disabled: they may be enabled again. */
export async function decidingTagGrants(db: Database): Promise<DecidingTagGrant[]> {
  const rows = await db
    .select()
    .from(grants)
    .where(eq(grants.scopeKind, 'tag'))
    .orderBy(asc(grants.scopeValue), asc(grants.person), asc(grants.role));
  return rows.map((row) => ({ person: row.person, role: grantOf(row).role, tag: row.scopeValue })).filter(isDeciding);
}

/** True when one of these persons is linked to a chat user. */
export async function isAnyLinked(db: Database, names: readonly string[]): Promise<boolean> {
  return names.length > 0 && (await db.$count(chatLinks, inArray(chatLinks.person, [...names]))) > 0;
}

/** Everybody, by name. */
export async function listPersons(db: Database): Promise<PersonView[]> {
  const rows = await db.select().from(persons).orderBy(asc(persons.name));
  const held = await db.select().from(grants).orderBy(asc(grants.role), asc(grants.scopeValue));
  const links = await db.select().from(chatLinks).orderBy(asc(chatLinks.linkedAt));
  const duty = await db.select().from(onCall);
  const proofs = await db
    .select({ person: authenticators.person, at: authenticators.confirmedAt })
    .from(authenticators);
  return rows.map((row) => ({
    name: row.name,
    grants: held.filter((each) => each.person === row.name).map(grantOf),
    links: links
      .filter((each) => each.person === row.name)
      .map((each) => ({ ...userOf(each), linkedAtMs: each.linkedAt.getTime() })),
    hasAuthenticator: proofs.some((each) => each.person === row.name && each.at !== null),
    isOnCall: duty.some((each) => each.person === row.name),
    onCallPosition: duty.find((each) => each.person === row.name)?.position ?? null,
    disabledAtMs: row.disabledAt?.getTime() ?? null,
  }));
}

function isUser({ surface, tenant, user }: ChatUser) {
  return and(eq(chatLinks.surface, surface), eq(chatLinks.tenant, tenant), eq(chatLinks.user, user));
}

function userOf({ surface, tenant, user }: typeof chatLinks.$inferSelect): ChatUser {
  // The column's CHECK allows these two only.
  return { surface: surface === 'slack' ? 'slack' : 'teams', tenant, user };
}

function scopeValueOf(scope: Grant['scope']): string {
  if (scope.kind === 'everything') return '';
  return scope.kind === 'machine' ? scope.name : scope.tag;
}

function grantOf({ role, scopeKind, scopeValue }: typeof grants.$inferSelect): GrantView {
  return grantView.parse({ role, scope: { kind: scopeKind, name: scopeValue, tag: scopeValue } });
}

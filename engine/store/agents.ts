import { and, asc, eq, isNull, notInArray, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { AgentId } from '../../domain/ids.ts';
import type { GuestReport, SpoolReport } from '../../protocol/agent-api.ts';
import { id } from '../../protocol/api-fields.ts';
import type { HostView } from '../../protocol/control-api.ts';
import type { MachineHardware } from '../../protocol/point-manifest.ts';
import type { Database } from './database.ts';
import { idOf, rowSchemas } from './rows.ts';
import { agents, guests } from './schema.ts';

export type InstanceOutcome =
  | { readonly kind: 'accepted'; readonly hostName: string }
  /** Another agent with the same certificate was there first and is alive. `first`: seen now for the first time. */
  | { readonly kind: 'second-instance'; readonly hostName: string }
  /** The same, told to the first of the two, which goes on; nobody was told yet. */
  | { readonly kind: 'conflict-found'; readonly hostName: string }
  | { readonly kind: 'unknown-agent' };

/**
 * Notes that an agent was heard, and decides between two that run with one certificate.
 *
 * A new instance is welcome at once: agents restart. When the one that it replaced is heard again, both are alive;
 * then the first
 * stays and the newcomer is refused from there on.
 *
 * ```
 * a  a  b (restart: accepted)  a (still alive: b is the second)  b (refused)  a  a
 * ```
 */
export async function noteHeartbeat(
  db: Database,
  beat: {
    readonly agentId: AgentId;
    readonly instanceId: string;
    readonly agentVersion: string;
    readonly siteName: string;
    /** Left out or null: the agent does not say. */
    readonly spool?: SpoolReport | null;
  },
): Promise<InstanceOutcome> {
  const mine = and(eq(agents.id, beat.agentId), isNull(agents.revokedAt));
  const [row] = await db.select().from(agents).where(mine).for('update');
  if (row === undefined) return { kind: 'unknown-agent' };
  const { hostName } = row;
  if (row.refusedInstanceId === beat.instanceId) return { kind: 'second-instance', hostName };
  const { agentVersion, siteName, spool = null } = beat;
  const heard = { agentVersion, siteName, spool, lastSeenAt: sql`now()` };
  if (row.instanceId === beat.instanceId) {
    await db.update(agents).set(heard).where(mine);
    return { kind: 'accepted', hostName };
  }
  const cameBack = row.replacedInstanceId === beat.instanceId;
  const instances = cameBack
    ? { instanceId: beat.instanceId, replacedInstanceId: null, refusedInstanceId: row.instanceId }
    : { instanceId: beat.instanceId, replacedInstanceId: row.instanceId };
  await db
    .update(agents)
    .set({ ...heard, ...instances })
    .where(mine);
  return { kind: cameBack ? 'conflict-found' : 'accepted', hostName };
}

/** Replaces the inventory of an agent's host by what it reports now. */
export async function saveGuests(db: Database, agentId: AgentId, reports: readonly GuestReport[]): Promise<void> {
  const names = reports.map((report) => report.name);
  await db
    .delete(guests)
    .where(and(eq(guests.agentId, agentId), names.length === 0 ? undefined : notInArray(guests.name, names)));
  if (reports.length === 0) return;
  // A name that is reported twice counts once: one statement must not change a row twice.
  const rows = new Map(reports.map((report) => [report.name, { ...report, agentId }]));
  await db
    .insert(guests)
    .values([...rows.values()])
    .onConflictDoUpdate({
      target: [guests.agentId, guests.name],
      set: {
        kind: sql`excluded.kind`,
        tracking: sql`excluded.tracking`,
        disks: sql`excluded.disks`,
        hardware: sql`excluded.hardware`,
        unsupported: sql`excluded.unsupported`,
        reportedAt: sql`now()`,
      },
    });
}

/** A guest as its host's agent reported it last, protected or not. */
export type GuestRecord = {
  readonly agentId: AgentId;
  readonly hostName: string;
  readonly name: string;
  readonly kind: GuestReport['kind'];
  readonly tracking: string;
  readonly disks: readonly { readonly key: string; readonly sizeBytes: number }[];
  readonly hardware: MachineHardware;
  readonly unsupported: string | null;
};

/** A guest as it is shown. */
export type GuestBrief = Omit<GuestRecord, 'hardware'>;

const briefSchema = z.object({
  agentId: id<AgentId>('agent'),
  hostName: z.string(),
  name: z.string(),
  kind: rowSchemas.guestKind,
  tracking: z.string(),
  disks: rowSchemas.guestDisks,
  unsupported: z.string().nullable(),
});

/** The same guests as `listGuests`, without what only a protected machine needs. One value for each: there may be thousands. */
export async function listGuestBriefs(db: Database): Promise<GuestBrief[]> {
  const rows = await db
    .select({
      brief: sql<unknown>`json_build_object('agentId', ${guests.agentId}, 'hostName', ${agents.hostName}, 'name', ${guests.name},
        'kind', ${guests.kind}, 'tracking', ${guests.tracking}, 'disks', ${guests.disks}, 'unsupported', ${guests.unsupported})`,
    })
    .from(guests)
    .innerJoin(agents, eq(guests.agentId, agents.id))
    .where(isNull(agents.revokedAt))
    .orderBy(asc(guests.name), asc(agents.hostName));
  return rows.map((row) => briefSchema.parse(row.brief));
}

/** All guests of all hosts whose agent is not revoked, by name. */
export function listGuests(db: Database): Promise<GuestRecord[]> {
  return guestsWhere(db, undefined);
}

/** One guest of one host, when its agent reports it. */
export async function findGuest(db: Database, agentId: AgentId, name: string): Promise<GuestRecord | undefined> {
  return (await guestsWhere(db, and(eq(guests.agentId, agentId), eq(guests.name, name))))[0];
}

async function guestsWhere(db: Database, condition: ReturnType<typeof and>): Promise<GuestRecord[]> {
  const rows = await db
    .select({ guest: guests, hostName: agents.hostName })
    .from(guests)
    .innerJoin(agents, eq(guests.agentId, agents.id))
    .where(and(isNull(agents.revokedAt), condition))
    .orderBy(asc(guests.name), asc(agents.hostName));
  return rows.map(({ guest, hostName }) => ({
    agentId: idOf('agent', guest.agentId),
    hostName,
    name: guest.name,
    kind: rowSchemas.guestKind.parse(guest.kind),
    tracking: guest.tracking,
    disks: rowSchemas.guestDisks.parse(guest.disks),
    hardware: rowSchemas.hardware.parse(guest.hardware),
    unsupported: guest.unsupported,
  }));
}

/** Hosts as people are shown them. */
export async function listHostViews(db: Database, known?: readonly GuestBrief[]): Promise<HostView[]> {
  const rows = await db.select().from(agents).where(isNull(agents.revokedAt)).orderBy(asc(agents.hostName));
  const inventory = Map.groupBy(known ?? (await listGuestBriefs(db)), (guest) => guest.agentId as string);
  return rows.map((row) => ({
    name: row.hostName,
    siteName: row.siteName,
    agentVersion: row.agentVersion,
    lastSeenMs: row.lastSeenAt?.getTime() ?? null,
    certificateExpiresAtMs: row.certificateExpiresAt.getTime(),
    guestNames: (inventory.get(row.id) ?? []).map((guest) => guest.name),
  }));
}

export type AgentSilence = {
  readonly agentId: AgentId;
  readonly hostName: string;
  /** Since the last heartbeat, by the database's clock; undefined when it was never heard. */
  readonly silentMs: number | undefined;
};

/** How long each agent has been silent, or only one. */
export async function agentSilences(db: Database, only?: AgentId): Promise<AgentSilence[]> {
  const rows = await db
    .select({
      id: agents.id,
      hostName: agents.hostName,
      silentMs: sql<string | null>`(extract(epoch from now() - ${agents.lastSeenAt}) * 1000)::bigint`,
    })
    .from(agents)
    .where(and(isNull(agents.revokedAt), only === undefined ? undefined : eq(agents.id, only)));
  return rows.map((row) => ({
    agentId: idOf('agent', row.id),
    hostName: row.hostName,
    silentMs: row.silentMs === null ? undefined : Math.max(0, Number(row.silentMs)),
  }));
}

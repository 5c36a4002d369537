import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { MachineId } from '../../domain/ids.ts';
import type { SpoolReport } from '../../protocol/agent-api.ts';
import type { Database } from './database.ts';
import { rowSchemas } from './rows.ts';
import { agentRequests, agents, protectedMachines, recoveryPoints, runs } from './schema.ts';
import { drills } from './target-schema.ts';

const msSince = (instant: ReturnType<typeof sql>) =>
  sql<string>`(extract(epoch from now() - ${instant}) * 1000)::bigint`;

export type HostSilence = {
  readonly name: string;
  readonly agentId: string;
  /** Since its last heartbeat, or since it was enrolled. */
  readonly silentMs: number;
  readonly certificateExpiresAtMs: number;
  /** As of its last heartbeat; null when its agent does not say. */
  readonly spool: SpoolReport | null;
};

/** Every enrolled host, and how long it has been silent. */
export async function hostSilences(db: Database): Promise<HostSilence[]> {
  const rows = await db
    .select({
      name: agents.hostName,
      agentId: agents.id,
      silentMs: msSince(sql`coalesce(${agents.lastSeenAt}, ${agents.enrolledAt})`),
      expiresAt: agents.certificateExpiresAt,
      spool: agents.spool,
    })
    .from(agents)
    .where(isNull(agents.revokedAt));
  return rows.map(({ name, agentId, silentMs, expiresAt, spool }) => ({
    name,
    agentId,
    silentMs: Math.max(0, Number(silentMs)),
    certificateExpiresAtMs: expiresAt.getTime(),
    spool: rowSchemas.spool.parse(spool),
  }));
}

/** Machines of which a person asked a comparison, and which have had no new point since. */
export async function machinesBeingCompared(db: Database): Promise<Set<MachineId>> {
  const newest = sql`(select max(${recoveryPoints.announcedAt}) from ${recoveryPoints}
    where ${recoveryPoints.machineId} = ${agentRequests.machineId} and ${recoveryPoints.state} = 'available')`;
  const rows = await db
    .selectDistinct({ id: agentRequests.machineId })
    .from(agentRequests)
    .where(
      and(
        eq(agentRequests.kind, 'resync'),
        sql`(${agentRequests.doneAt} is null or ${agentRequests.createdAt} > coalesce(${newest}, '-infinity'))`,
      ),
    );
  // The column refers to machines.
  return new Set(rows.map((row) => row.id as MachineId));
}

/** Drills that are open, and for how long. */
export async function openDrillAges(
  db: Database,
): Promise<
  { readonly machineName: string; readonly vmName: string; readonly openMs: number; readonly limitMs: number }[]
> {
  const rows = await db
    .select({
      machineName: protectedMachines.name,
      vmName: drills.vmName,
      openMs: msSince(sql`${drills.startedAt}`),
      startedAt: drills.startedAt,
      expiresAt: drills.expiresAt,
    })
    .from(drills)
    .innerJoin(protectedMachines, eq(drills.machineId, protectedMachines.id))
    .where(eq(drills.state, 'open'));
  return rows.map(({ machineName, vmName, openMs, startedAt, expiresAt }) => ({
    machineName,
    vmName,
    openMs: Number(openMs),
    limitMs: expiresAt.getTime() - startedAt.getTime(),
  }));
}

/** Machines that a planned failover is at work on. */
export async function machinesInFailover(db: Database): Promise<Map<string, string>> {
  const rows = await db
    .select({ machineId: runs.machineId, id: runs.id })
    .from(runs)
    .where(and(eq(runs.state, 'active'), inArray(runs.kind, ['planned-failover'])));
  return new Map(rows.map((row) => [row.machineId, row.id]));
}

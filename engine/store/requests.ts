import { and, asc, inArray, isNull, sql } from 'drizzle-orm';
import type { MachineId, RequestId } from '../../domain/ids.ts';
import type { Assignment } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf } from './rows.ts';
import { agentRequests } from './schema.ts';

/** One-off work that an agent is asked to do, e.g. a point now. */
export type NewRequest = {
  readonly machineId: MachineId;
  readonly kind: 'bookmark' | 'resync';
  readonly reason: string;
  readonly requestedBy: string;
  readonly applicationConsistent?: boolean;
};

/**
 * Asks the machine's agent, at its next heartbeat. A second resynchronisation while one is outstanding is the same
 * one.
 */
export async function addRequest(db: Database, request: NewRequest): Promise<'added' | 'outstanding'> {
  const added = await db
    .insert(agentRequests)
    .values({ id: newId('request'), ...request })
    .onConflictDoNothing()
    .returning({ id: agentRequests.id });
  return added.length === 1 ? 'added' : 'outstanding';
}

/** Marks what agents have carried out; ids of other machines than these are left alone. */
export async function finishRequests(
  db: Database,
  ids: readonly string[],
  machineIds: readonly MachineId[],
): Promise<void> {
  if (ids.length === 0 || machineIds.length === 0) return;
  await db
    .update(agentRequests)
    .set({ doneAt: sql`now()` })
    .where(
      and(
        inArray(agentRequests.id, [...ids]),
        inArray(agentRequests.machineId, [...machineIds]),
        isNull(agentRequests.doneAt),
      ),
    );
}

export type OutstandingRequest = Assignment['requests'][number] & {
  readonly machineId: MachineId;
  readonly requestId: RequestId;
};

/** What the agents of these machines still have to do, oldest first. */
export async function outstandingRequests(
  db: Database,
  machineIds: readonly MachineId[],
): Promise<OutstandingRequest[]> {
  if (machineIds.length === 0) return [];
  const rows = await db
    .select()
    .from(agentRequests)
    .where(and(inArray(agentRequests.machineId, [...machineIds]), isNull(agentRequests.doneAt)))
    .orderBy(asc(agentRequests.createdAt), asc(agentRequests.id));
  return rows.map((row) => {
    const common = { requestId: idOf('request', row.id), machineId: idOf('machine', row.machineId) };
    return row.kind === 'resync'
      ? { kind: 'resync' as const, ...common }
      : { kind: 'bookmark' as const, reason: row.reason, ...common };
  });
}

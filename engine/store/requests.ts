import { and, asc, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { MachineId, RequestId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import type { Assignment, PowerOutcome, PowerResult } from '../../protocol/agent-api.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf, rowSchemas } from './rows.ts';
import { agentRequests, runs } from './schema.ts';

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

/** Marks what agents have carried out; ids of other machines than these, and power requests, are left alone. */
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
        // A power request is done when its result is known (savePowerResults), not when its point is announced.
        isNull(agentRequests.runId),
        isNull(agentRequests.doneAt),
      ),
    );
}

export type PowerKind = 'shutdown' | 'power-on';

/** Asks the agent to stop or start a source, for a run: once for each run. No run that has ended stops a source. */
export async function askForPower(
  db: Database,
  order: {
    readonly kind: PowerKind;
    readonly machineId: MachineId;
    readonly runId: string;
    readonly requestedBy: string;
    /** How long the source may take to stop; null for `power-on`. */
    readonly limitMs: number | null;
  },
): Promise<void> {
  const [run] = await db.select({ state: runs.state }).from(runs).where(eq(runs.id, order.runId)).for('share');
  if (order.kind === 'shutdown' && run?.state !== 'active') return;
  const row = { id: newId('request'), reason: `planned failover ${order.runId}`, ...order };
  await db
    .insert(agentRequests)
    .values(row)
    .onConflictDoNothing({ target: [agentRequests.runId, agentRequests.kind] });
}

/** The source need not be stopped any more. What the agent says of it from now on is not kept. */
export async function withdrawShutdown(db: Database, runId: string): Promise<void> {
  await db
    .update(agentRequests)
    .set({ doneAt: sql`now()` })
    .where(and(eq(agentRequests.runId, runId), eq(agentRequests.kind, 'shutdown'), isNull(agentRequests.doneAt)));
}

export type PowerRequest = {
  readonly requestId: RequestId;
  readonly askedAtMs: number;
  readonly isDone: boolean;
  /** Null while the agent has said nothing of it, and when it was withdrawn before that. */
  readonly outcome: PowerOutcome | null;
};

/** The run's own request of that kind, if it was asked for. */
export async function powerRequestOf(db: Database, runId: string, kind: PowerKind): Promise<PowerRequest | undefined> {
  const [row] = await db
    .select()
    .from(agentRequests)
    .where(and(eq(agentRequests.runId, runId), eq(agentRequests.kind, kind)));
  return (
    row && {
      requestId: idOf('request', row.id),
      askedAtMs: row.createdAt.getTime(),
      isDone: row.doneAt !== null,
      outcome: rowSchemas.powerOutcome.parse(row.result),
    }
  );
}

/** Keeps what the agent of these machines says of power requests; a stop is told once more when its positions are known. */
export async function savePowerResults(
  db: Database,
  results: readonly PowerResult[],
  machineIds: readonly MachineId[],
): Promise<void> {
  for (const { requestId, outcome } of machineIds.length === 0 ? [] : results) {
    const isFinal = outcome.kind !== 'stopped' || outcome.disks.length > 0;
    await db
      .update(agentRequests)
      .set({ result: outcome, ...(isFinal ? { doneAt: sql`now()` } : {}) })
      .where(
        and(
          eq(agentRequests.id, requestId),
          inArray(agentRequests.machineId, [...machineIds]),
          inArray(agentRequests.kind, ['shutdown', 'power-on']),
          isNull(agentRequests.doneAt),
        ),
      );
  }
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
  return rows.map(outstandingOf);
}

function outstandingOf(row: typeof agentRequests.$inferSelect): OutstandingRequest {
  const common = { requestId: idOf('request', row.id), machineId: idOf('machine', row.machineId) };
  switch (row.kind) {
    case 'resync':
      return { kind: 'resync', ...common };
    case 'power-on':
      return { kind: 'power-on', ...common };
    case 'shutdown':
      invariant(row.limitMs !== null, 'a shutdown has a limit, says the table');
      return { kind: 'shutdown', limitMs: row.limitMs, ...common };
    default:
      return { kind: 'bookmark', reason: row.reason, ...common };
  }
}

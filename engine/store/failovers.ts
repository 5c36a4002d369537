import { and, eq, inArray, ne, sql } from 'drizzle-orm';
import type { DrillId, MachineId, RecoveryPointId } from '../../domain/ids.ts';
import type { PointView } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf, rowSchemas } from './rows.ts';
import { recoveryPoints } from './schema.ts';
import { failovers } from './target-schema.ts';

/**
 * `starting`: a run is at work; `hydrating`: it is in charge and still reads the vault; `local`: it needs nothing of ours any more;
 * `removing`: the run was given up and what is left at the target must go.
 */
export type FailoverState = 'starting' | 'hydrating' | 'local' | 'removing' | 'removed';

/** A machine at the target that is, or is becoming, the one in charge. */
export type FailoverRecord = {
  /** Names its place at the target, as a drill's id names a drill's. */
  readonly id: DrillId;
  readonly machineId: MachineId;
  readonly runId: string;
  readonly state: FailoverState;
  readonly vmName: string;
  /** Null until the source has stopped. */
  readonly point: PointView | null;
  /** What the target needs to find the machine again; as it was given to `pinFailover`. */
  readonly handle: unknown;
};

export type ReserveOutcome =
  | { readonly kind: 'reserved' | 'same-run'; readonly failover: FailoverRecord }
  /** The machine has another one at the target. */
  | { readonly kind: 'busy'; readonly failover: FailoverRecord };

/** Reserves the machine's place at the target; there is never more than one. */
export async function reserveFailover(
  db: Database,
  request: { readonly machineId: MachineId; readonly runId: string; readonly vmName: string },
): Promise<ReserveOutcome> {
  const [row] = await db
    .insert(failovers)
    .values({ id: newId('drill'), state: 'starting', ...request })
    .onConflictDoNothing()
    .returning();
  if (row !== undefined) return { kind: 'reserved', failover: failoverOf(row) };
  const sameRun = await failoverOfRun(db, request.runId);
  if (sameRun !== undefined) return { kind: 'same-run', failover: sameRun };
  const other = await openFailoverOf(db, request.machineId);
  return other === undefined ? reserveFailover(db, request) : { kind: 'busy', failover: other };
}

/** From here on the machine's point cannot expire. False when it is not available. */
export async function pinFailover(
  db: Database,
  runId: string,
  pin: { readonly pointId: RecoveryPointId; readonly point: PointView; readonly handle: unknown },
): Promise<boolean> {
  const [point] = await db
    .select({ id: recoveryPoints.id })
    .from(recoveryPoints)
    .where(and(eq(recoveryPoints.id, pin.pointId), eq(recoveryPoints.state, 'available')))
    .for('share');
  if (point === undefined) return false;
  await db
    .update(failovers)
    .set({ pinnedPointId: point.id, point: pin.point, handle: pin.handle })
    .where(and(eq(failovers.runId, runId), eq(failovers.state, 'starting')));
  return true;
}

/** Moves a run's machine at the target on. `local` and `removed` let its point go; what is removed stays removed. */
export async function setFailover(db: Database, runId: string, state: Exclude<FailoverState, 'starting'>) {
  const free = state === 'local' || state === 'removed' ? { pinnedPointId: null } : {};
  const ended = state === 'removed' ? { endedAt: sql`now()` } : {};
  await db
    .update(failovers)
    .set({ state, ...free, ...ended })
    .where(and(eq(failovers.runId, runId), ne(failovers.state, 'removed')));
}

export async function failoverOfRun(db: Database, runId: string): Promise<FailoverRecord | undefined> {
  const [row] = await db.select().from(failovers).where(eq(failovers.runId, runId));
  return row && failoverOf(row);
}

/** What the machine has at the target now, if anything. */
export async function openFailoverOf(db: Database, machineId: MachineId): Promise<FailoverRecord | undefined> {
  const [row] = await db
    .select()
    .from(failovers)
    .where(and(eq(failovers.machineId, machineId), ne(failovers.state, 'removed')));
  return row && failoverOf(row);
}

/** Those that need care between runs: filling, keeping alive, or removing. */
export async function failoversToCareFor(db: Database): Promise<FailoverRecord[]> {
  const rows = await db
    .select()
    .from(failovers)
    .where(inArray(failovers.state, ['hydrating', 'local', 'removing']));
  return rows.map(failoverOf);
}

function failoverOf(row: typeof failovers.$inferSelect): FailoverRecord {
  return {
    id: idOf('drill', row.id),
    machineId: idOf('machine', row.machineId),
    runId: row.runId,
    // The column's CHECK allows these values only.
    state: row.state as FailoverState,
    vmName: row.vmName,
    point: row.point === null ? null : rowSchemas.pointView.parse(row.point),
    handle: row.handle,
  };
}

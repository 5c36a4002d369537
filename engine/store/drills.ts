import { and, eq, lte, ne, notExists, sql } from 'drizzle-orm';
import type { DrillId, MachineId, RecoveryPointId } from '../../domain/ids.ts';
import type { DrillView, PointView } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf, rowSchemas } from './rows.ts';
import { recoveryPoints, runs } from './schema.ts';
import { drills, failovers } from './target-schema.ts';

export type DrillState = DrillView['state'];

/** A test failover: from its start until its machine and disk are gone. */
export type DrillRecord = Omit<DrillView, 'id'> & {
  readonly id: DrillId;
  readonly machineId: MachineId;
  /** What the target needs to find the machine again; as it was given to setDrill. */
  readonly handle: unknown;
};

export type OpenDrillOutcome =
  | { readonly kind: 'opened'; readonly drill: DrillRecord }
  /** The run opened it before. */
  | { readonly kind: 'same-run'; readonly drill: DrillRecord }
  /** The machine has another one open. */
  | { readonly kind: 'busy'; readonly drill: DrillRecord }
  /** The point cannot be failed over to any more: it expired, or it was found damaged. */
  | { readonly kind: 'point-not-available' };

/**
 * Opens a drill in state `starting` and pins its recovery point, in one transaction: from here on the point cannot
 * expire.
 *
 * @param request limitMs: after this time the drill ends by itself, by the database's clock
 */
export async function openDrill(
  db: Database,
  request: {
    readonly machineId: MachineId;
    readonly runId: string;
    readonly point: PointView;
    readonly vmName: string;
    readonly limitMs: number;
  },
): Promise<OpenDrillOutcome> {
  const before = await drillInTheWay(db, request);
  if (before !== undefined) return before;
  const [point] = await db
    .select({ id: recoveryPoints.id })
    .from(recoveryPoints)
    .where(and(eq(recoveryPoints.id, request.point.id), eq(recoveryPoints.state, 'available')))
    .for('share');
  if (point === undefined) return { kind: 'point-not-available' };
  const [row] = await db
    .insert(drills)
    .values({
      id: newId('drill'),
      machineId: request.machineId,
      runId: request.runId,
      pinnedPointId: point.id,
      point: request.point,
      state: 'starting',
      vmName: request.vmName,
      expiresAt: sql`now() + make_interval(secs => ${request.limitMs / 1000})`,
    })
    .onConflictDoNothing()
    .returning();
  if (row !== undefined) return { kind: 'opened', drill: drillOf(row) };
  return (await drillInTheWay(db, request)) ?? openDrill(db, request);
}

async function drillInTheWay(
  db: Database,
  request: { readonly machineId: MachineId; readonly runId: string },
): Promise<OpenDrillOutcome | undefined> {
  const [sameRun] = await db.select().from(drills).where(eq(drills.runId, request.runId));
  if (sameRun !== undefined) return { kind: 'same-run', drill: drillOf(sameRun) };
  const other = await openDrillOf(db, request.machineId);
  return other && { kind: 'busy', drill: other };
}

/**
 * Moves an open drill and keeps what the target needs to find the machine. A closed drill is not opened again:
 * `closed`.
 */
export async function setDrill(
  db: Database,
  id: DrillId,
  change: { readonly state: Exclude<DrillState, 'closed'>; readonly handle?: unknown },
): Promise<'changed' | 'closed'> {
  const changed = await db
    .update(drills)
    .set({ state: change.state, ...(change.handle === undefined ? {} : { handle: change.handle }) })
    .where(and(eq(drills.id, id), ne(drills.state, 'closed')))
    .returning({ id: drills.id });
  return changed.length === 1 ? 'changed' : 'closed';
}

/** Ends a drill and lets its point go. Closing it again changes nothing. */
export async function closeDrill(db: Database, id: DrillId): Promise<'closed' | 'was-closed'> {
  const closed = await db
    .update(drills)
    .set({ state: 'closed', closedAt: sql`now()`, pinnedPointId: null })
    .where(and(eq(drills.id, id), ne(drills.state, 'closed')))
    .returning({ id: drills.id });
  return closed.length === 1 ? 'closed' : 'was-closed';
}

/** The machine's drill that is not closed, if any; there is never more than one. */
export async function openDrillOf(db: Database, machineId: MachineId): Promise<DrillRecord | undefined> {
  const [row] = await db
    .select()
    .from(drills)
    .where(and(eq(drills.machineId, machineId), ne(drills.state, 'closed')));
  return row && drillOf(row);
}

export async function findDrill(db: Database, id: string): Promise<DrillRecord | undefined> {
  const [row] = await db.select().from(drills).where(eq(drills.id, id));
  return row && drillOf(row);
}

/** All drills that are not closed. */
export async function openDrills(db: Database): Promise<DrillRecord[]> {
  return (await db.select().from(drills).where(ne(drills.state, 'closed'))).map(drillOf);
}

/** Drills whose time is over and on which no run is at work: also those whose cleanup has failed before. */
export async function dueDrills(db: Database): Promise<DrillRecord[]> {
  const atWork = db
    .select({ id: runs.id })
    .from(runs)
    .where(and(eq(runs.machineId, drills.machineId), eq(runs.state, 'active')));
  const rows = await db
    .select()
    .from(drills)
    .where(and(ne(drills.state, 'closed'), lte(drills.expiresAt, sql`now()`), notExists(atWork)));
  return rows.map(drillOf);
}

/** The points that drills run from and that failed-over machines still read: they must not expire. */
export async function pinnedPoints(db: Database): Promise<Set<RecoveryPointId>> {
  const ofDrills = await db.select({ id: drills.pinnedPointId }).from(drills).where(ne(drills.state, 'closed'));
  const ofFailovers = await db.select({ id: failovers.pinnedPointId }).from(failovers);
  const rows = [...ofDrills, ...ofFailovers];
  return new Set(rows.flatMap((row) => (row.id === null ? [] : [idOf('recoveryPoint', row.id)])));
}

function drillOf(row: typeof drills.$inferSelect): DrillRecord {
  return {
    id: idOf('drill', row.id),
    machineId: idOf('machine', row.machineId),
    runId: row.runId,
    // The column's CHECK allows these values only.
    state: row.state as DrillState,
    point: rowSchemas.pointView.parse(row.point),
    vmName: row.vmName,
    startedAtMs: row.startedAt.getTime(),
    expiresAtMs: row.expiresAt.getTime(),
    handle: row.handle,
  };
}

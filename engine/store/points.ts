import { and, asc, count, desc, eq, getTableColumns, inArray, notExists, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { MachineId, RecoveryPointId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import type { RecoveryPoint } from '../../domain/recovery-point.ts';
import type { AnnouncePointRequest } from '../../protocol/agent-api.ts';
import { type PointView, pointView } from '../../protocol/control-api.ts';
import type { PointManifest } from '../../protocol/point-manifest.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf, rowSchemas } from './rows.ts';
import { protectedMachines, recoveryPoints } from './schema.ts';
import { drills, failovers } from './target-schema.ts';

/** A recovery point with everything that its manifest says, or will say. */
export type PointRecord = RecoveryPoint & {
  readonly machineId: MachineId;
  readonly captureId: string;
  readonly epoch: number;
  readonly reason: string;
  readonly hardware: PointManifest['hardware'];
  readonly disks: PointManifest['disks'];
  /** Null until it is sealed; then it and its digest never change. */
  readonly manifest: PointManifest | null;
  readonly manifestDigest: string | null;
  readonly announcedAtMs: number;
  /** Unknown for one that was found again in the vault alone: only its agent knew. */
  readonly changedBytes?: number | undefined;
};

/** What a point is made of when an agent announces it. */
export type NewPoint = Pick<
  AnnouncePointRequest,
  'captureId' | 'epoch' | 'kind' | 'takenAtMs' | 'pauseMs' | 'changedBytes' | 'reason'
> &
  Pick<PointRecord, 'machineId' | 'hardware' | 'disks'>;

/** Adds a point in state `receiving`. A capture that was announced before stays one point: `known`. */
export async function insertPoint(
  db: Database,
  point: NewPoint,
): Promise<{ readonly kind: 'added' | 'known'; readonly id: RecoveryPointId }> {
  const { takenAtMs, ...columns } = point;
  const takenAt = sql`least(now(), to_timestamp(${takenAtMs / 1000}))`;
  const [added] = await db
    .insert(recoveryPoints)
    .values({ ...columns, id: newId('recoveryPoint'), state: 'receiving', takenAt })
    .onConflictDoNothing({ target: [recoveryPoints.machineId, recoveryPoints.captureId] })
    .returning({ id: recoveryPoints.id });
  if (added !== undefined) return { kind: 'added', id: idOf('recoveryPoint', added.id) };
  const [known] = await db
    .select({ id: recoveryPoints.id })
    .from(recoveryPoints)
    .where(and(eq(recoveryPoints.machineId, point.machineId), eq(recoveryPoints.captureId, point.captureId)));
  invariant(known, 'the point in the way is there');
  return { kind: 'known', id: idOf('recoveryPoint', known.id) };
}

/** Points on their way to `available`, oldest announcement first. */
export async function unsettledPoints(db: Database, machineId: MachineId): Promise<PointRecord[]> {
  const rows = await db
    .select()
    .from(recoveryPoints)
    .where(
      and(eq(recoveryPoints.machineId, machineId), inArray(recoveryPoints.state, ['receiving', 'sealed', 'verified'])),
    )
    .orderBy(asc(recoveryPoints.announced));
  return rows.map(pointOf);
}

/** Machines that have points on their way. */
export async function machinesWithUnsettledPoints(db: Database): Promise<MachineId[]> {
  const rows = await db
    .selectDistinct({ id: recoveryPoints.machineId })
    .from(recoveryPoints)
    .where(inArray(recoveryPoints.state, ['receiving', 'sealed', 'verified']));
  return rows.map((row) => idOf('machine', row.id));
}

/** Commits a point: its signed manifest is in the vault. The machine's chain moves on with it. */
export async function markSealed(
  db: Database,
  id: RecoveryPointId,
  sealed: { manifest: PointManifest; digest: string },
): Promise<void> {
  const { manifest, digest } = sealed;
  const changed = await db
    .update(recoveryPoints)
    .set({ state: 'sealed', number: manifest.number, manifest, manifestDigest: digest })
    .where(and(eq(recoveryPoints.id, id), eq(recoveryPoints.state, 'receiving')))
    .returning({ id: recoveryPoints.id });
  invariant(changed.length === 1, `point ${id} is sealed once`);
  await moveChain(db, manifest, digest);
}

/** The machine's chain ends with this manifest, unless it is further already. */
export async function moveChain(db: Database, manifest: PointManifest, digest: string): Promise<void> {
  await db
    .update(protectedMachines)
    .set({ lastPointNumber: manifest.number, lastManifestDigest: digest })
    .where(
      and(eq(protectedMachines.id, manifest.machineId), sql`${protectedMachines.lastPointNumber} < ${manifest.number}`),
    );
}

/** `sealed` → `verified` → `available`; false when it was not in that state. */
export async function movePoint(
  db: Database,
  id: RecoveryPointId,
  step: { from: 'sealed'; to: 'verified' } | { from: 'verified'; to: 'available' },
): Promise<boolean> {
  const changed = await db
    .update(recoveryPoints)
    .set({ state: step.to, ...(step.to === 'verified' ? { verifiedAt: sql`now()` } : {}) })
    .where(and(eq(recoveryPoints.id, id), eq(recoveryPoints.state, step.from)))
    .returning({ id: recoveryPoints.id });
  return changed.length === 1;
}

/**
 * Begins the removal of a point, unless a drill runs from it: from here on no drill can pin it. Call it in a
 * transaction.
 * The row is locked first, so that a drill that is being opened at this moment is seen.
 */
export async function markExpiring(db: Database, id: RecoveryPointId): Promise<'expiring' | 'in-use'> {
  await db.select({ id: recoveryPoints.id }).from(recoveryPoints).where(eq(recoveryPoints.id, id)).for('update');
  const pins = db.select({ id: drills.id }).from(drills).where(eq(drills.pinnedPointId, id));
  const reads = db.select({ id: failovers.id }).from(failovers).where(eq(failovers.pinnedPointId, id));
  const changed = await db
    .update(recoveryPoints)
    .set({ state: 'expiring' })
    .where(
      and(
        eq(recoveryPoints.id, id),
        inArray(recoveryPoints.state, ['available', 'damaged', 'expiring']),
        notExists(pins),
        notExists(reads),
      ),
    )
    .returning({ id: recoveryPoints.id });
  return changed.length === 1 ? 'expiring' : 'in-use';
}

/** Nobody may boot from this point; says why. */
export async function markDamaged(db: Database, id: RecoveryPointId, damage: string): Promise<void> {
  await db
    .update(recoveryPoints)
    .set({ state: 'damaged', damage })
    .where(
      and(eq(recoveryPoints.id, id), inArray(recoveryPoints.state, ['receiving', 'sealed', 'verified', 'available'])),
    );
}

/**
 * Makes the rows agree with a manifest of the vault: a missing row is put back, one that is still `receiving` is
 * sealed (an engine died
 * between the two). Either way the point still has to be verified. False when nothing was missing.
 */
export async function adoptPoint(db: Database, manifest: PointManifest, digest: string): Promise<boolean> {
  const { number, machineId, epoch, kind, takenAtMs, reason, hardware, disks } = manifest;
  const sealed = { state: 'sealed', number, manifest, manifestDigest: digest };
  const unknown = { captureId: crypto.randomUUID(), pauseMs: 0, changedBytes: null };
  const adopted = await db
    .insert(recoveryPoints)
    .values({
      id: manifest.pointId,
      ...{ machineId, epoch, kind, reason, hardware, disks, ...sealed, ...unknown },
      takenAt: new Date(takenAtMs),
    })
    .onConflictDoUpdate({ target: recoveryPoints.id, set: sealed, setWhere: eq(recoveryPoints.state, 'receiving') })
    .returning({ id: recoveryPoints.id });
  await moveChain(db, manifest, digest);
  return adopted.length === 1;
}

/** Forgets a point whose manifest is no longer in the vault. */
export async function deletePointRow(db: Database, id: RecoveryPointId): Promise<void> {
  await db.delete(recoveryPoints).where(eq(recoveryPoints.id, id));
}

export async function findPoint(db: Database, id: string): Promise<PointRecord | undefined> {
  const [row] = await db.select().from(recoveryPoints).where(eq(recoveryPoints.id, id));
  return row && pointOf(row);
}

/** The point that a capture of the machine became, if it was announced. */
export async function findPointOfCapture(
  db: Database,
  machineId: MachineId,
  captureId: string,
): Promise<PointRecord | undefined> {
  const [row] = await db
    .select()
    .from(recoveryPoints)
    .where(and(eq(recoveryPoints.machineId, machineId), eq(recoveryPoints.captureId, captureId)));
  return row && pointOf(row);
}

/** All points of a machine, newest first. */
export async function listPoints(db: Database, machineId: MachineId): Promise<PointRecord[]> {
  const rows = await db
    .select()
    .from(recoveryPoints)
    .where(eq(recoveryPoints.machineId, machineId))
    .orderBy(desc(recoveryPoints.takenAt), desc(recoveryPoints.announced));
  return rows.map(pointOf);
}

/** The newest point that can be failed over to. */
export async function newestAvailablePoint(db: Database, machineId: MachineId): Promise<PointRecord | undefined> {
  const [row] = await db
    .select()
    .from(recoveryPoints)
    .where(and(eq(recoveryPoints.machineId, machineId), eq(recoveryPoints.state, 'available')))
    .orderBy(desc(recoveryPoints.takenAt), desc(recoveryPoints.announced))
    .limit(1);
  return row && pointOf(row);
}

/** A point without what only its manifest needs. */
export type PointBrief = Pick<PointRecord, 'id' | 'kind' | 'state' | 'takenAtMs' | 'reason' | 'epoch'>;

const briefSchema = pointView.extend({ epoch: z.number().int() });

/** The newest point of each machine that can be failed over to. */
export async function newestAvailablePoints(db: Database): Promise<Map<string, PointBrief>> {
  const { id, kind, state, takenAt, reason, epoch } = getTableColumns(recoveryPoints);
  const newest = db
    .select({
      point:
        sql<unknown>`json_build_object('id', ${id}, 'kind', ${kind}, 'state', ${state}, 'reason', ${reason}, 'epoch', ${epoch},
        'takenAtMs', round(extract(epoch from ${takenAt}) * 1000))`.as('point'),
    })
    .from(recoveryPoints)
    .where(and(eq(recoveryPoints.machineId, protectedMachines.id), eq(recoveryPoints.state, 'available')))
    .orderBy(desc(recoveryPoints.takenAt), desc(recoveryPoints.announced))
    .limit(1)
    .as('newest');
  // For each machine one look into the index: its older points are not read.
  const rows = await db
    .select({ machineId: protectedMachines.id, point: newest.point })
    .from(protectedMachines)
    .innerJoinLateral(newest, sql`true`);
  return new Map(rows.map(({ machineId, point }) => [machineId, briefSchema.parse(point)]));
}

/** How many points of each machine can be failed over to. */
export async function availableCounts(db: Database): Promise<Map<string, number>> {
  const rows = await db
    .select({ machineId: recoveryPoints.machineId, total: count() })
    .from(recoveryPoints)
    .where(eq(recoveryPoints.state, 'available'))
    .groupBy(recoveryPoints.machineId);
  return new Map(rows.map((row) => [row.machineId, row.total]));
}

/** A point as people are shown it. */
export function pointViewOf(point: PointView): PointView {
  const { id, kind, state, takenAtMs, reason } = point;
  return { id, kind, state, takenAtMs, reason };
}

function pointOf(row: typeof recoveryPoints.$inferSelect): PointRecord {
  return {
    id: idOf('recoveryPoint', row.id),
    machineId: idOf('machine', row.machineId),
    captureId: row.captureId,
    epoch: row.epoch,
    kind: rowSchemas.pointKind.parse(row.kind),
    state: rowSchemas.pointState.parse(row.state),
    takenAtMs: row.takenAt.getTime(),
    announcedAtMs: row.announcedAt.getTime(),
    changedBytes: row.changedBytes ?? undefined,
    reason: row.reason,
    hardware: rowSchemas.hardware.parse(row.hardware),
    disks: rowSchemas.pointDisks.parse(row.disks),
    manifest: row.manifest === null ? null : rowSchemas.manifest.parse(row.manifest),
    manifestDigest: row.manifestDigest,
  };
}

import { and, asc, eq, gte, inArray, lt, max, sql } from 'drizzle-orm';
import type { MachineId } from '../../domain/ids.ts';
import type { PointArrival } from '../../domain/lag-series.ts';
import { type Database, databaseNowMs } from './database.ts';
import { recoveryPoints } from './schema.ts';

/** The arrivals of a machine's points since a time, oldest first, with the last one before; and the database's clock. */
export async function pointArrivals(
  db: Database,
  machineId: MachineId,
  sinceMs: number,
): Promise<{ readonly arrivals: readonly PointArrival[]; readonly fromMs: number; readonly nowMs: number }> {
  const nowMs = await databaseNowMs(db);
  const fromMs = nowMs - sinceMs;
  const arrivedAt = sql<Date>`coalesce(${recoveryPoints.verifiedAt}, ${recoveryPoints.announcedAt})`.mapWith(
    recoveryPoints.announcedAt,
  );
  // Also those that have expired since: they were available then.
  const ofMachine = and(
    eq(recoveryPoints.machineId, machineId),
    inArray(recoveryPoints.state, ['available', 'expiring']),
  );
  const [before] = await db
    .select({ takenAt: max(recoveryPoints.takenAt) })
    .from(recoveryPoints)
    .where(and(ofMachine, lt(arrivedAt, new Date(fromMs))));
  const rows = await db
    .select({ takenAt: recoveryPoints.takenAt, arrivedAt })
    .from(recoveryPoints)
    .where(and(ofMachine, gte(arrivedAt, new Date(fromMs))))
    .orderBy(asc(arrivedAt));
  const first = before?.takenAt ? [{ takenAtMs: before.takenAt.getTime(), arrivedAtMs: fromMs }] : [];
  const later = rows.map((row) => ({ takenAtMs: row.takenAt.getTime(), arrivedAtMs: row.arrivedAt.getTime() }));
  return { arrivals: [...first, ...later], fromMs, nowMs };
}

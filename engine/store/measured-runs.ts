import { and, desc, eq, isNotNull, sql } from 'drizzle-orm';
import { type MeasuredTimes, measuredTimes } from '../../domain/measured-times.ts';
import { type MachineView, machineView } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { protectedMachines, runs } from './schema.ts';

export type LastDrill = NonNullable<MachineView['lastDrill']>;

const lastDrillSchema = machineView.shape.lastDrill.unwrap();
const isVerified = sql`(${runs.result} ->> 'verified' = 'true')`;

/** As many runs say how long the next one takes. */
const measuredRunsMax = 10;

/**
 * How long the newest runs of a machine took, from the order to its guest being up; null when none has succeeded. Runs whose guest was
 * never seen up do not count: their time is that of giving up.
 */
export async function measuredRuns(
  db: Database,
  of: { readonly machineId: string; readonly kind: 'test-failover' | 'planned-failover' },
): Promise<MeasuredTimes | null> {
  const rows = await db
    .select({ seconds: sql<number>`(${runs.result} ->> 'secondsToGuestUp')::double precision` })
    .from(runs)
    .where(and(eq(runs.machineId, of.machineId), eq(runs.kind, of.kind), eq(runs.state, 'succeeded'), isVerified))
    .orderBy(desc(runs.startedAt), desc(runs.id))
    .limit(measuredRunsMax);
  return measuredTimes(rows.map(({ seconds }) => seconds * 1000));
}

/** The newest test failover of each machine that ended, whatever its end; by machine. */
export async function lastDrills(db: Database): Promise<Map<string, LastDrill>> {
  const newest = db
    .select({
      drill:
        sql<unknown>`json_build_object('runId', ${runs.id}, 'atMs', round(extract(epoch from ${runs.finishedAt}) * 1000),
        'isVerified', coalesce(${isVerified}, false), 'secondsToGuestUp',
        case when ${isVerified} then (${runs.result} ->> 'secondsToGuestUp')::double precision end)`.as('drill'),
    })
    .from(runs)
    .where(and(eq(runs.machineId, protectedMachines.id), eq(runs.kind, 'test-failover'), isNotNull(runs.finishedAt)))
    // A machine has one run at a time: the one that began last also ended last.
    .orderBy(desc(runs.startedAt), desc(runs.id))
    .limit(1)
    .as('newest');
  // For each machine one look into the index: a year of drills is not read for it.
  const rows = await db
    .select({ machineId: protectedMachines.id, drill: newest.drill })
    .from(protectedMachines)
    .innerJoinLateral(newest, sql`true`);
  return new Map(rows.map(({ machineId, drill }) => [machineId, lastDrillSchema.parse(drill)]));
}

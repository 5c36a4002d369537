import { eq, sql } from 'drizzle-orm';
import { type AlertThresholds, thresholdsOfPolicy } from '../../domain/alert-threshold.ts';
import type { MachineId } from '../../domain/ids.ts';
import type { ReplicationPolicy } from '../../domain/replication-policy.ts';
import { machineThresholds } from './approval-schema.ts';
import type { Database } from './database.ts';

type ThresholdMachine = { readonly id: MachineId; readonly policy: ReplicationPolicy };

/** From which lag on people are told of the machine: its own figures, or what follows from its policy. */
export async function thresholdsOf(db: Database, machine: ThresholdMachine): Promise<AlertThresholds> {
  const [row] = await db.select().from(machineThresholds).where(eq(machineThresholds.machineId, machine.id));
  return row === undefined ? thresholdsOfPolicy(machine.policy) : { warnMs: row.warnMs, criticalMs: row.criticalMs };
}

/** The machines that have figures of their own. */
export async function ownThresholds(db: Database): Promise<Map<string, AlertThresholds>> {
  const rows = await db.select().from(machineThresholds);
  return new Map(rows.map(({ machineId, warnMs, criticalMs }) => [machineId, { warnMs, criticalMs }]));
}

export async function saveThresholds(
  db: Database,
  order: { readonly machineId: MachineId; readonly thresholds: AlertThresholds; readonly setBy: string },
): Promise<void> {
  const { machineId, thresholds, setBy } = order;
  await db
    .insert(machineThresholds)
    .values({ machineId, ...thresholds, setBy })
    .onConflictDoUpdate({ target: machineThresholds.machineId, set: { ...thresholds, setBy, setAt: sql`now()` } });
}

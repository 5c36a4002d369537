import type { MachineId } from '../domain/ids.ts';
import { lagMs } from '../domain/recovery-point.ts';
import { type ReplicationHealth, replicationHealth } from '../domain/replication-health.ts';
import { type AgentSilence, agentSilences } from './store/agents.ts';
import { type Database, databaseNowMs } from './store/database.ts';
import { appendEvent } from './store/events.ts';
import { listMachines, type MachineRecord, saveToldHealth } from './store/machines.ts';
import type { Store } from './store/open.ts';
import { newestAvailablePoints, type PointRecord } from './store/points.ts';

/** A machine with what follows from its newest point, its agent and the database's clock. */
export type MachineWithHealth = {
  readonly machine: MachineRecord;
  readonly newestPoint: PointRecord | undefined;
  /** Undefined while there is no available point: unknown is never zero. */
  readonly lagMs: number | undefined;
  readonly agent: AgentSilence | undefined;
  readonly health: ReplicationHealth;
};

/** Every machine with its health at this moment. */
export async function machinesWithHealth(db: Database, heartbeatEveryMs: number): Promise<MachineWithHealth[]> {
  const machines = await listMachines(db);
  const newest = await newestAvailablePoints(db);
  const agents = new Map((await agentSilences(db)).map((agent) => [agent.agentId, agent]));
  const nowMs = await databaseNowMs(db);
  return machines.map((machine) => {
    const newestPoint = newest.get(machine.id);
    const agent = machine.agentId === null ? undefined : agents.get(machine.agentId);
    const lag = lagMs(newestPoint === undefined ? [] : [newestPoint], nowMs);
    const health = replicationHealth({
      protection: machine.protection,
      replication: machine.replication,
      lagMs: lag,
      rpoThresholdMs: machine.policy.rpoThresholdMs,
      agentSilentMs: agent?.silentMs,
      heartbeatEveryMs,
      resyncRequired: machine.resyncRequired ?? undefined,
      failing: machine.report?.activity.kind === 'failing' ? machine.report.activity.message : undefined,
    });
    return { machine, newestPoint, lagMs: lag, agent, health };
  });
}

/** What was found at the last look, so that one look alone tells nobody. */
export type HealthMemory = Map<MachineId, ReplicationHealth['kind']>;

/**
 * Tells people of each machine whose health is another one than they were told, when two looks in a row found the same.
 *
 * @param memory kept by the caller between looks; a new one only delays the telling by one look
 * Source: CHAT 5.3
 */
export async function tellHealthChanges(
  deps: { readonly store: Store; readonly heartbeatEveryMs: number },
  memory: HealthMemory,
): Promise<void> {
  const found = await deps.store.read((db) => machinesWithHealth(db, deps.heartbeatEveryMs));
  for (const { machine, health } of found) {
    const foundBefore = memory.get(machine.id) === health.kind;
    memory.set(machine.id, health.kind);
    if (!foundBefore || machine.toldHealth === health.kind) continue;
    await deps.store.write(async (db) => {
      if (!(await saveToldHealth(db, machine.id, health.kind))) return;
      const why = health.kind === 'healthy' ? '' : `: ${health.message}`;
      const text = `Replication of ${machine.name} is ${health.kind}${why}`;
      await appendEvent(db, { kind: `health-${health.kind}`, machineName: machine.name, text });
    });
  }
}

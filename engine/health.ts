import { type AlertThresholds, thresholdsOfPolicy } from '../domain/alert-threshold.ts';
import { lagMs } from '../domain/recovery-point.ts';
import { type ReplicationHealth, replicationHealth } from '../domain/replication-health.ts';
import { type AgentSilence, agentSilences } from './store/agents.ts';
import { type Database, databaseNowMs } from './store/database.ts';
import { listMachineBriefs, type MachineBrief } from './store/machine-briefs.ts';
import { newestAvailablePoint, newestAvailablePoints, type PointBrief } from './store/points.ts';
import { ownThresholds, thresholdsOf } from './store/thresholds.ts';

/** A machine with what follows from its newest point, its agent and the database's clock. */
export type MachineWithHealth = {
  readonly machine: MachineBrief;
  readonly newestPoint: PointBrief | undefined;
  /** Undefined while there is no available point: unknown is never zero. */
  readonly lagMs: number | undefined;
  /** Its own, or those of its policy. */
  readonly thresholds: AlertThresholds;
  readonly agent: AgentSilence | undefined;
  readonly health: ReplicationHealth;
};

/** Every machine with its health at this moment. */
export async function machinesWithHealth(db: Database, heartbeatEveryMs: number): Promise<MachineWithHealth[]> {
  const machines = await listMachineBriefs(db);
  const newest = await newestAvailablePoints(db);
  const ownOnes = await ownThresholds(db);
  const agents = new Map((await agentSilences(db)).map((agent) => [agent.agentId, agent]));
  const nowMs = await databaseNowMs(db);
  return machines.map((machine) => {
    const newestPoint = newest.get(machine.id);
    const agent = machine.agentId === null ? undefined : agents.get(machine.agentId);
    const thresholds = ownOnes.get(machine.id) ?? thresholdsOfPolicy(machine.policy);
    const found = { newestPoint, agent, thresholds };
    return { machine, ...found, ...healthFrom(machine, { ...found, nowMs, heartbeatEveryMs }) };
  });
}

/** The same of one machine, however many others there are: votes are counted under a lock. */
export async function machineWithHealth<Machine extends HealthMachine>(
  db: Database,
  machine: Machine,
  heartbeatEveryMs: number,
) {
  const newestPoint = await newestAvailablePoint(db, machine.id);
  const agent = machine.agentId === null ? undefined : (await agentSilences(db, machine.agentId))[0];
  const thresholds = await thresholdsOf(db, machine);
  const nowMs = await databaseNowMs(db);
  const found = { newestPoint, agent, thresholds };
  return { machine, ...found, ...healthFrom(machine, { ...found, nowMs, heartbeatEveryMs }) };
}

type HealthMachine = Pick<
  MachineWithHealth['machine'],
  'id' | 'agentId' | 'policy' | 'protection' | 'replication' | 'resyncRequired' | 'report'
>;

function healthFrom(
  machine: HealthMachine,
  found: Pick<MachineWithHealth, 'newestPoint' | 'agent' | 'thresholds'> & {
    readonly nowMs: number;
    readonly heartbeatEveryMs: number;
  },
): Pick<MachineWithHealth, 'lagMs' | 'health'> {
  const { newestPoint, agent, thresholds, nowMs, heartbeatEveryMs } = found;
  const lag = lagMs(newestPoint === undefined ? [] : [newestPoint], nowMs);
  const health = replicationHealth({
    protection: machine.protection,
    replication: machine.replication,
    lagMs: lag,
    rpoThresholdMs: thresholds.warnMs,
    criticalLagMs: thresholds.criticalMs,
    agentSilentMs: agent?.silentMs,
    heartbeatEveryMs,
    resyncRequired: machine.resyncRequired ?? undefined,
    failing: machine.report?.activity.kind === 'failing' ? machine.report.activity.message : undefined,
  });
  return { lagMs: lag, health };
}

import { OutageError } from '../../domain/outage.ts';
import type { FailoverTarget, PlannedFailoverFacts } from '../../domain/planned-failover.ts';
import { machineWithHealth } from '../health.ts';
import { findGuest } from '../store/agents.ts';
import type { Database } from '../store/database.ts';
import { openDrillOf } from '../store/drills.ts';
import type { MachineRecord } from '../store/machines.ts';
import { activeRunOf } from '../store/runs.ts';
import type { Target } from '../target/target.ts';

/** Whether machines can be started at the target now. Ask before a transaction: a look at a hypervisor takes its time. */
export async function failoverTarget(target: Pick<Target, 'check' | 'describe'>): Promise<FailoverTarget> {
  try {
    await target.check();
    const { target: name, network, accelerator, memoryBytesMax } = await target.describe();
    if (accelerator.startsWith('none')) return { kind: 'unusable', message: `${name} cannot start machines.` };
    // Without why it is this one: the words of a probe change, what runs does not.
    return { kind: 'usable', target: name, network, accelerator: accelerator.replace(/ \(.*$/s, ''), memoryBytesMax };
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    const nextStep = error.nextStep === undefined ? '' : ` ${error.nextStep}`;
    return { kind: 'unusable', message: `No machine can be started there: ${error.message}.${nextStep}` };
  }
}

/** Everything that the decision about a planned failover of the machine is made from, as it is at this moment. */
export async function failoverFacts(
  db: Database,
  machine: MachineRecord,
  around: { readonly target: FailoverTarget; readonly heartbeatEveryMs: number },
): Promise<PlannedFailoverFacts> {
  const { agentId, name, report } = machine;
  const drill = await openDrillOf(db, machine.id);
  const run = await activeRunOf(db, machine.id);
  const guest = agentId === null ? undefined : await findGuest(db, agentId, name);
  const now = await machineWithHealth(db, machine, around.heartbeatEveryMs);
  return {
    machine: {
      ...machine,
      drill: drill === undefined ? { kind: 'none' } : { kind: 'open', pointTakenAtMs: drill.point.takenAtMs },
      disks: machine.disks.map(({ id, key, sizeBytes }) => ({ diskId: id, key, sizeBytes })),
    },
    hostName: now.agent?.hostName ?? guest?.hostName,
    agentSilentMs: now.agent?.silentMs,
    heartbeatEveryMs: around.heartbeatEveryMs,
    guest,
    activity: report === null ? undefined : { kind: report.activity.kind, queuedBytes: report.spoolBytes },
    health: now.health,
    newestPoint: now.newestPoint,
    lagMs: now.lagMs,
    lagWarnMs: now.thresholds.warnMs,
    activeRun: run && { id: run.id, kind: run.kind, requestedBy: run.requestedBy },
    target: around.target,
  };
}

import type { PlannedDisk } from '../../domain/failover-plan.ts';
import type { PlannedFailoverPlan } from '../../domain/planned-failover.ts';
import { samePosition } from '../../domain/position.ts';
import { formatDuration, minuteMs } from '../../domain/units.ts';
import { agentSilences } from '../store/agents.ts';
import type { Database } from '../store/database.ts';
import { openDrillOf } from '../store/drills.ts';
import { findMachine, type MachineRecord } from '../store/machines.ts';
import type { PointRecord } from '../store/points.ts';
import type { Stopped } from './source-power.ts';

/** An agent that was silent for longer cannot be relied on to stop a machine, and to start it again. */
const agentSilentMsMax = minuteMs;

/** Why a failover that was approved cannot begin now, in a sentence; undefined when it can. */
export async function whyNotNow(db: Database, plan: PlannedFailoverPlan): Promise<string | undefined> {
  const { machineName, machineId, epoch } = plan;
  const machine = await findMachine(db, machineId);
  if (machine === undefined) return `${machineName} is not protected any more.`;
  if (machine.protection.kind !== 'protected') return `${machineName} is not in the state "Enabled" any more.`;
  if (machine.epoch !== epoch || machine.isHeld)
    return `${machineName} was failed over, or back, since it was approved.`;
  if (machine.kind === 'disk-image') return `${machineName} is a plain disk image: there is no machine to shut down.`;
  if (plan.accelerator.startsWith('none')) return `${plan.target} cannot start machines.`;
  if (!hasPlannedDisks(machine, plan)) return `The disks of ${machineName} are not those that were approved any more.`;
  const drill = await openDrillOf(db, machineId);
  if (drill !== undefined) return `A test failover is open. Run \`cleanup ${machineName}\` first.`;
  const agent = (await agentSilences(db)).find(({ agentId }) => agentId === machine.agentId);
  if (agent?.silentMs !== undefined && agent.silentMs <= agentSilentMsMax) return undefined;
  const since = agent?.silentMs === undefined ? 'was never heard' : `is silent for ${formatDuration(agent.silentMs)}`;
  return `The agent of ${machineName} ${since}: it must shut the source down. Start it, then ask again.`;
}

function hasPlannedDisks(machine: MachineRecord, plan: PlannedFailoverPlan): boolean {
  const isSame = ({ diskId, sizeBytes }: PlannedFailoverPlan['disks'][number]) =>
    machine.disks.some((disk) => disk.id === diskId && disk.sizeBytes === sizeBytes);
  return machine.disks.length === plan.disks.length && plan.disks.every(isSame);
}

export type Comparison =
  /** `disks`: in boot order, each where the source was left. */
  | { readonly kind: 'equal'; readonly disks: readonly PlannedDisk[]; readonly proof: string }
  | { readonly kind: 'different'; readonly message: string };

/** Whether the point holds exactly what the agent left in the vault when the source had stopped, for every disk of the plan. */
export function comparePositions(
  plan: PlannedFailoverPlan,
  point: Pick<PointRecord, 'id' | 'disks'>,
  stopped: Stopped,
): Comparison {
  const disks: PlannedDisk[] = [];
  for (const { diskId, key, sizeBytes } of plan.disks) {
    const ours = point.disks.find((disk) => disk.diskId === diskId);
    const theirs = stopped.disks.find((disk) => disk.diskId === diskId);
    if (ours === undefined || theirs === undefined || !samePosition(ours.position, theirs.position)) {
      const where = (at: { position: { sequence: number } } | undefined) => at?.position.sequence ?? 'nowhere';
      const message = `${key}: recovery point ${point.id} is at ${where(ours)}, the agent left the source at ${where(theirs)}.`;
      return { kind: 'different', message };
    }
    disks.push({ diskId, key, sizeBytes, position: ours.position });
  }
  const places = disks.map(({ key, position }) => `${key} ${position.sequence} (${position.digest.slice(0, 8)})`);
  const proof = `Recovery point ${point.id} is where the stopped source was left: ${places.join(', ')}. A second look found no change.`;
  return { kind: 'equal', disks, proof };
}

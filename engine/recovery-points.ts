import type { AgentId, MachineId, RecoveryPointId } from '../domain/ids.ts';
import type { AnnouncePointRequest } from '../protocol/agent-api.ts';
import { recoverMachine, type SettlingDeps, settleMachine } from './point-settling.ts';
import type { Database } from './store/database.ts';
import { appendEvent } from './store/events.ts';
import { findMachine, listMachines, type MachineRecord } from './store/machines.ts';
import { insertPoint, machinesWithUnsettledPoints, type PointRecord } from './store/points.ts';
import { finishRequests } from './store/requests.ts';

export type PointKeeperDeps = SettlingDeps & {
  /** Told of every error while a point is being settled; it is tried again by `continueAll`. */
  readonly onTrouble: (error: unknown, machineId: MachineId) => void;
};

export type AnnounceOutcome =
  | { readonly kind: 'announced'; readonly pointId: RecoveryPointId }
  /** The machine was failed over since: this sender is the old primary and must stop. */
  | { readonly kind: 'fenced'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Takes recovery points from their announcement to `available`, in order for each machine, however often the engine
 * dies.
 */
export type PointKeeper = {
  announce(agentId: AgentId, request: AnnouncePointRequest): Promise<AnnounceOutcome>;
  /** At start: puts back points whose manifest is in the vault and whose row was lost, then goes on with everything. */
  recover(): Promise<void>;
  /** Goes on with everything that is not settled, by this engine or another one; from time to time. */
  continueAll(): Promise<void>;
  /** Resolves when nothing is being settled by this engine. */
  idle(): Promise<void>;
  /** Starts nothing new and waits for what is at work. */
  close(): Promise<void>;
};

/** Machines that are settled at once: each keeps one connection for its lock. */
const machinesAtOnceMax = 3;

export function createPointKeeper(deps: PointKeeperDeps): PointKeeper {
  const waiting = new Set<MachineId>();
  const atWork = new Map<MachineId, Promise<void>>();
  let closed = false;

  const startNext = () => {
    for (const machineId of waiting) {
      if (closed || atWork.size >= machinesAtOnceMax) return;
      if (atWork.has(machineId)) continue;
      waiting.delete(machineId);
      const work = settleMachine(deps, machineId)
        .catch((error: unknown) => deps.onTrouble(error, machineId))
        .finally(() => {
          atWork.delete(machineId);
          startNext();
        });
      atWork.set(machineId, work);
    }
  };
  const settleSoon = (machineId: MachineId) => {
    waiting.add(machineId);
    startNext();
  };
  const continueAll = async () => {
    for (const machineId of await deps.store.read(machinesWithUnsettledPoints)) settleSoon(machineId);
  };
  const idle = async () => {
    while (atWork.size > 0) await Promise.all(atWork.values());
  };
  return {
    async announce(agentId, request) {
      const outcome = await deps.store.write((db) => announcePoint(db, agentId, request));
      if (outcome.kind === 'announced') settleSoon(request.machineId);
      return outcome;
    },
    async recover() {
      for (const { id } of await deps.store.read(listMachines)) {
        // One machine's unreadable manifest must not keep the others from being looked after.
        await recoverMachine(deps, id).catch((error: unknown) => deps.onTrouble(error, id));
      }
      await continueAll();
    },
    continueAll,
    idle,
    async close() {
      closed = true;
      await idle();
    },
  };
}

/** The first stage: the row `receiving`. The same capture always answers with the same point. */
async function announcePoint(db: Database, agentId: AgentId, request: AnnouncePointRequest): Promise<AnnounceOutcome> {
  const machine = await findMachine(db, request.machineId);
  if (machine === undefined || machine.agentId !== agentId) {
    return { kind: 'refused', message: `Machine ${request.machineId} is not assigned to this agent.` };
  }
  if (machine.epoch !== request.epoch) return fenced(db, machine, request.epoch);
  const disks = disksOf(machine, request);
  if (disks === undefined) {
    return {
      kind: 'refused',
      message: `A recovery point of ${machine.name} needs exactly its ${machine.disks.length} disks.`,
    };
  }
  if (disks.some((disk) => disk.position.epoch > machine.epoch)) return fenced(db, machine, request.epoch);
  const { machineId, captureId, epoch, kind, takenAtMs, pauseMs, changedBytes, reason } = request;
  const { hardware } = machine;
  const facts = { machineId, captureId, epoch, kind, takenAtMs, pauseMs, changedBytes, reason, hardware, disks };
  const { id } = await insertPoint(db, facts);
  if (request.requestId !== undefined) await finishRequests(db, [request.requestId], [machine.id]);
  return { kind: 'announced', pointId: id };
}

/**
 * The machine's disks in boot order with the announced positions; undefined when they are not exactly the machine's.
 */
function disksOf(machine: MachineRecord, request: AnnouncePointRequest): PointRecord['disks'] | undefined {
  const positions = new Map(request.disks.map((disk) => [disk.diskId, disk.position]));
  if (positions.size !== machine.disks.length || request.disks.length !== machine.disks.length) return undefined;
  const disks = machine.disks.flatMap(({ id, key, sizeBytes }) => {
    const position = positions.get(id);
    return position === undefined ? [] : [{ diskId: id, key, sizeBytes, position }];
  });
  return disks.length === machine.disks.length ? disks : undefined;
}

async function fenced(db: Database, machine: MachineRecord, epoch: number): Promise<AnnounceOutcome> {
  const message = `${machine.name} is in epoch ${machine.epoch}; a recovery point of epoch ${epoch} is refused.`;
  await appendEvent(db, { kind: 'sender-fenced', machineName: machine.name, text: message });
  return { kind: 'fenced', message };
}

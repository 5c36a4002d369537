import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isId, type MachineId } from '../domain/ids.ts';
import { describeCauses } from '../domain/outage.ts';
import type { Assignment, PowerResult, ReplicationReport } from '../protocol/agent-api.ts';
import type { Discovery } from './discovery.ts';
import type { SpoolBudget } from './hrl-spool.ts';
import { readJournal } from './journal.ts';
import type { ReplicationDeps } from './machine-context.ts';
import { type MachineReplication, machineFolder, startMachineReplication } from './machine-replication.ts';

/** Makes what runs here equal to what the engine assigned: a reconciler, called with each heartbeat's answer. */
export type AssignedMachines = {
  readonly reconcile: (assignments: readonly Assignment[]) => Promise<void>;
  /** The engine answers again after it did not. */
  readonly tryAgain: () => void;
  readonly reports: () => ReplicationReport[];
  readonly doneRequests: () => string[];
  readonly powerResults: () => PowerResult[];
  readonly runningAlthoughHeld: () => MachineId[];
  readonly stop: () => Promise<void>;
};

export type AssignedMachinesDeps = ReplicationDeps & {
  readonly discovery: Pick<Discovery, 'trackerOf'>;
  readonly stateFolder: string;
  readonly spoolBudget: SpoolBudget;
};

type NotStarted = { readonly message: string; readonly sinceMs: number; readonly requests: Assignment['requests'] };

export function createAssignedMachines(deps: AssignedMachinesDeps): AssignedMachines {
  const running = new Map<MachineId, MachineReplication>();
  const notStarted = new Map<MachineId, NotStarted>();

  const failed = ({ machineId, requests }: Assignment, message: string) => {
    const sinceMs = notStarted.get(machineId)?.sinceMs ?? deps.nowMs();
    notStarted.set(machineId, { message: message.slice(0, 1000), sinceMs, requests });
  };
  const start = async (assignment: Assignment) => {
    const { machineId, name } = assignment;
    const tracker = deps.discovery.trackerOf(name);
    if (tracker === undefined) {
      failed(assignment, `There is no guest ${name} on this host. Start it.`);
      return;
    }
    try {
      running.set(machineId, await startMachineReplication({ ...deps, tracker }, assignment));
      notStarted.delete(machineId);
    } catch (error) {
      deps.log.warn({ machineId, err: error }, 'the replication of a machine could not be started');
      failed(assignment, describeCauses(error));
    }
  };
  /** What could not be removed now (a guest that is switched off) is tried again with the next heartbeat. */
  const removeUnassigned = async (assigned: ReadonlySet<MachineId>) => {
    for (const machineId of await machinesWithState(deps.stateFolder)) {
      if (assigned.has(machineId)) continue;
      const machine = running.get(machineId);
      running.delete(machineId);
      try {
        if (machine === undefined) await removeLeftover(deps, machineId);
        else await machine.remove();
        deps.log.info({ machineId }, 'the machine is no longer protected here; its tracking was removed');
      } catch (error) {
        deps.log.warn({ machineId, err: error }, 'the tracking of a machine could not be removed yet');
      }
    }
  };
  return {
    async reconcile(assignments) {
      const assigned = new Set(assignments.map((assignment) => assignment.machineId));
      for (const machineId of notStarted.keys()) if (!assigned.has(machineId)) notStarted.delete(machineId);
      await removeUnassigned(assigned);
      for (const assignment of assignments) {
        const machine = running.get(assignment.machineId);
        if (machine === undefined) await start(assignment);
        else machine.update(assignment);
      }
    },
    tryAgain: () => {
      for (const machine of running.values()) machine.tryAgain();
    },
    reports: () => [
      ...[...running.values()].map((machine) => machine.report()),
      ...[...notStarted].map(([machineId, failure]) => ({
        machineId,
        activity: { kind: 'failing' as const, message: failure.message, sinceMs: failure.sinceMs },
        spoolBytes: 0,
        sentBytesTotal: 0,
      })),
    ],
    doneRequests: () => [...running.values()].flatMap((machine) => machine.doneRequests()).slice(0, 1000),
    powerResults: () => [
      ...[...running.values()].flatMap((machine) => machine.powerResult() ?? []),
      ...[...notStarted.values()].flatMap(refusedShutdowns),
    ],
    runningAlthoughHeld: () =>
      [...running].filter(([, machine]) => machine.wasRunningAlthoughHeld()).map(([machineId]) => machineId),
    async stop() {
      await Promise.all([...running.values()].map((machine) => machine.stop()));
      running.clear();
    },
  };
}

/** What is not there cannot be stopped, and the engine need not wait to hear that. */
function refusedShutdowns({ message, requests }: NotStarted): PowerResult[] {
  return requests
    .filter((request) => request.kind === 'shutdown')
    .map(({ requestId }) => ({
      requestId,
      outcome: { kind: 'failed', message: message.slice(0, 500), isRunning: false },
    }));
}

async function machinesWithState(stateFolder: string): Promise<MachineId[]> {
  const names = await readdir(join(stateFolder, 'machines')).catch((error: unknown): string[] => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name): name is MachineId => isId('machine', name));
}

/** A machine that was given up while this agent was not running: its guest still has our tracking. */
async function removeLeftover(deps: AssignedMachinesDeps, machineId: MachineId): Promise<void> {
  const folder = machineFolder(deps.stateFolder, machineId);
  const journal = await readJournal(folder);
  const tracker = journal === undefined ? undefined : deps.discovery.trackerOf(journal.machineName);
  // Without the guest there is nothing to remove the tracking from; a guest that comes back later has at most an unused bitmap.
  await tracker?.remove();
  await rm(folder, { recursive: true, force: true });
}

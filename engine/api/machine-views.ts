import type { MachineView } from '../../protocol/control-api.ts';
import { type MachineWithHealth, machinesWithHealth } from '../health.ts';
import { type GuestRecord, listGuests } from '../store/agents.ts';
import type { Database } from '../store/database.ts';
import { openDrills } from '../store/drills.ts';
import { availableCounts, pointViewOf } from '../store/points.ts';

/** Everything that can be protected, and everything that is, by name. */
export async function listMachineViews(db: Database, heartbeatEveryMs: number): Promise<MachineView[]> {
  const protectedOnes = await machinesWithHealth(db, heartbeatEveryMs);
  const guests = await listGuests(db);
  const facts = { guests, drills: await openDrills(db), counts: await availableCounts(db) };
  const machineOfGuest = new Set(protectedOnes.map(({ machine }) => `${machine.agentId}/${machine.name}`));
  const views = [
    ...protectedOnes.map((one) => protectedView(one, facts)),
    ...guests.filter((guest) => !machineOfGuest.has(`${guest.agentId}/${guest.name}`)).map(unprotectedView),
  ];
  return views.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

type Facts = {
  readonly guests: readonly GuestRecord[];
  readonly drills: Awaited<ReturnType<typeof openDrills>>;
  readonly counts: Map<string, number>;
};

function protectedView(one: MachineWithHealth, facts: Facts): MachineView {
  const { machine, newestPoint, health, lagMs } = one;
  const guest = facts.guests.find((other) => other.agentId === machine.agentId && other.name === machine.name);
  const drill = facts.drills.find((other) => other.machineId === machine.id);
  return {
    id: machine.id,
    name: machine.name,
    // A machine whose agent was never enrolled again has no host; a name is needed all the same.
    hostName: one.agent?.hostName ?? guest?.hostName ?? 'unknown',
    kind: guest?.kind ?? machine.kind,
    tracking: guest?.tracking ?? 'not reported by any agent now',
    unsupported: guest?.unsupported ?? null,
    protection: machine.protection,
    replication: machine.replication,
    health,
    policy: machine.policy,
    disks: machine.disks.map(({ key, sizeBytes }) => ({ key, sizeBytes })),
    lagMs: lagMs ?? null,
    newestPoint: newestPoint === undefined ? null : pointViewOf(newestPoint),
    availablePointCount: facts.counts.get(machine.id) ?? 0,
    sentBytesTotal: machine.sentBytesTotal,
    drill: drill ?? null,
  };
}

function unprotectedView(guest: GuestRecord): MachineView {
  return {
    id: null,
    name: guest.name,
    hostName: guest.hostName,
    kind: guest.kind,
    tracking: guest.tracking,
    unsupported: guest.unsupported,
    protection: { kind: 'not-protected' },
    replication: { kind: 'running' },
    health: { kind: 'unknown', message: 'Not protected.' },
    policy: null,
    disks: [...guest.disks],
    lagMs: null,
    newestPoint: null,
    availablePointCount: 0,
    sentBytesTotal: 0,
    drill: null,
  };
}

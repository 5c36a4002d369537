import type { MachineView } from '../../protocol/control-api.ts';
import { type MachineWithHealth, machinesWithHealth } from '../health.ts';
import { type GuestBrief, listGuestBriefs } from '../store/agents.ts';
import type { Database } from '../store/database.ts';
import { type DrillRecord, openDrills } from '../store/drills.ts';
import { allMachineTags } from '../store/machine-tags.ts';
import { type LastDrill, lastDrills } from '../store/measured-runs.ts';
import { availableCounts, pointViewOf } from '../store/points.ts';

/** What the caller has read already. */
export type KnownFacts = {
  readonly guests?: readonly GuestBrief[];
  readonly counts?: ReadonlyMap<string, number>;
};

/** Everything that can be protected, and everything that is, by name. The number of statements does not grow with the machines. */
export async function listMachineViews(
  db: Database,
  heartbeatEveryMs: number,
  known: KnownFacts = {},
): Promise<MachineView[]> {
  const protectedOnes = await machinesWithHealth(db, heartbeatEveryMs);
  const guests = known.guests ?? (await listGuestBriefs(db));
  const facts: Facts = {
    guests: new Map(guests.map((guest) => [placeOf(guest), guest])),
    drills: new Map((await openDrills(db)).map((drill) => [drill.machineId, drill])),
    counts: known.counts ?? (await availableCounts(db)),
    tags: await allMachineTags(db),
    lastDrills: await lastDrills(db),
  };
  const places = new Set(protectedOnes.map(({ machine }) => placeOf(machine)));
  const views = [
    ...protectedOnes.map((one) => protectedView(one, facts)),
    ...guests.filter((guest) => !places.has(placeOf(guest))).map((guest) => unprotectedView(guest, facts)),
  ];
  return views.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

type Facts = {
  readonly guests: ReadonlyMap<string, GuestBrief>;
  readonly drills: ReadonlyMap<string, DrillRecord>;
  readonly counts: ReadonlyMap<string, number>;
  readonly tags: ReadonlyMap<string, readonly string[]>;
  readonly lastDrills: ReadonlyMap<string, LastDrill>;
};

/** A guest is known by its host's agent and its name. */
function placeOf(one: { readonly agentId: string | null; readonly name: string }): string {
  return `${one.agentId}/${one.name}`;
}

function protectedView(one: MachineWithHealth, facts: Facts): MachineView {
  const { machine, newestPoint, health, lagMs, thresholds } = one;
  const guest = facts.guests.get(placeOf(machine));
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
    thresholds,
    disks: machine.disks.map(({ key, sizeBytes }) => ({ key, sizeBytes })),
    lagMs: lagMs ?? null,
    newestPoint: newestPoint === undefined ? null : pointViewOf(newestPoint),
    availablePointCount: facts.counts.get(machine.id) ?? 0,
    sentBytesTotal: machine.sentBytesTotal,
    drill: facts.drills.get(machine.id) ?? null,
    tags: [...(facts.tags.get(machine.name) ?? [])],
    lastDrill: facts.lastDrills.get(machine.id) ?? null,
  };
}

function unprotectedView(guest: GuestBrief, facts: Facts): MachineView {
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
    thresholds: null,
    disks: [...guest.disks],
    lagMs: null,
    newestPoint: null,
    availablePointCount: 0,
    sentBytesTotal: 0,
    drill: null,
    tags: [...(facts.tags.get(guest.name) ?? [])],
    lastDrill: null,
  };
}

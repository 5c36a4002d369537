import type { DiskId, DrillId, MachineId, RecoveryPointId, RunId } from './ids.ts';
import { assertNever } from './invariant.ts';
import type { Position } from './position.ts';
import { admit, type MachineFacts } from './protected-machine.ts';
import { newestAvailable, type RecoveryPoint } from './recovery-point.ts';
import type { ReplicationPolicy } from './replication-policy.ts';
import { minuteMs } from './units.ts';

/** What a machine has, as its recovery point recorded it. */
export type PlannedHardware = {
  readonly memoryBytes: number;
  readonly cpuCount: number;
  readonly firmware: 'bios' | 'uefi';
};
export type PlannedDisk = {
  readonly diskId: DiskId;
  readonly key: string;
  readonly sizeBytes: number;
  readonly position: Position;
};
/** A recovery point with all that is needed to start the machine from it. Disks are in boot order. */
export type PlannablePoint = RecoveryPoint & {
  readonly reason: string;
  readonly hardware: PlannedHardware;
  readonly disks: readonly PlannedDisk[];
};

/** All that a decision about a test failover is made from. */
export type TestFailoverFacts = {
  readonly machine: MachineFacts & { readonly id: MachineId; readonly epoch: number };
  /** Every point of the machine, whatever its state, in any order. */
  readonly points: readonly PlannablePoint[];
  readonly policy: ReplicationPolicy;
  readonly target: { readonly target: string; readonly network: string; readonly accelerator: string };
};

/** The steps of a test failover, in order; each is done once, and undone in reverse when a later one fails. */
export const testFailoverSteps = [
  'reserve drill',
  'prepare folder',
  'start disk server',
  'create overlays',
  'start machine',
  'verify boot',
  'record result',
] as const;
/** The steps of a clean-up, in order. None has an undo: a half removed drill is removed further, never put back. */
export const cleanupSteps = ['stop machine', 'remove drill', 'close drill'] as const;

export type TestFailoverStep = (typeof testFailoverSteps)[number];
export type CleanupStep = (typeof cleanupSteps)[number];

/**
 * What a test failover will do: every choice is made in it, none is left for the run. Its SHA-256 names it. Source: DESIGN 4, STYLE 1.1
 */
export type TestFailoverPlan = {
  readonly kind: 'test-failover';
  readonly machineId: MachineId;
  readonly machineName: string;
  readonly epoch: number;
  readonly point: {
    readonly id: RecoveryPointId;
    readonly kind: RecoveryPoint['kind'];
    readonly takenAtMs: number;
    readonly reason: string;
  };
  /** Whether no newer point could be started then: a report counts no data loss of an older one. Left out of plans that were made before this was noted. */
  readonly isNewestPoint?: boolean | undefined;
  readonly hardware: PlannedHardware;
  readonly disks: readonly PlannedDisk[];
  readonly target: string;
  readonly network: string;
  readonly accelerator: string;
  readonly vmName: string;
  /** How long the machine may take to show that it is up. */
  readonly verifyLimitMs: number;
  /** The drill ends by itself after this time. */
  readonly expiresAfterMs: number;
  readonly steps: readonly TestFailoverStep[];
};

/** What a clean-up will remove. */
export type CleanupPlan = {
  readonly kind: 'cleanup';
  readonly machineId: MachineId;
  readonly machineName: string;
  readonly epoch: number;
  readonly drillId: DrillId;
  /** The run that opened the drill. */
  readonly drillRunId: RunId;
  readonly vmName: string;
  readonly reason: string;
  readonly steps: readonly CleanupStep[];
};

export type PlanRefusal = {
  readonly kind: 'refused';
  readonly message: string;
  readonly candidates: readonly string[];
};
export type TestFailoverDecision = { readonly kind: 'planned'; readonly plan: TestFailoverPlan } | PlanRefusal;

const verifyLimitMs = 5 * minuteMs;
const candidatesMax = 3;
const vmNameSuffix = '-Test';

/**
 * Decides what a test failover would do, or why it cannot be done now and when it can.
 *
 * @param request point: `latest`, or a recovery point's id
 * Source: A7, I1 (only an available point can be started)
 */
export function planTestFailover(facts: TestFailoverFacts, request: { readonly point: string }): TestFailoverDecision {
  const { machine } = facts;
  const admission = admit('test-failover', machine);
  if (admission.kind === 'refused') return { ...admission, candidates: [] };
  const choice = choosePoint(facts, request.point);
  if (choice.kind === 'refused') return choice;
  const { point } = choice;
  return {
    kind: 'planned',
    plan: {
      kind: 'test-failover',
      machineId: machine.id,
      machineName: machine.name,
      epoch: machine.epoch,
      point: { id: point.id, kind: point.kind, takenAtMs: point.takenAtMs, reason: point.reason },
      isNewestPoint: point.id === newestAvailable(facts.points)?.id,
      hardware: point.hardware,
      disks: point.disks,
      target: facts.target.target,
      network: facts.target.network,
      accelerator: facts.target.accelerator,
      vmName: `${machine.name}${vmNameSuffix}`,
      verifyLimitMs,
      expiresAfterMs: facts.policy.drillLimitMs,
      steps: testFailoverSteps,
    },
  };
}

/** What a clean-up of an open drill will do. */
export function planCleanup(drill: Omit<CleanupPlan, 'kind' | 'steps'>): CleanupPlan {
  return { kind: 'cleanup', ...drill, steps: cleanupSteps };
}

type PointChoice = { readonly kind: 'chosen'; readonly point: PlannablePoint } | PlanRefusal;

function choosePoint(facts: TestFailoverFacts, asked: string): PointChoice {
  const { points, machine } = facts;
  const newest = newestAvailable(points);
  if (asked === 'latest') return newest === undefined ? noPointYet(facts) : { kind: 'chosen', point: newest };
  const point = points.find((candidate) => candidate.id === asked);
  if (point?.state === 'available') return { kind: 'chosen', point };
  const candidates = nearestPoints(points, asked);
  const instead =
    newest === undefined ? 'No other point is available either.' : `The newest available point is ${newest.id}.`;
  if (point === undefined) {
    return { kind: 'refused', message: `${machine.name} has no recovery point ${asked}. ${instead}`, candidates };
  }
  return { kind: 'refused', message: `${point.id} ${whyNot(point.state)} ${instead}`, candidates };
}

function noPointYet(facts: TestFailoverFacts): PlanRefusal {
  const { machine, points } = facts;
  const coming = points.some((point) => ['receiving', 'sealed', 'verified'].includes(point.state));
  const when = coming
    ? 'One is on its way: ask again in a minute.'
    : `Take one with \`bookmark ${machine.name} --reason …\`, or look at \`show ${machine.name}\` for why there is none.`;
  return { kind: 'refused', message: `${machine.name} has no available recovery point. ${when}`, candidates: [] };
}

function whyNot(state: Exclude<RecoveryPoint['state'], 'available'>): string {
  switch (state) {
    case 'receiving':
      return 'is still being received: it becomes available when all disks are in the vault and were read back.';
    case 'sealed':
    case 'verified':
      return 'is in the vault and is being read back: it becomes available within a minute when that succeeds.';
    case 'damaged':
      return 'is damaged: its read-back failed, so nobody may start from it.';
    case 'expiring':
      return 'has expired and is being removed.';
    default:
      return assertNever(state);
  }
}

/** Ids of available points that look most like what was asked for; among equals, the newest first. */
function nearestPoints(points: readonly PlannablePoint[], asked: string): string[] {
  const likeness = (id: string) => [...id].filter((character, index) => asked[index] === character).length;
  return points
    .filter((point) => point.state === 'available')
    .map((point) => ({ point, like: likeness(point.id) }))
    .sort((a, b) => b.like - a.like || b.point.takenAtMs - a.point.takenAtMs)
    .slice(0, candidatesMax)
    .map(({ point }) => point.id);
}

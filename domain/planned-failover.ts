import type { PlannedHardware } from './failover-plan.ts';
import type { DiskId, MachineId } from './ids.ts';
import { assertNever } from './invariant.ts';
import { admit, type MachineFacts } from './protected-machine.ts';
import { type ReplicationHealth, silentHeartbeatsMax } from './replication-health.ts';
import type { ReplicationPolicy } from './replication-policy.ts';
import { formatBytes, formatDuration, minuteMs, secondMs } from './units.ts';

/**
 * The steps of a planned failover, in order. Everything before "record failover" has an undo that lets the source run again;
 * "record failover" is the point of no return; its disks are then filled in the background. Source: A10, RELIABILITY I3
 */
export const plannedFailoverSteps = [
  'reserve machine',
  'shut down source',
  'receive last changes',
  'prove no loss',
  'fence source',
  'prepare folder',
  'start disk server',
  'create disks',
  'start machine',
  'verify boot',
  'close old epoch',
  'record failover',
] as const;
export type PlannedFailoverStep = (typeof plannedFailoverSteps)[number];

/** A disk as the plan knows it; its position is the one that the shutdown leaves. Boot order. */
export type FailoverDisk = { readonly diskId: DiskId; readonly key: string; readonly sizeBytes: number };

/** What a planned failover will do: every choice is made in it, and its digest is what gets approved. Source: DESIGN 4, CHAT 5.2 (1) */
export type PlannedFailoverPlan = {
  readonly kind: 'planned-failover';
  readonly machineId: MachineId;
  readonly machineName: string;
  readonly epoch: number;
  /** The point that the agent takes once the source has stopped: nothing is written after it. */
  readonly pointRule: 'after-shutdown';
  readonly hardware: PlannedHardware;
  readonly disks: readonly FailoverDisk[];
  readonly target: string;
  readonly network: string;
  readonly accelerator: string;
  readonly vmName: string;
  /** How long the source may take to stop by itself; it is never killed. */
  readonly shutdownLimitMs: number;
  /** How long the machine may take at the target to show that it is up. */
  readonly verifyLimitMs: number;
  readonly policyName: string;
  readonly steps: readonly PlannedFailoverStep[];
};

/** One look before anything begins; a failed one refuses the failover, a warning is for the people who decide. */
export type Check = {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'failed';
  /** One sentence for people; for a failed one also what to do. */
  readonly detail: string;
};

export type FailoverTarget =
  | {
      readonly kind: 'usable';
      readonly target: string;
      readonly network: string;
      readonly accelerator: string;
      /** The most memory that one machine may have there; undefined when nobody knows. */
      readonly memoryBytesMax: number | undefined;
    }
  | { readonly kind: 'unusable'; readonly message: string };

/** All that a decision about a planned failover is made from. */
export type PlannedFailoverFacts = {
  readonly machine: MachineFacts & {
    readonly id: MachineId;
    readonly epoch: number;
    readonly kind: 'qemu-guest' | 'disk-image';
    readonly policy: ReplicationPolicy;
    readonly hardware: PlannedHardware;
    /** In boot order. */
    readonly disks: readonly FailoverDisk[];
  };
  /** Undefined when no agent has the machine. */
  readonly hostName: string | undefined;
  /** Since the agent's last heartbeat; undefined when it was never heard. */
  readonly agentSilentMs: number | undefined;
  readonly heartbeatEveryMs: number;
  /** What the agent reports of the source now; undefined when it does not report it. */
  readonly guest: { readonly disks: readonly { readonly key: string; readonly sizeBytes: number }[] } | undefined;
  /** What the agent does with the machine now, when it has said so. */
  readonly activity:
    | { readonly kind: 'idle' | 'scanning' | 'sending' | 'failing'; readonly queuedBytes: number }
    | undefined;
  readonly health: ReplicationHealth;
  readonly newestPoint: { readonly epoch: number } | undefined;
  readonly lagMs: number | undefined;
  /** The lag above which people are told. */
  readonly lagWarnMs: number;
  readonly activeRun: { readonly id: string; readonly kind: string; readonly requestedBy: string } | undefined;
  readonly target: FailoverTarget;
};

export type PlannedFailoverDecision =
  | {
      readonly kind: 'planned';
      readonly plan: PlannedFailoverPlan;
      readonly checks: readonly Check[];
      readonly impact: readonly string[];
    }
  | {
      readonly kind: 'refused';
      readonly message: string;
      readonly checks: readonly Check[];
      /** What would be done when the checks pass again; undefined when that cannot be said now. */
      readonly plan: PlannedFailoverPlan | undefined;
      /** The machine is in a state in which asking again does not help: not protected, or failed over already. */
      readonly isOver: boolean;
    };

const shutdownLimitMs = 2 * minuteMs;
const verifyLimitMs = 5 * minuteMs;
/** What a shutdown and a boot of an ordinary guest take together; for the estimate that people are shown only. */
const usualDowntimeMs = 90 * secondMs;
/** The pessimistic rate at which the last changes arrive; for the estimate only. */
const lastChangesBytesPerSecond = 20 * 1024 * 1024;

/**
 * Decides what a planned failover would do, with all its checks made now, or why it cannot be done.
 * Nothing that changes by itself (lag, newest point, rates) is in the plan: its digest stays the same while nothing that matters changes.
 *
 * Source: A10, CHAT 5.2, RELIABILITY I3
 */
export function planPlannedFailover(facts: PlannedFailoverFacts): PlannedFailoverDecision {
  const { machine } = facts;
  // A drill in the way is a check like the others: it passes when the drill is cleaned up.
  const admission = admit('planned-failover', { ...machine, drill: { kind: 'none' } });
  if (admission.kind === 'refused') {
    return { kind: 'refused', message: admission.message, checks: [], plan: undefined, isOver: true };
  }
  const checks = checksOf(facts);
  const plan = planOf(facts);
  const failed = checks.filter((check) => check.state === 'failed');
  if (failed.length === 0 && plan !== undefined) {
    return { kind: 'planned', plan, checks, impact: impactOf(facts, plan) };
  }
  const message = `${machine.name} cannot be failed over now: ${failed.map((check) => check.detail).join(' ')}`;
  return { kind: 'refused', message, checks, plan, isOver: false };
}

function planOf(facts: PlannedFailoverFacts): PlannedFailoverPlan | undefined {
  const { machine, target } = facts;
  if (target.kind === 'unusable') return undefined;
  const { memoryBytes, cpuCount, firmware } = machine.hardware;
  return {
    kind: 'planned-failover',
    machineId: machine.id,
    machineName: machine.name,
    epoch: machine.epoch,
    pointRule: 'after-shutdown',
    hardware: { memoryBytes, cpuCount, firmware },
    disks: machine.disks.map(({ diskId, key, sizeBytes }) => ({ diskId, key, sizeBytes })),
    target: target.target,
    network: target.network,
    accelerator: target.accelerator,
    vmName: machine.name,
    shutdownLimitMs,
    verifyLimitMs,
    policyName: machine.policy.name,
    steps: plannedFailoverSteps,
  };
}

function checksOf(facts: PlannedFailoverFacts): Check[] {
  return [
    checkAgent(facts),
    checkReplication(facts),
    checkLag(facts),
    checkRuns(facts),
    checkDrill(facts),
    checkDisks(facts),
    checkTarget(facts),
    checkMemory(facts),
    checkSource(facts),
    checkEpoch(facts),
  ];
}

const ok = (name: string, detail: string): Check => ({ name, state: 'ok', detail });
const warning = (name: string, detail: string): Check => ({ name, state: 'warning', detail });
const failed = (name: string, detail: string): Check => ({ name, state: 'failed', detail });

function checkAgent({ agentSilentMs, heartbeatEveryMs, hostName }: PlannedFailoverFacts): Check {
  const host = hostName === undefined ? 'its host' : hostName;
  if (hostName === undefined || agentSilentMs === undefined) {
    return failed('agent', `The agent on ${host} was never heard: it must shut the source down. Enrol it first.`);
  }
  if (agentSilentMs <= silentHeartbeatsMax * heartbeatEveryMs) {
    return ok('agent', `The agent on ${host} was heard ${formatDuration(agentSilentMs)} ago.`);
  }
  const since = formatDuration(agentSilentMs);
  return failed('agent', `The agent on ${host} has been silent for ${since}: it must shut the source down. Start it.`);
}

function checkReplication({ machine, activity, health }: PlannedFailoverFacts): Check {
  const name = 'replication';
  const { replication } = machine;
  if (replication.kind === 'paused') {
    return failed(name, `Replication is paused (${replication.reason}). Run \`resume ${machine.name}\` first.`);
  }
  if (activity?.kind === 'scanning') {
    return failed(name, 'Every block is being compared with the vault; wait until that has ended.');
  }
  switch (health.kind) {
    case 'healthy':
      return ok(name, 'Replication is healthy.');
    case 'warning':
      return activity?.kind === 'failing' ? failed(name, health.message) : warning(name, health.message);
    case 'critical':
    case 'unknown':
      return failed(name, `Replication is ${health.kind}: ${health.message}`);
    default:
      return assertNever(health);
  }
}

function checkLag({ lagMs, lagWarnMs }: PlannedFailoverFacts): Check {
  if (lagMs === undefined) return failed('lag', 'There is no recovery point yet.');
  const text = `The newest recovery point is ${formatDuration(lagMs)} old; what changed since is sent after the shutdown.`;
  return lagMs > lagWarnMs ? warning('lag', text) : ok('lag', text);
}

function checkRuns({ activeRun, machine }: PlannedFailoverFacts): Check {
  if (activeRun === undefined) return ok('other work', `Nothing else is at work on ${machine.name}.`);
  const { id, kind, requestedBy } = activeRun;
  return failed(
    'other work',
    `A ${kind} is at work on ${machine.name} (${id}, by ${requestedBy}); wait until it has ended.`,
  );
}

function checkDrill({ machine }: PlannedFailoverFacts): Check {
  if (machine.drill.kind === 'none') return ok('test failover', 'No test failover is open.');
  return failed('test failover', `A test failover is open. Run \`cleanup ${machine.name}\` first.`);
}

function checkDisks({ machine, guest }: PlannedFailoverFacts): Check {
  const name = 'disks';
  if (guest === undefined) return failed(name, `The agent does not report ${machine.name} now.`);
  const sizes = new Map(machine.disks.map((disk) => [disk.key, disk.sizeBytes]));
  const unprotected = guest.disks.filter((disk) => sizes.get(disk.key) !== disk.sizeBytes).map((disk) => disk.key);
  if (unprotected.length > 0) {
    return failed(name, `Not protected, or of another size than when it was enabled: ${unprotected.join(', ')}.`);
  }
  const missing = machine.disks.filter((disk) => !guest.disks.some((one) => one.key === disk.key));
  if (missing.length > 0) {
    return failed(name, `The source does not have ${missing.map((disk) => disk.key).join(', ')} any more.`);
  }
  const bytes = machine.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  const all = machine.disks.length === 1 ? 'Its one disk is' : `All ${machine.disks.length} disks of it are`;
  return ok(name, `${all} protected (${formatBytes(bytes)}).`);
}

function checkTarget({ target }: PlannedFailoverFacts): Check {
  if (target.kind === 'unusable') return failed('target', target.message);
  return ok('target', `${target.target} can start machines.`);
}

function checkMemory({ machine, target }: PlannedFailoverFacts): Check {
  const { memoryBytes } = machine.hardware;
  if (target.kind === 'unusable') return failed('memory', 'Nobody knows what the target has.');
  if (target.memoryBytesMax === undefined) return warning('memory', 'Nobody knows how much memory the target has.');
  const text = `It has ${formatBytes(memoryBytes)}; the target gives up to ${formatBytes(target.memoryBytesMax)}.`;
  return memoryBytes > target.memoryBytesMax ? failed('memory', text) : ok('memory', text);
}

function checkSource({ machine, guest, activity }: PlannedFailoverFacts): Check {
  const name = 'source';
  if (machine.kind === 'disk-image') {
    return failed(name, `${machine.name} is a plain disk image: there is no machine that could be shut down.`);
  }
  if (guest === undefined) {
    return failed(name, `${machine.name} does not answer its agent, so it cannot be shut down in order.`);
  }
  if (activity?.kind === 'failing') {
    return failed(name, `Its agent has trouble with ${machine.name} now, so nobody knows whether it can be shut down.`);
  }
  return ok(name, `${machine.name} runs and can be shut down in order.`);
}

function checkEpoch({ machine, newestPoint }: PlannedFailoverFacts): Check {
  if (newestPoint === undefined || newestPoint.epoch === machine.epoch) {
    return ok('epoch', `The source is the one in charge (epoch ${machine.epoch}).`);
  }
  const text = `The newest recovery point is of epoch ${newestPoint.epoch}, the machine of epoch ${machine.epoch}. Wait for a new point.`;
  return failed('epoch', text);
}

function impactOf(facts: PlannedFailoverFacts, plan: PlannedFailoverPlan): string[] {
  const { machineName, target } = plan;
  const host = facts.hostName ?? 'its host';
  const queuedMs = (secondMs * (facts.activity?.queuedBytes ?? 0)) / lastChangesBytesPerSecond;
  const usual = formatDuration(minuteMs * Math.ceil((usualDowntimeMs + queuedMs) / minuteMs));
  const limit = formatDuration(plan.shutdownLimitMs + plan.verifyLimitMs + queuedMs);
  return [
    `Stops: ${machineName} on ${host} is shut down in order and stays off; it starts again on ${target}.`,
    `For how long: about ${usual}; after ${limit} at most it runs there or here again.`,
    'Lost: nothing. It starts at the target only when every disk is proven to be what the source wrote last.',
    `Reached by: nobody yet. Its network at the target is ${plan.network}, and the way back comes with a later version.`,
    `Point: the one taken after the shutdown${facts.lagMs === undefined ? '' : ` (newest now: ${formatDuration(facts.lagMs)} old)`}.`,
    `If a step fails before the target is up, ${machineName} on ${host} is started again.`,
  ];
}

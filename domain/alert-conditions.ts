import type { AlertRule, AlertSeverity, Condition } from './alert.ts';
import type { AlertFacts, HostFacts, MachineFacts } from './alert-facts.ts';
import { siteConditions } from './alert-site-conditions.ts';
import { silentHeartbeatsMax } from './replication-health.ts';
import { formatDuration, minuteMs, secondMs } from './units.ts';

/** Lag below this share of the threshold is good again: between the two it is neither. Source: CHAT 5.3 */
export const clearLagShare = 0.8;

/** What every rule finds in the facts. */
export function conditionsOf(facts: AlertFacts): {
  readonly conditions: Condition[];
  readonly lookedAt: Set<AlertRule>;
} {
  const machines = facts.machines.flatMap((machine) => machineConditions(machine, facts.nowMs));
  const hosts = facts.hosts.map((host) => silenceOf(facts, host));
  const site = siteConditions(facts);
  const always: AlertRule[] = ['lag', 'agent-silent', 'resync-required', 'two-copies', 'flapping'];
  return { conditions: [...machines, ...hosts, ...site.conditions], lookedAt: new Set([...always, ...site.lookedAt]) };
}

function machineConditions(machine: MachineFacts, nowMs: number): Condition[] {
  const twoCopies = twoCopiesOf(machine, nowMs);
  if (machine.protection !== 'protected') return twoCopies;
  return [lagOf(machine), ...resyncOf(machine), ...twoCopies];
}

function about(
  machine: MachineFacts,
): Pick<Condition, 'scope' | 'machineNames' | 'host' | 'processServer' | 'mutedWhy'> {
  const { name, host, processServer, mutedWhy } = machine;
  return { scope: name, machineNames: [name], host, processServer, mutedWhy };
}

function lagOf(machine: MachineFacts): Condition {
  const { lagMs, thresholds, name } = machine;
  const why = machine.failing === undefined ? '' : ` ${machine.failing}`;
  const common = { rule: 'lag' as const, ...about(machine), graceMs: thresholds.warnMs };
  const nextStep = `\`status ${name}\` and \`lag ${name}\` show more; \`resync ${name}\` compares everything when its agent is stuck.`;
  if (lagMs === undefined) {
    return {
      ...common,
      level: 'critical',
      title: `${name} has no recovery point`,
      text: `No recovery point of ${name} is available: it could not be failed over now.${why}`,
      nextStep,
    };
  }
  return {
    ...common,
    level: lagLevel(lagMs, thresholds),
    title: `${name} lags behind`,
    text: `Its newest recovery point is ${formatDuration(lagMs)} old (goal ${formatDuration(thresholds.warnMs)}).${why}`,
    nextStep,
  };
}

function lagLevel(lagMs: number, { warnMs, criticalMs }: MachineFacts['thresholds']): Condition['level'] {
  if (lagMs > criticalMs) return 'critical';
  if (lagMs > warnMs) return 'warning';
  return lagMs < clearLagShare * warnMs ? 'clear' : 'neutral';
}

/** What a person asked for is under way, and no surprise. */
function resyncOf(machine: MachineFacts): Condition[] {
  if (machine.resyncRequired === undefined) return [];
  const { name } = machine;
  const level: AlertSeverity = machine.isResyncAsked ? 'warning' : 'critical';
  return [
    {
      rule: 'resync-required',
      ...about(machine),
      level,
      title: machine.isResyncAsked ? `${name} is being compared in full` : `${name} needs a resynchronisation`,
      text:
        `There is no new recovery point until all its blocks are compared: ${machine.resyncRequired}. ` +
        'Older recovery points stay good.',
      nextStep: `Its agent compares by itself; \`status ${name}\` shows how far it is.`,
    },
  ];
}

/** Somebody started it: it stays news for a while, also when the agent has stopped it at once. */
const twoCopiesForMs = 10 * minuteMs;

function twoCopiesOf(machine: MachineFacts, nowMs: number): Condition[] {
  const seenAtMs = machine.runningAlthoughHeldAtMs;
  if (seenAtMs === undefined || nowMs - seenAtMs > twoCopiesForMs) return [];
  const { name, host } = machine;
  return [
    {
      rule: 'two-copies',
      ...about(machine),
      // Nothing mutes this one.
      mutedWhy: undefined,
      level: 'critical',
      title: `${name} runs twice`,
      text: `The source of ${name} on ${host ?? 'its host'} was found running although another copy is in charge. Nothing of it is replicated.`,
      nextStep:
        'Keep the source off. What it wrote meanwhile is on its own disks; nobody discards that without a person.',
    },
  ];
}

/** An agent that could not reach us tries again after so long at most. */
const reconnectMs = 30 * secondMs;

/** Our own absence is not theirs: silence counts from when they have had time to find that we listen again. */
function silenceOf(facts: AlertFacts, host: HostFacts): Condition {
  const limitMs = silentHeartbeatsMax * facts.heartbeatEveryMs;
  const heardMs = Math.min(host.silentMs, facts.nowMs - facts.resumedAtMs - reconnectMs);
  const count = host.machineNames.length;
  const machines =
    count === 0 ? 'It protects no machine.' : `${count} machine${count === 1 ? '' : 's'} without replication.`;
  return {
    rule: 'agent-silent',
    scope: host.name,
    host: host.name,
    machineNames: [...host.machineNames],
    level: heardMs <= limitMs ? 'clear' : count === 0 ? 'warning' : 'critical',
    title: `The agent of ${host.name} is silent`,
    text: `Not heard for ${formatDuration(host.silentMs)} (more than ${silentHeartbeatsMax} heartbeats). ${machines}`,
    nextStep: `Look whether ${host.name} runs and reaches the engine; its agent is \`lifeboat agent\`.`,
    graceMs: minuteMs,
  };
}

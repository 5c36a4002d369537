import type { TestFailoverPlan } from './failover-plan.ts';
import type { Check } from './planned-failover.ts';
import { formatBytes } from './units.ts';

/** A test failover that could be planned, and what else was seen when it was. */
export type DrillCheckFacts = {
  readonly plan: TestFailoverPlan;
  readonly activeRun: { readonly id: string; readonly kind: string; readonly requestedBy: string } | undefined;
  /** The most memory that one machine may have at the target; undefined when nobody knows. */
  readonly memoryBytesMax: number | undefined;
};

/**
 * What was looked at before a test failover is planned, for people who read a dry run. A machine that is not protected, an open drill, a
 * point that cannot be started and a target that does not answer refuse the plan itself, so here they are well; another run in the way is
 * noticed only when the drill begins. Source: A7, I1, issue 4
 */
export function drillChecks(facts: DrillCheckFacts): Check[] {
  const { machineName, point, disks } = facts.plan;
  const readBack = disks.length === 1 ? 'its disk was' : `its ${disks.length} disks were`;
  return [
    ok('machine', `${machineName} is "Enabled"; it keeps running and replicating.`),
    ok('point', `${point.id} is available: ${readBack} read back from the vault and verified.`),
    ...checkAge(facts),
    ok('test failover', `No test failover of ${machineName} is open.`),
    checkRuns(facts),
    checkTarget(facts),
    ...checkMemory(facts),
  ];
}

const ok = (name: string, detail: string): Check => ({ name, state: 'ok', detail });
const warning = (name: string, detail: string): Check => ({ name, state: 'warning', detail });

function checkAge({ plan }: DrillCheckFacts): Check[] {
  if (plan.isNewestPoint !== false) return [];
  return [
    warning('newer point', 'There is a newer available point. A report does not count the data loss of this one.'),
  ];
}

function checkRuns({ activeRun, plan }: DrillCheckFacts): Check {
  const name = 'other work';
  if (activeRun === undefined) return ok(name, `Nothing else is at work on ${plan.machineName}.`);
  const { id, kind, requestedBy } = activeRun;
  const detail = `A ${kind} is at work on ${plan.machineName} (${id}, by ${requestedBy}); wait until it has ended.`;
  return { name, state: 'failed', detail };
}

function checkTarget({ plan }: DrillCheckFacts): Check {
  if (!startsMachines(plan)) {
    return warning(
      'target',
      `${plan.target} starts no machines: every byte of the disks is read instead, nothing boots.`,
    );
  }
  return ok('target', `${plan.target} answers and can start machines.`);
}

function checkMemory({ plan, memoryBytesMax }: DrillCheckFacts): Check[] {
  if (!startsMachines(plan) || memoryBytesMax === undefined) return [];
  const { memoryBytes } = plan.hardware;
  const most = `the target gives up to ${formatBytes(memoryBytesMax)}`;
  if (memoryBytes <= memoryBytesMax) return [ok('memory', `It has ${formatBytes(memoryBytes)}; ${most}.`)];
  return [warning('memory', `It has ${formatBytes(memoryBytes)} and starts with less: ${most}.`)];
}

function startsMachines({ accelerator }: TestFailoverPlan): boolean {
  return !accelerator.startsWith('none');
}

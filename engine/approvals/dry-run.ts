import type { MachineId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import type { PlannedFailoverPlanView } from '../../protocol/control-api.ts';
import type { Database } from '../store/database.ts';
import { findMachine } from '../store/machines.ts';
import { measuredRuns } from '../store/measured-runs.ts';
import { newestAvailablePoint, pointViewOf } from '../store/points.ts';
import { type ApprovalDeps, type ApprovalRefusal, refused } from './deps.ts';
import { eligibleFor } from './eligible.ts';
import { failoverTarget } from './failover-facts.ts';
import { type PlannedProposal, proposeFailover } from './proposal.ts';

export type DryRunOutcome = { readonly kind: 'plan'; readonly plan: PlannedFailoverPlanView } | ApprovalRefusal;

/** What a planned failover would do, with its checks made now, also failed ones; nothing is asked for and nothing runs. */
export async function dryRunFailover(
  deps: Pick<ApprovalDeps, 'store' | 'target' | 'heartbeatEveryMs'>,
  order: { readonly machineId: MachineId; readonly person: string; readonly notBeforeMs: number | undefined },
): Promise<DryRunOutcome> {
  const around = { target: await failoverTarget(deps.target), heartbeatEveryMs: deps.heartbeatEveryMs };
  return deps.store.read(async (db) => {
    const machine = await findMachine(db, order.machineId);
    invariant(machine, `machine ${order.machineId} is never removed`);
    const found = await proposeFailover(db, machine, { ...around, notBeforeMs: order.notBeforeMs });
    const planned = found.kind === 'planned' ? found : found.blocked;
    if (planned !== undefined) return { kind: 'plan', plan: await planView(db, planned, order.person) };
    return refused('not-now', found.kind === 'refused' ? found.message : '');
  });
}

async function planView(db: Database, planned: PlannedProposal, person: string): Promise<PlannedFailoverPlanView> {
  const { plan, proposal, facts } = planned;
  const { machineId, machineName, target, vmName, network, accelerator, shutdownLimitMs, steps } = plan;
  const newest = await newestAvailablePoint(db, machineId);
  const eligible = await eligibleFor(db, { operation: proposal.operation, machineName });
  return {
    ...{ machineName, target, vmName, network, accelerator, shutdownLimitMs },
    digest: proposal.digest,
    newestPoint: newest === undefined ? null : pointViewOf(newest),
    lagMs: facts.lagMs ?? null,
    neededCount: proposal.rule.neededCount,
    eligible: eligible.filter((one) => one !== person),
    impact: proposal.shown.impact,
    checks: proposal.shown.checks,
    steps: [...steps],
    measured: await measuredRuns(db, { machineId, kind: 'planned-failover' }),
    measuredDrills: await measuredRuns(db, { machineId, kind: 'test-failover' }),
  };
}

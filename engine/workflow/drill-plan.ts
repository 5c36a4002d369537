import type { CleanupPlan, TestFailoverPlan } from '../../domain/failover-plan.ts';
import type { DrillId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { findDrill, openDrillOf } from '../store/drills.ts';
import type { DrillPlan } from '../target/target.ts';
import { drillPlan } from './plan-text.ts';
import { persist, type RunContext } from './run-context.ts';

/** What the target is told, from the plan of the run and the drill that was reserved for it. */
export function drillPlanOf(run: RunContext<TestFailoverPlan>, drillId: DrillId): DrillPlan {
  const { machineName, hardware, disks } = run.plan;
  return { drillId, runId: run.runId, machineName, hardware, disks };
}

/** The drill that this run reserved. */
export async function reservedDrill(run: RunContext<TestFailoverPlan>): Promise<DrillPlan> {
  const drill = await persist(run.deps, (db) => openDrillOf(db, run.plan.machineId));
  invariant(drill?.runId === run.runId, `run ${run.runId} has reserved a drill`);
  return drillPlan.parse(drill.handle);
}

/** The drill that a clean-up removes. */
export async function drillToRemove(run: RunContext<CleanupPlan>): Promise<DrillPlan> {
  const drill = await persist(run.deps, (db) => findDrill(db, run.plan.drillId));
  invariant(drill, `drill ${run.plan.drillId} has a row`);
  return drillPlan.parse(drill.handle);
}

import type { ApprovalId } from '../../../domain/ids.ts';
import type { PlannedFailoverPlan } from '../../../domain/planned-failover.ts';
import { insertApproval, moveApproval, saveVote } from '../../../engine/store/approvals.ts';
import type { Database } from '../../../engine/store/database.ts';
import { planDigest } from '../../../engine/workflow/plan-text.ts';

/** An approval of the plan that may begin: asked for by ana and approved by ben, as far as the tables see it. */
export async function approvePlan(db: Database, plan: PlannedFailoverPlan): Promise<ApprovalId> {
  const { machineId, machineName } = plan;
  const id = await insertApproval(db, {
    operation: 'planned-failover',
    ...{ machineId, machineName, digest: planDigest(plan), params: { plan }, neededCount: 1 },
    ...{ reason: 'power work', requestedBy: 'ana', requestedVia: 'certificate' },
    openForMs: 600_000,
    notBeforeMs: undefined,
    shown: { impact: [], checks: [], facts: [] },
  });
  await saveVote(db, id, { person: 'ben', decision: 'approve', via: 'certificate', reason: '', stepUp: 'totp' });
  await moveApproval(db, id, { state: 'executing', decided: { by: 'ben', reason: '' } });
  return id;
}

import { decideStart, standingApprovals } from '../../domain/approval.ts';
import type { ApprovalId, RunId } from '../../domain/ids.ts';
import { assertNever } from '../../domain/invariant.ts';
import { dueApprovals, lockApproval } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { begin } from './begin.ts';
import { startRunOf } from './break-glass.ts';
import { type ApprovalDeps, theEngine } from './deps.ts';
import { endWithoutRun } from './end.ts';
import { failoverTarget } from './failover-facts.ts';
import type { Around } from './proposal.ts';
import { appendEvents } from './tell.ts';
import { votingFacts } from './vote.ts';

/** Ends what has expired, and begins what was approved for a time that has come, after another look at everything. */
export async function settleDueApprovals(deps: ApprovalDeps): Promise<void> {
  const ids = await deps.store.read(dueApprovals);
  if (ids.length === 0) return;
  const around = { target: await failoverTarget(deps.target), heartbeatEveryMs: deps.heartbeatEveryMs };
  for (const id of ids) {
    const runId = await deps.store.write((db) => settle(deps, db, { id, around }));
    await startRunOf(deps, { kind: 'settled', runId });
  }
}

async function settle(
  deps: ApprovalDeps,
  db: Database,
  due: { readonly id: ApprovalId; readonly around: Around },
): Promise<RunId | undefined> {
  const approval = await lockApproval(db, due.id);
  if (approval === undefined || !['pending', 'approved'].includes(approval.state)) return undefined;
  const { facts, reproposal } = await votingFacts(db, { approval, around: due.around, person: approval.requestedBy });
  const decision = decideStart(facts);
  switch (decision.kind) {
    case 'wait':
      return undefined;
    case 'expired':
    case 'superseded': {
      const end = { state: decision.kind, speaker: theEngine, reason: decision.message };
      await appendEvents(db, [await endWithoutRun(db, approval, end)]);
      return undefined;
    }
    case 'begin': {
      const approvers = standingApprovals(approval, facts.eligible);
      const { plan } = reproposal;
      const begun = await begin(deps, db, { approval, speaker: theEngine, approvers, plan, isBreakGlass: false });
      await appendEvents(db, begun.events);
      return begun.runId;
    }
    default:
      return assertNever(decision);
  }
}

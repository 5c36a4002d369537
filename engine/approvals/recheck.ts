import { whyDead } from '../../domain/approval.ts';
import type { ApprovalId } from '../../domain/ids.ts';
import { lockApproval, waitingApprovals } from '../store/approvals.ts';
import { type ApprovalDeps, theEngine } from './deps.ts';
import { endWithoutRun } from './end.ts';
import { failoverTarget } from './failover-facts.ts';
import type { Around } from './proposal.ts';
import { appendEvents } from './tell.ts';
import { votingFacts } from './vote.ts';

/** At most so many in one go; with more of them each one's turn comes later. */
const countMax = 25;

/**
 * Looks again at the approvals that wait, a page of them at each call, and ends those of which something has changed: nobody should find a
 * button that lives and learn by a click that it is dead. What merely cannot be done at this moment goes on waiting.
 */
export function approvalRecheck(deps: Omit<ApprovalDeps, 'startRun' | 'createApprovedRun'>): () => Promise<void> {
  let after = '';
  return async () => {
    const ids = await deps.store.read((db) => waitingApprovals(db, { after, countMax }));
    after = ids.length < countMax ? '' : (ids.at(-1) ?? '');
    if (ids.length === 0) return;
    const around = { target: await failoverTarget(deps.target), heartbeatEveryMs: deps.heartbeatEveryMs };
    for (const id of ids) await recheck(deps, id, around);
  };
}

async function recheck(deps: Pick<ApprovalDeps, 'store'>, id: ApprovalId, around: Around): Promise<void> {
  await deps.store.write(async (db) => {
    const approval = await lockApproval(db, id);
    if (approval === undefined) return;
    const { facts } = await votingFacts(db, { approval, around, person: approval.requestedBy });
    // What has expired meanwhile is ended by the duty that ends it.
    const why = facts.nowMs >= approval.expiresAtMs ? undefined : whyDead(facts);
    if (why === undefined) return;
    await appendEvents(db, [
      await endWithoutRun(db, approval, { state: 'superseded', speaker: theEngine, reason: why }),
    ]);
  });
}

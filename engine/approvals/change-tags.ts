import { type TagChange, tagChangeWords, tagsWords } from '../../domain/tag-change.ts';
import { type ApprovalRecord, lockOpenApproval } from '../store/approvals.ts';
import { appendAudit } from '../store/audit.ts';
import { type Database, lockInTransaction } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import type { RoleChangeOutcome } from './change-roles.ts';
import type { ApprovalDeps, Speaker } from './deps.ts';
import { endWithoutRun } from './end.ts';
import { ask } from './request.ts';
import { applyTagChange, proposeTagChange, type TagWish } from './tag-proposal.ts';
import { appendEvents } from './tell.ts';

export type TagOrder = Omit<TagWish, 'requestedBy'> & { readonly speaker: Speaker; readonly reason: string };

/**
 * Changes the tags of a machine: at once when that changes nobody who approves, otherwise when another admin has approved, if there is one
 * who can. Source: CHAT 5.2
 */
export async function changeMachineTags(
  deps: Pick<ApprovalDeps, 'store'>,
  order: TagOrder,
): Promise<RoleChangeOutcome> {
  const { machineName, speaker } = order;
  return deps.store.write(async (db) => {
    await lockInTransaction(db, `approvals of the tags of ${machineName}`);
    // Before the admins are locked, in the order in which a vote locks them.
    const open = await lockOpenApproval(db, { machineName }, 'change-approvers');
    const found = await proposeTagChange(db, { ...order, requestedBy: speaker.person });
    if (found.kind === 'planned') {
      const { proposal } = found;
      return ask(db, { ...order, notBeforeMs: undefined, subject: { machineName }, agentId: null, proposal });
    }
    const why = found.kind === 'alone' ? found.why : undefined;
    return changeAtOnce(db, { order, open, change: found.change, why });
  });
}

type AtOnce = {
  readonly order: TagOrder;
  readonly open: ApprovalRecord | undefined;
  readonly change: TagChange;
  /** Why nobody was asked who should have been. */
  readonly why: string | undefined;
};

async function changeAtOnce(db: Database, { order, open, change, why }: AtOnce): Promise<RoleChangeOutcome> {
  const { machineName, speaker } = order;
  const { before, after } = change;
  if (before.join(' ') === after.join(' ')) {
    return { kind: 'changed', message: `Nothing changes. ${machineName}: ${tagsWords(after)}.` };
  }
  const words = tagChangeWords(change);
  if (why !== undefined) {
    await appendAudit(db, {
      ...{ who: speaker.person, via: speaker.identity, what: 'tags without approval', target: machineName },
      detail: `${words}; no approval was asked for: ${why}`,
    });
  }
  await applyTagChange(db, change, speaker.person);
  const done = `${speaker.person} tagged ${machineName}: ${tagsWords(after)}.`;
  const text = why === undefined ? done : `${done} No approval was asked for: ${why}.`;
  const ended: NewEvent[] = [];
  if (open !== undefined) {
    // It is about the tags as they were: it is dead, and people should know now.
    const reason = `${speaker.person} changed them meanwhile: ${words}. Ask again.`;
    ended.push(await endWithoutRun(db, open, { state: 'superseded', speaker, reason }));
  }
  await appendEvents(db, [...ended, { kind: 'tags-changed', machineName, text }]);
  return { kind: 'changed', message: text };
}

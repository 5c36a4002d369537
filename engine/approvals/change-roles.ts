import { areSameRights, rolesWords } from '../../domain/role-change.ts';
import { type ApprovalRecord, lockOpenApproval } from '../store/approvals.ts';
import { appendAudit } from '../store/audit.ts';
import { type Database, lockInTransaction } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import { type ApprovalDeps, type ApprovalOutcome, refused, type Speaker } from './deps.ts';
import { endWithoutRun } from './end.ts';
import { ask } from './request.ts';
import {
  applyRoleChange,
  changeWordsOf,
  proposeRoleChange,
  type RoleChangeParams,
  type WantedRights,
} from './role-proposal.ts';
import { appendEvents } from './tell.ts';

export type RoleChangeOrder = {
  readonly person: string;
  readonly wanted: WantedRights;
  readonly speaker: Speaker;
  readonly reason: string;
};
export type RoleChangeOutcome = ApprovalOutcome | { readonly kind: 'changed'; readonly message: string };

/**
 * Changes what a person may do: at once when that changes nobody who approves, otherwise when another admin has approved, if there is one
 * who can. Source: CHAT 5.2
 */
export async function changeRoles(
  deps: Pick<ApprovalDeps, 'store'>,
  order: RoleChangeOrder,
): Promise<RoleChangeOutcome> {
  const { person, wanted, speaker } = order;
  return deps.store.write(async (db) => {
    await lockInTransaction(db, `approvals of person ${person}`);
    // Before the admins are locked, in the order in which a vote locks them.
    const open = await lockOpenApproval(db, { concerns: person }, 'change-approvers');
    const found = await proposeRoleChange(db, { person, wanted, requestedBy: speaker.person });
    if (found.kind === 'refused') return refused('not-now', found.message, { nextStep: found.nextStep });
    if (found.kind === 'planned') {
      const { proposal } = found;
      return ask(db, { ...order, notBeforeMs: undefined, subject: { concerns: person }, agentId: null, proposal });
    }
    const why = found.kind === 'alone' ? found.why : undefined;
    return changeAtOnce(db, { order, open, params: found.params, why });
  });
}

type AtOnce = {
  readonly order: RoleChangeOrder;
  readonly open: ApprovalRecord | undefined;
  readonly params: RoleChangeParams;
  /** Why nobody was asked who should have been. */
  readonly why: string | undefined;
};

async function changeAtOnce(db: Database, { order, open, params, why }: AtOnce): Promise<RoleChangeOutcome> {
  const { person, speaker } = order;
  const words = changeWordsOf(params);
  if (words === '' && params.before !== null) {
    return { kind: 'changed', message: `Nothing changes. ${person}: ${rolesWords(params.after)}.` };
  }
  if (why !== undefined) {
    await appendAudit(db, {
      who: speaker.person,
      via: speaker.identity,
      what: 'person without approval',
      target: person,
      detail: `${words}; no approval was asked for: ${why}`,
    });
  }
  const outcome = await applyRoleChange(db, params, speaker.person);
  const done = `${speaker.person} ${outcome === 'added' ? 'added' : 'changed'} ${person}${words === '' ? '' : `: ${words}`}.`;
  const text = why === undefined ? done : `${done} No approval was asked for: ${why}.`;
  const ended = await endOvertaken(db, { order, open, params });
  await appendEvents(db, [...ended, { kind: 'person-changed', text }]);
  return { kind: 'changed', message: text };
}

/** A request that waits is about what the person could do before: it is dead, and people should know now. */
async function endOvertaken(db: Database, { order, open, params }: Omit<AtOnce, 'why'>): Promise<NewEvent[]> {
  if (open === undefined || areSameRights(params.before ?? undefined, params.after)) return [];
  const reason = `${order.speaker.person} changed ${order.person} meanwhile: ${changeWordsOf(params)}. Ask again.`;
  return [await endWithoutRun(db, open, { state: 'superseded', speaker: order.speaker, reason })];
}

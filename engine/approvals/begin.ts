import { reviewWithinMs } from '../../domain/break-glass.ts';
import type { RunId } from '../../domain/ids.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import type { PlannedFailoverPlan } from '../../domain/planned-failover.ts';
import { tagChangeWords } from '../../domain/tag-change.ts';
import { formatDuration } from '../../domain/units.ts';
import { type ApprovalRecord, moveApproval } from '../store/approvals.ts';
import { appendAudit } from '../store/audit.ts';
import type { Database } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import { findMachine } from '../store/machines.ts';
import { tellPersons } from '../store/messages.ts';
import { wantPager } from '../store/pager-calls.ts';
import { saveThresholds } from '../store/thresholds.ts';
import type { ApprovalDeps, Speaker } from './deps.ts';
import { whatOf } from './end.ts';
import { wantedThresholds } from './proposal.ts';
import { applyRoleChange, changeWordsOf, roleChangeOf } from './role-proposal.ts';
import { applyTagChange, tagChangeOf } from './tag-proposal.ts';
import { audit, hostOf, showRun, tell } from './tell.ts';

export type Beginning = {
  readonly approval: ApprovalRecord;
  /** Whose vote, or whose break-glass, lets it begin. */
  readonly speaker: Speaker;
  readonly approvers: readonly string[];
  readonly plan: PlannedFailoverPlan | undefined;
  readonly isBreakGlass: boolean;
};

export type Begun = {
  readonly runId: RunId | undefined;
  readonly message: string;
  readonly events: readonly NewEvent[];
};

/** Does what was approved, in the transaction that counted the last vote: approval and run are there together or not at all. */
export async function begin(
  deps: Pick<ApprovalDeps, 'createApprovedRun'>,
  db: Database,
  order: Beginning,
): Promise<Begun> {
  const { approval, speaker, isBreakGlass } = order;
  const by = isBreakGlass ? speaker.person : order.approvers.join(', ');
  const how = isBreakGlass ? 'alone, without approval' : `approved by ${by}`;
  await audit(db, {
    speaker,
    what: 'approval executing',
    approval,
    detail: `${how}; asked for by ${approval.requestedBy}`,
  });
  await moveApproval(db, approval.id, {
    state: 'executing',
    decided: { by, reason: isBreakGlass ? `without approval: ${approval.reason}` : '' },
    ...(isBreakGlass && { breakGlass: { reviewWithinMs } }),
  });
  switch (approval.operation) {
    case 'planned-failover':
      return beginFailover(deps, db, { ...order, by });
    case 'raise-threshold':
      return changeThresholds(db, { ...order, by });
    case 'change-approvers':
      return approval.concerns === undefined ? changeTags(db, { ...order, by }) : changePerson(db, { ...order, by });
    default:
      return assertNever(approval.operation);
  }
}

type BeginningBy = Beginning & { readonly by: string };

async function beginFailover(
  deps: Pick<ApprovalDeps, 'createApprovedRun'>,
  db: Database,
  order: BeginningBy,
): Promise<Begun> {
  const { approval, plan, by, speaker, isBreakGlass } = order;
  invariant(plan, 'a failover is begun only with the plan of this moment');
  const what = whatOf(approval);
  const text = isBreakGlass
    ? `${by} begins the ${what} alone, without approval: ${approval.reason}`
    : `${by} approved the ${what}; it begins.`;
  const told = await tell(db, {
    approval,
    kind: isBreakGlass ? 'approval-break-glass' : 'approval-approved',
    tone: isBreakGlass ? 'bad' : 'good',
    severity: isBreakGlass ? 'critical' : 'info',
    text,
    isForRequester: !isBreakGlass,
  });
  // Last but for the events: creating a run tells people of it, and that must come last in a transaction.
  const outcome = await deps.createApprovedRun(db, {
    approvalId: approval.id,
    plan,
    requestedBy: approval.requestedBy,
  });
  if (outcome.kind === 'refused') return notBegun(db, order, outcome.message);
  const { runId } = outcome;
  if (isBreakGlass) await callPager(db, approval, text);
  const machine = await findMachine(db, plan.machineId);
  const persons = [...new Set([approval.requestedBy, ...order.approvers])];
  await showRun(db, { runId, persons, host: await hostOf(db, machine?.agentId ?? null) });
  await audit(db, { speaker, what: 'approval run', approval, detail: `run ${runId}` });
  return { runId, message: `${text} Follow it with \`show ${runId}\`.`, events: [{ ...told, runId }] };
}

/** Who could have decided is woken too: nobody has agreed to this. Source: CHAT 5.4 */
async function callPager(db: Database, approval: ApprovalRecord, text: string): Promise<void> {
  await wantPager(db, {
    about: approval.id,
    title: `Break-glass: ${whatOf(approval)} by ${approval.requestedBy}`,
    text: `${text} Another person must review it within ${formatDuration(reviewWithinMs)}: review ${approval.id} --note "…"`,
  });
}

async function notBegun(db: Database, { approval, speaker }: BeginningBy, why: string): Promise<Begun> {
  await audit(db, { speaker, what: 'approval failed', approval, detail: why });
  await moveApproval(db, approval.id, { state: 'failed', decided: { by: speaker.person, reason: why } });
  const text = `The ${whatOf(approval)} was approved but did not begin: ${why}`;
  const told = await tell(db, { approval, kind: 'approval-failed', tone: 'bad', text, isForRequester: true });
  return { runId: undefined, message: text, events: [told] };
}

async function changeThresholds(db: Database, { approval, by }: BeginningBy): Promise<Begun> {
  const { machineId } = approval;
  invariant(machineId, 'thresholds are those of a machine');
  await saveThresholds(db, { machineId, thresholds: wantedThresholds(approval.params), setBy: approval.requestedBy });
  await moveApproval(db, approval.id, { state: 'succeeded' });
  const text = `${by} approved the ${whatOf(approval)}; they hold from now on.`;
  const told = await tell(db, { approval, kind: 'approval-succeeded', tone: 'good', text, isForRequester: true });
  return { runId: undefined, message: text, events: [told] };
}

async function changeTags(db: Database, { approval, by, speaker }: BeginningBy): Promise<Begun> {
  const params = tagChangeOf(approval.params);
  const words = tagChangeWords(params);
  await appendAudit(db, {
    ...{ who: speaker.person, via: speaker.identity, what: 'tags changed', target: params.machineName },
    detail: `${words}; ${approval.id}, asked for by ${approval.requestedBy}, approved by ${by}`,
  });
  await applyTagChange(db, params, approval.requestedBy);
  await moveApproval(db, approval.id, { state: 'succeeded' });
  const text = `${by} approved the ${whatOf(approval)}: ${words}. It holds from now on.`;
  const told = await tell(db, { approval, kind: 'approval-succeeded', tone: 'good', text, isForRequester: true });
  return { runId: undefined, message: text, events: [told] };
}

/** The person hears of it too: whose rights change should know before they need them. */
async function changePerson(db: Database, { approval, by, speaker }: BeginningBy): Promise<Begun> {
  const params = roleChangeOf(approval.params);
  const words = changeWordsOf(params);
  const detail = `${words}; ${approval.id}, asked for by ${approval.requestedBy}, approved by ${by}`;
  await appendAudit(db, {
    ...{ who: speaker.person, via: speaker.identity },
    ...{ what: 'person changed', target: params.person, detail },
  });
  await applyRoleChange(db, params, approval.requestedBy);
  await moveApproval(db, approval.id, { state: 'succeeded' });
  const text = `${by} approved the ${whatOf(approval)}: ${words}. It holds from now on.`;
  const told = await tell(db, { approval, kind: 'approval-succeeded', tone: 'good', text, isForRequester: true });
  const note = {
    title: 'What you may do has changed',
    tone: 'neutral' as const,
    text: [text.slice(0, 3000)],
    copyLine: 'whoami',
  };
  if (params.person !== approval.requestedBy)
    await tellPersons(db, { persons: [params.person], note, severity: 'info' });
  return { runId: undefined, message: text, events: [told] };
}

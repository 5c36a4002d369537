import type { StepUp } from '../../domain/approval.ts';
import { breakGlassCodeWords, decideBreakGlass } from '../../domain/break-glass.ts';
import type { RunId } from '../../domain/ids.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import { lockApproval, lockOpenApproval } from '../store/approvals.ts';
import { findAuthenticator } from '../store/authenticators.ts';
import { type Database, databaseNowMs } from '../store/database.ts';
import { onCallPlaceOf, siteAdmins } from '../store/people.ts';
import { begin } from './begin.ts';
import { type ApprovalDeps, type ApprovalOutcome, refused } from './deps.ts';
import { failoverTarget } from './failover-facts.ts';
import { type Proposal, proposeFailover } from './proposal.ts';
import { askingFor, type FailoverOrder, lockForRequest, makeRequest } from './request.ts';
import { appendEvents } from './tell.ts';

export type BreakGlassOrder = Omit<FailoverOrder, 'notBeforeMs'> & {
  readonly typedName: string;
  readonly code: string | undefined;
};

/**
 * Somebody on call goes on without an approval: loud, with the code of their authenticator, and reviewed by another person afterwards.
 * Everything else is as with an approval: the checks, one run at a time, the exact plan in the record. Source: CHAT 5.2, RELIABILITY 2b (9)
 */
export async function breakGlassFailover(deps: ApprovalDeps, order: BreakGlassOrder): Promise<ApprovalOutcome> {
  const around = { target: await failoverTarget(deps.target), heartbeatEveryMs: deps.heartbeatEveryMs };
  const outcome = await deps.store.write(async (db): Promise<ApprovalOutcome> => {
    const machine = await lockForRequest(db, order.machineId);
    const found = await proposeFailover(db, machine, { ...around, notBeforeMs: undefined });
    if (found.kind === 'refused') return refused('not-now', found.message);
    const refusal = await refuseBreakGlass(deps, db, { ...order, proposal: found.proposal, machineName: machine.name });
    if (refusal !== undefined) return refusal;
    const asking = { ...order, notBeforeMs: undefined, ...askingFor(machine), proposal: found.proposal };
    const made = await makeRequest(db, asking, { isBreakGlass: true });
    if (made.kind === 'refused') return made;
    const { approvalId } = made;
    const approval = await lockApproval(db, approvalId);
    invariant(approval, 'the request was just made');
    const { speaker } = order;
    const begun = await begin(deps, db, { approval, speaker, approvers: [], plan: found.plan, isBreakGlass: true });
    await appendEvents(db, [...made.events, ...begun.events]);
    return { kind: 'done', approvalId, message: begun.message, runId: begun.runId };
  });
  await startRunOf(deps, outcome);
  return outcome;
}

/** After the commit: an engine that dies before this leaves a run that any engine adopts. */
export async function startRunOf(
  deps: Pick<ApprovalDeps, 'startRun'>,
  outcome: ApprovalOutcome | { readonly kind: string; readonly runId?: RunId | undefined },
): Promise<void> {
  if (!('runId' in outcome) || outcome.runId === undefined) return;
  await deps.startRun(outcome.runId);
}

async function refuseBreakGlass(
  deps: ApprovalDeps,
  db: Database,
  order: BreakGlassOrder & { readonly proposal: Proposal; readonly machineName: string },
): Promise<ApprovalOutcome | undefined> {
  const { speaker, machineName, typedName, reason } = order;
  const facts = {
    person: speaker.person,
    onCall: await onCallPlaceOf(db, speaker.person),
    machineName,
    typedName,
    reason,
    waitedMs: await waitedMs(db, order),
    hasOtherAdmin: (await siteAdmins(db)).some((admin) => admin !== speaker.person),
    nowMs: await databaseNowMs(db),
  };
  const asked = decideBreakGlass({
    ...facts,
    stepUp: order.code === undefined ? await withoutCode(db, speaker.person) : 'unchecked',
  });
  const decision =
    asked.kind === 'step-up' && order.code !== undefined
      ? decideBreakGlass({ ...facts, stepUp: await verify(deps, db, { person: speaker.person, code: order.code }) })
      : asked;
  switch (decision.kind) {
    case 'allowed':
      return undefined;
    case 'refused':
      return refused('not-allowed', decision.message, { nextStep: decision.nextStep });
    case 'step-up': {
      const { message, nextStep } = breakGlassCodeWords(decision.stepUp);
      return refused('step-up', message, { nextStep });
    }
    default:
      return assertNever(decision);
  }
}

/** Who has no authenticator hears of that, and not of a code that they cannot have. */
async function withoutCode(db: Database, person: string): Promise<StepUp> {
  return (await findAuthenticator(db, person))?.isConfirmed === true ? 'not-given' : 'no-authenticator';
}

function verify(deps: ApprovalDeps, db: Database, proof: { person: string; code: string }): Promise<StepUp> {
  return deps.verifyStepUp(db, proof);
}

/** For how long the person's own request for exactly this has waited without any vote. */
async function waitedMs(
  db: Database,
  order: BreakGlassOrder & { readonly proposal: Proposal },
): Promise<number | undefined> {
  const open = await lockOpenApproval(db, { machineId: order.machineId }, 'planned-failover');
  if (open?.state !== 'pending' || open.requestedBy !== order.speaker.person) return undefined;
  if (open.digest !== order.proposal.digest || open.votes.length > 0) return undefined;
  return (await databaseNowMs(db)) - open.requestedAtMs;
}

import type { AlertThresholds } from '../../domain/alert-threshold.ts';
import { endWords, openForMs, whoMay } from '../../domain/approval.ts';
import type { AgentId, ApprovalId, MachineId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { dayMs, formatDuration } from '../../domain/units.ts';
import {
  type ApprovalRecord,
  type ApprovalSubject,
  insertApproval,
  lockApproval,
  lockOpenApproval,
} from '../store/approvals.ts';
import { type Database, databaseNowMs, lockInTransaction } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import { findMachine, type MachineRecord } from '../store/machines.ts';
import { saveThresholds } from '../store/thresholds.ts';
import {
  type ApprovalDeps,
  type ApprovalOutcome,
  type ApprovalRefusal,
  refused,
  type Speaker,
  theEngine,
} from './deps.ts';
import { eligibleFor } from './eligible.ts';
import { endWithoutRun, whatOf } from './end.ts';
import { failoverTarget } from './failover-facts.ts';
import { atWords, type Proposal, proposeFailover, proposeThresholds } from './proposal.ts';
import { appendEvents, audit, hostOf, showRequest, tell } from './tell.ts';

export type FailoverOrder = {
  readonly machineId: MachineId;
  readonly speaker: Speaker;
  readonly reason: string;
  /** Not before this time. */
  readonly notBeforeMs: number | undefined;
};

const aheadMsMax = 7 * dayMs;

/** Asks for a planned failover: it runs when enough other persons have approved. Source: CHAT 5.2 */
export async function requestFailover(deps: ApprovalDeps, order: FailoverOrder): Promise<ApprovalOutcome> {
  const around = { target: await failoverTarget(deps.target), heartbeatEveryMs: deps.heartbeatEveryMs };
  return deps.store.write(async (db) => {
    const machine = await lockForRequest(db, order.machineId);
    const refusal = refuseTime(order.notBeforeMs, await databaseNowMs(db));
    if (refusal !== undefined) return refusal;
    const found = await proposeFailover(db, machine, { ...around, notBeforeMs: order.notBeforeMs });
    if (found.kind === 'refused') return refused('not-now', found.message);
    return ask(db, { ...order, ...askingFor(machine), proposal: found.proposal });
  });
}

/** Sets thresholds: stricter ones at once, weaker ones when another admin has approved. Source: CHAT 5.2 */
export async function requestThresholds(
  deps: Pick<ApprovalDeps, 'store'>,
  order: Omit<FailoverOrder, 'notBeforeMs'> & { readonly thresholds: AlertThresholds },
): Promise<ApprovalOutcome | { readonly kind: 'set'; readonly message: string }> {
  return deps.store.write(async (db) => {
    const machine = await lockForRequest(db, order.machineId);
    const { machineId, thresholds, speaker } = order;
    const found = await proposeThresholds(db, machine, thresholds);
    if (found.kind === 'refused') return refused('not-now', found.message);
    if (found.kind === 'immediate') {
      await saveThresholds(db, { machineId, thresholds, setBy: speaker.person });
      const text = `${speaker.person} set: ${found.text}`;
      await appendEvents(db, [{ kind: 'thresholds-set', machineName: machine.name, text }]);
      return { kind: 'set', message: text };
    }
    return ask(db, { ...order, notBeforeMs: undefined, ...askingFor(machine), proposal: found.proposal });
  });
}

/** The machine, while no other request for it is made. */
export async function lockForRequest(db: Database, machineId: MachineId): Promise<MachineRecord> {
  await lockInTransaction(db, `approvals of ${machineId}`);
  const machine = await findMachine(db, machineId);
  invariant(machine, `machine ${machineId} is never removed`);
  return machine;
}

function refuseTime(notBeforeMs: number | undefined, nowMs: number): ApprovalRefusal | undefined {
  if (notBeforeMs === undefined) return undefined;
  if (notBeforeMs <= nowMs) {
    return refused('not-now', `${atWords(notBeforeMs)} is over. Give a time that is to come, or leave it out.`);
  }
  if (notBeforeMs - nowMs <= aheadMsMax) return undefined;
  return refused('not-now', `${atWords(notBeforeMs)} is too far: approvals are asked for at most 7 days ahead.`);
}

export type Asking = Pick<FailoverOrder, 'speaker' | 'reason' | 'notBeforeMs'> & {
  readonly subject: ApprovalSubject;
  /** Whose host's subscribers are shown it besides. */
  readonly agentId: AgentId | null;
  readonly proposal: Proposal;
};

export function askingFor({ id, name, agentId }: MachineRecord): Pick<Asking, 'subject' | 'agentId'> {
  return { subject: { machineId: id, machineName: name }, agentId };
}

/** Asks, and says who may decide. */
export async function ask(db: Database, asking: Asking): Promise<ApprovalOutcome> {
  const made = await makeRequest(db, asking);
  if (made.kind === 'refused') return made;
  await appendEvents(db, made.events);
  const { approvalId } = made;
  if (made.kind === 'same') {
    return {
      kind: 'done',
      approvalId,
      message: `You have asked for this already; ${approvalId} waits for a decision.`,
    };
  }
  return { kind: 'done', approvalId, message: `${approvalId} waits for approval. ${made.who}` };
}

export type MadeRequest =
  | { readonly kind: 'same'; readonly approvalId: ApprovalId; readonly events: readonly NewEvent[] }
  | {
      readonly kind: 'new';
      readonly approvalId: ApprovalId;
      readonly who: string;
      readonly events: readonly NewEvent[];
    }
  | ApprovalRefusal;

/** A pending approval for the proposal: the person's own when it is there already, otherwise a new one in place of the old. */
export async function makeRequest(
  db: Database,
  asking: Asking,
  options: { readonly isBreakGlass: boolean } = { isBreakGlass: false },
): Promise<MadeRequest> {
  const { subject, proposal, speaker } = asking;
  const open = await lockOpenApproval(db, subject, proposal.operation);
  if (open === undefined) return insert(db, asking, options);
  if (open.state === 'executing')
    return refused('not-now', endWords(open), { nextStep: `\`show ${open.id}\` tells how far it is.` });
  const isOver = (await databaseNowMs(db)) >= open.expiresAtMs;
  const isSame = !isOver && open.digest === proposal.digest;
  if (isSame && open.requestedBy === speaker.person && open.reason === asking.reason) {
    return { kind: 'same', approvalId: open.id, events: [] };
  }
  if (isSame && open.requestedBy !== speaker.person && !options.isBreakGlass) return askedByOther(db, open);
  const ended = await endWithoutRun(db, open, {
    state: isOver ? 'expired' : 'superseded',
    speaker: isOver ? theEngine : speaker,
    reason: isOver ? 'Nobody decided in time.' : `${speaker.person} asked anew, with other words or options.`,
  });
  const made = await insert(db, asking, options);
  return { ...made, events: [ended, ...made.events] };
}

async function askedByOther(db: Database, open: ApprovalRecord): Promise<ApprovalRefusal> {
  const message = `${open.requestedBy} has asked for exactly this: ${open.id}. ${whoMay(open, await eligibleFor(db, open))}`;
  return refused('not-now', message, { nextStep: `\`show ${open.id}\` shows it.` });
}

async function insert(db: Database, asking: Asking, options: { readonly isBreakGlass: boolean }) {
  const { subject, proposal, speaker, reason, notBeforeMs } = asking;
  const { rule, operation, digest, params, shown } = proposal;
  const beginsInMs = notBeforeMs === undefined ? undefined : notBeforeMs - (await databaseNowMs(db));
  const approvalId = await insertApproval(db, {
    operation,
    ...subject,
    digest,
    params,
    neededCount: rule.neededCount,
    reason,
    requestedBy: speaker.person,
    requestedVia: speaker.via,
    openForMs: openForMs(rule, beginsInMs),
    notBeforeMs,
    shown,
  });
  const approval = await lockApproval(db, approvalId);
  invariant(approval, 'what was just inserted is there');
  await audit(db, { speaker, what: 'approval requested', approval, detail: `reason: ${reason}` });
  const eligible = await eligibleFor(db, approval);
  const host = await hostOf(db, asking.agentId);
  const persons = eligible.filter((person) => person !== speaker.person);
  await showRequest(db, { approvalId, persons, host, severity: options.isBreakGlass ? 'critical' : 'warning' });
  const who = `${rule.neededCount === 1 ? 'One other person' : `${rule.neededCount} other persons`} must agree within ${formatDuration(
    openForMs(rule, beginsInMs),
  )}. ${whoMay(approval, eligible)}`;
  const text = `${speaker.person} asks for the ${whatOf(approval)} (${approvalId}): ${reason}`;
  const told = options.isBreakGlass
    ? []
    : [await tell(db, { approval, kind: 'approval-requested', tone: 'warning', text })];
  return { kind: 'new' as const, approvalId, who, events: told };
}

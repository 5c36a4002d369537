import { z } from 'zod';
import type { MachineAction } from '../../domain/protected-machine.ts';
import { admit } from '../../domain/protected-machine.ts';
import {
  approvalView,
  approveBody,
  chatRoutes,
  plannedFailoverBody,
  rejectBody,
  reviewBody,
  thresholdBody,
  withdrawBody,
} from '../../protocol/chat-api.ts';
import { approvalViewOf, approvalViews } from '../approvals/approval-view.ts';
import { breakGlassFailover } from '../approvals/break-glass.ts';
import type { ApprovalDeps, ApprovalOutcome, ApprovalRefusal, Speaker } from '../approvals/deps.ts';
import { dryRunFailover } from '../approvals/dry-run.ts';
import { requestFailover, requestThresholds } from '../approvals/request.ts';
import { unknownApproval, vote } from '../approvals/vote.ts';
import { review, withdraw } from '../approvals/withdraw.ts';
import type { MachineRecord } from '../store/machines.ts';
import type { Person } from './authentication.ts';
import { type CommandReply, commandsOf, type Order } from './command.ts';
import { originOf } from './command-audit.ts';
import type { ApiDeps } from './deps.ts';
import { findByName } from './find-machine.ts';
import { answer, type Refusal, refuse } from './reply.ts';
import type { Router } from './route.ts';

/** What needs another person's agreement: asking and deciding. Source: CHAT 5.2 */
export function addApprovalRoutes(router: Router, deps: ApiDeps): void {
  const approvals = approvalDepsOf(deps);
  const command = commandsOf(router, deps);
  command(
    {
      url: chatRoutes.plannedFailover,
      summary: 'Ask for a planned failover; it runs when others have approved',
      needs: 'planned-failover',
      body: plannedFailoverBody,
      machineOf: (body) => body.machine,
    },
    (order) => plannedFailover(deps, approvals, order),
  );
  command(
    {
      url: chatRoutes.threshold,
      summary: 'Set from which lag on people are told; weaker ones need another admin',
      needs: 'threshold',
      body: thresholdBody,
      machineOf: (body) => body.machine,
    },
    (order) => threshold(deps, approvals, order),
  );
  addDecisions(router, deps, approvals);
}

/** What the approvals need, from what the API has. */
export function approvalDepsOf(deps: Pick<ApiDeps, 'store' | 'heartbeatEveryMs' | 'approvals'>): ApprovalDeps {
  const { store, heartbeatEveryMs } = deps;
  return { store, heartbeatEveryMs, ...deps.approvals };
}

/** Whoever may look may try: with the request before us the refusal says what matters most, that it is one's own, or who may decide. */
function addDecisions(router: Router, deps: ApiDeps, approvals: ApprovalDeps): void {
  const command = commandsOf(router, deps);
  command(
    { url: chatRoutes.approve, summary: 'Approve a request of somebody else', needs: 'look', body: approveBody },
    async ({ body, caller }) => {
      const { approval: approvalId, revision, digest8, code, reason } = body;
      const seen = { revision, digest8 };
      const order = {
        approvalId,
        speaker: speakerOf(caller),
        decision: 'approve' as const,
        reason,
        seen,
        code,
      };
      return decisionReply(deps, await vote(approvals, order));
    },
  );
  command(
    { url: chatRoutes.reject, summary: 'Reject a request of somebody else', needs: 'look', body: rejectBody },
    async ({ body, caller }) => {
      const { approval: approvalId, revision, digest8, reason } = body;
      const seen = { revision, digest8 };
      const order = {
        approvalId,
        speaker: speakerOf(caller),
        decision: 'reject' as const,
        reason,
        seen,
      };
      return decisionReply(deps, await vote(approvals, { ...order, code: undefined }));
    },
  );
  command(
    { url: chatRoutes.withdraw, summary: 'Take back a request of your own', needs: 'withdraw', body: withdrawBody },
    async ({ body, caller }) =>
      decisionReply(deps, await withdraw(approvals, { approvalId: body.approval, speaker: speakerOf(caller) })),
  );
  command(
    { url: chatRoutes.review, summary: 'Review what was done without approval', needs: 'review', body: reviewBody },
    async ({ body, caller }) => {
      const order = { approvalId: body.approval, speaker: speakerOf(caller), note: body.note };
      return decisionReply(deps, await review(approvals, order));
    },
  );
}

/** The approvals as they are now. */
export function addApprovalLooks(router: Router, deps: ApiDeps): void {
  const look = { method: 'GET', access: 'person', needs: 'look' } as const;
  router.add({
    ...look,
    url: chatRoutes.approvals,
    summary: 'Approvals, the open ones first',
    answer: z.array(approvalView),
    handle: async () => answer(await deps.store.read(approvalViews)),
  });
  router.add({
    ...look,
    url: chatRoutes.approval,
    summary: 'One approval',
    answer: approvalView,
    async handle({ params }) {
      const view = await deps.store.read((db) => approvalViewOf(db, params.id ?? ''));
      return view === undefined ? refusalOf(deps, unknownApproval(params.id ?? '')) : answer(view);
    },
  });
}

export function speakerOf(caller: Person): Speaker {
  return { person: caller.name, via: caller.via, identity: originOf(caller).via };
}

async function plannedFailover(
  deps: ApiDeps,
  approvals: ApprovalDeps,
  { body, caller }: Order<z.output<typeof plannedFailoverBody>>,
): Promise<CommandReply> {
  const machine = await protectedMachine(deps, 'planned-failover', body.machine);
  if ('body' in machine) return machine;
  const { reason, atMs: notBeforeMs, breakGlass, code, dryRun } = body;
  const order = { machineId: machine.id, speaker: speakerOf(caller), reason, notBeforeMs };
  if (dryRun) {
    const outcome = await dryRunFailover(approvals, { ...order, person: caller.name });
    return outcome.kind === 'plan' ? answer({ kind: 'failover-plan', plan: outcome.plan }) : refusalOf(deps, outcome);
  }
  if (breakGlass === undefined) return decisionReply(deps, await requestFailover(approvals, order));
  if (notBeforeMs !== undefined) {
    return refuse(
      'bad-request',
      'What cannot wait for an approval cannot be put off: leave out the time or the break-glass.',
    );
  }
  const { typedName } = breakGlass;
  return decisionReply(deps, await breakGlassFailover(approvals, { ...order, typedName, code }));
}

async function threshold(
  deps: ApiDeps,
  approvals: ApprovalDeps,
  { body, caller }: Order<z.output<typeof thresholdBody>>,
): Promise<CommandReply> {
  const machine = await protectedMachine(deps, 'pause', body.machine);
  if ('body' in machine) return machine;
  const { warnMs, criticalMs } = body;
  const reason = body.reason.trim() === '' ? 'no reason given' : body.reason;
  const order = { machineId: machine.id, speaker: speakerOf(caller), reason, thresholds: { warnMs, criticalMs } };
  const outcome = await requestThresholds(approvals, order);
  return outcome.kind === 'set' ? answer({ kind: 'done', message: outcome.message }) : decisionReply(deps, outcome);
}

/** The machine that a person named, when it is protected; whether the action may start is decided with its plan. */
async function protectedMachine(
  deps: ApiDeps,
  action: MachineAction,
  typed: string,
): Promise<Pick<MachineRecord, 'id' | 'name'> | Refusal> {
  const found = await deps.store.read((db) => findByName(db, typed));
  if (found.kind === 'refusal') return found;
  if (found.kind === 'machine') return { id: found.machine.id, name: found.machine.name };
  const { name } = found.guest;
  const nothing = { drill: { kind: 'none' }, replication: { kind: 'running' } } as const;
  const admission = admit(action, { name, protection: { kind: 'not-protected' }, ...nothing });
  return refuse('refused', admission.kind === 'refused' ? admission.message : `${name} is not protected.`);
}

export async function decisionReply(deps: ApiDeps, outcome: ApprovalOutcome): Promise<CommandReply> {
  if (outcome.kind === 'refused') return refusalOf(deps, outcome);
  const approval = await deps.store.read((db) => approvalViewOf(db, outcome.approvalId));
  if (approval === undefined) return refusalOf(deps, unknownApproval(outcome.approvalId));
  return answer({ kind: 'approval', approval, message: outcome.message });
}

const refusalKinds = {
  unknown: 'unknown-target',
  'not-allowed': 'forbidden',
  'not-now': 'refused',
  'step-up': 'step-up',
} as const satisfies Record<ApprovalRefusal['why'], string>;

async function refusalOf(deps: ApiDeps, refusal: ApprovalRefusal): Promise<Refusal> {
  const { why, message, nextStep } = refusal;
  const candidates = why === 'unknown' ? await openApprovalIds(deps) : [];
  return refuse(refusalKinds[why], message, { nextStep, candidates });
}

/** A person may have mistyped: these are the ones that can be meant. */
async function openApprovalIds(deps: ApiDeps): Promise<string[]> {
  const views = await deps.store.read(approvalViews);
  return views.filter(({ state }) => state === 'pending' || state === 'approved').map((view) => view.id);
}

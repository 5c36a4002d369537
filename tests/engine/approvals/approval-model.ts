import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import type { MachineId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import type { ApprovalOutcome } from '../../../engine/approvals/deps.ts';
import { settleDueApprovals } from '../../../engine/approvals/due.ts';
import { endApprovalOfRun } from '../../../engine/approvals/end-of-run.ts';
import { approvalRecheck } from '../../../engine/approvals/recheck.ts';
import { withdraw } from '../../../engine/approvals/withdraw.ts';
import { changeTags } from '../../../engine/store/machine-tags.ts';
import { setDisabled, setGrants } from '../../../engine/store/people.ts';
import { finishRun } from '../../../engine/store/runs.ts';
import {
  type ApprovalSite,
  asNature,
  everyone,
  goodCode,
  letExpire,
  type PersonName,
  speaker,
} from './approval-site.ts';

/** What people, time and the world can do. `ago`: 0 the newest approval, 1 the one before it: a stale button. */
export type Action =
  | { readonly kind: 'request'; readonly person: PersonName; readonly reason: string }
  | {
      readonly kind: 'vote';
      readonly person: PersonName;
      readonly decision: 'approve' | 'reject';
      readonly ago: 0 | 1;
      readonly via: 'slack' | 'teams';
      readonly isCodeGood: boolean;
      readonly digest: 'seen' | 'forged';
    }
  | { readonly kind: 'withdraw'; readonly person: PersonName }
  | { readonly kind: 'time passes' | 'duty' | 'look again' | 'plan changes' | 'tag changes' | 'run ends' }
  | { readonly kind: 'role'; readonly person: PersonName; readonly role: 'viewer' | 'operator' | 'approver' }
  | { readonly kind: 'disabled'; readonly person: PersonName; readonly is: boolean };

const person = fc.constantFrom(...everyone);
const just = <Kind extends string>(kind: Kind) => fc.constant({ kind });
export const actionArbitrary: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('request' as const), person, reason: fc.constantFrom('power', 'heat') }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('vote' as const),
      person,
      decision: fc.constantFrom('approve' as const, 'approve' as const, 'approve' as const, 'reject' as const),
      ago: fc.constantFrom(0 as const, 0 as const, 0 as const, 1 as const),
      via: fc.constantFrom('slack' as const, 'teams' as const),
      isCodeGood: fc.constantFrom(true, true, true, false),
      digest: fc.constantFrom('seen' as const, 'seen' as const, 'seen' as const, 'forged' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), person }) },
  { weight: 1, arbitrary: just('time passes' as const) },
  { weight: 1, arbitrary: just('duty' as const) },
  { weight: 1, arbitrary: just('look again' as const) },
  { weight: 1, arbitrary: just('plan changes' as const) },
  { weight: 2, arbitrary: just('tag changes' as const) },
  { weight: 2, arbitrary: just('run ends' as const) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('role' as const),
      person,
      role: fc.constantFrom('viewer' as const, 'operator' as const, 'approver' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('disabled' as const), person, is: fc.boolean() }) },
);

type ModelApproval = {
  readonly id: string;
  /** As its buttons have it. */
  readonly digest: string;
  readonly by: PersonName;
  readonly reason: string;
  readonly world: string;
  readonly needed: number;
  readonly approvers: Set<PersonName>;
  state: string;
  isLate: boolean;
};
type World = {
  readonly site: ApprovalSite;
  readonly machine: { readonly id: MachineId; readonly name: string };
  readonly approvals: ModelApproval[];
  readonly approverRole: Set<PersonName>;
  /** They may ask for nothing. */
  readonly viewers: Set<PersonName>;
  readonly disabled: Set<PersonName>;
  planVersion: number;
  isFirstTier: boolean;
  runCount: number;
};

/** Plays the actions on the real store and on a model of a few sets, and compares after each. Throws at the first difference. */
export async function playAgainstModel(
  site: ApprovalSite,
  isFirstTier: boolean,
  actions: readonly Action[],
): Promise<void> {
  await site.resetPersons();
  const world: World = {
    ...{ site, machine: await site.machineOfMany(), approvals: [], disabled: new Set() },
    ...{ approverRole: new Set(everyone), viewers: new Set(), planVersion: 1, isFirstTier: false, runCount: 0 },
  };
  if (isFirstTier) await act(world, { kind: 'tag changes' });
  for (const action of actions) {
    const expected = await act(world, action);
    await compare(world, { action, expected });
  }
}

type Expected = { readonly outcome: ApprovalOutcome; readonly isDone: boolean } | undefined;

async function compare(world: World, step: { readonly action: Action; readonly expected: Expected }): Promise<void> {
  const { site, machine } = world;
  const where = JSON.stringify(step.action);
  const { expected } = step;
  if (expected !== undefined) {
    invariant(
      (expected.outcome.kind === 'done') === expected.isDone,
      `${where}: should be done ${expected.isDone}, was: ${expected.outcome.message}`,
    );
  }
  const newestTwo = world.approvals.slice(-2);
  const seen = await site.look(
    machine.id,
    newestTwo.map(({ id }) => id),
  );
  for (const one of newestTwo) {
    const is = seen.approvals.find(({ id }) => id === one.id);
    invariant(is?.state === one.state, `${where}: ${one.id} should be ${one.state}, is ${is?.state}`);
    invariant(
      (is.runId !== null) === ['executing', 'failed'].includes(one.state),
      `${where}: a run only when approved`,
    );
  }
  const count = seen.runCount;
  invariant(count === world.runCount, `${where}: there should be ${world.runCount} runs, there are ${count}`);
}

const newest = (world: World, ago = 0): ModelApproval | undefined => world.approvals.at(-1 - ago);
const worldWords = (world: World) => `${world.planVersion} ${world.isFirstTier}`;
const isAtWork = (world: World) => newest(world)?.state === 'executing';
const mayAsk = (world: World, name: PersonName) => !world.viewers.has(name) && !world.disabled.has(name);
const mayDecide = (world: World, name: PersonName) => world.approverRole.has(name) && !world.disabled.has(name);

async function act(world: World, action: Action): Promise<Expected> {
  const { site, machine } = world;
  const last = newest(world);
  switch (action.kind) {
    case 'request':
      // A disabled person, or a viewer, cannot get as far as this: the API turns them away.
      return mayAsk(world, action.person) ? request(world, action) : undefined;
    case 'vote':
      return cast(world, action);
    case 'withdraw':
      return takeBack(world, action.person);
    case 'time passes':
      if (last?.state !== 'pending') return undefined;
      last.isLate = true;
      await letExpire(site.store, last.id);
      return undefined;
    case 'duty':
      if (last?.state === 'pending' && last.isLate) last.state = 'expired';
      await settleDueApprovals(site.deps);
      return undefined;
    case 'look again':
      if (last?.state === 'pending' && !last.isLate && isDead(world, last)) last.state = 'superseded';
      // What waits since earlier sequences would fill the page that one look is.
      await asNature(
        site.store,
        sql`update approvals set state = 'cancelled', decided_by = 'x', decided_at = now()
          where state in ('pending', 'approved') and machine_id <> ${machine.id}`,
      );
      await approvalRecheck(site.deps)();
      return undefined;
    case 'plan changes':
      world.planVersion += 1;
      await asNature(site.store, sql`update protected_machines set epoch = epoch + 1 where id = ${machine.id}`);
      await asNature(site.store, sql`update recovery_points set epoch = epoch + 1 where machine_id = ${machine.id}`);
      return undefined;
    case 'tag changes': {
      world.isFirstTier = !world.isFirstTier;
      const [add, remove] = world.isFirstTier ? [['tier:0'], []] : [[], ['tier:0']];
      await site.store.write((db) => changeTags(db, { machineName: machine.name, add, remove, by: 'root' }));
      return undefined;
    }
    case 'run ends':
      return endRun(world);
    case 'role': {
      if (action.role === 'approver') world.approverRole.add(action.person);
      else world.approverRole.delete(action.person);
      if (action.role === 'viewer') world.viewers.add(action.person);
      else world.viewers.delete(action.person);
      const grants = [{ role: action.role, scope: { kind: 'everything' as const } }];
      await site.store.write((db) => setGrants(db, action.person, grants, 'root'));
      return undefined;
    }
    case 'disabled':
      if (action.is) world.disabled.add(action.person);
      else world.disabled.delete(action.person);
      await site.store.write((db) => setDisabled(db, action.person, action.is));
      return undefined;
  }
}

async function request(world: World, action: Extract<Action, { kind: 'request' }>): Promise<Expected> {
  const { site, machine } = world;
  const open = newest(world);
  const outcome = await site.request(action.person, machine.id, { reason: action.reason });
  if (isAtWork(world)) return { outcome, isDone: false };
  if (open?.state === 'pending' && !open.isLate && open.world === worldWords(world)) {
    if (open.by === action.person && open.reason === action.reason) return { outcome, isDone: true };
    if (open.by !== action.person) return { outcome, isDone: false };
  }
  if (open?.state === 'pending') open.state = open.isLate ? 'expired' : 'superseded';
  invariant(outcome.kind === 'done', `a request that nothing is in the way of is taken: ${outcome.message}`);
  const { digest } = await site.approval(outcome.approvalId);
  const fresh = { id: outcome.approvalId, digest, by: action.person, reason: action.reason, world: worldWords(world) };
  world.approvals.push({
    ...fresh,
    needed: world.isFirstTier ? 2 : 1,
    approvers: new Set(),
    state: 'pending',
    isLate: false,
  });
  return { outcome, isDone: true };
}

async function cast(world: World, action: Extract<Action, { kind: 'vote' }>): Promise<Expected> {
  const approval = newest(world, action.ago);
  if (approval === undefined) return undefined;
  const { site } = world;
  const { digest } = approval;
  const outcome = await site.vote(action.person, approval.id, {
    decision: action.decision,
    via: action.via,
    code: action.isCodeGood ? goodCode : '000000',
    seen: { revision: undefined, digest8: action.digest === 'seen' ? digest.slice(0, 8) : 'ffffffff' },
  });
  return { outcome, isDone: predictVote(world, approval, action) };
}

/** What a vote does, said as plainly as possible; true when it counts. */
function predictVote(world: World, approval: ModelApproval, action: Extract<Action, { kind: 'vote' }>): boolean {
  const { person: voter } = action;
  if (approval.state !== 'pending') return false;
  if (approval.isLate) return end(approval, 'expired');
  if (voter === approval.by || !mayDecide(world, voter) || action.digest === 'forged') return false;
  if (action.decision === 'reject') {
    approval.state = 'rejected';
    return true;
  }
  if (isDead(world, approval)) return end(approval, 'superseded');
  const standing = new Set([...approval.approvers, voter].filter((one) => mayDecide(world, one)));
  const isRepeated = approval.approvers.has(voter) && standing.size < approval.needed;
  if (isRepeated || !action.isCodeGood) return false;
  approval.approvers.add(voter);
  if (standing.size < approval.needed) return true;
  approval.state = 'executing';
  world.runCount += 1;
  return true;
}

function isDead(world: World, { by, world: asked }: ModelApproval): boolean {
  return !mayAsk(world, by) || asked !== worldWords(world);
}

function end(approval: ModelApproval, state: string): boolean {
  approval.state = state;
  return false;
}

async function takeBack(world: World, name: PersonName): Promise<Expected> {
  const approval = newest(world);
  if (approval === undefined) return undefined;
  const outcome = await withdraw(world.site.deps, { approvalId: approval.id, speaker: speaker(name) });
  const isDone = approval.state === 'pending' && approval.by === name;
  if (isDone) approval.state = 'withdrawn';
  return { outcome, isDone };
}

async function endRun(world: World): Promise<Expected> {
  const approval = newest(world);
  if (approval?.state !== 'executing') return undefined;
  const { runId } = await world.site.approval(approval.id);
  invariant(runId, 'what is executing has a run');
  await world.site.store.write(async (db) => {
    await finishRun(db, runId, { kind: 'failed', failure: 'the test says so' });
    await endApprovalOfRun(db, runId, { kind: 'failed', failure: 'the test says so' });
  });
  approval.state = 'failed';
  return undefined;
}

import { decideVote } from '../../domain/approval.ts';
import type { ApiDeps } from '../../engine/api/deps.ts';
import type { Attack } from './attack.ts';
import { changedPlans, staleAttacks } from './decision-attacks.ts';
import { stepUpAttacks } from './proof-attacks.ts';
import { roleAttacks } from './role-attacks.ts';
import { tagAttacks } from './tag-attacks.ts';
import { selfApprovals, voterAttacks } from './voter-attacks.ts';

export type Rules = ApiDeps['approvals'];
/** A mistake that somebody could make, as other rules in place of ours, and the attacks that must notice it. */
export type PlantedBug = {
  readonly name: string;
  readonly broken: (right: Rules) => Partial<Rules>;
  readonly noticedBy: readonly Attack[];
};

const everyAttack = [
  ...[
    ...selfApprovals,
    ...voterAttacks,
    ...staleAttacks,
    ...changedPlans,
    ...stepUpAttacks,
    ...roleAttacks,
    ...tagAttacks,
  ],
];
function attacks(...names: readonly string[]): Attack[] {
  return names.map((name) => {
    const found = everyAttack.find((attack) => attack.name.includes(name));
    if (found === undefined) throw new RangeError(`there is no attack ${name}`);
    return found;
  });
}

type Decide = NonNullable<Rules['decideVote']>;
const decidesWith =
  (decide: Decide): PlantedBug['broken'] =>
  () => ({ decideVote: decide });

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'whoever asks may decide',
    broken: decidesWith((facts, vote) =>
      decideVote({ ...facts, approval: { ...facts.approval, requestedBy: '' } }, vote),
    ),
    noticedBy: attacks('asked by slack, approved by teams', 'by who asked and one other'),
  },
  {
    name: 'the button’s digest is not compared',
    broken: decidesWith((facts, vote) =>
      decideVote(facts, { ...vote, seen: { revision: undefined, digest8: undefined } }),
    ),
    noticedBy: attacks('another digest in the button'),
  },
  {
    name: 'nothing expires',
    broken: decidesWith((facts, vote) => decideVote({ ...facts, nowMs: 0 }, vote)),
    noticedBy: attacks('an expired request'),
  },
  {
    name: 'every six-digit code is right',
    broken: () => ({ verifyStepUp: async () => 'proven' }),
    noticedBy: attacks('a wrong six-digit code'),
  },
  {
    name: 'roles count for every machine',
    broken: decidesWith((facts, vote) => decideVote({ ...facts, eligible: [...facts.eligible, vote.person] }, vote)),
    noticedBy: attacks('an approver of another machine'),
  },
  {
    name: 'whoever a role change is about may decide',
    broken: decidesWith((facts, vote) => {
      const approval = { ...facts.approval, concerns: undefined };
      return decideVote({ ...facts, approval, eligible: [...facts.eligible, vote.person] }, vote);
    }),
    noticedBy: attacks('the accomplice approves it', 'makes somebody admin of everything'),
  },
  {
    name: 'votes are counted by chat user',
    broken: decidesWith((facts, vote) => {
      const user = `${vote.person} in another chat`;
      return decideVote({ ...facts, eligible: [...facts.eligible, user] }, { ...vote, person: user });
    }),
    noticedBy: attacks('in Teams and by slack'),
  },
  {
    name: 'the plan of now is not compared with the approved one',
    broken: decidesWith((facts, vote) => {
      const { digest } = facts.approval;
      return decideVote({ ...facts, proposal: { kind: 'planned', digest, changes: [] } }, vote);
    }),
    noticedBy: attacks('click: its epoch', 'an approver of what waits'),
  },
  {
    name: 'whoever asked may have lost the role',
    broken: decidesWith((facts, vote) => decideVote({ ...facts, mayRequesterAsk: true }, vote)),
    noticedBy: attacks('was made a viewer meanwhile', 'narrowed to another machine meanwhile'),
  },
  {
    name: 'whoever asked for a change of tags may decide',
    broken: decidesWith((facts, vote) => {
      const approval = { ...facts.approval, requestedBy: '' };
      return decideVote({ ...facts, approval }, vote);
    }),
    noticedBy: attacks('approves their own change of tags'),
  },
  {
    name: 'a request that has ended can be approved',
    broken: decidesWith((facts, vote) =>
      decideVote({ ...facts, approval: { ...facts.approval, state: 'pending' } }, vote),
    ),
    noticedBy: attacks('a withdrawn request'),
  },
  {
    name: 'another plan runs than the approved one',
    broken: ({ createApprovedRun }) => ({
      createApprovedRun: (db, order) =>
        createApprovedRun(db, { ...order, plan: { ...order.plan, network: 'production' } }),
    }),
    noticedBy: attacks('used for a second run'),
  },
];

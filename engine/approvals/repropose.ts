import { z } from 'zod';
import type { ProposalNow } from '../../domain/approval.ts';
import { changedFields } from '../../domain/changed-fields.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import type { PlannedFailoverPlan } from '../../domain/planned-failover.ts';
import type { ApprovalRecord } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { findMachine, type MachineRecord } from '../store/machines.ts';
import { type Around, proposalDigest, proposeFailover, proposeThresholds, wantedThresholds } from './proposal.ts';
import { proposeAgain } from './role-proposal.ts';
import { proposeTagsAgain } from './tag-proposal.ts';

export type Reproposal = {
  readonly now: ProposalNow;
  /** What will run, when it is a failover that is possible now. */
  readonly plan: PlannedFailoverPlan | undefined;
};

/** What an approval's request would be if it were made at this moment: everything is read and decided anew. Source: RELIABILITY 2b (1), (3) */
export async function repropose(db: Database, approval: ApprovalRecord, around: Around): Promise<Reproposal> {
  switch (approval.operation) {
    case 'planned-failover': {
      const machine = await machineOf(db, approval);
      if (machine === undefined) return over(`${approval.machineName} is not there any more.`);
      const found = await proposeFailover(db, machine, { ...around, notBeforeMs: approval.notBeforeMs });
      if (found.kind === 'planned') {
        return { now: { kind: 'planned', ...compare(approval, found.proposal.params) }, plan: found.plan };
      }
      if (found.isOver) return over(found.message);
      const { blocked } = found;
      const compared = blocked ? compare(approval, blocked.proposal.params) : { digest: undefined, changes: [] };
      return { now: { kind: 'not-now', message: found.message, ...compared }, plan: undefined };
    }
    case 'raise-threshold': {
      const machine = await machineOf(db, approval);
      if (machine === undefined) return over(`${approval.machineName} is not there any more.`);
      const found = await proposeThresholds(db, machine, wantedThresholds(approval.params));
      if (found.kind === 'refused') return over(found.message);
      if (found.kind === 'immediate') return over(`The thresholds of ${machine.name} have been changed meanwhile.`);
      return { now: { kind: 'planned', ...compare(approval, found.proposal.params) }, plan: undefined };
    }
    case 'change-approvers': {
      const propose = approval.concerns === undefined ? proposeTagsAgain : proposeAgain;
      const found = await propose(db, approval);
      if (found.kind === 'over') return over(found.why);
      return { now: { kind: 'planned', ...compare(approval, found.proposal.params) }, plan: undefined };
    }
    default:
      return assertNever(approval.operation);
  }
}

function machineOf(db: Database, { machineId }: ApprovalRecord): Promise<MachineRecord | undefined> {
  invariant(machineId, 'it is about a machine');
  return findMachine(db, machineId);
}

function over(message: string): Reproposal {
  return { now: { kind: 'over', message }, plan: undefined };
}

function compare(approval: ApprovalRecord, params: object) {
  const before = z.record(z.string(), z.unknown()).parse(approval.params);
  return { digest: proposalDigest(params), changes: changedFields(before, params) };
}

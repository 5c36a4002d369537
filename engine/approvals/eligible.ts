import type { Approval } from '../../domain/approval.ts';
import type { Database } from '../store/database.ts';
import { eligibleApprovers } from '../store/people.ts';

/** Who may decide about it at this moment, by role and scope; whoever asked may be among them. */
export function eligibleFor(db: Database, approval: Pick<Approval, 'operation' | 'machineName'>): Promise<string[]> {
  return eligibleApprovers(db, [approval.machineName], approval.operation === 'raise-threshold' ? 'admin' : 'approver');
}

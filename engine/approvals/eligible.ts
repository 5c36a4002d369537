import type { Approval } from '../../domain/approval.ts';
import type { Database } from '../store/database.ts';
import { eligiblePersons } from '../store/people.ts';

type Decision = Pick<Approval, 'operation' | 'machineName'>;

/** Who may decide about it at this moment, by role and scope; whoever asked may be among them. */
export async function eligibleFor(db: Database, approval: Decision): Promise<string[]> {
  const [persons] = await eligibleForEach(db, [approval]);
  return persons ?? [];
}

/** The same of many, in their order; the number of statements does not grow with them. */
export function eligibleForEach(db: Database, approvals: readonly Decision[]): Promise<string[][]> {
  const asked = approvals.map(({ machineName, operation }) => ({
    machineNames: [machineName],
    role: operation === 'raise-threshold' ? ('admin' as const) : ('approver' as const),
  }));
  return eligiblePersons(db, asked);
}

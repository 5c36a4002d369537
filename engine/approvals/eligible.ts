import type { Approval } from '../../domain/approval.ts';
import { invariant } from '../../domain/invariant.ts';
import type { Database } from '../store/database.ts';
import { eligiblePersons, siteAdmins } from '../store/people.ts';

type Decision = Pick<Approval, 'operation' | 'machineName' | 'concerns'>;

/** Who may decide about it at this moment, by role and scope; whoever asked may be among them, never whom it is about. */
export async function eligibleFor(db: Database, approval: Decision): Promise<string[]> {
  const [persons] = await eligibleForEach(db, [approval]);
  return persons ?? [];
}

/** The same of many, in their order; the number of statements does not grow with them. */
export async function eligibleForEach(db: Database, approvals: readonly Decision[]): Promise<string[][]> {
  const ofMachines = approvals.filter(({ operation }) => operation !== 'change-approvers');
  const asked = ofMachines.map(({ machineName, operation }) => {
    invariant(machineName, 'it is about a machine');
    return {
      machineNames: [machineName],
      role: operation === 'raise-threshold' ? ('admin' as const) : ('approver' as const),
    };
  });
  const persons = await eligiblePersons(db, asked);
  const admins = ofMachines.length === approvals.length ? [] : await siteAdmins(db);
  return approvals.map((approval) =>
    approval.operation === 'change-approvers'
      ? admins.filter((person) => person !== approval.concerns)
      : (persons[ofMachines.indexOf(approval)] ?? []),
  );
}

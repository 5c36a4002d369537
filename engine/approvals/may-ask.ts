import { type AccessRequest, decideAccess } from '../../domain/access.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import type { ApprovalRecord } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { tagsOf } from '../store/machine-tags.ts';
import { grantsOf } from '../store/people.ts';

/** Whether who asked for it may still ask for it: their role, and its scope, as they are at this moment. Source: RELIABILITY 2b (2) */
export async function mayRequesterAsk(
  db: Database,
  approval: Pick<ApprovalRecord, 'operation' | 'machineName' | 'requestedBy'>,
): Promise<boolean> {
  const { operation, machineName: name, requestedBy } = approval;
  const grants = await grantsOf(db, requestedBy);
  const request = requestOf(operation);
  if (operation === 'change-approvers') return decideAccess(grants, request).kind === 'allowed';
  invariant(name, 'it is about a machine');
  return decideAccess(grants, request, { name, tags: await tagsOf(db, name) }).kind === 'allowed';
}

function requestOf(operation: ApprovalRecord['operation']): AccessRequest {
  switch (operation) {
    case 'planned-failover':
      return 'planned-failover';
    case 'raise-threshold':
      return 'threshold';
    case 'change-approvers':
      return 'person';
    default:
      return assertNever(operation);
  }
}

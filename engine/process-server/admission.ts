import type { KeyObject } from 'node:crypto';
import type { DiskId } from '../../domain/ids.ts';
import type { ChangeStreamProblem } from '../../protocol/change-stream.ts';
import { checkGrant } from '../../protocol/replication-grant.ts';
import type { Caller } from '../tls.ts';

/** A request that may go on: whose disk it is about, and with which rights. */
export type Admitted = {
  readonly kind: 'admitted';
  readonly diskId: DiskId;
  readonly diskSizeBytes: number;
  readonly epoch: number;
};
export type Refused = { readonly kind: 'refused'; readonly status: number; readonly problem: ChangeStreamProblem };

/**
 * Whether this caller may work on this disk now: the certificate says who calls, the grant says what that agent may do.
 *
 * @param asked the disk id in the path, unchecked
 */
export function admit(
  request: { readonly caller: Caller; readonly grant: string | undefined; readonly asked: string },
  authority: { readonly grantPublicKey: KeyObject; readonly nowMs: number },
): Admitted | Refused {
  const { caller } = request;
  if (caller.kind === 'refused') return refused(401, 'unauthenticated', caller.message);
  if (caller.kind === 'anonymous' || caller.identity.kind !== 'agent') {
    return refused(401, 'unauthenticated', 'Only an enrolled agent may call this. Enrol the host with a token.');
  }
  if (request.grant === undefined) return refused(403, 'grant-refused', 'The request carries no grant of the engine.');
  const checked = checkGrant(request.grant, authority.grantPublicKey, authority.nowMs);
  if (checked.kind === 'refused') return refused(403, 'grant-refused', `${checked.why}.`);
  const { grant } = checked;
  if (grant.agentId !== caller.identity.agentId) {
    return refused(403, 'grant-refused', `The grant is ${grant.agentId}'s, not ${caller.identity.agentId}'s.`);
  }
  const disk = grant.disks.find((granted) => granted.diskId === request.asked);
  if (disk === undefined) return refused(403, 'grant-refused', 'The grant does not name this disk.');
  return { kind: 'admitted', diskId: disk.diskId, diskSizeBytes: disk.sizeBytes, epoch: grant.epoch };
}

type PlainProblem = Exclude<ChangeStreamProblem['kind'], 'position-mismatch'>;

export function refused(status: number, kind: PlainProblem, message: string): Refused {
  return { kind: 'refused', status, problem: { kind, message } };
}

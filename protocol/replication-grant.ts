import { type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { type AgentId, type DiskId, idPattern, type MachineId } from '../domain/ids.ts';
import { canonicalText } from './point-manifest.ts';

/**
 * The engine's signed permission for one agent to write one machine's disks at any process server, in one epoch.
 *
 * The process server checks it with the engine's public key alone, so it needs no database; a raised epoch or an expired grant
 * fences the old sender. Wire form: base64url(canonical JSON) + "." + base64url(Ed25519 signature). Source: DESIGN 4, RELIABILITY 2
 */
export const replicationGrant = z.object({
  agentId: z.custom<AgentId>((value) => typeof value === 'string' && idPattern('agent').test(value)),
  machineId: z.custom<MachineId>((value) => typeof value === 'string' && idPattern('machine').test(value)),
  disks: z.array(
    z.object({
      diskId: z.custom<DiskId>((value) => typeof value === 'string' && idPattern('disk').test(value)),
      sizeBytes: z.number().int().min(1),
    }),
  ),
  epoch: z.number().int().min(1),
  /** Epoch milliseconds by the engine's clock; grants last ten minutes and come anew with each heartbeat. */
  notAfterMs: z.number().int(),
});
export type ReplicationGrant = z.infer<typeof replicationGrant>;

export const grantHeader = 'x-lifeboat-grant';
const wireLengthMax = 16_384;

/** Signs a grant with the engine's Ed25519 key. */
export function signGrant(grant: ReplicationGrant, signingKey: KeyObject): string {
  const text = Buffer.from(canonicalText(grant));
  return `${text.toString('base64url')}.${sign(null, text, signingKey).toString('base64url')}`;
}

export type GrantCheck =
  | { readonly kind: 'valid'; readonly grant: ReplicationGrant }
  | { readonly kind: 'refused'; readonly why: string };

/** Checks signature, form and time; the caller still compares agent, disk and epoch with the request. */
export function checkGrant(wire: string, publicKey: KeyObject, nowMs: number): GrantCheck {
  if (wire.length > wireLengthMax) return { kind: 'refused', why: 'the grant is too long' };
  const [payload, signature, ...rest] = wire.split('.');
  if (!payload || !signature || rest.length > 0) return { kind: 'refused', why: 'the grant is malformed' };
  const text = Buffer.from(payload, 'base64url');
  if (!verify(null, text, publicKey, Buffer.from(signature, 'base64url'))) {
    return { kind: 'refused', why: 'the grant is not signed by this installation' };
  }
  const parsed = replicationGrant.safeParse(JSON.parse(text.toString('utf8')));
  if (!parsed.success) return { kind: 'refused', why: 'the grant is malformed' };
  if (nowMs >= parsed.data.notAfterMs) return { kind: 'refused', why: 'the grant has expired' };
  return { kind: 'valid', grant: parsed.data };
}

import { invariant } from './invariant.ts';

/** Crockford's base 32: no I, L, O or U, so that an id can be read aloud at 3 a.m. */
const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** What each kind of id starts with. */
export const idPrefixes = {
  machine: 'mch',
  disk: 'dsk',
  host: 'hst',
  agent: 'agt',
  recoveryPoint: 'rp',
  run: 'run',
  drill: 'drl',
  request: 'req',
  approval: 'apr',
  alert: 'alr',
  message: 'msg',
  session: 'ses',
} as const;

export type IdKind = keyof typeof idPrefixes;
/** An id such as `run_7K3M9Q2WXA`: a kind's prefix, then ten Crockford characters (50 random bits). */
export type Id<Kind extends IdKind> = string & { readonly __kind: Kind };
export type MachineId = Id<'machine'>;
export type DiskId = Id<'disk'>;
export type HostId = Id<'host'>;
export type AgentId = Id<'agent'>;
export type RecoveryPointId = Id<'recoveryPoint'>;
export type RunId = Id<'run'>;
export type DrillId = Id<'drill'>;
export type RequestId = Id<'request'>;
export type ApprovalId = Id<'approval'>;
export type AlertId = Id<'alert'>;
export type MessageId = Id<'message'>;
/** Of somebody who signed in at the web console; it may be shown, the session's token never. */
export type SessionId = Id<'session'>;

export const idBodyLength = 10;

/**
 * Makes an id from random bytes.
 *
 * @param randomBytes at least ten bytes from a cryptographic generator; five bits of each are used
 */
export function idFromBytes<Kind extends IdKind>(kind: Kind, randomBytes: Uint8Array): Id<Kind> {
  invariant(randomBytes.length >= idBodyLength, 'an id needs ten random bytes');
  const body = Array.from(randomBytes.subarray(0, idBodyLength), (byte) => crockford[byte & 31]).join('');
  return `${idPrefixes[kind]}_${body}` as Id<Kind>;
}

/** Made once: a look at a thousand machines checks some ten thousand ids. */
const idPatterns = new Map<IdKind, RegExp>();

/** The pattern that every id of a kind matches; used at the parse edges. */
export function idPattern(kind: IdKind): RegExp {
  const known = idPatterns.get(kind);
  if (known !== undefined) return known;
  const pattern = new RegExp(`^${idPrefixes[kind]}_[${crockford}]{${idBodyLength}}$`);
  idPatterns.set(kind, pattern);
  return pattern;
}

/** True when the text is a well-formed id of that kind. */
export function isId<Kind extends IdKind>(kind: Kind, text: string): text is Id<Kind> {
  return idPattern(kind).test(text);
}

import { createHash, X509Certificate } from 'node:crypto';
import { type AgentId, isId } from '../domain/ids.ts';
import { assertNever } from '../domain/invariant.ts';

/**
 * Who is at the other end of a mutual TLS connection. It stands in the certificate as exactly one URI subject alternative name,
 * `lifeboat://<kind>/<name>`; names in the subject mean nothing. Source: RELIABILITY 2 (one auth scheme only)
 */
export type Identity =
  | { readonly kind: 'agent'; readonly agentId: AgentId }
  | { readonly kind: 'person'; readonly name: string }
  | { readonly kind: 'process-server'; readonly name: string }
  | { readonly kind: 'bot'; readonly name: string }
  | { readonly kind: 'engine'; readonly name: string };

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const uriPattern = /^lifeboat:\/\/(agent|person|process-server|bot|engine)\/([A-Za-z0-9._-]{1,63})$/;

/** True for 1 to 63 letters, digits, dots, dashes and underscores that begin with a letter or digit. */
export function isIdentityName(text: string): boolean {
  return namePattern.test(text);
}

/** The identity's URI, as it stands in certificates and audit rows. */
export function identityUri(identity: Identity): string {
  return `lifeboat://${identity.kind}/${identity.kind === 'agent' ? identity.agentId : identity.name}`;
}

/** Reads `lifeboat://<kind>/<name>`; anything else, however close, is undefined. */
export function parseIdentityUri(uri: string): Identity | undefined {
  const [, kind, name] = uriPattern.exec(uri) ?? [];
  if (kind === undefined || name === undefined) return undefined;
  if (kind === 'agent') return isId('agent', name) ? { kind, agentId: name } : undefined;
  if (!isIdentityName(name)) return undefined;
  return kind === 'person' || kind === 'process-server' || kind === 'bot' || kind === 'engine'
    ? { kind, name }
    : undefined;
}

/**
 * The identity in a peer's certificate, or undefined unless it names exactly one URI and that one is ours.
 *
 * The caller must know that TLS verified the chain: this reads names, it proves nothing.
 */
export function identityOf(certificate: { readonly subjectaltname?: string | undefined }): Identity | undefined {
  const text = certificate.subjectaltname;
  // Node quotes names with unusual characters; we issue none, and a quoted one could hide a separator.
  if (!text || text.includes('"')) return undefined;
  const uris = text.split(', ').filter((name) => name.toUpperCase().startsWith('URI:'));
  const [uri, ...others] = uris;
  return uri === undefined || others.length > 0 ? undefined : parseIdentityUri(uri.slice('URI:'.length));
}

/** How people see an identity: `ana`, `agent agt_…`, `process server ps-1`. */
export function identityWords(identity: Identity): string {
  switch (identity.kind) {
    case 'person':
      return identity.name;
    case 'agent':
      return `agent ${identity.agentId}`;
    case 'process-server':
      return `process server ${identity.name}`;
    case 'bot':
    case 'engine':
      return `${identity.kind} ${identity.name}`;
    default:
      return assertNever(identity);
  }
}

/** SHA-256 (lower-case hex) of a certificate's DER form: its fingerprint, and the pin of a certificate authority. */
export function certificateFingerprint(certificate: string | Uint8Array): string {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest('hex');
}

import type { Server } from 'node:https';
import type { TLSSocket, TlsOptions } from 'node:tls';
import { certificateFingerprint, type Identity, identityOf } from '../protocol/identity.ts';
import type { IssuedKeyPair } from './certificate-authority.ts';

/** The floor for every connection between our programs. */
export const tlsVersionMin = 'TLSv1.3';

/**
 * Server options for one of our servers.
 *
 * @param clients `required`: a connection without a certificate of our authority fails in the handshake (process server).
 *   `if-offered`: it is let in, and `callerOf` says that it is anonymous (the engine, whose enrolment route has no certificate yet).
 */
export function secureServerOptions(
  key: Pick<IssuedKeyPair, 'privateKey' | 'certificate' | 'certificateAuthority'>,
  clients: 'required' | 'if-offered',
): TlsOptions {
  return {
    key: key.privateKey,
    // Leaf and authority: a host that enrols knows only the authority's pin and finds it in the chain.
    cert: key.certificate,
    ca: [key.certificateAuthority],
    minVersion: tlsVersionMin,
    requestCert: true,
    rejectUnauthorized: clients === 'required',
    handshakeTimeout: 10_000,
  };
}

export type Caller =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'known'; readonly identity: Identity; readonly fingerprint: string; readonly expiresAtMs: number }
  /** A certificate was shown and it is not good; nothing may be done for this caller, not even enrolment. */
  | { readonly kind: 'refused'; readonly message: string };

const newCertificateStep =
  'A host is enrolled again with a new token (`lifeboat enrolment-token`); a person takes the files that the engine writes into its state folder.';

/** Who is calling, as TLS proved it. Expiry is checked at each call: a connection may outlive its certificate. */
export function callerOf(socket: TLSSocket, nowMs: number): Caller {
  const certificate = socket.getPeerCertificate();
  if (!certificate?.raw) return { kind: 'anonymous' };
  const expiresAtMs = Date.parse(certificate.valid_to);
  if (expiresAtMs <= nowMs) {
    return {
      kind: 'refused',
      message: `Your certificate expired at ${certificate.valid_to}. ${newCertificateStep}`,
    };
  }
  if (!socket.authorized) {
    return {
      kind: 'refused',
      message: `Your certificate is not from this installation. ${newCertificateStep}`,
    };
  }
  const identity = identityOf(certificate);
  if (identity === undefined) {
    return { kind: 'refused', message: 'Your certificate does not say who you are. Ask for a new one.' };
  }
  return { kind: 'known', identity, fingerprint: certificateFingerprint(certificate.raw), expiresAtMs };
}

/**
 * Gives a running server a new certificate at two thirds of the old one's life, again and again.
 *
 * @param issue makes the next certificate; when it fails, `onFailure` is told and it is tried again after a minute
 * @returns stops the renewal
 */
export function keepServerCertificate(deps: {
  readonly server: Pick<Server, 'setSecureContext'>;
  readonly current: IssuedKeyPair;
  readonly clients: 'required' | 'if-offered';
  readonly issue: () => Promise<IssuedKeyPair>;
  readonly nowMs: () => number;
  readonly onFailure: (error: unknown) => void;
}): () => void {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const arm = (delayMs: number) => {
    if (stopped) return;
    timer = setTimeout(() => void renew(), Math.max(1000, delayMs));
    timer.unref();
  };
  const untilRenewal = (expiresAtMs: number) => ((expiresAtMs - deps.nowMs()) * 2) / 3;
  const renew = async () => {
    try {
      const next = await deps.issue();
      deps.server.setSecureContext(secureServerOptions(next, deps.clients));
      arm(untilRenewal(next.expiresAtMs));
    } catch (error) {
      deps.onFailure(error);
      arm(60_000);
    }
  };
  arm(untilRenewal(deps.current.expiresAtMs));
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

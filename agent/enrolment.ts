import { X509Certificate } from 'node:crypto';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { OutageError } from '../domain/outage.ts';
import { minuteMs } from '../domain/units.ts';
import { type EnrolmentToken, parseEnrolmentToken } from '../protocol/enrolment-token.ts';
import { certificateFingerprint } from '../protocol/identity.ts';
import { type ControlClient, type ControlRefusal, requestEnrolment } from './control-client.ts';
import { type AgentIdentity, createKeyAndRequest, identityFrom, saveIdentity } from './identity.ts';

export type EnrolOutcome = { readonly kind: 'enrolled'; readonly identity: AgentIdentity } | ControlRefusal;

const handshakeTimeoutMs = 10_000;
const chainLengthMax = 10;

/**
 * Enrols this host: the key is made here, the engine is recognised by the authority's pin in the token, and nothing else is trusted.
 *
 * Throws OutageError when the engine cannot be reached or is not the one that made the token; the token is then still unused.
 */
export async function enrol(order: {
  readonly token: string;
  readonly hostName: string;
  readonly stateFolder: string;
}): Promise<EnrolOutcome> {
  const token = parseEnrolmentToken(order.token);
  if (token === undefined) {
    return {
      kind: 'refused',
      message: 'This is not an enrolment token, or not all of it: copy the whole line (lbt_…).',
    };
  }
  const certificateAuthority = await pinnedAuthority(token);
  const { privateKey, certificateRequest } = await createKeyAndRequest();
  const outcome = await requestEnrolment(
    { engineUrl: token.engineUrl, certificateAuthority },
    { token: order.token.trim(), hostName: order.hostName, certificateRequest },
  );
  if (outcome.kind !== 'issued') return outcome;
  const identity = identityFrom(token.engineUrl, privateKey, { ...outcome.answer, certificateAuthority });
  await saveIdentity(order.stateFolder, identity);
  return { kind: 'enrolled', identity };
}

/**
 * Fetches the authority's certificate, which this host does not have yet, from the server's own chain, and accepts it only by its pin.
 * Nothing is sent on this connection; the token goes over a second one that trusts this authority alone.
 */
async function pinnedAuthority(token: EnrolmentToken): Promise<string> {
  const chain = await presentedChain(new URL(token.engineUrl));
  const pinned = chain.find((certificate) => certificateFingerprint(certificate) === token.caPinSha256);
  if (pinned === undefined) {
    throw new OutageError(`enrol at ${token.engineUrl}: the server there is not the engine that made this token`, {
      retryable: false,
      nextStep: 'Somebody may be in between. Check the address, then make a new token on the engine.',
    });
  }
  return new X509Certificate(pinned).toString();
}

async function presentedChain(engine: URL): Promise<Buffer[]> {
  const port = engine.port === '' ? 443 : Number(engine.port);
  const host = engine.hostname.replace(/^\[(.*)\]$/, '$1');
  const { promise, resolve, reject } = Promise.withResolvers<Buffer[]>();
  // Not verified on purpose: the authority is unknown until its pin has been compared, and nothing is sent before.
  const socket = connect({ host, port, minVersion: 'TLSv1.3', rejectUnauthorized: false });
  socket.setTimeout(handshakeTimeoutMs, () => socket.destroy(new Error(`no answer within ${handshakeTimeoutMs} ms`)));
  socket.once('secureConnect', () => resolve(chainOf(socket.getPeerCertificate(true))));
  socket.once('error', reject);
  try {
    return await promise;
  } catch (cause) {
    throw new OutageError(`connect to ${engine.host}`, {
      cause,
      retryable: true,
      nextStep: 'Check that the engine runs and that its port can be reached from this host.',
    });
  } finally {
    socket.destroy();
  }
}

function chainOf(leaf: DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  let current: DetailedPeerCertificate | undefined = leaf;
  while (current?.raw && chain.length < chainLengthMax) {
    if (chain.at(-1)?.equals(current.raw)) break;
    chain.push(current.raw);
    current = current.issuerCertificate;
  }
  return chain;
}

/** When the certificate should be renewed: at two thirds of its life. */
export function renewalDueMs(identity: Pick<AgentIdentity, 'notBeforeMs' | 'expiresAtMs'>): number {
  return identity.notBeforeMs + ((identity.expiresAtMs - identity.notBeforeMs) * 2) / 3;
}

/** Gets a new key and certificate and stores them; the old identity stays in force until the new one is on disk. */
export async function renewIdentity(
  deps: { readonly client: Pick<ControlClient, 'renew'>; readonly stateFolder: string },
  identity: AgentIdentity,
): Promise<EnrolOutcome> {
  const { privateKey, certificateRequest } = await createKeyAndRequest();
  const outcome = await deps.client.renew(certificateRequest);
  if (outcome.kind !== 'issued') return outcome;
  const { certificateAuthority } = identity;
  const renewed = identityFrom(identity.engineUrl, privateKey, { ...outcome.answer, certificateAuthority });
  await saveIdentity(deps.stateFolder, renewed);
  return { kind: 'enrolled', identity: renewed };
}

/**
 * Renews the identity by itself at two thirds of its life. A failed attempt is told to `onProblem` and repeated after one minute, then
 * two, four … up to an hour, until the certificate has expired: then only a person with a token can help, and `onProblem` says so.
 *
 * @returns stops the renewal
 */
export function startIdentityRenewal(deps: {
  readonly client: Pick<ControlClient, 'renew'>;
  readonly stateFolder: string;
  readonly identity: AgentIdentity;
  readonly nowMs: () => number;
  readonly onRenewed: (identity: AgentIdentity) => void;
  readonly onProblem: (message: string, cause: unknown) => void;
}): () => void {
  let identity = deps.identity;
  let timer: NodeJS.Timeout;
  let failures = 0;
  let stopped = false;
  const arm = (delayMs: number) => {
    if (stopped) return;
    // Timers count to 24.8 days only; a certificate lives seven, so a longer delay is a clock that went wrong.
    timer = setTimeout(() => void attempt(), Math.min(Math.max(delayMs, 1000), 7 * 24 * 60 * minuteMs));
    timer.unref();
  };
  const retry = (message: string, cause: unknown) => {
    failures += 1;
    if (deps.nowMs() >= identity.expiresAtMs) {
      deps.onProblem('The certificate of this host has expired. Enrol it again with a new token.', cause);
      return;
    }
    deps.onProblem(message, cause);
    arm(Math.min(minuteMs * 2 ** (failures - 1), 60 * minuteMs));
  };
  const attempt = async () => {
    try {
      const outcome = await renewIdentity(deps, identity);
      if (outcome.kind !== 'enrolled') return retry(`The certificate was not renewed: ${outcome.message}`, undefined);
      identity = outcome.identity;
      failures = 0;
      deps.onRenewed(identity);
      arm(renewalDueMs(identity) - deps.nowMs());
    } catch (cause) {
      retry('The certificate could not be renewed; it will be tried again.', cause);
    }
  };
  arm(renewalDueMs(identity) - deps.nowMs());
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

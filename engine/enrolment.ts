import { randomBytes } from 'node:crypto';
import { type AgentId, idFromBytes } from '../domain/ids.ts';
import { assertNever } from '../domain/invariant.ts';
import { minuteMs } from '../domain/units.ts';
import type { CertificateAnswer, EnrolRequest } from '../protocol/agent-api.ts';
import { formatEnrolmentToken, parseEnrolmentToken, tokenHash } from '../protocol/enrolment-token.ts';
import type { CertificateAuthority } from './certificate-authority.ts';

/** A token is good for at most this long. Source: RELIABILITY 2 */
export const tokenLifeMsMax = 15 * minuteMs;

export type NewToken = {
  /** SHA-256 (hex) of the token's secret; the secret itself is stored nowhere. */
  readonly tokenHash: string;
  /** The one host that may use it. */
  readonly hostName: string;
  readonly createdBy: string;
  /** The store adds this to the database's own clock. */
  readonly lifeMs: number;
};
export type TokenUse = {
  readonly tokenHash: string;
  readonly hostName: string;
  /** The new agent and its certificate, which become valid with this same transaction. */
  readonly agentId: AgentId;
  readonly certificateFingerprint: string;
  readonly certificateExpiresAtMs: number;
};
export type TokenOutcome =
  | { readonly kind: 'consumed' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'expired' }
  | { readonly kind: 'used' }
  | { readonly kind: 'other-host'; readonly hostName: string };

export type EnrolmentDeps = {
  readonly certificateAuthority: CertificateAuthority;
  /** Where agents reach the engine: goes into the token. */
  readonly engineUrl: string;
  readonly nowMs: () => number;
  readonly insertToken: (token: NewToken) => Promise<void>;
  /**
   * One transaction: the token, unused and unexpired by the database's clock and of this host, becomes used; the host gets this agent
   * (an older agent of the host is revoked) with this certificate. In every other outcome nothing changes but that it is recorded.
   */
  readonly consumeToken: (use: TokenUse) => Promise<TokenOutcome>;
  /** Remembers an agent's new certificate; `refused` when the agent is revoked or unknown. */
  readonly recordRenewal: (renewal: {
    readonly agentId: AgentId;
    readonly certificateFingerprint: string;
    readonly certificateExpiresAtMs: number;
  }) => Promise<{ readonly kind: 'recorded' } | { readonly kind: 'refused' }>;
};

export type EnrolmentRefusal = {
  readonly kind: 'refused';
  readonly why: 'malformed' | 'unknown-token' | 'expired' | 'used' | 'other-host' | 'bad-request' | 'revoked';
  readonly message: string;
  readonly nextStep: string;
};
export type EnrolmentOutcome = { readonly kind: 'issued'; readonly answer: CertificateAnswer } | EnrolmentRefusal;

const newTokenStep =
  'Make a new token with `lifeboat enrolment-token --host <name>` on the engine; it works once, for 15 minutes.';

/** Makes a token for one host. The answer is the only copy. */
export async function createEnrolmentToken(
  deps: Pick<EnrolmentDeps, 'certificateAuthority' | 'engineUrl' | 'nowMs' | 'insertToken'>,
  order: { readonly hostName: string; readonly createdBy: string; readonly lifeMs?: number },
): Promise<string> {
  const lifeMs = Math.min(order.lifeMs ?? tokenLifeMsMax, tokenLifeMsMax);
  const token = {
    engineUrl: deps.engineUrl,
    caPinSha256: deps.certificateAuthority.pinSha256,
    secret: randomBytes(32).toString('base64url'),
    expires: deps.nowMs() + lifeMs,
  };
  await deps.insertToken({
    tokenHash: tokenHash(token),
    hostName: order.hostName,
    createdBy: order.createdBy,
    lifeMs,
  });
  return formatEnrolmentToken(token);
}

/**
 * Turns a token into an agent's first certificate.
 *
 * The certificate is made first and leaves the engine only if the token was consumed for it: one token can never yield two,
 * whatever dies in between, and a bad request does not burn the token.
 */
export async function enrolAgent(deps: EnrolmentDeps, request: EnrolRequest): Promise<EnrolmentOutcome> {
  const token = parseEnrolmentToken(request.token);
  if (token === undefined) {
    return refusal(
      'malformed',
      'This is not an enrolment token, or not all of it.',
      'Copy the whole line that begins with lbt_.',
    );
  }
  const agentId = idFromBytes('agent', randomBytes(10));
  const outcome = await deps.certificateAuthority.issueForRequest(
    request.certificateRequest,
    { kind: 'agent', agentId },
    { nowMs: deps.nowMs() },
  );
  if (outcome.kind === 'refused') return badRequest(outcome.message);
  const { issued } = outcome;
  const consumed = await deps.consumeToken({
    tokenHash: tokenHash(token),
    hostName: request.hostName,
    agentId,
    certificateFingerprint: issued.fingerprint,
    certificateExpiresAtMs: issued.expiresAtMs,
  });
  if (consumed.kind !== 'consumed') return refuseToken(consumed, request.hostName);
  const { certificate, certificateAuthority } = issued;
  return { kind: 'issued', answer: { agentId, certificate, certificateAuthority } };
}

/** A new certificate for an agent that proved with its present one who it is; `agentId` comes from that certificate. */
export async function renewAgent(
  deps: EnrolmentDeps,
  renewal: { readonly agentId: AgentId; readonly certificateRequest: string },
): Promise<EnrolmentOutcome> {
  const { agentId } = renewal;
  const outcome = await deps.certificateAuthority.issueForRequest(
    renewal.certificateRequest,
    { kind: 'agent', agentId },
    { nowMs: deps.nowMs() },
  );
  if (outcome.kind === 'refused') return badRequest(outcome.message);
  const { issued } = outcome;
  const recorded = await deps.recordRenewal({
    agentId,
    certificateFingerprint: issued.fingerprint,
    certificateExpiresAtMs: issued.expiresAtMs,
  });
  if (recorded.kind === 'refused') {
    return refusal('revoked', `Agent ${agentId} is revoked or unknown.`, newTokenStep);
  }
  const { certificate, certificateAuthority } = issued;
  return { kind: 'issued', answer: { agentId, certificate, certificateAuthority } };
}

function refuseToken(outcome: Exclude<TokenOutcome, { kind: 'consumed' }>, hostName: string): EnrolmentRefusal {
  switch (outcome.kind) {
    case 'unknown':
      return refusal('unknown-token', 'This engine did not make this token.', newTokenStep);
    case 'expired':
      return refusal('expired', 'This token has expired: tokens are good for 15 minutes.', newTokenStep);
    case 'used':
      return refusal('used', 'This token was used already: a token works once.', newTokenStep);
    case 'other-host':
      return refusal('other-host', `This token is for ${outcome.hostName}, not for ${hostName}.`, newTokenStep);
    default:
      return assertNever(outcome);
  }
}

function badRequest(message: string): EnrolmentRefusal {
  return refusal('bad-request', message, 'Remove the agent’s state folder and enrol again; the token is still good.');
}

function refusal(why: EnrolmentRefusal['why'], message: string, nextStep: string): EnrolmentRefusal {
  return { kind: 'refused', why, message, nextStep };
}

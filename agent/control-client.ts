import { Agent, type Dispatcher, request } from 'undici';
import type { z } from 'zod';
import type { RecoveryPointId } from '../domain/ids.ts';
import { OutageError } from '../domain/outage.ts';
import {
  type AnnouncePointRequest,
  announcePointAnswer,
  type CertificateAnswer,
  certificateAnswer,
  type EnrolRequest,
  type HeartbeatAnswer,
  type HeartbeatRequest,
  heartbeatAnswer,
} from '../protocol/agent-api.ts';
import { refusalBody, routes } from '../protocol/control-api.ts';
import { type AgentIdentity, secureClientOptions } from './identity.ts';

/**
 * The engine said no. `fenced` (409): another instance or a newer epoch owns the machine now, so this agent stops writing to it;
 * `refused`: this request will never be granted as it is. Outages are thrown as OutageError.
 */
export type ControlRefusal = { readonly kind: 'fenced' | 'refused'; readonly message: string };
export type HeartbeatOutcome = { readonly kind: 'answered'; readonly answer: HeartbeatAnswer } | ControlRefusal;
export type AnnounceOutcome = { readonly kind: 'announced'; readonly pointId: RecoveryPointId } | ControlRefusal;
export type CertificateOutcome = { readonly kind: 'issued'; readonly answer: CertificateAnswer } | ControlRefusal;

export type ControlClient = {
  heartbeat(report: HeartbeatRequest): Promise<HeartbeatOutcome>;
  announcePoint(point: AnnouncePointRequest): Promise<AnnounceOutcome>;
  /** Asks for a new certificate with the present one. */
  renew(certificateRequest: string): Promise<CertificateOutcome>;
  close(): Promise<void>;
};

const connectTimeoutMs = 5_000;
const answerTimeoutMs = 15_000;
const answerBytesMax = 16 * 1024 * 1024;

/**
 * The agent's side of the control API.
 *
 * @param deps.identity the identity as it is now: after a renewal, the next call connects anew with the new certificate
 */
export function createControlClient(deps: {
  readonly engineUrl: string;
  readonly identity: () => AgentIdentity;
}): ControlClient {
  let pooled: { readonly identity: AgentIdentity; readonly agent: Agent } | undefined;
  const connection = (): Agent => {
    const identity = deps.identity();
    if (pooled?.identity === identity) return pooled.agent;
    void pooled?.agent.close();
    pooled = { identity, agent: connectionPool(identity) };
    return pooled.agent;
  };
  const post = <Shape extends z.ZodType>(route: string, body: unknown, answer: Shape) =>
    postJson({ dispatcher: connection(), url: new URL(route, deps.engineUrl), body, answer });
  return {
    async heartbeat(report) {
      const outcome = await post(routes.heartbeat, report, heartbeatAnswer);
      return outcome.kind === 'answered' ? { kind: 'answered', answer: outcome.answer } : outcome;
    },
    async announcePoint(point) {
      const outcome = await post(routes.announcePoint, point, announcePointAnswer);
      return outcome.kind === 'answered' ? { kind: 'announced', pointId: outcome.answer.pointId } : outcome;
    },
    async renew(certificateRequest) {
      const outcome = await post(routes.renew, { certificateRequest }, certificateAnswer);
      return outcome.kind === 'answered' ? { kind: 'issued', answer: outcome.answer } : outcome;
    },
    async close() {
      await pooled?.agent.close();
      pooled = undefined;
    },
  };
}

/** The one call that needs no certificate: the token is sent only to the authority that it pins. */
export async function requestEnrolment(
  engine: { readonly engineUrl: string; readonly certificateAuthority: string },
  body: EnrolRequest,
): Promise<CertificateOutcome> {
  const dispatcher = connectionPool({ certificateAuthority: engine.certificateAuthority });
  try {
    const url = new URL(routes.enrol, engine.engineUrl);
    const outcome = await postJson({ dispatcher, url, body, answer: certificateAnswer });
    return outcome.kind === 'answered' ? { kind: 'issued', answer: outcome.answer } : outcome;
  } finally {
    await dispatcher.close();
  }
}

function connectionPool(identity: Parameters<typeof secureClientOptions>[0]): Agent {
  return new Agent({
    connect: { ...secureClientOptions(identity, 'engine'), timeout: connectTimeoutMs },
    connections: 2,
    headersTimeout: answerTimeoutMs,
    bodyTimeout: answerTimeoutMs,
    maxResponseSize: answerBytesMax,
  });
}

async function postJson<Shape extends z.ZodType>(call: {
  readonly dispatcher: Dispatcher;
  readonly url: URL;
  readonly body: unknown;
  readonly answer: Shape;
}): Promise<{ readonly kind: 'answered'; readonly answer: z.infer<Shape> } | ControlRefusal> {
  const what = `POST ${call.url.href}`;
  try {
    const response = await request(call.url, {
      method: 'POST',
      dispatcher: call.dispatcher,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(call.body),
    });
    const body: unknown = await response.body.json();
    if (response.statusCode === 200) return { kind: 'answered', answer: call.answer.parse(body) };
    return refusalOf(what, response.statusCode, body);
  } catch (cause) {
    if (cause instanceof OutageError) throw cause;
    throw new OutageError(what, {
      cause,
      retryable: true,
      nextStep: `Check that the engine runs at ${call.url.origin}.`,
    });
  }
}

function refusalOf(what: string, status: number, body: unknown): ControlRefusal {
  const refusal = refusalBody.safeParse(body);
  const message = refusal.success ? refusal.data.message : `HTTP ${status} without an explanation`;
  if (status >= 500 || status === 429 || status < 400) {
    throw new OutageError(`${what}: ${message}`, { retryable: true });
  }
  return { kind: status === 409 ? 'fenced' : 'refused', message };
}

import { Readable } from 'node:stream';
import { Pool } from 'undici';
import type { DiskId } from '../domain/ids.ts';
import { OutageError } from '../domain/outage.ts';
import type { Position } from '../domain/position.ts';
import {
  type ChangeStreamProblem,
  changeStreamProblem,
  changeStreamRoutes,
  contentDigestHeader,
  formatContentDigest,
  formatPosition,
  positionAnswer,
  previousHeader,
  segmentAnswer,
} from '../protocol/change-stream.ts';
import { grantHeader } from '../protocol/replication-grant.ts';
import { type AgentIdentity, secureClientOptions } from './identity.ts';

/** A newer epoch owns the machine, or the grant is for another one: this agent must not write to it any more. */
export class FencedError extends Error {
  override name = 'FencedError';
}

export type SendOutcome =
  | { readonly kind: 'acknowledged'; readonly position: Position }
  | { readonly kind: 'position-mismatch'; readonly position: Position };

/** A closed log, the digest of what it changes (protocol/content-digest.ts), and what it follows. */
export type OutgoingSegment = { readonly image: Buffer; readonly contentDigest: Buffer; readonly previous: Position };

/**
 * The agent's side of the change stream. Tries the process servers in order, and stays with the one that answered.
 *
 * Every method throws OutageError when none of them did it within its time, and FencedError when this agent must stop.
 */
export type ChangeSender = {
  readonly position: (call: DiskCall) => Promise<Position>;
  readonly digests: (call: DiskCall & { readonly firstBlock: number; readonly count: number }) => Promise<Buffer>;
  /** Resolves when the segment is durable. Sending the same one again is harmless. */
  readonly send: (call: SegmentCall) => Promise<SendOutcome>;
  readonly close: () => Promise<void>;
};
export type DiskCall = {
  readonly diskId: DiskId;
  /** Asked for at each try: heartbeats bring new ones. */
  readonly grant: () => string;
  readonly signal: AbortSignal;
};

export type SegmentCall = DiskCall & {
  readonly segment: OutgoingSegment;
  /** The whole body has left, for this try at least: now the process server works, and this thread has nothing to do. */
  readonly onHandedOver?: () => void;
};

export type ChangeSenderDeps = {
  /** As the newest heartbeat named them, in the order to try. */
  readonly processServers: () => readonly string[];
  readonly identity: () => AgentIdentity;
  readonly monotonicMs: () => number;
  readonly delay: (ms: number, signal: AbortSignal) => Promise<void>;
  /** How long one call is tried before it becomes an outage. */
  readonly tryForMs?: number;
  readonly onTakeOver?: (from: string, to: string, why: unknown) => void;
};

const connectTimeoutMs = 5_000;
/** A segment is compressed, encrypted and made durable before it is acknowledged. */
const answerTimeoutMs = 60_000;
const answerBytesMax = 4 * 1_048_576;
const bodyPieceBytes = 262_144;
const retryAfterMsMax = 10_000;
const betweenRoundsMs = 500;

export function createChangeSender(deps: ChangeSenderDeps): ChangeSender {
  const connections = createConnections(deps);
  const call = async <T>(request: Request, read: (answer: Answer) => T | undefined): Promise<T> => {
    const answer = await connections.ask(request);
    const value = read(answer);
    if (value !== undefined) return value;
    throw problemOf(request, answer);
  };
  const get = (order: DiskCall, path: string): Request => ({ ...order, method: 'GET', path, headers: {} });
  return {
    position: (order) =>
      call(get(order, changeStreamRoutes.position(order.diskId)), (answer) =>
        answer.status === 200 ? positionAnswer.parse(JSON.parse(answer.body.toString())).position : undefined,
      ),
    digests: (order) =>
      call(get(order, changeStreamRoutes.digests(order.diskId, order.firstBlock, order.count)), (answer) => {
        if (answer.status !== 200) return undefined;
        if (answer.body.length === order.count * 32) return answer.body;
        throw new OutageError(`read digests: ${answer.body.length} bytes for ${order.count} blocks`, {
          retryable: true,
        });
      }),
    send: (order) =>
      call(segmentRequest(order), (answer): SendOutcome | undefined => {
        if (answer.status === 409) {
          const problem = problemIn(answer);
          return problem?.kind === 'position-mismatch' ? problem : undefined;
        }
        if (answer.status !== 200) return undefined;
        const { position } = segmentAnswer.parse(JSON.parse(answer.body.toString()));
        return { kind: 'acknowledged', position };
      }),
    close: () => connections.close(),
  };
}

type Request = DiskCall & {
  readonly method: 'GET' | 'PUT';
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly image?: Buffer;
  readonly onHandedOver?: () => void;
};
type Answer = { readonly server: string; readonly status: number; readonly body: Buffer };

function segmentRequest(order: SegmentCall): Request {
  const { image, contentDigest, previous } = order.segment;
  return {
    ...order,
    method: 'PUT',
    path: changeStreamRoutes.segments(order.diskId),
    image,
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': String(image.length),
      [contentDigestHeader]: formatContentDigest(contentDigest),
      [previousHeader]: formatPosition(previous),
    },
  };
}

/** Keeps a connection pool per process server and certificate, and moves to the next server when one does not answer. */
function createConnections(deps: ChangeSenderDeps) {
  const pools = new Map<string, { readonly identity: AgentIdentity; readonly pool: Pool }>();
  let preferred: string | undefined;
  const poolFor = (server: string): Pool => {
    const identity = deps.identity();
    const existing = pools.get(server);
    if (existing?.identity === identity) return existing.pool;
    void existing?.pool.close();
    const pool = new Pool(server, {
      connections: 4,
      connect: {
        ...secureClientOptions(identity, 'process-server'),
        timeout: connectTimeoutMs,
      },
      headersTimeout: answerTimeoutMs,
      bodyTimeout: answerTimeoutMs,
      maxResponseSize: answerBytesMax,
    });
    pools.set(server, { identity, pool });
    return pool;
  };
  const inOrder = (): readonly string[] => {
    const servers = deps.processServers();
    const first = preferred !== undefined && servers.includes(preferred) ? preferred : servers[0];
    return first === undefined ? [] : [first, ...servers.filter((server) => server !== first)];
  };
  /** One try at every server; undefined means that none took it, and how long they asked to wait. */
  const round = async (request: Request): Promise<Answer | { readonly waitMs: number; readonly cause: unknown }> => {
    let waitMs = betweenRoundsMs;
    let cause: unknown = new Error('the engine has named no process server yet');
    for (const server of inOrder()) {
      try {
        const { answer, retryAfterMs } = await attempt(poolFor(server), server, request);
        if (answer.status < 500) {
          if (preferred !== undefined && preferred !== server) deps.onTakeOver?.(preferred, server, cause);
          preferred = server;
          return answer;
        }
        waitMs = Math.max(waitMs, retryAfterMs);
        cause = problemOf(request, answer);
      } catch (error) {
        if (request.signal.aborted) throw error;
        cause = error;
      }
    }
    return { waitMs, cause };
  };
  return {
    async ask(request: Request): Promise<Answer> {
      const untilMs = deps.monotonicMs() + (deps.tryForMs ?? 30_000);
      for (;;) {
        request.signal.throwIfAborted();
        const result = await round(request);
        if ('status' in result) return result;
        if (deps.monotonicMs() + result.waitMs >= untilMs) throw unreachable(request, result.cause);
        await deps.delay(result.waitMs, request.signal);
      }
    },
    async close() {
      await Promise.all([...pools.values()].map(({ pool }) => pool.destroy()));
      pools.clear();
    },
  };
}

async function attempt(pool: Pool, server: string, request: Request) {
  const response = await pool.request({
    method: request.method,
    path: request.path,
    headers: { ...request.headers, [grantHeader]: request.grant() },
    body:
      request.image === undefined
        ? null
        : Readable.from(piecesOf(request.image, request.onHandedOver), { objectMode: false }),
    signal: request.signal,
  });
  const body = Buffer.from(await response.body.arrayBuffer());
  const seconds = Number(response.headers['retry-after'] ?? 0);
  const retryAfterMs = Number.isFinite(seconds) ? Math.min(retryAfterMsMax, seconds * 1000) : 0;
  return { answer: { server, status: response.statusCode, body }, retryAfterMs };
}

/** In pieces, because TLS copies what it is given at once: a whole image would be in memory twice. */
async function* piecesOf(image: Buffer, onHandedOver?: () => void): AsyncGenerator<Buffer> {
  for (let done = 0; done < image.length; done += bodyPieceBytes) yield image.subarray(done, done + bodyPieceBytes);
  onHandedOver?.();
}

function problemIn(answer: Answer): ChangeStreamProblem | undefined {
  try {
    return changeStreamProblem.parse(JSON.parse(answer.body.toString()));
  } catch {
    // Not our process server's words (a proxy, perhaps): the caller says the status instead.
    return undefined;
  }
}

function problemOf(request: Request, answer: Answer): Error {
  const problem = problemIn(answer);
  const what = `${request.method} ${answer.server}${request.path}`;
  const message = `${what}: ${problem?.message ?? `HTTP ${answer.status} without an explanation`}`;
  if (problem?.kind === 'fenced') return new FencedError(message);
  const retryable = answer.status >= 500 || problem?.kind === 'grant-refused';
  return new OutageError(message, { retryable });
}

function unreachable(request: Request, cause: unknown): OutageError {
  const what = `${request.method} ${request.path} at a process server`;
  // One that answered has said itself what helps.
  if (cause instanceof OutageError) return new OutageError(what, { cause, retryable: true });
  return new OutageError(what, {
    cause,
    retryable: true,
    nextStep: `${stepFor(cause)} Replication resumes by itself.`,
  });
}

function stepFor(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (/CERT|SSL|TLS|SIGNATURE|ISSUER|ALTNAME/i.test(code)) {
    return 'The certificates do not match: this process server is not of the engine that enrolled this host.';
  }
  // A process server ends the connection of whoever has no certificate that it knows; TLS 1.3 gives no reason.
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET') {
    return 'Look into the process server’s log. If it does not accept the certificate of this host, enrol the host again.';
  }
  return 'Check that a process server runs and can be reached from this host.';
}

import type { KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { TLSSocket, type TlsOptions } from 'node:tls';
import { assertNever } from '../../domain/invariant.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { Position } from '../../domain/position.ts';
import {
  type ChangeStreamProblem,
  changeStreamRoutes,
  contentDigestHeader,
  digestBlockCountMax,
  diskRoutePattern,
} from '../../protocol/change-stream.ts';
import { grantHeader } from '../../protocol/replication-grant.ts';
import { callerOf } from '../tls.ts';
import type { Vault } from '../vault/vault.ts';
import { type Admitted, admit, type Refused, refused } from './admission.ts';
import type { Observe, ProcessServerEvent } from './observer.ts';
import { type BodyMemory, createBodyMemory, readBody } from './request-body.ts';
import { batchFrom, type SegmentHead, segmentHead } from './segment.ts';

export type ProcessServerLimits = {
  /** All bodies in memory together; more is answered with 503 and Retry-After. */
  readonly bodyBytesMax: number;
  readonly connectionsMax: number;
};
export const processServerLimitsDefault: ProcessServerLimits = {
  bodyBytesMax: 256 * 1_048_576,
  connectionsMax: 2000,
};

export type ProcessServerLog = {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
};

export type ProcessServerDeps = {
  readonly vault: Pick<Vault, 'position' | 'digests' | 'append'>;
  /** The engine's Ed25519 key that grants are signed with. */
  readonly grantPublicKey: KeyObject;
  /** Of `secureServerOptions(key, 'required')`: who has no certificate of ours does not get past the handshake. */
  readonly tls: TlsOptions;
  readonly limits: ProcessServerLimits;
  readonly nowMs: () => number;
  readonly log: ProcessServerLog;
  /** For metrics. */
  readonly observe?: Observe;
};

type Answer =
  | {
      readonly kind: 'json';
      readonly status: number;
      readonly body: unknown;
      readonly retryAfterSeconds?: number;
      readonly problem?: ChangeStreamProblem['kind'];
    }
  | { readonly kind: 'bytes'; readonly body: Buffer };

/**
 * The process server: takes changes from agents and puts them into the vault. It keeps no state of its own and reads no table, so
 * any number of them can run side by side.
 *
 * @returns a server that does not listen yet
 */
export function createProcessServer(deps: ProcessServerDeps): Server {
  const memory = createBodyMemory(deps.limits.bodyBytesMax);
  const server = createServer(
    {
      ...deps.tls,
      maxHeaderSize: 32_768,
      requestTimeout: 120_000,
      headersTimeout: 20_000,
      keepAliveTimeout: 60_000,
    },
    (request, response) => {
      void respond({ deps, memory }, request, response);
    },
  );
  server.maxConnections = deps.limits.connectionsMax;
  return server;
}

type Context = { readonly deps: ProcessServerDeps; readonly memory: BodyMemory };

/** The HTTP boundary: the only place here where errors become answers. */
async function respond(context: Context, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let answer: Answer;
  try {
    answer = await handle(context, request);
  } catch (error) {
    answer = answerTo(error);
    context.deps.log.warn({ url: request.url, err: error }, 'a request failed');
  }
  context.deps.observe?.(answered(request, answer));
  // What is left of a refused body is read and thrown away, so that the agent reads the answer instead of a reset.
  if (!request.readableEnded) {
    response.setHeader('connection', 'close');
    request.on('error', () => request.destroy());
    request.resume();
  }
  if (answer.kind === 'bytes') {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': answer.body.length });
    response.end(answer.body);
    return;
  }
  if (answer.retryAfterSeconds !== undefined) response.setHeader('retry-after', answer.retryAfterSeconds);
  response.writeHead(answer.status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer.body));
}

function answered({ url = '/' }: IncomingMessage, answer: Answer): ProcessServerEvent {
  const path = url.split('?', 1)[0] ?? '';
  const [, , asked] = diskRoutePattern.exec(path) ?? [];
  const known = (['position', 'digests', 'segments'] as const).find((one) => one === asked);
  const what = known ?? (path === changeStreamRoutes.health ? 'health' : 'unknown');
  const isJson = answer.kind === 'json';
  return { kind: 'answered', what, status: isJson ? answer.status : 200, problem: isJson ? answer.problem : undefined };
}

async function handle(context: Context, request: IncomingMessage): Promise<Answer> {
  const { deps } = context;
  const url = new URL(request.url ?? '/', 'https://process-server');
  if (url.pathname === changeStreamRoutes.health) return { kind: 'json', status: 200, body: { status: 'ok' } };
  const [, asked, what] = diskRoutePattern.exec(url.pathname) ?? [];
  const method = what === 'segments' ? 'PUT' : 'GET';
  if (asked === undefined || request.method !== method) {
    return toAnswer(refused(404, 'unknown-route', `There is no ${request.method} ${url.pathname} here.`));
  }
  if (!(request.socket instanceof TLSSocket)) throw new Error('broken invariant: a connection without TLS');
  const grant = request.headers[grantHeader];
  const admitted = admit(
    { caller: callerOf(request.socket, deps.nowMs()), grant: typeof grant === 'string' ? grant : undefined, asked },
    { grantPublicKey: deps.grantPublicKey, nowMs: deps.nowMs() },
  );
  if (admitted.kind === 'refused') return toAnswer(admitted);
  if (what === 'segments') return putSegment(context, request, admitted);
  const position = await deps.vault.position(admitted.diskId);
  if (isFenced(position, admitted)) return toAnswer(fenced(position, admitted));
  if (what === 'position') return { kind: 'json', status: 200, body: { position } };
  return digests(deps, admitted, url.searchParams);
}

/** The vault knows the disk's newest epoch: whoever holds an older grant has been failed over from. */
function isFenced(position: Position, admitted: Admitted): boolean {
  return position.sequence > 0 && position.epoch > admitted.epoch;
}

function fenced(position: Position, admitted: Admitted): Refused {
  const message = `The disk is in epoch ${position.epoch}; the grant is for epoch ${admitted.epoch}.`;
  return refused(403, 'fenced', message);
}

async function digests(deps: ProcessServerDeps, admitted: Admitted, query: URLSearchParams): Promise<Answer> {
  const from = numberOf(query.get('from'));
  const count = numberOf(query.get('count'));
  if (from === undefined || count === undefined || count < 1 || count > digestBlockCountMax) {
    const message = `digests needs from=<block> and count=<1 to ${digestBlockCountMax}>.`;
    return toAnswer(refused(400, 'bad-request', message));
  }
  return { kind: 'bytes', body: await deps.vault.digests(admitted.diskId, from, count) };
}

async function putSegment(context: Context, request: IncomingMessage, admitted: Admitted): Promise<Answer> {
  const head = segmentHead(request, admitted.epoch);
  if (head.kind === 'refused') return toAnswer(head);
  const body = context.memory.take(head.lengthBytes);
  if (body === undefined) {
    const message = `The process server holds ${context.memory.usedBytes()} bytes of segments already; send again soon.`;
    return { ...toAnswer(refused(503, 'busy', message)), retryAfterSeconds: 1 };
  }
  const { observe } = context.deps;
  observe?.({ kind: 'segment-begun', lengthBytes: head.lengthBytes });
  try {
    await readBody(request, body);
    return await append(context.deps, { body, head, admitted });
  } finally {
    context.memory.giveBack(body);
    observe?.({ kind: 'segment-done' });
  }
}

async function append(
  deps: ProcessServerDeps,
  put: { readonly body: Buffer; readonly head: SegmentHead; readonly admitted: Admitted },
): Promise<Answer> {
  const { diskId } = put.admitted;
  const refuse = (refusal: Refused) => {
    deps.log.warn({ diskId, problem: refusal.problem }, 'a segment was refused');
    return toAnswer(refusal);
  };
  const made = batchFrom(put.body, put.head, put.admitted);
  if (made.kind === 'refused') return refuse(made);
  const beganAtMs = performance.now();
  const outcome = await deps.vault.append(diskId, made.batch);
  switch (outcome.kind) {
    case 'appended':
    case 'already-there':
      deps.observe?.({
        kind: 'appended',
        outcome: outcome.kind,
        storedBytes: outcome.kind === 'appended' ? outcome.storedBytes : 0,
        seconds: (performance.now() - beganAtMs) / 1000,
      });
      return { kind: 'json', status: 200, body: { kind: outcome.kind, position: outcome.position } };
    case 'position-mismatch': {
      if (isFenced(outcome.position, put.admitted)) return toAnswer(fenced(outcome.position, put.admitted));
      const { epoch, sequence } = outcome.position;
      const message = `The disk is at sequence ${sequence} of epoch ${epoch}, not where this segment begins.`;
      const body: ChangeStreamProblem = { kind: 'position-mismatch', message, position: outcome.position };
      return { kind: 'json', status: 409, body, problem: body.kind };
    }
    case 'content-mismatch':
      return refuse(refused(422, 'bad-content', mismatchMessage));
    default:
      return assertNever(outcome);
  }
}

const mismatchMessage = `The body does not hold what ${contentDigestHeader} names: it was changed on its way.`;

function toAnswer(refusal: Refused): Answer & { kind: 'json' } {
  return { kind: 'json', status: refusal.status, body: refusal.problem, problem: refusal.problem.kind };
}

function answerTo(error: unknown): Answer {
  if (!(error instanceof OutageError)) {
    return toAnswer(refused(503, 'outage', 'The process server failed; its log says how.'));
  }
  const nextStep = error.nextStep === undefined ? '' : ` ${error.nextStep}`;
  const message = `${describeCauses(error)}.${nextStep}`;
  if (isFull(error)) return toAnswer(refused(507, 'vault-full', message));
  return { ...toAnswer(refused(503, 'outage', message)), retryAfterSeconds: 2 };
}

/** True when the chain of causes begins with a full file system. */
function isFull(error: unknown): boolean {
  let current = error;
  while (current instanceof Error) {
    if ('code' in current && (current.code === 'ENOSPC' || current.code === 'EDQUOT')) return true;
    current = current.cause;
  }
  return false;
}

function numberOf(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

import { setTimeout as wait } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import {
  commandAnswer,
  type EventView,
  eventView,
  hostView,
  machineView,
  pointView,
  refusalBody,
  routes,
  runView,
  versionView,
  whoamiView,
} from '../protocol/control-api.ts';
import type { ApiAnswer, ApiCall, ApiOrder } from './api-call.ts';
import type { Connection } from './connection-file.ts';

const attemptCountMax = 3;
const retryPauseMs = 250;
const answerBytesMax = 16 * 1_048_576;
const eventWaitMsMax = 20_000;

export type CallOptions = {
  /** Makes an order happen once, however often it is sent; one key per line that a person typed. */
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
};

/** The control API as the bot uses it. A refusal is an answer; OutageError means that nobody answered, or not in our words. */
export type EngineClient = {
  readonly ask: (call: ApiCall, options: CallOptions) => Promise<ApiAnswer>;
  /** Events after a number, oldest first; waits up to `waitMs` (at most 20 s) for the first one. */
  readonly events: (
    query: { readonly after: number; readonly waitMs: number },
    options: CallOptions,
  ) => Promise<readonly EventView[]>;
  readonly close: () => Promise<void>;
};

type Wire = { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: string };
type Line = { readonly connection: Connection; readonly dispatcher: Agent };
type Context = {
  readonly line: () => Line;
  /** Leaves a line that was not trusted for a newer one; false when there is none. */
  readonly leave: (distrusted: Line) => boolean;
  readonly timeoutMs: number;
};
type Received = { readonly status: number; readonly body: unknown };

/**
 * Opens a client of the engine with a person's certificate (TLS 1.3, both sides proven).
 *
 * @param options.timeoutMs how long to wait for the engine to begin its answer; 15 s if left out
 * @param options.readAgain reads the connection anew. Certificates live a week and the engine replaces them long before: when the
 *   engine does not know ours any more, or we do not know it, the files are looked at again and the call is sent once more.
 */
export function createEngineClient(
  connection: Connection,
  options: { timeoutMs?: number; readAgain?: () => Connection } = {},
): EngineClient {
  let line: Line = openLine(connection);
  const leave = (distrusted: Line) => {
    if (line !== distrusted) return true;
    const next = options.readAgain?.();
    if (next === undefined || isSameConnection(next, line.connection)) return false;
    void line.dispatcher.close();
    line = openLine(next);
    return true;
  };
  const context: Context = { line: () => line, leave, timeoutMs: options.timeoutMs ?? 15_000 };
  return {
    ask: async (call, callOptions) => parseAnswer(call, await sendWithRetries(wireOf(call), callOptions, context)),
    events: async (query, callOptions) => {
      const waitMs = Math.min(eventWaitMsMax, Math.max(0, query.waitMs));
      const path = `${routes.events}?after=${query.after}&waitMs=${waitMs}`;
      const patient = { ...context, timeoutMs: context.timeoutMs + waitMs };
      const received = await sendTrusted({ method: 'GET', path }, callOptions, patient);
      return parseSuccess(z.array(eventView), received, path);
    },
    close: () => line.dispatcher.close(),
  };
}

function openLine(connection: Connection): Line {
  const dispatcher = new Agent({
    connect: {
      ca: connection.certificateAuthority,
      cert: connection.certificate,
      key: connection.key,
      minVersion: 'TLSv1.3',
      timeout: 5000,
    },
    allowH2: false,
    maxResponseSize: answerBytesMax,
  });
  return { connection, dispatcher };
}

function isSameConnection(one: Connection, other: Connection): boolean {
  return (
    one.engineUrl === other.engineUrl &&
    one.certificate === other.certificate &&
    one.certificateAuthority === other.certificateAuthority
  );
}

function wireOf(call: ApiCall): Wire {
  switch (call.kind) {
    case 'whoami':
    case 'version':
    case 'machines':
    case 'hosts':
    case 'runs':
      return { method: 'GET', path: routes[call.kind] };
    case 'machine':
      return { method: 'GET', path: routes.machine.replace(':name', encodeURIComponent(call.name)) };
    case 'points':
      return { method: 'GET', path: routes.points.replace(':name', encodeURIComponent(call.machine)) };
    case 'run':
      return { method: 'GET', path: routes.run.replace(':id', encodeURIComponent(call.id)) };
    default:
      return { method: 'POST', path: routes[call.kind], body: JSON.stringify(call.body) };
  }
}

/** Tries again when nobody answered: a question changes nothing, and an order has its key. */
async function sendWithRetries(wire: Wire, options: CallOptions, context: Context): Promise<Received> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await sendTrusted(wire, options, context);
    } catch (error) {
      const isFinal = attempt >= attemptCountMax || options.signal?.aborted === true;
      if (isFinal || !(error instanceof OutageError) || !error.retryable) throw error;
      await wait(retryPauseMs * attempt, undefined, { signal: options.signal });
    }
  }
}

/** Sends once more when one side did not know the other and newer certificates are there; an order has its key. */
async function sendTrusted(wire: Wire, options: CallOptions, context: Context): Promise<Received> {
  const line = context.line();
  const timed = { ...line, timeoutMs: context.timeoutMs };
  try {
    const received = await send(wire, options, timed);
    if (received.status !== 401 || !context.leave(line)) return received;
  } catch (error) {
    const isDistrust = error instanceof OutageError && !error.retryable;
    if (!isDistrust || !context.leave(line)) throw error;
  }
  return send(wire, options, { ...timed, ...context.line() });
}

async function send(wire: Wire, options: CallOptions, line: Line & { readonly timeoutMs: number }): Promise<Received> {
  const { connection, dispatcher, timeoutMs } = line;
  const headers = {
    accept: 'application/json',
    ...(wire.body !== undefined && { 'content-type': 'application/json' }),
    ...(wire.method === 'POST' &&
      options.idempotencyKey !== undefined && { 'idempotency-key': options.idempotencyKey }),
  };
  try {
    const answer = await request(new URL(wire.path, connection.engineUrl), {
      dispatcher,
      method: wire.method,
      headers,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      ...(wire.body !== undefined && { body: wire.body }),
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: parseJson(text) };
  } catch (cause) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw unreachable(connection.engineUrl, cause);
  }
}

/** What is not JSON (a proxy's page, a half-sent body) matches no schema, and is reported as such. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { notJson: text.slice(0, 200) };
  }
}

function unreachable(engineUrl: string, cause: unknown): OutageError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const isDistrust = /CERT|SSL|TLS|SIGNATURE|ISSUER|ALTNAME/i.test(code);
  return new OutageError(`asking the engine at ${engineUrl}`, {
    cause,
    retryable: !isDistrust,
    nextStep: isDistrust
      ? 'the certificates do not match: this engine is not the one that made your certificate; check the state folder'
      : 'check that the engine runs; start it with `npm start`. Replication goes on without it, as far as the process server runs',
  });
}

function parseAnswer(call: ApiCall, received: Received): ApiAnswer {
  if (received.status >= 400) {
    const refusal = refusalBody.safeParse(received.body);
    if (refusal.success) return { kind: 'refusal', refusal: refusal.data };
  }
  switch (call.kind) {
    case 'whoami':
      return { kind: 'whoami', whoami: parseSuccess(whoamiView, received, call.kind) };
    case 'version':
      return { kind: 'version', version: parseSuccess(versionView, received, call.kind) };
    case 'machines':
      return { kind: 'machines', machines: parseSuccess(z.array(machineView), received, call.kind) };
    case 'machine':
      return { kind: 'machine', machine: parseSuccess(machineView, received, call.kind) };
    case 'points':
      return { kind: 'points', points: parseSuccess(z.array(pointView), received, call.kind) };
    case 'hosts':
      return { kind: 'hosts', hosts: parseSuccess(z.array(hostView), received, call.kind) };
    case 'runs':
      return { kind: 'runs', runs: parseSuccess(z.array(runView), received, call.kind) };
    case 'run':
      return { kind: 'run', run: parseSuccess(runView, received, call.kind) };
    default:
      return { kind: 'order', answer: parseSuccess(commandAnswer, received, call.kind satisfies ApiOrder['kind']) };
  }
}

function parseSuccess<Schema extends z.ZodType>(schema: Schema, received: Received, what: string): z.output<Schema> {
  const parsed = schema.safeParse(received.body);
  if (received.status >= 200 && received.status < 300 && parsed.success) return parsed.data;
  throw new OutageError(`reading the engine's answer to ${what} (HTTP ${received.status})`, {
    cause: parsed.success ? JSON.stringify(received.body).slice(0, 300) : z.prettifyError(parsed.error),
    retryable: received.status >= 500,
    nextStep: 'compare the versions of the engine and of this program: `version`',
  });
}

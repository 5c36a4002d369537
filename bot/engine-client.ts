import { setTimeout as wait } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import {
  actorHeader,
  type ChatActor,
  chatRoutes,
  type claimBody,
  type DeliveryView,
  type deliveryOutcomeBody,
  deliveryView,
  type followBody,
  type placeBody,
  placeView,
  type surfaceReportBody,
} from '../protocol/chat-api.ts';
import {
  begunByPersonHeader,
  type consoleAddressBody,
  consoleRoutes,
  type OverviewView,
  overviewView,
  type ReportView,
  reportView,
  type SignInAnswer,
  sessionHeader,
  signInAnswer,
  type signInBody,
} from '../protocol/console-api.ts';
import { type EventView, eventView, type RefusalBody, refusalBody, routes } from '../protocol/control-api.ts';
import type { credentialReportBody } from '../protocol/credential-api.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { Connection } from './connection-file.ts';
import { parseAnswer, parseSuccess, type Received, type Wire, wireOf } from './engine-wire.ts';

const attemptCountMax = 3;
const retryPauseMs = 250;
const answerBytesMax = 16 * 1_048_576;
const eventWaitMsMax = 20_000;
/** Ours to the engine; more calls at once wait for one. */
const connectionCountMax = 128;
/** Files that were no newer are not looked at again for so long: a session that is over is a 401 as well, and anybody can send one. */
const readAgainEveryMs = 5000;

export type CallOptions = {
  /** Makes an order happen once, however often it is sent; one key per line that a person typed. */
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
  /** For whom the bot speaks; its own certificate vouches for it. Left out by people's own programs. */
  readonly actor?: ChatActor;
  /** Token of who signed in at the web console; the engine knows whose it is. Never together with `actor`. */
  readonly session?: string;
  /** With `session`: a person began it, not a page that stands open. An order always is. */
  readonly isBegunByPerson?: boolean;
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

/** A place that can be written to first, with the platform's own reference. */
export type PlaceView = z.infer<typeof placeView>;
/** What is at a path of the control API: a picture, or a view from which one is drawn. */
export type Downloaded =
  | { readonly kind: 'png'; readonly png: Buffer }
  | { readonly kind: 'json'; readonly body: unknown }
  /** The engine does not know it, or not any more. */
  | { readonly kind: 'unknown'; readonly why: string };

/** What only a bot's certificate may do. Every method throws OutageError when the engine refuses or cannot be asked. */
export type BotClient = EngineClient & {
  /** Messages to deliver; waits up to `waitMs` for the first one. Each stays claimed until its outcome is reported, for a while. */
  readonly claim: (body: z.input<typeof claimBody>, options: CallOptions) => Promise<readonly DeliveryView[]>;
  readonly reportOutcome: (
    deliveryId: string,
    body: z.input<typeof deliveryOutcomeBody>,
    options: CallOptions,
  ) => Promise<void>;
  /** Whether the platform answers. */
  readonly reportSurface: (body: z.input<typeof surfaceReportBody>, options: CallOptions) => Promise<void>;
  /** Until when what this bot needs is good. */
  readonly reportCredentials: (body: z.input<typeof credentialReportBody>, options: CallOptions) => Promise<void>;
  /** Shows a topic in one more place and keeps it true there. */
  readonly follow: (body: z.input<typeof followBody>, options: CallOptions) => Promise<void>;
  readonly savePlace: (body: z.input<typeof placeBody>, options: CallOptions) => Promise<void>;
  readonly places: (
    query: { readonly surface: ChatActor['surface']; readonly tenant: string },
    options: CallOptions,
  ) => Promise<readonly PlaceView[]>;
  readonly download: (apiPath: string, options: CallOptions) => Promise<Downloaded>;
} & ConsoleClient;

type Refused = { readonly kind: 'refusal'; readonly refusal: RefusalBody };
/** A whole number of milliseconds since 1970, from and to. */
type ReportQuery = { readonly machine?: string; readonly fromMs: number; readonly toMs: number };

/** What the bot that serves the web console needs besides. A session that is over is a refusal `unauthenticated`. */
export type ConsoleClient = {
  /** Redeems a code for a session; a refusal is an answer. */
  readonly signIn: (
    body: z.input<typeof signInBody>,
    options: CallOptions,
  ) => Promise<{ readonly kind: 'signed-in'; readonly session: SignInAnswer } | Refused>;
  /** Says where the console is reached: at its start, and every minute. @throws OutageError */
  readonly reportConsole: (body: z.input<typeof consoleAddressBody>, options: CallOptions) => Promise<void>;
  /** The site at a glance, as the bot itself. @throws OutageError */
  readonly overview: (options: CallOptions) => Promise<OverviewView>;
  /** As whoever holds the session. */
  readonly report: (query: ReportQuery, options: CallOptions) => Promise<ReportView | Refused>;
};

type RawReceived = Received & { readonly png?: Buffer };
type Line = { readonly connection: Connection; readonly dispatcher: Agent };
type Context = {
  readonly line: () => Line;
  /** Leaves a line that was not trusted for a newer one; false when there is none. */
  readonly leave: (distrusted: Line) => boolean;
  readonly timeoutMs: number;
};

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
): BotClient {
  let line: Line = openLine(connection);
  let nextReadAtMs = Number.NEGATIVE_INFINITY;
  const leave = (distrusted: Line) => {
    if (line !== distrusted) return true;
    const nowMs = performance.now();
    if (options.readAgain === undefined || nowMs < nextReadAtMs) return false;
    nextReadAtMs = nowMs + readAgainEveryMs;
    const next = options.readAgain();
    if (isSameConnection(next, line.connection)) return false;
    nextReadAtMs = Number.NEGATIVE_INFINITY;
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
    ...botCalls(context),
  };
}

function botCalls(context: Context): Omit<BotClient, keyof EngineClient> {
  const tell = async (path: string, body: unknown, options: CallOptions) => {
    const wire: Wire = { method: 'POST', path, body: JSON.stringify(body) };
    accepted(await sendWithRetries(wire, options, context), path);
  };
  return {
    claim: async (body, options) => {
      const patient = { ...context, timeoutMs: context.timeoutMs + (body.waitMs ?? 0) };
      const wire: Wire = { method: 'POST', path: chatRoutes.claim, body: JSON.stringify(body) };
      // Not sent again: what an answer that got lost had claimed comes back by itself.
      return parseSuccess(z.array(deliveryView), accepted(await sendTrusted(wire, options, patient), 'claim'), 'claim');
    },
    reportOutcome: (deliveryId, body, options) =>
      tell(chatRoutes.deliveryOutcome.replace(':id', encodeURIComponent(deliveryId)), body, options),
    reportSurface: (body, options) => tell(chatRoutes.surfaceReport, body, options),
    reportCredentials: (body, options) => tell(chatRoutes.credentials, body, options),
    follow: (body, options) => tell(chatRoutes.follow, body, options),
    savePlace: (body, options) => tell(chatRoutes.places, body, options),
    places: async ({ surface, tenant }, options) => {
      const path = `${chatRoutes.places}?surface=${surface}&tenant=${encodeURIComponent(tenant)}`;
      const received = await sendWithRetries({ method: 'GET', path }, options, context);
      return parseSuccess(z.array(placeView), accepted(received, 'places'), 'places');
    },
    download: async (apiPath, options) => {
      const received = await sendWithRetries({ method: 'GET', path: apiPath }, options, context);
      const refusal = received.status < 400 ? undefined : refusalBody.safeParse(received.body).data;
      if (refusal?.kind === 'unknown-target') return { kind: 'unknown', why: refusal.message };
      accepted(received, apiPath);
      return received.png === undefined ? { kind: 'json', body: received.body } : { kind: 'png', png: received.png };
    },
    ...consoleCalls(context, tell),
  };
}

type Tell = (path: string, body: unknown, options: CallOptions) => Promise<void>;

function consoleCalls(context: Context, tell: Tell): ConsoleClient {
  return {
    signIn: async (body, options) => {
      const wire: Wire = { method: 'POST', path: consoleRoutes.signIn, body: JSON.stringify(body) };
      const received = await sendWithRetries(wire, options, context);
      const refused = refusalIn(received);
      return refused ?? { kind: 'signed-in', session: parseSuccess(signInAnswer, received, 'sign-in') };
    },
    reportConsole: (body, options) => tell(consoleRoutes.consoleAddress, body, options),
    overview: async (options) => {
      const received = await sendWithRetries({ method: 'GET', path: consoleRoutes.overview }, options, context);
      return parseSuccess(overviewView, accepted(received, 'overview'), 'overview');
    },
    report: async ({ machine, fromMs, toMs }, options) => {
      const query = new URLSearchParams({
        fromMs: `${fromMs}`,
        toMs: `${toMs}`,
        ...(machine !== undefined && { machine }),
      });
      const path = `${consoleRoutes.report}?${query}`;
      const received = await sendWithRetries({ method: 'GET', path }, options, context);
      return refusalIn(received) ?? parseSuccess(reportView, received, 'report');
    },
  };
}

function refusalIn(received: RawReceived): Refused | undefined {
  const refusal = received.status < 400 ? undefined : refusalBody.safeParse(received.body);
  return refusal?.success === true ? { kind: 'refusal', refusal: refusal.data } : undefined;
}

/** A refusal where none is expected: the bot itself asks, not a person who could be told. */
function accepted(received: RawReceived, what: string): RawReceived {
  if (received.status < 400) return received;
  const refusal = refusalBody.safeParse(received.body);
  const next = refusal.success ? refusal.data.nextStep : null;
  throw new OutageError(`the engine refused ${what} (HTTP ${received.status})`, {
    cause: refusal.success ? refusal.data.message : JSON.stringify(received.body).slice(0, 300),
    retryable: received.status >= 500,
    ...(next !== null && { nextStep: next }),
  });
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
    connections: connectionCountMax,
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

/** Tries again when nobody answered: a question changes nothing, and an order has its key. */
async function sendWithRetries(wire: Wire, options: CallOptions, context: Context): Promise<RawReceived> {
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
async function sendTrusted(wire: Wire, options: CallOptions, context: Context): Promise<RawReceived> {
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

async function send(
  wire: Wire,
  options: CallOptions,
  line: Line & { readonly timeoutMs: number },
): Promise<RawReceived> {
  const { connection, dispatcher, timeoutMs } = line;
  const headers = {
    accept: 'application/json',
    ...(wire.body !== undefined && { 'content-type': 'application/json' }),
    ...(wire.method === 'POST' &&
      options.idempotencyKey !== undefined && { 'idempotency-key': options.idempotencyKey }),
    ...(options.actor !== undefined && { [actorHeader]: encodeURIComponent(JSON.stringify(options.actor)) }),
    ...(options.session !== undefined && { [sessionHeader]: options.session }),
    ...(options.isBegunByPerson === true && { [begunByPersonHeader]: '1' }),
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
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    const isPicture = answer.headers['content-type'] === 'image/png';
    return {
      status: answer.statusCode,
      ...(isPicture ? { body: null, png: bytes } : { body: parseJson(bytes.toString()) }),
    };
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

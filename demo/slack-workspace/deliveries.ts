import { createHmac } from 'node:crypto';
import type { TextLine } from './websocket.ts';
import type { World } from './world.ts';

/** What may go wrong with one delivery to the app. */
export type Fault =
  /** It never arrives. */
  | 'lose'
  /** It arrives, and Slack never sees the acknowledgement. */
  | 'lose-acknowledgement'
  /** It arrives twice at the same time. */
  | 'double'
  /** It arrives when `releaseHeld` is called. */
  | 'hold';
export type Envelope = {
  readonly kind: 'slash_commands' | 'interactive' | 'events_api';
  readonly payload: Readonly<Record<string, unknown>>;
};
/** What the app answered within three seconds; undefined when it did not. */
export type Acknowledged =
  | { readonly answer: Readonly<Record<string, unknown>> | undefined; readonly ms: number }
  | undefined;

export type Deliveries = {
  readonly deliver: (envelope: Envelope) => Promise<Acknowledged>;
  /** The next delivery goes wrong in this way. */
  readonly failNext: (fault: Fault) => void;
  /** Delivers what was held, the newest first. */
  readonly releaseHeld: () => Promise<void>;
  readonly addLine: (line: TextLine) => void;
  readonly removeLine: (line: TextLine) => void;
  readonly heard: (text: string) => void;
  readonly lineCount: () => number;
  /** Ends all connections of Socket Mode: as Slack does before maintenance, or as a cable that is cut. */
  readonly endLines: (how: 'announced' | 'cut') => void;
  /** HTTP mode: where the app listens. */
  readonly useHttp: (requestUrl: string) => void;
};

const eventRetryCount = 3;

type Send = (envelope: Envelope, attempt: number) => Promise<Acknowledged>;

export function createDeliveries(world: World, acknowledgeMsMax: number): Deliveries {
  const sockets = createSockets(world, acknowledgeMsMax);
  const faults: Fault[] = [];
  const held: (() => Promise<void>)[] = [];
  let requestUrl: string | undefined;
  const send: Send = (envelope, attempt) =>
    requestUrl === undefined
      ? sockets.send(envelope, attempt)
      : overHttp(requestUrl, envelope, { world, acknowledgeMsMax });
  const attemptOnce: Send = async (envelope, attempt) => {
    const fault = faults.shift();
    if (fault === 'lose') return undefined;
    if (fault === 'lose-acknowledgement') return send(envelope, attempt).then(() => undefined);
    if (fault === 'hold') {
      return new Promise((resolve) => {
        held.push(async () => resolve(await send(envelope, attempt)));
      });
    }
    if (fault !== 'double') return send(envelope, attempt);
    const [first] = await Promise.all([send(envelope, attempt), send(envelope, attempt)]);
    return first;
  };
  return {
    ...sockets,
    deliver: async (envelope) => {
      let acknowledged = await attemptOnce(envelope, 0);
      // Slack sends events again, and nothing else.
      for (let attempt = 1; attempt <= eventRetryCount; attempt += 1) {
        if (acknowledged !== undefined || envelope.kind !== 'events_api') break;
        acknowledged = await attemptOnce(envelope, attempt);
      }
      return acknowledged;
    },
    failNext: (fault) => {
      faults.push(fault);
    },
    releaseHeld: async () => {
      for (const release of held.splice(0).reverse()) await release();
    },
    useHttp: (url) => {
      requestUrl = url;
    },
  };
}

type Sockets = Pick<Deliveries, 'addLine' | 'removeLine' | 'heard' | 'lineCount' | 'endLines'> & {
  readonly send: Send;
};

function createSockets(world: World, acknowledgeMsMax: number): Sockets {
  const lines: TextLine[] = [];
  const pending = new Map<string, (answer: Record<string, unknown> | undefined) => void>();
  const acknowledgement = (envelopeId: string) => {
    const startedAtMs = performance.now();
    return new Promise<Acknowledged>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), acknowledgeMsMax);
      pending.set(envelopeId, (payload) => {
        clearTimeout(timer);
        pending.delete(envelopeId);
        resolve({ answer: payload, ms: performance.now() - startedAtMs });
      });
    });
  };
  return {
    send: async (envelope, attempt) => {
      const line = lines.at(-1);
      if (line === undefined) return undefined;
      const envelopeId = world.newId('e');
      const acknowledged = acknowledgement(envelopeId);
      const isEvent = envelope.kind === 'events_api';
      const retry = isEvent ? { retry_attempt: attempt, retry_reason: attempt > 0 ? 'timeout' : '' } : {};
      const { kind: type, payload } = envelope;
      line.send(
        JSON.stringify({ envelope_id: envelopeId, type, payload, accepts_response_payload: !isEvent, ...retry }),
      );
      return acknowledged;
    },
    addLine: (line) => {
      lines.push(line);
      const info = { num_connections: lines.length, connection_info: { app_id: world.appId } };
      line.send(JSON.stringify({ type: 'hello', ...info }));
      world.changes.emit('change');
    },
    removeLine: (line) => {
      const index = lines.indexOf(line);
      if (index >= 0) lines.splice(index, 1);
      world.changes.emit('change');
    },
    heard: (text) => {
      const { envelope_id: id, payload } = JSON.parse(text) as {
        envelope_id?: string;
        payload?: Record<string, unknown>;
      };
      pending.get(id ?? '')?.(payload);
    },
    lineCount: () => lines.length,
    endLines: (how) => {
      for (const line of [...lines]) {
        if (how === 'announced') line.send(JSON.stringify({ type: 'disconnect', reason: 'refresh_requested' }));
        else line.cut();
      }
    },
  };
}

/** A request as Slack signs it; `atMs` and `secret` are for those that must be refused. */
export function signedRequest(
  body: string,
  options: { readonly secret: string; readonly atMs: number; readonly isForm: boolean },
): RequestInit {
  const seconds = Math.floor(options.atMs / 1000);
  const digest = createHmac('sha256', options.secret).update(`v0:${seconds}:${body}`).digest('hex');
  return {
    method: 'POST',
    headers: {
      'content-type': options.isForm ? 'application/x-www-form-urlencoded' : 'application/json',
      'x-slack-request-timestamp': String(seconds),
      'x-slack-signature': `v0=${digest}`,
    },
    body,
  };
}

/** The body of a request over HTTP: commands as a form, interactions as a form with one field, events as JSON. */
export function bodyOf(envelope: Envelope): string {
  if (envelope.kind === 'events_api') return JSON.stringify(envelope.payload);
  if (envelope.kind === 'interactive')
    return new URLSearchParams({ payload: JSON.stringify(envelope.payload) }).toString();
  return new URLSearchParams(envelope.payload as Record<string, string>).toString();
}

async function overHttp(
  url: string,
  envelope: Envelope,
  { world, acknowledgeMsMax }: { readonly world: World; readonly acknowledgeMsMax: number },
): Promise<Acknowledged> {
  const startedAtMs = performance.now();
  const isForm = envelope.kind !== 'events_api';
  const request = signedRequest(bodyOf(envelope), { secret: world.signingSecret, atMs: world.nowMs(), isForm });
  try {
    const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(acknowledgeMsMax) });
    const text = await answer.text();
    if (!answer.ok) return undefined;
    const isJson = answer.headers.get('content-type')?.includes('json') === true;
    return { answer: isJson ? JSON.parse(text) : undefined, ms: performance.now() - startedAtMs };
  } catch {
    return undefined; // An app that is away, or too slow, is what Slack shows to the person.
  }
}

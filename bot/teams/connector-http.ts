import { setTimeout as wait } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { isAllowedServiceUrl } from './settings.ts';

export type WireRequest = {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
};
export type WireAnswer = { readonly status: number; readonly body: string };

/** The connector did not do it. `status` 0: nobody answered. */
export class ConnectorError extends Error {
  readonly status: number;
  /** The platform's own word, such as `BotNotInConversationRoster`. */
  readonly code: string;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    options: { status: number; code: string; retryAfterMs?: number | undefined; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ConnectorError';
    this.status = options.status;
    this.code = options.code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export type ConnectorHttpDeps = {
  readonly serviceUrls: readonly string[];
  /** Spreads the retries of many messages; 0 to 1. */
  readonly random: () => number;
  /** Before the first retry; it doubles. 500 ms if left out. */
  readonly pauseMs?: number;
};

export type ConnectorHttp = {
  readonly send: (order: WireRequest) => Promise<WireAnswer>;
  readonly close: () => Promise<void>;
};

/** What Teams asks to be tried again. Everything else goes back to the outbox, which has more patience. Source: CHAT 3.2 */
const retriedStatuses: readonly number[] = [412, 429, 502, 504];
const attemptCountMax = 3;
/** A longer Retry-After is not waited for here: a person may be waiting. */
const waitMsMax = 5000;
const timeoutMs = 10_000;
const answerBytesMax = 1_048_576;

/**
 * Sends requests to the connector: only to allowed service URLs, never following a redirection, each try limited in time.
 *
 * @returns the answer to whatever was accepted (2xx)
 * @throws ConnectorError for everything else
 */
export function createConnectorHttp(deps: ConnectorHttpDeps): ConnectorHttp {
  const dispatcher = new Agent({ connect: { timeout: 5000 }, maxResponseSize: answerBytesMax });
  const send = async (order: WireRequest): Promise<WireAnswer> => {
    if (!isAllowedServiceUrl(order.url, deps.serviceUrls)) {
      throw new ConnectorError(`${new URL(order.url).origin} is not an allowed service URL`, {
        status: 403,
        code: 'ServiceUrlNotAllowed',
      });
    }
    for (let attempt = 1; ; attempt += 1) {
      const answer = await sendOnce(order, dispatcher);
      if (answer.status >= 200 && answer.status < 300) return answer;
      const pauseMs = pauseBefore(attempt, answer.retryAfterMs, deps);
      const isWorthAnotherTry = retriedStatuses.includes(answer.status) && attempt < attemptCountMax;
      if (!isWorthAnotherTry || pauseMs > waitMsMax) throw notAccepted(order, answer);
      await wait(pauseMs);
    }
  };
  return { send, close: () => dispatcher.close() };
}

type Once = WireAnswer & { readonly retryAfterMs: number | undefined };

async function sendOnce(order: WireRequest, dispatcher: Agent): Promise<Once> {
  try {
    const answer = await request(order.url, {
      dispatcher,
      method: order.method === 'PUT' ? 'PUT' : order.method === 'GET' ? 'GET' : 'POST',
      headers: { ...order.headers },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      ...(order.body !== undefined && { body: order.body }),
    });
    const body = await answer.body.text();
    return { status: answer.statusCode, body, retryAfterMs: retryAfterMsOf(answer.headers['retry-after']) };
  } catch (cause) {
    throw new ConnectorError(`nobody answered at ${new URL(order.url).origin}`, { status: 0, code: 'NoAnswer', cause });
  }
}

/** Seconds, as Teams sends them; a date is not used by it. */
function retryAfterMsOf(header: string | string[] | undefined): number | undefined {
  const seconds = Number(Array.isArray(header) ? header[0] : header);
  return header === undefined || !Number.isFinite(seconds) || seconds < 0 ? undefined : seconds * 1000;
}

function pauseBefore(attempt: number, askedMs: number | undefined, deps: ConnectorHttpDeps): number {
  const baseMs = (deps.pauseMs ?? 500) * 2 ** (attempt - 1);
  const jitterMs = baseMs * deps.random();
  return askedMs === undefined ? baseMs + jitterMs : askedMs + jitterMs;
}

function notAccepted(order: WireRequest, answer: Once): ConnectorError {
  const { code, message } = reasonOf(answer.body);
  return new ConnectorError(`Teams answered ${answer.status} to ${order.method}: ${code} ${message}`.trim(), {
    status: answer.status,
    code,
    retryAfterMs: answer.retryAfterMs,
  });
}

function reasonOf(body: string): { readonly code: string; readonly message: string } {
  const [, code = ''] = /"code"\s*:\s*"([^"]{1,80})"/.exec(body) ?? [];
  const [, message = ''] = /"message"\s*:\s*"([^"]{1,200})/.exec(body) ?? [];
  return { code, message };
}

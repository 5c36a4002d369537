import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { RefusalBody } from '../../protocol/control-api.ts';
import type { Problem } from './wire.ts';

/** A problem with its HTTP status; thrown by whatever handles a request, sent by the server. */
export class WebProblem extends Error {
  readonly status: number;
  readonly problem: Problem;
  readonly retryAfterMs: number | undefined;

  constructor(status: number, problem: Omit<Problem, 'kind'>, retryAfterMs?: number) {
    super(problem.message);
    this.name = 'WebProblem';
    this.status = status;
    this.problem = { kind: 'problem', ...problem };
    this.retryAfterMs = retryAfterMs;
  }
}

const signInAgain = 'Sign in again: `dr console`, or `/dr console` in chat, gives a new link.';

export function signedOut(message = 'You are not signed in.'): WebProblem {
  return new WebProblem(401, { why: 'signed-out', message, nextStep: signInAgain });
}

export function badRequest(message: string, status = 400): WebProblem {
  return new WebProblem(status, { why: 'bad-request', message, nextStep: null });
}

export function notFound(message: string): WebProblem {
  return new WebProblem(404, { why: 'not-found', message, nextStep: null });
}

export function tooMany(message: string, retryAfterMs: number): WebProblem {
  const nextStep = `Try again in ${Math.ceil(retryAfterMs / 1000)} s.`;
  return new WebProblem(429, { why: 'too-many', message, nextStep }, retryAfterMs);
}

const words = {
  unauthenticated: { status: 401, why: 'signed-out' },
  'not-linked': { status: 403, why: 'refused' },
  forbidden: { status: 403, why: 'refused' },
  'step-up': { status: 403, why: 'refused' },
  refused: { status: 409, why: 'refused' },
  'ambiguous-target': { status: 409, why: 'refused' },
  'unknown-target': { status: 404, why: 'not-found' },
  'bad-request': { status: 400, why: 'bad-request' },
  outage: { status: 503, why: 'outage' },
} as const satisfies Record<RefusalBody['kind'], { status: number; why: Problem['why'] }>;

/** The engine said no. */
export function problemOfRefusal(refusal: RefusalBody): WebProblem {
  const { status, why } = words[refusal.kind];
  const { message } = refusal;
  return new WebProblem(status, {
    why,
    message,
    nextStep: refusal.nextStep ?? (why === 'signed-out' ? signInAgain : null),
  });
}

/** What a browser is told of an error: outages in full, our own bugs in general words only. */
export function problemOfError(error: unknown): WebProblem {
  if (error instanceof WebProblem) return error;
  if (error instanceof OutageError) {
    return new WebProblem(503, { why: 'outage', message: describeCauses(error), nextStep: error.nextStep ?? null });
  }
  const message = 'The console made a mistake of its own; the log of the bot says more.';
  return new WebProblem(500, { why: 'outage', message, nextStep: '`dr` in a terminal does the same.' });
}

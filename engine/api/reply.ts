import type { z } from 'zod';
import type { refusalBody } from '../../protocol/control-api.ts';

export type Refusal = { readonly kind: 'refusal'; readonly status: number; readonly body: z.input<typeof refusalBody> };
/** What a route's handler gives back: what was asked for, or why not. */
export type Reply<Answer> = { readonly kind: 'answer'; readonly body: Answer } | Refusal;

type RefusalKind = z.input<typeof refusalBody>['kind'];

const statusOf: Record<RefusalKind, number> = {
  'bad-request': 422,
  unauthenticated: 401,
  forbidden: 403,
  'unknown-target': 404,
  'ambiguous-target': 409,
  refused: 409,
  outage: 503,
  'not-linked': 403,
  'step-up': 403,
};

export function answer<Answer>(body: Answer): Reply<Answer> {
  return { kind: 'answer', body };
}

/** A refusal with the HTTP status of its kind. */
export function refuse(
  kind: RefusalKind,
  message: string,
  more: { candidates?: readonly string[] | undefined; nextStep?: string | undefined } = {},
): Refusal {
  const body = { kind, message, candidates: [...(more.candidates ?? [])], nextStep: more.nextStep ?? null };
  return { kind: 'refusal', status: statusOf[kind], body };
}

import { OutageError } from '../../domain/outage.ts';
import type { ApiAnswer, ApiQuery } from '../api-call.ts';
import type { BotClient, CallOptions } from '../engine-client.ts';
import { problemOfRefusal } from './problem.ts';
import type { Me } from './wire.ts';

export type Asker = {
  readonly engine: Pick<BotClient, 'ask'>;
  /** Who looks; the engine knows whose it is, and what they may see. */
  readonly session: string;
  readonly signal: AbortSignal;
  /** Not by the page itself, which asks as long as it stands open: what a person began keeps the session alive. */
  readonly isBegunByPerson?: boolean | undefined;
};
type AnswerOf<Kind extends ApiQuery['kind']> = Extract<ApiAnswer, { kind: Kind }>;

/** Asks as the session's person. @throws WebProblem when the engine refuses; OutageError when it cannot be asked */
export async function answerTo<Kind extends ApiQuery['kind']>(
  call: ApiQuery & { readonly kind: Kind },
  asker: Asker,
): Promise<AnswerOf<Kind>> {
  const answer = await asker.engine.ask(call, optionsOf(asker));
  if (answer.kind === 'refusal') throw problemOfRefusal(answer.refusal);
  if (isAnswerTo(call.kind, answer)) return answer;
  throw new OutageError(`the engine answered ${answer.kind} to ${call.kind}`, { retryable: false });
}

export function optionsOf({ session, signal, isBegunByPerson = false }: Omit<Asker, 'engine'>): CallOptions {
  return { session, signal, isBegunByPerson };
}

function isAnswerTo<Kind extends ApiQuery['kind']>(kind: Kind, answer: ApiAnswer): answer is AnswerOf<Kind> {
  return answer.kind === kind;
}

/** Whose session it is. */
export async function meOf(asker: Asker): Promise<Me> {
  const { whoami } = await answerTo({ kind: 'whoami' }, asker);
  const { name, roles, grants, hasAuthenticator, isOnCall } = whoami;
  return { name, roles, grants, hasAuthenticator, isOnCall };
}

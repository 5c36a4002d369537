import { z } from 'zod';
import { invariant } from '../../domain/invariant.ts';
import { type ApprovalView, chatRoutes } from '../../protocol/chat-api.ts';
import { commandAnswer, refusalBody } from '../../protocol/control-api.ts';
import type { Answer, Caller } from '../engine/api/api-fixture.ts';

/** How the audit trail should name somebody. `who` undefined: no person; `via` undefined: by any of their ways. */
export type Origin = { readonly who: string | undefined; readonly via: string | undefined };

/** What somebody hears after they tried something. */
export type Heard = {
  readonly status: number;
  /** `approval`, `done` …, or the kind of refusal. */
  readonly kind: string;
  /** Every sentence of it. */
  readonly words: string;
  readonly answer: unknown;
  readonly by: Origin | undefined;
};

type Body = Readonly<Record<string, unknown>>;
/** What a copy of a request's message knows of it. */
export type Shown = Pick<ApprovalView, 'id' | 'revision' | 'digest'>;

/** Somebody who can call the engine in one way. A vote is given with the code of now unless it says otherwise. */
export type Voice = {
  readonly origin: Origin | undefined;
  readonly caller: Caller;
  post(url: string, body: unknown, key?: string): Promise<Heard>;
  get(url: string): Promise<Heard>;
  request(machine: string, more?: Body): Promise<Heard>;
  approve(approval: Shown, more?: Body, key?: string): Promise<Heard>;
  reject(approval: Shown, more?: Body, key?: string): Promise<Heard>;
  withdraw(approval: Shown): Promise<Heard>;
};

export function voiceOf(caller: Caller, origin: Origin | undefined, code: () => string): Voice {
  const post: Voice['post'] = async (url, body, key) => heardOf(await caller.post(url, body, key), origin);
  return {
    origin,
    caller,
    post,
    get: async (url) => heardOf(await caller.get(url), origin),
    request: (machine, more = {}) => post(chatRoutes.plannedFailover, { machine, reason: 'power work', ...more }),
    approve: (approval, more = {}, key = undefined) =>
      post(chatRoutes.approve, { ...buttonOf(approval), code: code(), ...more }, key),
    reject: (approval, more = {}, key = undefined) =>
      post(chatRoutes.reject, { ...buttonOf(approval), reason: 'not today', ...more }, key),
    withdraw: (approval) => post(chatRoutes.withdraw, buttonOf(approval)),
  };
}

/** What a button of the request carries. */
export function buttonOf({ id, revision, digest }: Shown) {
  return { approval: id, revision, digest8: digest.slice(0, 8) };
}

const wordy = z.object({ message: z.string() }).loose();

export function heardOf(answer: Answer, by: Origin | undefined): Heard {
  const refusal = refusalBody.safeParse(answer.body);
  if (answer.status !== 200 && refusal.success) {
    const { kind, message, nextStep, candidates } = refusal.data;
    const words = [message, nextStep, ...candidates].filter((each) => each !== null).join(' ');
    return { status: answer.status, kind, words, answer: answer.body, by };
  }
  const told = wordy.safeParse(answer.body);
  const words = told.success ? told.data.message : JSON.stringify(answer.body ?? answer.bytes.toString('utf8'));
  const parsed = commandAnswer.safeParse(answer.body);
  const kind = parsed.success ? parsed.data.kind : 'answer';
  return { status: answer.status, kind, words, answer: answer.body, by };
}

/** The approval in an answer. */
export function approvalIn(heard: Heard): ApprovalView {
  const parsed = commandAnswer.safeParse(heard.answer);
  invariant(parsed.success && parsed.data.kind === 'approval', `an approval was expected: ${heard.words}`);
  return parsed.data.approval;
}

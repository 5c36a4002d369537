import { setTimeout as wait } from 'node:timers/promises';
import { OutageError } from '../domain/outage.ts';
import { dayMs, minuteMs } from '../domain/units.ts';
import type { MachineView, RefusalBody, RunView } from '../protocol/control-api.ts';
import type { EngineClient } from './engine-client.ts';

export type FollowDeps = {
  readonly engine: Pick<EngineClient, 'ask'>;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** How long to wait between two looks. */
  readonly pauseMs: number;
  /** How long a silent engine is waited for: a run goes on when its engine is started again. */
  readonly silenceMsMax?: number;
};

/** One look at something that is followed; `silent` while the engine cannot be asked, which ends by itself or as an outage. */
export type Look<View> =
  | { readonly kind: 'seen'; readonly view: View }
  | { readonly kind: 'refused'; readonly refusal: RefusalBody }
  | { readonly kind: 'silent'; readonly error: OutageError };

const followMsMax = 7 * dayMs;

/**
 * Yields a run as often as it is looked at, until it has ended or the signal is raised.
 *
 * @throws OutageError when the engine stays silent for longer than `silenceMsMax` (5 min if left out)
 */
export function followRun(runId: string, deps: FollowDeps): AsyncGenerator<Look<RunView>> {
  return follow(
    async (): Promise<Look<RunView>> => {
      const answer = await deps.engine.ask({ kind: 'run', id: runId }, { signal: deps.signal });
      if (answer.kind === 'refusal') return refusedLook(answer.refusal);
      return answer.kind === 'run' ? { kind: 'seen', view: answer.run } : neverAnswered('run', answer.kind);
    },
    (run) => run.state !== 'active',
    deps,
  );
}

/** The same for a machine, until it is no longer in its initial replication. */
export function followReplication(machine: string, deps: FollowDeps): AsyncGenerator<Look<MachineView>> {
  return follow(
    async (): Promise<Look<MachineView>> => {
      const answer = await deps.engine.ask({ kind: 'machine', name: machine }, { signal: deps.signal });
      if (answer.kind === 'refusal') return refusedLook(answer.refusal);
      return answer.kind === 'machine' ? { kind: 'seen', view: answer.machine } : neverAnswered('machine', answer.kind);
    },
    (view) => view.protection.kind !== 'initial-replication',
    deps,
  );
}

async function* follow<View>(
  look: () => Promise<Look<View>>,
  isOver: (view: View) => boolean,
  deps: FollowDeps,
): AsyncGenerator<Look<View>> {
  const startedAtMs = deps.nowMs();
  let lastAnswerAtMs = startedAtMs;
  while (!deps.signal.aborted && deps.nowMs() - startedAtMs < followMsMax) {
    const seen = await lookOnce(look);
    if (seen.kind !== 'silent') lastAnswerAtMs = deps.nowMs();
    else if (deps.nowMs() - lastAnswerAtMs > (deps.silenceMsMax ?? 5 * minuteMs)) throw seen.error;
    if (deps.signal.aborted) return;
    yield seen;
    if (seen.kind === 'refused' || (seen.kind === 'seen' && isOver(seen.view))) return;
    await pause(deps);
  }
}

/** An engine whose database is away is as silent as one that is away itself: both come back. */
function refusedLook(refusal: RefusalBody): Look<never> {
  if (refusal.kind !== 'outage') return { kind: 'refused', refusal };
  const next = refusal.nextStep === null ? {} : { nextStep: refusal.nextStep };
  return { kind: 'silent', error: new OutageError(refusal.message, { retryable: true, ...next }) };
}

async function lookOnce<View>(look: () => Promise<Look<View>>): Promise<Look<View>> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof OutageError) return { kind: 'silent', error };
    if (isAbort(error))
      return { kind: 'silent', error: new OutageError('watching', { cause: error, retryable: false }) };
    throw error;
  }
}

/** Waits; a raised signal ends the wait, and the loop sees the signal itself. */
async function pause(deps: FollowDeps): Promise<void> {
  await wait(deps.pauseMs, undefined, { signal: deps.signal }).catch((error: unknown) => {
    if (!isAbort(error)) throw error;
  });
}

/** True for what a raised AbortSignal throws. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function neverAnswered(asked: string, answered: string): never {
  throw new Error(`broken invariant: asked for a ${asked}, got a ${answered}`);
}

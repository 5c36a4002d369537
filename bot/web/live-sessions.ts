import { setTimeout as wait } from 'node:timers/promises';
import { OutageError } from '../../domain/outage.ts';
import type { BotClient } from '../engine-client.ts';
import { meOf } from './ask-engine.ts';
import type { WebLimits } from './limits.ts';
import type { LiveStream } from './live-stream.ts';
import { outageWords } from './outage-words.ts';
import { tooMany, WebProblem } from './problem.ts';
import { sessionDigest } from './session-cookie.ts';
import type { SessionGate } from './session-gate.ts';
import type { SiteWatch } from './site-watch.ts';
import type { Me } from './wire.ts';

export type LiveDeps = {
  readonly engine: Pick<BotClient, 'ask'>;
  readonly watch: Omit<SiteWatch, 'expect'>;
  readonly limits: Pick<WebLimits, 'live' | 'livePerSession' | 'liveStrangers'>;
  readonly gate: SessionGate;
  /** How often the engine is asked whether a session still is one. */
  readonly checkEveryMs?: number;
  readonly retryMs?: number;
};

/** Everybody who listens now. */
export type LiveSessions = {
  /**
   * Takes a place for one more stream, which is to be given back. Sessions of which it is not known yet whose they are have few places of
   * their own: while the engine is away they take none from the others. @throws WebProblem when there is none
   */
  readonly admit: (caller: LiveCaller) => Admission;
  /** Asks the engine at once about these streams: somebody has signed out. */
  readonly checkNow: (which: { readonly session: string; readonly isEverywhere: boolean }) => void;
  readonly count: () => number;
  readonly close: () => void;
};
/** `address`: where the browser is. */
export type LiveCaller = { readonly session: string; readonly address: string };
export type Admission = {
  /** Sends what changes until the browser goes, or the session ends. */
  readonly serve: (stream: LiveStream) => Promise<void>;
  readonly giveBack: () => void;
};

type Listener = {
  readonly digest: string;
  isStranger: boolean;
  me: Me | undefined;
  stream: LiveStream | undefined;
  /** Ends the pause before the next check. */
  hurry: AbortController;
};

const checkEveryMsDefault = 15_000;
const retryMsDefault = 1000;

export function createLiveSessions(deps: LiveDeps): LiveSessions {
  const listeners = new Set<Listener>();
  return {
    admit(caller) {
      const digest = sessionDigest(caller.session);
      const isStranger = !deps.gate.isKnown(caller.session);
      if (isStranger) deps.gate.checkAddress(caller.address);
      checkPlaces(listeners, { digest, isStranger }, deps.limits);
      const listener: Listener = { digest, isStranger, me: undefined, stream: undefined, hurry: new AbortController() };
      listeners.add(listener);
      const giveBack = () => void listeners.delete(listener);
      const serve = (stream: LiveStream) => {
        listener.stream = stream;
        return serveOne({ listener, ...caller, stream, deps });
      };
      return { serve, giveBack };
    },
    checkNow({ session, isEverywhere }) {
      const digest = sessionDigest(session);
      const name = [...listeners].find((listener) => listener.digest === digest)?.me?.name;
      for (const listener of listeners) {
        const isTheirs =
          listener.digest === digest || (isEverywhere && name !== undefined && listener.me?.name === name);
        if (isTheirs) listener.hurry.abort();
      }
    },
    count: () => listeners.size,
    close() {
      for (const listener of listeners) listener.stream?.end();
    },
  };
}

/** @throws WebProblem when no place is left for it */
function checkPlaces(
  listeners: ReadonlySet<Listener>,
  { digest, isStranger }: Pick<Listener, 'digest' | 'isStranger'>,
  limits: LiveDeps['limits'],
): void {
  const own = [...listeners].filter((listener) => listener.digest === digest).length;
  if (own >= limits.livePerSession) {
    throw tooMany(`This session looks at ${own} pages already; close one of them.`, 10_000);
  }
  const alike = [...listeners].filter((listener) => listener.isStranger === isStranger).length;
  if (alike >= (isStranger ? limits.liveStrangers : limits.live)) {
    throw tooMany('As many pages as the console can serve are open.', 10_000);
  }
}

type Serving = LiveCaller & {
  readonly listener: Listener;
  readonly stream: LiveStream;
  readonly deps: LiveDeps;
};

/** Nothing of the site goes out before the engine has said whose session it is. */
async function serveOne(serving: Serving): Promise<void> {
  const { listener, stream } = serving;
  let leave: (() => void) | undefined;
  try {
    while (!stream.signal.aborted) {
      const check = await checkSession(serving);
      if (stream.signal.aborted) return;
      if (check.kind === 'gone' || check.kind === 'roleless') {
        if (check.kind === 'gone') serving.deps.gate.refused(serving.session, serving.address);
        stream.send({ kind: 'signed-out', why: check.why });
        return stream.end();
      }
      if (check.kind === 'me') {
        serving.deps.gate.welcome(serving.session);
        listener.isStranger = false;
        const isNews = JSON.stringify(check.me) !== JSON.stringify(listener.me);
        listener.me = check.me;
        leave ??= show(serving);
        if (isNews) sendSnapshot(serving);
      } else if (leave === undefined) stream.send({ kind: 'stale', sinceMs: null, why: check.why });
      await pause(serving, check.kind === 'me');
    }
  } finally {
    leave?.();
  }
}

type Check =
  | { readonly kind: 'me'; readonly me: Me }
  | { readonly kind: 'gone'; readonly why: string }
  /** The session is one, and its person may look at nothing (any more). */
  | { readonly kind: 'roleless'; readonly why: string }
  /** The engine cannot be asked: the session may be one. */
  | { readonly kind: 'unknown'; readonly why: string };

async function checkSession({ session, stream, deps }: Serving): Promise<Check> {
  const { signal } = stream;
  try {
    const me = await meOf({ engine: deps.engine, session, signal });
    const why = `${me.name} has no role in this installation. An admin can give one; then sign in again.`;
    return me.roles.length === 0 ? { kind: 'roleless', why } : { kind: 'me', me };
  } catch (error) {
    const isRefusal = error instanceof WebProblem && error.problem.why !== 'outage';
    if (isRefusal) return { kind: 'gone', why: error.message };
    if (error instanceof WebProblem) return { kind: 'unknown', why: error.message };
    if (error instanceof OutageError) return { kind: 'unknown', why: outageWords(error) };
    if (signal.aborted) return { kind: 'unknown', why: 'the browser is gone' };
    throw error;
  }
}

function show(serving: Serving): () => void {
  const { stream, deps } = serving;
  return deps.watch.join({
    first: () => sendSnapshot(serving),
    // A change means nothing to a page that has no site; the watch sends the whole of it first.
    news: (news) => stream.send(news),
  });
}

function sendSnapshot({ listener, stream, deps }: Serving): void {
  const { site, stale } = deps.watch.sight();
  if (stale !== undefined) stream.send(stale);
  if (site !== undefined && listener.me !== undefined) stream.send({ kind: 'snapshot', me: listener.me, site });
}

async function pause({ listener, stream, deps }: Serving, isKnown: boolean): Promise<void> {
  const pauseMs = isKnown ? (deps.checkEveryMs ?? checkEveryMsDefault) : (deps.retryMs ?? retryMsDefault);
  const signal = AbortSignal.any([stream.signal, listener.hurry.signal]);
  await wait(pauseMs, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  if (listener.hurry.signal.aborted) listener.hurry = new AbortController();
}

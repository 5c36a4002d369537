import { hourMs } from '../../domain/units.ts';
import { type Asker, meOf } from './ask-engine.ts';
import type { WebLimits } from './limits.ts';
import { tooMany } from './problem.ts';
import { createRateWindow } from './rate-window.ts';
import { sessionDigest } from './session-cookie.ts';

/**
 * Anybody can invent a cookie of the right form. Sessions that the engine has known go through to it; of all the others together it is asked
 * a few at a time, and of those from one address only so often. Nothing is admitted here: the engine decides about each request.
 */
export type SessionGate = {
  /**
   * Lets a session through that the engine has known; asks it about any other one first.
   *
   * @throws WebProblem when it is nobody's, or too many such are asked about; OutageError when the engine cannot be asked
   */
  readonly admit: (caller: Asker & { readonly address: string }) => Promise<void>;
  /** Whether the engine has known it, and has not refused it since. */
  readonly isKnown: (session: string) => boolean;
  /** @throws WebProblem when too many sessions that were nobody's came from there just now */
  readonly checkAddress: (address: string) => void;
  /** The engine has just made it, or said whose it is. */
  readonly welcome: (session: string) => void;
  /** The engine says that it is nobody's (any more): that counts against the address. */
  readonly refused: (session: string, address: string) => void;
  /** Its person ended it. */
  readonly forget: (session: string) => void;
};

/** No session lives longer. */
const keptForMs = 12 * hourMs;
const keptCountMax = 5000;
const retryAfterMs = 2000;
const tooManyWords = 'Too many requests come with sessions that nobody has.';

export function createSessionGate(
  limits: Pick<WebLimits, 'strangersAtOnce' | 'strangersPerAddress'>,
  clockMs: () => number,
): SessionGate {
  const refusals = createRateWindow(limits.strangersPerAddress, clockMs);
  const known = new Map<string, number>();
  let askedCount = 0;
  const isKnown = (session: string) => clockMs() < (known.get(sessionDigest(session)) ?? Number.NEGATIVE_INFINITY);
  const welcome = (session: string) => {
    const digest = sessionDigest(session);
    known.delete(digest);
    // A map keeps the order in which its keys came.
    const [oldest] = known.keys();
    if (known.size >= keptCountMax && oldest !== undefined) known.delete(oldest);
    known.set(digest, clockMs() + keptForMs);
  };
  const checkAddress = (address: string) => {
    const waitMs = refusals.look(address);
    if (waitMs !== undefined) throw tooMany(tooManyWords, waitMs);
  };
  return {
    isKnown,
    welcome,
    checkAddress,
    async admit(caller) {
      if (isKnown(caller.session)) return;
      checkAddress(caller.address);
      if (askedCount >= limits.strangersAtOnce) throw tooMany(tooManyWords, retryAfterMs);
      askedCount += 1;
      try {
        await meOf(caller);
      } finally {
        askedCount -= 1;
      }
      welcome(caller.session);
    },
    refused(session, address) {
      known.delete(sessionDigest(session));
      refusals.take(address);
    },
    forget: (session) => void known.delete(sessionDigest(session)),
  };
}

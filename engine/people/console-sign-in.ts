import type { SessionId } from '../../domain/ids.ts';
import { assertNever } from '../../domain/invariant.ts';
import { minuteMs } from '../../domain/units.ts';
import { appendAudit } from '../store/audit.ts';
import {
  burnConsoleLink,
  type FoundLink,
  forgetQuietGuessers,
  insertConsoleLink,
  lockConsoleLink,
  lockSessionsOf,
} from '../store/console-sessions.ts';
import type { Database } from '../store/database.ts';
import { burnLinkCode, lockLinkCode } from '../store/link-codes.ts';
import { isPersonActive } from '../store/people.ts';
import { forgetWrongTries, mayTry, noteWrongTry, type TryLimits } from '../store/wrong-tries.ts';
import { beginSession, newSessionId } from './console-session.ts';
import { linkCodeHash, newLinkCode } from './link-code.ts';

/** How somebody comes into the web console: by a code that is good once. Source: issue 4 item 1 */
export const consoleLinkLifeMs = 5 * minuteMs;

export type MadeLink = { readonly code: string; readonly expiresAtMs: number };

/** Makes the code of a one-time link. Call it in a transaction. @param madeVia how the person asked for it, for the audit trail */
export async function makeConsoleLink(db: Database, person: string, madeVia: string): Promise<MadeLink> {
  const code = newLinkCode();
  const link = { codeHash: linkCodeHash(code), person, madeVia, lifeMs: consoleLinkLifeMs };
  return { code, ...(await insertConsoleLink(db, link)) };
}

export type SignedIn = {
  readonly kind: 'signed-in';
  readonly id: SessionId;
  readonly token: string;
  readonly person: string;
  readonly expiresAtMs: number;
};
export type SignInRefusal = {
  readonly kind: 'refused';
  readonly why: 'locked' | 'busy' | 'unknown' | 'used' | 'expired' | 'chat-side' | 'disabled';
  readonly message: string;
  readonly nextStep: string;
};

const guesserPrefix = 'console code from ';
const everybody = 'console codes of everybody';
/** All addresses together. What the limits spare is the audit trail, which has a row for each wrong code that is counted. */
const everybodysLimits: TryLimits = { triesMax: 300, waitSeconds: 10 };

/**
 * Uses a code up and begins a session of its person. A good code is taken whoever guessed before: behind a reverse proxy everybody has one
 * address, and codes have 60 random bits, so that nobody comes to one by guessing. Of the others five wrong ones from one address are
 * looked into, and then none for a quarter of an hour. Writes the audit row itself. Call it in a transaction that is committed also for a
 * refusal: it counts the wrong try.
 *
 * @param attempt.address where the browser is, as the bot saw it; empty when it does not say
 */
export async function redeemConsoleCode(
  db: Database,
  attempt: { readonly code: string; readonly address: string; readonly botName: string },
): Promise<SignedIn | SignInRefusal> {
  const guesser = `${guesserPrefix}${attempt.address || 'somewhere'}`;
  const codeHash = linkCodeHash(attempt.code);
  const found = await findCode(db, codeHash);
  if (found.kind !== 'good') return refuseCode(db, { ...attempt, guesser }, found);
  const { person } = found;
  await lockSessionsOf(db, person);
  if (!(await isPersonActive(db, person))) return refused(db, { ...attempt, person }, refusals.disabled);
  const id = newSessionId();
  const detail = `from ${attempt.address || 'somewhere'}, by ${found.by}`;
  await appendAudit(db, { who: person, via: `web:${id}`, what: 'sign-in', target: person, detail });
  await found.burn();
  await forgetWrongTries(db, guesser);
  await forgetQuietGuessers(db, guesserPrefix);
  const { token, expiresAtMs } = await beginSession(db, { id, person, address: attempt.address });
  return { kind: 'signed-in', id, token, person, expiresAtMs };
}

type Good = {
  readonly kind: 'good';
  readonly person: string;
  /** For the audit trail. */
  readonly by: string;
  readonly burn: () => Promise<void>;
};
type FoundCode = Good | { readonly kind: Exclude<FoundLink['kind'], 'good'> | 'chat-side'; readonly person?: string };

/** A link to the console, or a code that a person with a certificate, or the engine for its first admin, has made to be typed elsewhere. */
async function findCode(db: Database, codeHash: string): Promise<FoundCode> {
  const link = await lockConsoleLink(db, codeHash);
  if (link.kind === 'good') {
    const by = `a link asked for by ${link.madeVia}`;
    return { kind: 'good', person: link.person, by, burn: () => burnConsoleLink(db, codeHash) };
  }
  if (link.kind !== 'unknown') return link;
  const code = await lockLinkCode(db, codeHash);
  if (code.kind !== 'good') return code;
  switch (code.maker.kind) {
    case 'person': {
      const by = code.isSetUp ? 'the set-up code of the first admin' : 'a code of their terminal';
      return { kind: 'good', person: code.maker.person, by, burn: () => burnLinkCode(db, codeHash) };
    }
    case 'chat':
      return { kind: 'chat-side' };
    default:
      return assertNever(code.maker);
  }
}

type Attempt = { readonly address: string; readonly botName: string; readonly guesser: string };

/** Who is shut out is not written down each time: the trail would grow as fast as somebody can ask. */
async function refuseCode(
  db: Database,
  attempt: Attempt,
  found: Exclude<FoundCode, { kind: 'good' }>,
): Promise<SignInRefusal> {
  if (!(await mayTry(db, attempt.guesser))) return refusals.locked;
  if (!(await mayTry(db, everybody))) return refusals.busy;
  if (found.kind === 'unknown') {
    await noteWrongTry(db, attempt.guesser);
    await noteWrongTry(db, everybody, everybodysLimits);
  }
  return refused(db, { ...attempt, person: found.person ?? '' }, refusals[found.kind]);
}

async function refused(
  db: Database,
  attempt: { readonly address: string; readonly botName: string; readonly person: string },
  refusal: SignInRefusal,
): Promise<SignInRefusal> {
  const detail = `from ${attempt.address || 'somewhere'}: ${refusal.message}`;
  const who = 'somebody at the web console';
  const via = `bot ${attempt.botName}`;
  await appendAudit(db, { who, via, what: 'sign-in refused', target: attempt.person, detail });
  return refusal;
}

const again = 'Ask for a new link: `dr console` in a terminal, `/dr console` in chat.';
const refusals = {
  locked: {
    kind: 'refused',
    why: 'locked',
    message: 'Five codes from your address were wrong, and this one is not good either.',
    nextStep: again,
  },
  busy: {
    kind: 'refused',
    why: 'busy',
    message: 'Too many wrong codes were tried just now, and this one is not good either.',
    nextStep: again,
  },
  unknown: {
    kind: 'refused',
    why: 'unknown',
    message: 'This is not a code of this installation, or a newer one was made since.',
    nextStep: again,
  },
  used: {
    kind: 'refused',
    why: 'used',
    message: 'This link was used already: it works once.',
    nextStep: `${again} If it was not you who used it: \`console --sign-out\` ends every session of yours.`,
  },
  expired: {
    kind: 'refused',
    why: 'expired',
    message: 'This link has expired: it is good for five minutes, a code of `dr link` for fifteen.',
    nextStep: again,
  },
  'chat-side': {
    kind: 'refused',
    why: 'chat-side',
    message: 'This code was made in chat to be typed in a terminal; nobody is signed in by it.',
    nextStep: again,
  },
  disabled: {
    kind: 'refused',
    why: 'disabled',
    message: 'The person of this link is disabled, or not there any more.',
    nextStep: 'Ask an admin of this installation.',
  },
} as const satisfies Record<string, SignInRefusal>;

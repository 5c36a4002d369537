import { createHash, randomBytes } from 'node:crypto';
import type { SessionId } from '../../domain/ids.ts';
import { hourMs, minuteMs } from '../../domain/units.ts';
import {
  countLivingSessions,
  endSessionsOf,
  findSession,
  insertSession,
  type SessionEnd,
} from '../store/console-sessions.ts';
import type { Database } from '../store/database.ts';
import { newId } from '../store/new-id.ts';
import { type ChatUser, unlinkUsers } from '../store/people.ts';

/** Who signed in at the web console is known by a token that only their browser has; the engine keeps its hash. Source: issue 4 item 1 */
export const sessionLimits = { lifeMs: 12 * hourMs, idleLimitMs: hourMs, countMax: 20 } as const;
const tokenBytes = 32;
const tokenPattern = /^[A-Za-z0-9_-]{43}$/;
/** A console says every minute where it is; after so many without a word it is not where it was. */
export const addressLifeMs = 5 * minuteMs;

export type NewSession = { readonly id: SessionId; readonly token: string; readonly expiresAtMs: number };

/** Begins a session of that person. Call it in a transaction, after whoever asks has proved who they are. */
export async function beginSession(
  db: Database,
  who: { readonly id: SessionId; readonly person: string; readonly address: string },
): Promise<NewSession> {
  const token = randomBytes(tokenBytes).toString('base64url');
  const { expiresAtMs } = await insertSession(db, { ...who, ...sessionLimits, tokenHash: hashOf(token) });
  return { id: who.id, token, expiresAtMs };
}

export const newSessionId = (): SessionId => newId('session');

export type RecognisedSession =
  | { readonly kind: 'living'; readonly id: SessionId; readonly person: string; readonly isTouchDue: boolean }
  /** `person`: whose it was, when it was somebody's. */
  | { readonly kind: 'refused'; readonly message: string; readonly person?: string };

/** Whose session the token is, now; or why it is nobody's any more. */
export async function recogniseSession(db: Database, token: string): Promise<RecognisedSession> {
  if (!tokenPattern.test(token)) return { kind: 'refused', message: words.unknown };
  const found = await findSession(db, { tokenHash: hashOf(token), idleLimitMs: sessionLimits.idleLimitMs });
  if (found.kind === 'living') return found;
  if (found.kind === 'unknown') return { kind: 'refused', message: words.unknown };
  const { person } = found;
  const message = found.kind === 'ended' ? `${ends[found.why] ?? 'This session was ended'}.` : words[found.kind];
  return { kind: 'refused', message, person };
}

/** Ends every session of a person, in whichever browser. @returns how many of them still counted */
export async function signOutEverywhere(db: Database, person: string): Promise<number> {
  const count = await countLivingSessions(db, person, sessionLimits.idleLimitMs);
  await endSessionsOf(db, person, 'signed-out-everywhere');
  return count;
}

/** Takes a person's chat users away, and ends their sessions at the web console: whoever had the chat user may have signed in by it. */
export async function unlinkPerson(
  db: Database,
  person: string,
  surfaces: readonly ChatUser['surface'][],
): Promise<void> {
  await unlinkUsers(db, person, surfaces);
  await endSessionsOf(db, person, 'unlinked');
}

const words = {
  unknown: 'This is no session of this installation.',
  expired: 'This session is over: one lasts 12 h at most.',
  idle: 'This session is over: nothing was asked for an hour.',
} as const;
const ends: Readonly<Record<string, string>> & Readonly<Record<SessionEnd, string>> = {
  'signed-out': 'This session is over: you signed out',
  'signed-out-everywhere': 'This session is over: you signed out everywhere',
  'too-many': `This session is over: you signed in elsewhere, and ${sessionLimits.countMax} sessions live at once`,
  disabled: 'This session is over: its person was disabled',
  unlinked: 'This session is over: a chat user of its person was unlinked',
  'authenticator-reset': 'This session is over: the authenticator of its person was reset',
};

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

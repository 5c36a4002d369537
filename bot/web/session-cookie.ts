import { createHash } from 'node:crypto';

/** The prefix makes browsers insist: over TLS, from this host, for all of it, and set by nobody else. */
const cookieName = '__Host-lifeboat';
const flags = 'Path=/; Secure; HttpOnly; SameSite=Strict';
const tokenPattern = /^[A-Za-z0-9._~-]{16,200}$/;

/** The session's token in a request; undefined when there is none, or none that could be one. */
export function sessionIn(cookieHeader: string | undefined): string | undefined {
  const prefix = `${cookieName}=`;
  const found = (cookieHeader ?? '')
    .split(';')
    .map((one) => one.trim())
    .filter((one) => one.startsWith(prefix));
  const token = found.length === 1 ? found[0]?.slice(prefix.length) : undefined;
  return token !== undefined && tokenPattern.test(token) ? token : undefined;
}

export function sessionCookie(token: string, lifeMs: number): string {
  return `${cookieName}=${token}; ${flags}; Max-Age=${Math.max(1, Math.floor(lifeMs / 1000))}`;
}

/** Makes the browser forget its session. */
export const clearedCookie = `${cookieName}=; ${flags}; Max-Age=0`;

/** Stands for a session where the session itself may not stand: in keys, counters and logs. */
export function sessionDigest(session: string): string {
  return createHash('sha256').update(session).digest('hex').slice(0, 32);
}

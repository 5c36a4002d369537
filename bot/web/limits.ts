import { minuteMs, secondMs } from '../../domain/units.ts';

/** What one browser, one session and all of them together may ask of the console. */
export const webLimits = {
  bodyBytes: 64 * 1024,
  headerBytes: 16 * 1024,
  connectionCount: 512,
  /** Of one connection at once (HTTP/2). */
  streamCount: 64,
  /** From the first byte of a request to its end; the live stream has no end. */
  requestMs: 90 * secondMs,
  headersMs: 10 * secondMs,
  idleConnectionMs: 75 * secondMs,
  /** Codes that were not good. Behind a reverse proxy everybody has one address. */
  signInsPerAddress: { countMax: 60, perMs: minuteMs },
  signIns: { countMax: 300, perMs: minuteMs },
  signInsAtOnce: 8,
  /** Requests with a session that the engine has not known, about which it is asked. */
  strangersAtOnce: 8,
  /** Of them those that were nobody's. */
  strangersPerAddress: { countMax: 60, perMs: minuteMs },
  linesPerSession: { countMax: 60, perMs: minuteMs },
  livePerSession: 6,
  live: 200,
  /** Live streams of sessions of which it is not known yet whose they are, besides. */
  liveStrangers: 20,
  /** What a live stream may leave unread before it is cut off. */
  unreadBytes: 4 * 1024 * 1024,
} as const;
/** Tests make them smaller. */
export type WebLimits = { readonly [Name in keyof typeof webLimits]: Widened<(typeof webLimits)[Name]> };
type Widened<Value> = Value extends number ? number : Rate;

/** So many within so long. */
export type Rate = { readonly countMax: number; readonly perMs: number };

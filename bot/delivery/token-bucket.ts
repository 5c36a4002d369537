/** How many messages a place may get now. Platforms count per channel. */
export type TokenBucket = { readonly tokens: number; readonly atMs: number };

/** A place takes one message a second; two at once after a silence. Source: CHAT 2.1, 3.2, 5.3 */
export const bucketRules = { perSecond: 1, burst: 2 } as const;

export function fullBucket(nowMs: number): TokenBucket {
  return { tokens: bucketRules.burst, atMs: nowMs };
}

/** What is in the bucket now. A clock that goes back fills nothing. */
export function refilled(bucket: TokenBucket, nowMs: number): TokenBucket {
  const passedMs = Math.max(0, nowMs - bucket.atMs);
  return {
    tokens: Math.min(bucketRules.burst, bucket.tokens + (passedMs * bucketRules.perSecond) / 1000),
    atMs: nowMs,
  };
}

/** Milliseconds until the next message may go; 0: now. */
export function waitForTokenMs(bucket: TokenBucket, nowMs: number): number {
  const missing = 1 - refilled(bucket, nowMs).tokens;
  return missing <= 0 ? 0 : Math.ceil((missing * 1000) / bucketRules.perSecond);
}

export function withoutToken(bucket: TokenBucket, nowMs: number): TokenBucket {
  const { tokens, atMs } = refilled(bucket, nowMs);
  return { tokens: tokens - 1, atMs };
}

/**
 * Slack's rate limits, at the strict end of what Slack says of them. Source: CHAT 2.1
 *
 * Slack promises each method at least so many calls a minute and app and workspace; this imitation allows no more than that within any
 * sixty seconds. A channel takes one posted message a second, and Slack lets short bursts pass without saying how long: here it is a burst of
 * four. All channels together take three hundred a minute.
 */
const tiers = { rare: 1, second: 20, third: 50, fourth: 100 } as const;
const postBurst = 4;
const workspacePostsMax = 300;
/** Slack lets a connection be opened again at once when one has ended. */
const connectionBurst = 10;

/** Calls a minute; what is not listed has the fourth tier. */
const callsPerMinute: Readonly<Record<string, number>> = {
  'chat.postMessage': workspacePostsMax,
  'chat.update': tiers.third,
  'conversations.open': tiers.third,
  'usergroups.users.list': tiers.second,
  'apps.connections.open': tiers.rare + connectionBurst,
  // Slack: hundreds a minute.
  'auth.test': 300,
};
const minuteMs = 60_000;

export type RateLimits = {
  /** Whole seconds to wait, as in `Retry-After`; undefined when the call may pass, and then it counts. */
  readonly take: (method: string, channel: string | undefined) => number | undefined;
};

/** @param nowMs a clock that runs: a test that stands still in time would wait forever */
export function createRateLimits(nowMs: () => number): RateLimits {
  const calls = new Map<string, number[]>();
  const channels = new Map<string, { tokens: number; atMs: number }>();
  const callWaitMs = (method: string, recent: readonly number[]) => {
    const oldest = recent.at(-(callsPerMinute[method] ?? tiers.fourth));
    return oldest === undefined ? 0 : oldest + minuteMs - nowMs();
  };
  const bucketOf = (channel: string) => {
    const { tokens, atMs } = channels.get(channel) ?? { tokens: postBurst, atMs: nowMs() };
    return { tokens: Math.min(postBurst, tokens + (nowMs() - atMs) / 1000), atMs: nowMs() };
  };
  return {
    take: (method, channel) => {
      const recent = (calls.get(method) ?? []).filter((atMs) => atMs > nowMs() - minuteMs);
      const bucket = method === 'chat.postMessage' && channel !== undefined ? bucketOf(channel) : undefined;
      const postWaitMs = bucket === undefined ? 0 : (1 - bucket.tokens) * 1000;
      const waitMs = Math.max(callWaitMs(method, recent), postWaitMs);
      if (waitMs > 0) return Math.max(1, Math.ceil(waitMs / 1000));
      calls.set(method, [...recent, nowMs()]);
      if (bucket !== undefined && channel !== undefined)
        channels.set(channel, { ...bucket, tokens: bucket.tokens - 1 });
      return undefined;
    },
  };
}

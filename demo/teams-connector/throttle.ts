/** How many messages a bot may send to one thread; what is over is answered 429. Source: CHAT 3.2 */
const windows = [
  { limit: 7, ms: 1000 },
  { limit: 8, ms: 2000 },
  { limit: 60, ms: 30_000 },
  { limit: 1800, ms: 3_600_000 },
] as const;

/** Seconds to wait, or undefined when the message may pass. */
export function createThrottle(nowMs: () => number): (thread: string) => number | undefined {
  const sent = new Map<string, number[]>();
  return (thread) => {
    const times = (sent.get(thread) ?? []).filter((at) => at > nowMs() - 3_600_000);
    const broken = windows.find(({ limit, ms }) => times.filter((at) => at > nowMs() - ms).length >= limit);
    if (broken !== undefined) return Math.ceil(broken.ms / 1000);
    sent.set(thread, [...times, nowMs()]);
    return undefined;
  };
}

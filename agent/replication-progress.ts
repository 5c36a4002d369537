import type { ReplicationReport } from '../protocol/agent-api.ts';

type Scan = { why: string; doneBytes: number; totalBytes: number; sentBytes: number };
/** What of a machine's replication can fail by itself. */
export type ReplicationPart = 'capture' | 'transfer' | 'announcement';
type Failure = { readonly message: string; readonly sinceMs: number };

/** What a machine's two loops tell, so that heartbeats can say what replication does and why it does not. */
export type ReplicationProgress = {
  readonly scanStarted: (why: string, totalBytes: number) => void;
  readonly scanMoved: (comparedBytes: number, sentBytes: number) => void;
  readonly scanEnded: () => void;
  readonly sent: (bytes: number) => void;
  /** A part's failure stays until the same part succeeds; `sinceMs` stays at the first of a row. */
  readonly failed: (part: ReplicationPart, message: string) => void;
  readonly succeeded: (part: ReplicationPart) => void;
  readonly isFailing: () => boolean;
  readonly activity: (queuedBytes: number) => ReplicationReport['activity'];
  readonly sentBytesTotal: () => number;
};

const rateWindowMs = 10_000;

export function createReplicationProgress(clock: {
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
}): ReplicationProgress {
  const failures = new Map<ReplicationPart, Failure>();
  const rate = createRate(clock.monotonicMs);
  let scan: Scan | undefined;
  let sentBytesTotal = 0;
  return {
    scanStarted(why, totalBytes) {
      scan = { why, doneBytes: 0, totalBytes, sentBytes: 0 };
      rate.reset();
    },
    scanMoved(comparedBytes, sentBytes) {
      sentBytesTotal += sentBytes;
      if (scan === undefined) return;
      scan.doneBytes += comparedBytes;
      scan.sentBytes += sentBytes;
      rate.add(comparedBytes);
    },
    scanEnded() {
      scan = undefined;
    },
    sent(bytes) {
      sentBytesTotal += bytes;
    },
    failed(part, message) {
      const sinceMs = failures.get(part)?.sinceMs ?? clock.nowMs();
      failures.set(part, { message: message.slice(0, 1000), sinceMs });
    },
    succeeded(part) {
      failures.delete(part);
    },
    isFailing: () => failures.size > 0,
    activity(queuedBytes) {
      const failure = failures.get('capture') ?? failures.get('transfer') ?? failures.get('announcement');
      if (failure !== undefined) return { kind: 'failing', ...failure };
      if (scan !== undefined) {
        const doneBytes = Math.min(scan.doneBytes, scan.totalBytes);
        return { kind: 'scanning', ...scan, doneBytes, bytesPerSecond: rate.perSecond() };
      }
      return queuedBytes > 0 ? { kind: 'sending', queuedBytes } : { kind: 'idle' };
    },
    sentBytesTotal: () => sentBytesTotal,
  };
}

/** Bytes per second over the last seconds, so that a stall is seen and a fast start is not remembered. */
function createRate(monotonicMs: () => number) {
  let samples: { readonly atMs: number; bytes: number }[] = [];
  let startedAtMs = monotonicMs();
  return {
    reset() {
      samples = [];
      startedAtMs = monotonicMs();
    },
    add(bytes: number) {
      const atMs = monotonicMs();
      const last = samples.at(-1);
      // Ten samples a second are enough; a scan reports far more often.
      if (last !== undefined && atMs - last.atMs < 100) last.bytes += bytes;
      else samples.push({ atMs, bytes });
      samples = samples.filter((sample) => sample.atMs > atMs - rateWindowMs);
    },
    perSecond(): number {
      const nowMs = monotonicMs();
      const fromMs = Math.max(startedAtMs, nowMs - rateWindowMs);
      const bytes = samples.reduce((sum, sample) => (sample.atMs > fromMs ? sum + sample.bytes : sum), 0);
      return (bytes * 1000) / Math.max(100, nowMs - fromMs);
    },
  };
}

import type { DiskId } from '../domain/ids.ts';
import type { Journal, JournalCapture } from './journal.ts';

/** What the capture loop knows when it decides. Times are of the monotonic clock, in milliseconds. */
export type CaptureFacts = {
  readonly nowMs: number;
  /** Someone else owns the machine now; nothing is done until the engine says otherwise. */
  readonly isFenced: boolean;
  readonly isPaused: boolean;
  readonly crashConsistentEveryMs: number;
  /** When the newest capture was due; undefined before the first. */
  readonly previousDueMs: number | undefined;
  readonly request: BookmarkRequest | undefined;
  readonly disksToScanCount: number;
  readonly queuedLogCount: number;
};
export type BookmarkRequest = { readonly requestId: string; readonly reason: string };

export type CaptureStep =
  /** Nothing to do until something changes, or until a time. */
  | { readonly kind: 'wait'; readonly untilMs: number | undefined }
  | { readonly kind: 'capture'; readonly dueMs: number; readonly request: BookmarkRequest | undefined };

/**
 * What to do next about captures.
 *
 * Captures are due on a grid of the policy's interval. One that was missed is made up for once; those that were missed besides
 * are not. A disk that must be scanned waits until all that is queued has been sent, because a scan moves the disk's position.
 */
export function nextCaptureStep(facts: CaptureFacts): CaptureStep {
  if (facts.isFenced || facts.isPaused) return { kind: 'wait', untilMs: undefined };
  const mustScan = facts.disksToScanCount > 0;
  if (mustScan && facts.queuedLogCount > 0) return { kind: 'wait', untilMs: undefined };
  const dueMs = dueAt(facts);
  const isDue = dueMs <= facts.nowMs;
  if (facts.request !== undefined || mustScan || isDue) {
    return { kind: 'capture', dueMs: isDue ? dueMs : (facts.previousDueMs ?? facts.nowMs), request: facts.request };
  }
  return { kind: 'wait', untilMs: dueMs };
}

/** The newest grid time that has come, or else the next one. */
function dueAt(facts: CaptureFacts): number {
  const { previousDueMs, crashConsistentEveryMs, nowMs } = facts;
  if (previousDueMs === undefined) return nowMs;
  const passedCount = Math.floor((nowMs - previousDueMs) / crashConsistentEveryMs);
  return previousDueMs + Math.max(1, passedCount) * crashConsistentEveryMs;
}

export type TransferStep =
  | { readonly kind: 'send'; readonly diskId: DiskId; readonly sequence: number }
  | { readonly kind: 'announce'; readonly capture: JournalCapture }
  | { readonly kind: 'wait' };

/** What to send next: the oldest capture's logs first, its announcement after them, then what no capture waits for any more. */
export function nextTransferStep(journal: Journal): TransferStep {
  const oldest = journal.captures[0];
  const acked = new Map(journal.disks.map((disk) => [disk.diskId, disk.acked?.sequence ?? 0]));
  const waited = oldest?.disks.find((disk) => disk.position === null);
  if (waited !== undefined)
    return { kind: 'send', diskId: waited.diskId, sequence: (acked.get(waited.diskId) ?? 0) + 1 };
  if (oldest !== undefined) return { kind: 'announce', capture: oldest };
  const queued = journal.disks.find((disk) => disk.queuedUpTo > (disk.acked?.sequence ?? 0));
  if (queued !== undefined) return { kind: 'send', diskId: queued.diskId, sequence: (queued.acked?.sequence ?? 0) + 1 };
  return { kind: 'wait' };
}

/** How many sealed logs wait to be sent. */
export function queuedLogCount(journal: Journal): number {
  return journal.disks.reduce((sum, disk) => sum + disk.queuedUpTo - (disk.acked?.sequence ?? 0), 0);
}

/** Doubles from half a second to the limit, with up to half of it taken off at random so that many agents do not come back at once. */
export function backoffMs(failureCount: number, random: number, limitMs = 30_000): number {
  const full = Math.min(limitMs, 500 * 2 ** Math.min(10, Math.max(0, failureCount - 1)));
  return full * (1 - random / 2);
}

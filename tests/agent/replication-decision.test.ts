import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Journal } from '../../agent/journal.ts';
import {
  withAcknowledged,
  withAnnounced,
  withCapture,
  withDisks,
  withoutSettledRequests,
  withResync,
} from '../../agent/journal-change.ts';
import {
  backoffMs,
  type CaptureFacts,
  nextCaptureStep,
  nextTransferStep,
  queuedLogCount,
} from '../../agent/replication-decision.ts';
import { idFromBytes } from '../../domain/ids.ts';
import { nilUuid } from '../../protocol/hrl.ts';

const facts: CaptureFacts = {
  nowMs: 100_000,
  isFenced: false,
  isPaused: false,
  crashConsistentEveryMs: 15_000,
  previousDueMs: 90_000,
  request: undefined,
  disksToScanCount: 0,
  queuedLogCount: 0,
};
const request = { requestId: 'req_1', reason: 'before the upgrade' };

describe('the next capture', () => {
  test('is due one interval after the one before', () => {
    expect(nextCaptureStep(facts)).toEqual({ kind: 'wait', untilMs: 105_000 });
    expect(nextCaptureStep({ ...facts, nowMs: 105_000 })).toMatchObject({ kind: 'capture', dueMs: 105_000 });
  });
  test('is due at once when there was none', () => {
    expect(nextCaptureStep({ ...facts, previousDueMs: undefined })).toMatchObject({ kind: 'capture', dueMs: 100_000 });
  });
  test('that was taken late does not move the grid, and missed ones are made up for once only', () => {
    expect(nextCaptureStep({ ...facts, nowMs: 109_000 })).toMatchObject({ dueMs: 105_000 });
    expect(nextCaptureStep({ ...facts, nowMs: 190_000 })).toMatchObject({ dueMs: 180_000 });
    expect(nextCaptureStep({ ...facts, nowMs: 190_000, previousDueMs: 180_000 })).toEqual({
      kind: 'wait',
      untilMs: 195_000,
    });
  });
  test('for a bookmark comes at once and leaves the grid alone', () => {
    expect(nextCaptureStep({ ...facts, request })).toEqual({ kind: 'capture', dueMs: 90_000, request });
  });
  test('with a disk to compare comes at once, but not before the queue is empty', () => {
    expect(nextCaptureStep({ ...facts, disksToScanCount: 1 })).toMatchObject({ kind: 'capture' });
    expect(nextCaptureStep({ ...facts, disksToScanCount: 1, queuedLogCount: 1 })).toEqual({
      kind: 'wait',
      untilMs: undefined,
    });
  });
  test('does not come while the machine is paused or fenced, whatever else is true', () => {
    const anything = { nowMs: 1e9, request, disksToScanCount: 1 };
    expect(nextCaptureStep({ ...facts, ...anything, isPaused: true })).toEqual({ kind: 'wait', untilMs: undefined });
    expect(nextCaptureStep({ ...facts, ...anything, isFenced: true })).toEqual({ kind: 'wait', untilMs: undefined });
  });
  test('never comes more often than the interval without a reason, however irregular the loop runs', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 5, maxLength: 200 }), (waits) => {
        let nowMs = 0;
        let previousDueMs: number | undefined;
        let captureCount = 0;
        for (const wait of waits) {
          nowMs += wait;
          const step = nextCaptureStep({ ...facts, nowMs, previousDueMs });
          if (step.kind !== 'capture') continue;
          captureCount += 1;
          previousDueMs = step.dueMs;
          expect(step.dueMs).toBeLessThanOrEqual(nowMs);
          expect(nowMs - step.dueMs).toBeLessThan(facts.crashConsistentEveryMs);
        }
        expect(captureCount).toBeLessThanOrEqual(1 + nowMs / facts.crashConsistentEveryMs);
      }),
    );
  });
});

const [d0, d1] = [idFromBytes('disk', Buffer.alloc(10, 1)), idFromBytes('disk', Buffer.alloc(10, 2))];
const position = (sequence: number) => ({ epoch: 1, sequence, digest: String(sequence).padStart(64, 'a') });
const capture = (captureId: string, requestId: string | null = null) => ({
  captureId,
  kind: 'crash-consistent' as const,
  takenAtMs: 1,
  pauseMs: 0,
  changedBytes: 0,
  requestId,
  reason: '',
});
const spooled = (diskId: typeof d0, lastSequence: number) => ({
  kind: 'spooled' as const,
  diskId,
  lastSequence,
  lastLogId: nilUuid,
});
const scanned = (diskId: typeof d0, sequence: number) => ({
  kind: 'scanned' as const,
  diskId,
  position: position(sequence),
});

const empty: Journal = {
  format: 'lifeboat-journal/1',
  machineId: idFromBytes('machine', Buffer.alloc(10, 3)),
  machineName: 'vm-7',
  generation: 0,
  disks: [],
  captures: [],
  doneRequests: [],
  power: null,
};
const fresh = withDisks(empty, [
  { diskId: d0, key: 'disk0' },
  { diskId: d1, key: 'disk1' },
]);
const copied = withAnnounced(withCapture(fresh, capture('first'), [scanned(d0, 5), scanned(d1, 3)]), 'first');

describe('the journal', () => {
  test('wants a first copy of every new disk, and none of a disk that it knows', () => {
    expect(fresh.disks.map((disk) => disk.resync)).toEqual(['first copy of this disk', 'first copy of this disk']);
    expect(copied.disks.map((disk) => disk.resync)).toEqual([null, null]);
    expect(withDisks(copied, fresh.disks)).toBe(copied);
    const withoutOne = withDisks(copied, [{ diskId: d1, key: 'disk1' }]);
    expect(withoutOne.disks.map((disk) => disk.acked?.sequence)).toEqual([3]);
  });

  test('counts a generation for each durable capture', () => {
    expect([fresh.generation, copied.generation]).toEqual([0, 1]);
    expect(withCapture(copied, capture('b'), [spooled(d0, 5), spooled(d1, 3)]).generation).toBe(2);
  });

  test('announces a capture without changes with the positions of before', () => {
    const journal = withCapture(copied, capture('b'), [spooled(d0, 5), spooled(d1, 3)]);
    expect(queuedLogCount(journal)).toBe(0);
    expect(nextTransferStep(journal)).toMatchObject({
      kind: 'announce',
      capture: { disks: [{ position: position(5) }, { position: position(3) }] },
    });
  });

  test('sends all logs of a capture in order before it is announced, the oldest capture first', () => {
    let journal = withCapture(copied, capture('b', 'req_b'), [spooled(d0, 7), spooled(d1, 3)]);
    journal = withCapture(journal, capture('c'), [spooled(d0, 7), spooled(d1, 4)]);
    const trace: string[] = [];
    for (let step = nextTransferStep(journal); step.kind !== 'wait'; step = nextTransferStep(journal)) {
      trace.push(
        step.kind === 'send' ? `${step.diskId === d0 ? 'd0' : 'd1'}:${step.sequence}` : step.capture.captureId,
      );
      journal =
        step.kind === 'send'
          ? withAcknowledged(journal, step.diskId, position(step.sequence))
          : withAnnounced(journal, step.capture.captureId);
    }
    expect(trace).toEqual(['d0:6', 'd0:7', 'b', 'd1:4', 'c']);
    expect(journal.doneRequests).toEqual(['req_b']);
    expect(journal.captures).toEqual([]);
  });

  test('after a resync keeps what can still be a point and drops what cannot, and goes on with the other disk', () => {
    let journal = withCapture(copied, capture('b'), [spooled(d0, 5), spooled(d1, 4)]);
    journal = withCapture(journal, capture('c'), [spooled(d0, 6), spooled(d1, 4)]);
    const after = withResync(journal, { diskIds: [d0], why: 'the spool is full' });
    expect(after.captures.map((left) => left.captureId)).toEqual(['b']);
    expect(after.disks).toMatchObject([
      { queuedUpTo: 5, resync: 'the spool is full' },
      { queuedUpTo: 4, resync: null },
    ]);
    expect(nextTransferStep(after)).toEqual({ kind: 'send', diskId: d1, sequence: 4 });
  });

  test('trusts no position of a disk that the vault has elsewhere', () => {
    const journal = withCapture(copied, capture('b'), [spooled(d0, 5), spooled(d1, 4)]);
    const after = withResync(journal, { diskIds: [d0], why: 'elsewhere', isVaultElsewhere: true });
    expect(after.captures).toEqual([]);
    expect(nextTransferStep(after)).toEqual({ kind: 'send', diskId: d1, sequence: 4 });
  });

  test('forgets a done request only when the engine no longer asks for it', () => {
    const journal = { ...copied, doneRequests: ['req_a', 'req_b'] };
    expect(withoutSettledRequests(journal, ['req_b', 'req_c']).doneRequests).toEqual(['req_b']);
    expect(withoutSettledRequests(journal, ['req_a', 'req_b'])).toBe(journal);
  });
});

test('the backoff grows to thirty seconds and no further, and is never nothing', () => {
  const times = Array.from({ length: 40 }, (_, count) => backoffMs(count + 1, 0));
  expect(times.slice(0, 7)).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
  expect(Math.max(...times)).toBe(30_000);
  expect(backoffMs(1, 0.999)).toBeGreaterThan(249);
});

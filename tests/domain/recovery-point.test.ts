import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RecoveryPointId } from '../../domain/ids.ts';
import {
  expiredPoints,
  lagMs,
  newestAvailable,
  pointHistory,
  type RecoveryPoint,
  type RecoveryPointState,
} from '../../domain/recovery-point.ts';

const states: readonly RecoveryPointState[] = ['receiving', 'sealed', 'verified', 'available', 'damaged', 'expiring'];
const pointsArbitrary = fc
  .array(
    fc.record({ state: fc.constantFrom(...states), takenAtMs: fc.integer({ min: 0, max: 50 }), inUse: fc.boolean() }),
    {
      maxLength: 12,
    },
  )
  .map((drafts) =>
    drafts.map(({ inUse, ...draft }, index) => ({
      ...draft,
      id: `rp_${index}` as RecoveryPointId,
      kind: 'crash-consistent' as const,
      inUse,
    })),
  );
type Draft = RecoveryPoint & { readonly inUse: boolean };
type Expire = typeof expiredPoints<Draft>;

/** What must hold of every answer, stated without looking at how it is found. */
function holds(expire: Expire, points: Draft[], retentionMs: number, nowMs: number): boolean {
  const inUse = new Set(points.filter((point) => point.inUse).map((point) => point.id));
  const gone = new Set(expire(points, retentionMs, nowMs, inUse).map((point) => point.id));
  const available = points.filter((point) => point.state === 'available');
  const newestMs = Math.max(...available.map((point) => point.takenAtMs));
  const someWayBack =
    available.length === 0 || available.some((point) => point.takenAtMs === newestMs && !gone.has(point.id));
  return (
    someWayBack &&
    points.every((point) => {
      const isOld = point.takenAtMs < nowMs - retentionMs;
      const isSettled = point.state === 'available' || point.state === 'damaged';
      const mayGo = isOld && isSettled && !point.inUse;
      if (gone.has(point.id)) return mayGo;
      return !mayGo || (point.state === 'available' && point.takenAtMs === newestMs);
    })
  );
}

const clock = { retention: fc.integer({ min: 0, max: 60 }), now: fc.integer({ min: -100, max: 1000 }) };

test('whatever the clock says, the newest available point, points in use and unsettled points stay; all other old ones go', () => {
  fc.assert(
    fc.property(pointsArbitrary, clock.retention, clock.now, (points, retention, now) =>
      holds(expiredPoints, points, retention, now),
    ),
    { numRuns: 2000 },
  );
});

test.each<[string, Expire]>([
  [
    'the newest one goes too',
    (points, retentionMs, nowMs, inUse) =>
      points.filter(
        (p) =>
          p.takenAtMs < nowMs - retentionMs && !inUse.has(p.id) && (p.state === 'available' || p.state === 'damaged'),
      ),
  ],
  ['points in use go', (points, retentionMs, nowMs) => expiredPoints(points, retentionMs, nowMs, new Set())],
  [
    'points on their way go',
    (points, retentionMs, nowMs, inUse) =>
      points.filter((p) => p !== newestAvailable(points) && p.takenAtMs < nowMs - retentionMs && !inUse.has(p.id)),
  ],
  ['nothing ever goes', () => []],
])('the property sees a planted bug: %s', (_name, expire) => {
  const check = fc.check(
    fc.property(pointsArbitrary, clock.retention, clock.now, (points, retention, now) =>
      holds(expire, points, retention, now),
    ),
    { numRuns: 2000 },
  );
  expect(check.failed).toBe(true);
});

test('lag is unknown without an available point, never zero, and a clock that goes back makes no negative lag', () => {
  const point = (state: RecoveryPointState, takenAtMs: number) => ({
    id: 'rp_1' as RecoveryPointId,
    kind: 'crash-consistent' as const,
    state,
    takenAtMs,
  });
  expect(lagMs([], 100)).toBeUndefined();
  expect(lagMs([point('verified', 90), point('damaged', 95)], 100)).toBeUndefined();
  expect(lagMs([point('available', 40), point('available', 70)], 100)).toBe(30);
  expect(lagMs([point('available', 140)], 100)).toBe(0);
});

test('the longest gap of a period is the worst lag that was reached in it, looked at every moment', () => {
  fc.assert(
    fc.property(
      pointsArbitrary,
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 50, max: 70 }),
      (points, since, now) => {
        fc.pre(since <= now);
        const { longestGap } = pointHistory(points, since, now);
        const worstLagMs = worstLag(points, since, now);
        expect(longestGap === undefined ? undefined : longestGap.toMs - longestGap.fromMs).toBe(worstLagMs);
      },
    ),
    { numRuns: 2000 },
  );
});

/** The oracle: the lag a moment before each instant, when a point that comes then is not there yet. */
function worstLag(points: readonly RecoveryPoint[], since: number, now: number): number | undefined {
  const lags = Array.from({ length: now - since + 1 }, (_, offset) => {
    const atMs = since + offset;
    return lagMs(
      points.filter((point) => point.takenAtMs < atMs),
      atMs,
    );
  }).filter((lag) => lag !== undefined);
  const isThere = points.some((point) => point.state === 'available');
  return lags.length > 0 ? Math.max(...lags) : isThere ? 0 : undefined;
}

test('the points of a period are counted with those that nobody can fail over to, and older ones are not', () => {
  const point = (state: RecoveryPointState, takenAtMs: number) => ({
    id: 'rp_1' as RecoveryPointId,
    kind: 'crash-consistent' as const,
    state,
    takenAtMs,
  });
  const points = [point('available', 90), point('damaged', 60), point('available', 20), point('available', 5)];
  expect(pointHistory(points, 20, 100)).toEqual({
    takenCount: 3,
    availableCount: 2,
    longestGap: { fromMs: 20, toMs: 90 },
  });
  expect(pointHistory([point('damaged', 60)], 0, 100)).toEqual({
    takenCount: 1,
    availableCount: 0,
    longestGap: undefined,
  });
});

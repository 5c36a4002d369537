import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RecoveryPointId } from '../../domain/ids.ts';
import {
  expiredPoints,
  lagMs,
  newestAvailable,
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

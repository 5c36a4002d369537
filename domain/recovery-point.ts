import type { RecoveryPointId } from './ids.ts';

/** Crash-consistent: as after a power cut. Application-consistent: the guest was asked to flush first. */
export type RecoveryPointKind = 'crash-consistent' | 'application-consistent';

/**
 * The life of a recovery point. Only an available one can be failed over to. Source: RELIABILITY 4.
 *
 * ```
 * receiving ──▶ sealed ──▶ verified ──▶ available ──▶ expiring
 *     │            └──────────┴──▶ damaged
 * ```
 * receiving: the agent has announced it, not all disks have passed the barrier;
 * sealed: the signed manifest is in the vault; verified: its new segments were read back and authenticated;
 * damaged: the read-back failed, so nobody may boot from it; expiring: being removed from the vault.
 */
export type RecoveryPointState = 'receiving' | 'sealed' | 'verified' | 'available' | 'damaged' | 'expiring';

/** One state of a machine's disks that can be started again. Times are epoch milliseconds by the engine's clock. */
export type RecoveryPoint = {
  readonly id: RecoveryPointId;
  readonly kind: RecoveryPointKind;
  readonly state: RecoveryPointState;
  readonly takenAtMs: number;
};

/** The newest point that can be failed over to, or undefined when there is none. */
export function newestAvailable<Point extends RecoveryPoint>(points: readonly Point[]): Point | undefined {
  return points
    .filter((point) => point.state === 'available')
    .reduce<Point | undefined>(
      (newest, point) => (newest && newest.takenAtMs >= point.takenAtMs ? newest : point),
      undefined,
    );
}

/**
 * The points that the policy no longer keeps, oldest first.
 *
 * The newest available point always stays, however old; so do points in use (a drill runs from them), and
 * points that are not settled yet. A clock that jumped ahead can therefore never remove the last way back.
 *
 * @param inUse ids of points that a drill or a restore reads now
 * Source: RELIABILITY I16
 */
export function expiredPoints<Point extends RecoveryPoint>(
  points: readonly Point[],
  retentionMs: number,
  nowMs: number,
  inUse: ReadonlySet<RecoveryPointId>,
): Point[] {
  const newest = newestAvailable(points);
  return points
    .filter((point) => point.state === 'available' || point.state === 'damaged')
    .filter((point) => point !== newest && !inUse.has(point.id) && point.takenAtMs < nowMs - retentionMs)
    .sort((a, b) => a.takenAtMs - b.takenAtMs);
}

/**
 * Lag: now minus the time of the newest available recovery point, by the engine's clock. Undefined when there is no point:
 * unknown is never zero.
 */
export function lagMs(points: readonly RecoveryPoint[], nowMs: number): number | undefined {
  const newest = newestAvailable(points);
  return newest === undefined ? undefined : Math.max(0, nowMs - newest.takenAtMs);
}

/** The longest time in which no newer available point came. `toMs` is now while none has come yet. Epoch milliseconds. */
export type PointGap = { readonly fromMs: number; readonly toMs: number };
export type PointHistory = {
  /** Points of any state that were taken in the period. */
  readonly takenCount: number;
  /** Those of them that can be failed over to. */
  readonly availableCount: number;
  /** Undefined without an available point: unknown is never zero. */
  readonly longestGap: PointGap | undefined;
};

/**
 * What the points say of a period that ends now. Its longest gap is the worst lag that was reached in it, so a gap that began
 * before the period counts whole, and so does the one that is still open. Points that have expired cannot be counted.
 *
 * @param points in any order; points that a clock dates after now are taken as now
 * Source: CHAT 5.1
 */
export function pointHistory(points: readonly RecoveryPoint[], sinceMs: number, nowMs: number): PointHistory {
  const taken = points.filter((point) => point.takenAtMs >= sinceMs);
  const availableAtMs = points
    .filter((point) => point.state === 'available')
    .map((point) => Math.min(point.takenAtMs, nowMs))
    .sort((a, b) => a - b);
  const gaps = availableAtMs
    .map((fromMs, index) => ({ fromMs, toMs: availableAtMs[index + 1] ?? nowMs }))
    .filter((gap) => gap.toMs >= sinceMs);
  return {
    takenCount: taken.length,
    availableCount: taken.filter((point) => point.state === 'available').length,
    longestGap: gaps.reduce<PointGap | undefined>(
      (longest, gap) => (lengthMs(gap) > lengthMs(longest) ? gap : longest),
      undefined,
    ),
  };
}

function lengthMs(gap: PointGap | undefined): number {
  return gap === undefined ? -1 : gap.toMs - gap.fromMs;
}

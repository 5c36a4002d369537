import { dayMs, hourMs, minuteMs } from '../../../domain/units.ts';
import type { PointView, RunView } from '../../../protocol/control-api.ts';

/** The stretch of time that the time line shows; undefined lengths and ends mean: all points, up to now. */
export type PointWindow = { readonly spanMs: number | undefined; readonly endMs: number | undefined };
export const wholeWindow: PointWindow = { spanMs: undefined, endMs: undefined };
export const pointSpans = [
  { ms: 15 * minuteMs, label: '15 min' },
  { ms: hourMs, label: '1 h' },
  { ms: 6 * hourMs, label: '6 h' },
  { ms: dayMs, label: '24 h' },
  { ms: undefined, label: 'All' },
] as const;

/** `isUpToNow`: nothing newer can be to the right of it. */
export type Stretch = { readonly fromMs: number; readonly toMs: number; readonly isUpToNow: boolean };
/** A point with its place on the line, 0 (left) to 1 (right). */
export type PointMark = { readonly point: PointView; readonly share: number; readonly standsFor: number };

/** The time that the window means now. A whole window begins a little before the oldest point, so that its mark is not cut. */
export function stretchOf(window: PointWindow, points: readonly PointView[], nowMs: number): Stretch {
  const toMs = window.endMs ?? nowMs;
  const isUpToNow = window.endMs === undefined;
  if (window.spanMs !== undefined) return { fromMs: toMs - window.spanMs, toMs, isUpToNow };
  const oldestMs = points.reduce((oldest, point) => Math.min(oldest, point.takenAtMs), nowMs - minuteMs);
  return { fromMs: oldestMs - (nowMs - oldestMs) * 0.01, toMs: nowMs, isUpToNow: true };
}

/**
 * The marks to draw: where many points fall on the same spot, one stands for them: the newest of each kind and state, which is the one that
 * somebody who points there would want. The chosen one is always drawn.
 *
 * @param spotCount how many places the line has
 */
export function pointMarks(
  points: readonly PointView[],
  view: { readonly stretch: Stretch; readonly spotCount: number; readonly chosenPointId: string | undefined },
): PointMark[] {
  const { fromMs, toMs } = view.stretch;
  const spots = new Map<string, PointMark>();
  let chosen: PointMark | undefined;
  for (const point of pointsIn(points, view.stretch)) {
    const share = (Math.min(point.takenAtMs, toMs) - fromMs) / Math.max(1, toMs - fromMs);
    const key = `${point.kind} ${point.state} ${Math.floor(share * view.spotCount)}`;
    const other = spots.get(key);
    if (point.id === view.chosenPointId) chosen = { point, share, standsFor: 1 };
    if (other === undefined) spots.set(key, { point, share, standsFor: 1 });
    else spots.set(key, { ...newer(other, { point, share, standsFor: 1 }), standsFor: other.standsFor + 1 });
  }
  const others = [...spots.values()].filter((mark) => mark.point.id !== view.chosenPointId);
  return [...others, ...(chosen === undefined ? [] : [chosen])].sort((a, b) => a.share - b.share);
}

function newer(a: PointMark, b: PointMark): PointMark {
  return a.point.takenAtMs >= b.point.takenAtMs ? a : b;
}

/** Those inside the stretch, newest first. A point that a clock dates after now belongs to now. */
export function pointsIn(points: readonly PointView[], { fromMs, toMs, isUpToNow }: Stretch): PointView[] {
  return points
    .filter((point) => point.takenAtMs >= fromMs && (isUpToNow || point.takenAtMs <= toMs))
    .sort((a, b) => b.takenAtMs - a.takenAtMs);
}

/** The kinds that a time line tells apart, top lane first. */
export const pointLanes = ['application-consistent', 'crash-consistent'] as const;

/** The point nearest to where somebody clicked; lanes count, so that a rare kind among many can be hit. */
export function nearestMark(
  marks: readonly PointMark[],
  at: { readonly share: number; readonly lane: PointView['kind'] },
): PointMark | undefined {
  const inLane = marks.filter(({ point }) => point.kind === at.lane);
  return (inLane.length > 0 ? inLane : marks).reduce<PointMark | undefined>(
    (best, mark) =>
      best === undefined || Math.abs(mark.share - at.share) < Math.abs(best.share - at.share) ? mark : best,
    undefined,
  );
}

export type Step = 'older' | 'newer' | 'much-older' | 'much-newer' | 'oldest' | 'newest';
const muchCount = 20;

/** Where a step from the chosen point leads; without a chosen one every step leads to the newest. */
export function stepFrom(
  points: readonly PointView[],
  chosenPointId: string | undefined,
  step: Step,
): PointView | undefined {
  const newestFirst = [...points].sort((a, b) => b.takenAtMs - a.takenAtMs);
  const index = newestFirst.findIndex((point) => point.id === chosenPointId);
  if (step === 'newest' || (index < 0 && step !== 'oldest')) return newestFirst[0];
  const distance = { older: 1, newer: -1, 'much-older': muchCount, 'much-newer': -muchCount };
  const wanted = step === 'oldest' ? newestFirst.length - 1 : index + distance[step];
  return newestFirst[Math.min(newestFirst.length - 1, Math.max(0, wanted))];
}

/** The window moved so far that the point is in it; the same window when it is there already. */
export function windowWith(window: PointWindow, point: PointView, nowMs: number): PointWindow {
  const { spanMs } = window;
  if (spanMs === undefined) return window;
  const endMs = window.endMs ?? nowMs;
  if (point.takenAtMs >= endMs - spanMs && point.takenAtMs <= endMs) return window;
  return movedTo(spanMs, point.takenAtMs + spanMs / 2, nowMs);
}

/** The window moved by a share of its own length; never beyond now. */
export function movedWindow(window: PointWindow, share: number, nowMs: number): PointWindow {
  const { spanMs } = window;
  return spanMs === undefined ? window : movedTo(spanMs, (window.endMs ?? nowMs) + spanMs * share, nowMs);
}

function movedTo(spanMs: number, endMs: number, nowMs: number): PointWindow {
  return { spanMs, endMs: endMs >= nowMs ? undefined : endMs };
}

/** What was started from each point, newest first: a point that booted once is worth more than one that never did. */
export function runsByPoint(runs: readonly RunView[]): ReadonlyMap<string, readonly RunView[]> {
  const found = new Map<string, RunView[]>();
  for (const run of [...runs].sort((a, b) => b.startedAtMs - a.startedAtMs)) {
    if (run.result === null || run.kind === 'cleanup') continue;
    const before = found.get(run.result.point.id);
    if (before === undefined) found.set(run.result.point.id, [run]);
    else before.push(run);
  }
  return found;
}

/** Four to eight times on the line that are easy to read. */
export function timeTicks({ fromMs, toMs }: Pick<Stretch, 'fromMs' | 'toMs'>, countMax: number): number[] {
  const steps = [1, 2, 5, 10, 15, 30].map((count) => count * minuteMs);
  const longer = [1, 2, 3, 6, 12].map((count) => count * hourMs);
  const days = [1, 2, 7, 14, 30, 90].map((count) => count * dayMs);
  const stepMs = [...steps, ...longer, ...days].find((ms) => (toMs - fromMs) / ms <= countMax) ?? 365 * dayMs;
  const ticks: number[] = [];
  for (let atMs = Math.ceil(fromMs / stepMs) * stepMs; atMs <= toMs && ticks.length < 50; atMs += stepMs)
    ticks.push(atMs);
  return ticks;
}

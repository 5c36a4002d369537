import { describe, expect, test } from 'vitest';
import {
  basisOf,
  type DetailUi,
  defaultLagRangeMs,
  type MachineDetailState,
  noDetail,
  noReport,
  reduceDetail,
  reduceReport,
} from '../../bot/web/page/detail.ts';
import { type DetailFacts, isDetailDue } from '../../bot/web/page/detail-due.ts';
import { makeDetailKeeper } from '../../bot/web/page/detail-keeper.ts';
import { lagSentence, lagSummary } from '../../bot/web/page/lag-words.ts';
import { churnWords } from '../../bot/web/page/machine-facts.ts';
import { initialState, type PageEvent, type PageState, reduce } from '../../bot/web/page/model.ts';
import {
  movedWindow,
  nearestMark,
  pointMarks,
  stepFrom,
  stretchOf,
  windowWith,
} from '../../bot/web/page/point-marks.ts';
import type { Problem } from '../../bot/web/wire.ts';
import type { ReportView } from '../../protocol/console-api.ts';
import { nowMs, point } from '../bot/recorded-answers.ts';
import { detailOf, idBody, lagOf, manyPoints, reportOf, siteOf, vm7 } from './machine-scenes.ts';

const outage: Problem = { kind: 'problem', why: 'outage', message: 'The engine does not answer.', nextStep: null };
const asked = reduceDetail(noDetail, { kind: 'detail-asked', name: 'vm-7' });
const arrival = {
  kind: 'detail-arrived',
  name: 'vm-7',
  detail: detailOf(vm7),
  basis: 'a',
  lagRangeMs: defaultLagRangeMs,
} as const;
const loaded = reduceDetail(asked, arrival);

describe('what is known of the open machine', () => {
  test('an answer for another page than the open one changes nothing', () => {
    expect(reduceDetail(asked, { ...arrival, name: 'vm-8' })).toBe(asked);
    expect(reduceDetail(noDetail, arrival)).toBe(noDetail);
  });

  test('a failed refresh keeps the old detail and says why', () => {
    const failed = reduceDetail(loaded, { kind: 'detail-failed', name: 'vm-7', problem: outage });
    expect(failed).toMatchObject({ kind: 'loaded', detail: arrival.detail, problem: outage });
    expect(reduceDetail(failed, arrival)).not.toHaveProperty('problem');
  });

  test('what was picked and opened outlives a new answer', () => {
    const picked = reduceDetail(loaded, { kind: 'detail-point-chosen', pointId: 'rp_1' });
    const opened = reduceDetail(picked, { kind: 'detail-run-toggled', runId: 'run_1' });
    expect(uiOf(reduceDetail(opened, arrival))).toMatchObject({ chosenPointId: 'rp_1', openRunIds: ['run_1'] });
    expect(uiOf(reduceDetail(opened, { kind: 'detail-run-toggled', runId: 'run_1' })).openRunIds).toEqual([]);
  });

  test('an answer to an older question about a report is dropped', () => {
    const newer = reduceReport(reduceReport(noReport, { kind: 'report-asked', query: '1' }), {
      kind: 'report-asked',
      query: '2',
    });
    expect(reduceReport(newer, { kind: 'report-arrived', query: '1', report: reportOf(1) })).toBe(newer);
  });
});

describe('when the detail is asked for again', () => {
  const calm: DetailFacts = { basis: 'a', last: { atMs: 0, isAway: false }, nowMs: 10_000, isLive: true };
  const due = (facts: Partial<DetailFacts>, state: MachineDetailState = loaded) =>
    state.kind !== 'none' && isDetailDue(state, { ...calm, ...facts });

  test('at once for a page just opened, and then only when something has changed', () => {
    expect(due({ last: undefined }, asked)).toBe(true);
    expect(due({})).toBe(false);
    expect(due({ basis: 'b' })).toBe(true);
  });

  test('not twice within two seconds, and not while an answer is on its way', () => {
    expect(due({ basis: 'b', nowMs: 1999 })).toBe(false);
    expect(due({ basis: 'b', last: { atMs: 0, isAway: true } })).toBe(false);
  });

  test('a range that somebody picks is asked for at once', () => {
    expect(due({ nowMs: 100, isLive: false }, reduceDetail(loaded, { kind: 'detail-lag-range', ms: 1 }))).toBe(true);
  });

  test('lag and bytes alone make nothing old; a newer point or another step of a run does', () => {
    const basis = basisOf(siteOf([vm7]), 'vm-7');
    expect(basisOf(siteOf([{ ...vm7, lagMs: 11_000, sentBytesTotal: 1 }]), 'vm-7')).toBe(basis);
    expect(basisOf(siteOf([{ ...vm7, newestPoint: point('0000000001', 1) }]), 'vm-7')).not.toBe(basis);
    expect(basisOf(siteOf([vm7], { runs: detailOf(vm7).runs.slice(0, 1) }), 'vm-7')).not.toBe(basis);
  });
});

describe('a report that the engine could not give', () => {
  /** A page on its report, live; its answers come when the test gives them. */
  function openReport() {
    const clock = { ms: nowMs };
    const waiting: ((answer: (ReportView & { kind: 'report' }) | Problem) => void)[] = [];
    const route = { kind: 'report', days: 30 } as const;
    const me = { name: 'vera', roles: ['viewer'], hasAuthenticator: true, isOnCall: false };
    const start = initialState({ route, query: new URLSearchParams(), theme: 'system' });
    let state: PageState = { ...start, me, freshness: { kind: 'live', atMs: nowMs } };
    const report = () => new Promise<(ReportView & { kind: 'report' }) | Problem>((give) => waiting.push(give));
    const machine = () => Promise.reject(new Error('no machine is open'));
    const dispatch = (event: PageEvent) => {
      state = reduce(state, event);
      keep(state);
    };
    const keep = makeDetailKeeper({ api: { report, machine }, dispatch, nowMs: () => clock.ms });
    keep(state);
    return {
      shown: () => state.report,
      /** How many questions are on their way. */
      away: () => waiting.length,
      async answer(answer: (ReportView & { kind: 'report' }) | Problem) {
        waiting.shift()?.(answer);
        await Promise.resolve();
      },
      /** The clock ticks while the page is live, or is not. */
      tick(ms: number, isLive = true) {
        clock.ms += ms;
        const freshness = isLive
          ? ({ kind: 'live', atMs: clock.ms } as const)
          : ({ kind: 'stale', sinceMs: nowMs, why: 'the engine does not answer' } as const);
        state = { ...state, freshness };
        keep(state);
      },
    };
  }

  test('is asked for again by itself when the page is live again, and what was wrong stands there until it comes', async () => {
    const page = openReport();
    expect([page.shown().kind, page.away()]).toEqual(['loading', 1]);
    await page.answer(outage);
    page.tick(60_000, false);
    expect([page.shown().kind, page.away()]).toEqual(['failed', 0]);
    page.tick(1);
    expect([page.shown().kind, page.away()]).toEqual(['failed', 1]);
    page.tick(60_000);
    expect(page.away()).toBe(1);
    await page.answer({ kind: 'report', ...reportOf(1) });
    page.tick(600_000);
    expect([page.shown().kind, page.away()]).toEqual(['loaded', 0]);
  });

  test('is not asked for again and again while the page stays live: the waits grow to a minute', async () => {
    const page = openReport();
    const waits: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      await page.answer(outage);
      let waitedMs = 0;
      while (page.away() === 0 && waitedMs < 120_000) {
        page.tick(1000);
        waitedMs += 1000;
      }
      waits.push(waitedMs / 1000);
    }
    expect(waits).toEqual([5, 10, 20, 40, 60, 60, 60]);
  });

  test('is left alone when asking again cannot help', async () => {
    const page = openReport();
    await page.answer({ ...outage, why: 'refused' });
    page.tick(60_000, false);
    page.tick(60_000);
    expect([page.shown().kind, page.away()]).toEqual(['failed', 0]);
  });
});

describe('the time line of the points', () => {
  const points = manyPoints();
  const stretch = stretchOf({ spanMs: undefined, endMs: undefined }, points, nowMs);

  test('every point stands for itself or is stood for by a newer one on the same spot', () => {
    const marks = pointMarks(points, { stretch, spotCount: 50, chosenPointId: undefined });
    expect(marks.length).toBeLessThan(points.length);
    expect(marks.reduce((sum, mark) => sum + mark.standsFor, 0)).toBe(points.length);
    expect(marks.every(({ share }) => share >= 0 && share <= 1)).toBe(true);
  });

  test('the chosen point is always drawn', () => {
    for (const { id } of points.slice(0, 60)) {
      const marks = pointMarks(points, { stretch, spotCount: 10, chosenPointId: id });
      expect(marks.filter((mark) => mark.point.id === id)).toHaveLength(1);
    }
  });

  test('a rare kind among many can be hit: the lane counts', () => {
    const marks = pointMarks(points, { stretch, spotCount: 1000, chosenPointId: undefined });
    expect(nearestMark(marks, { share: 0.5, lane: 'application-consistent' })?.point.kind).toBe(
      'application-consistent',
    );
  });

  test('steps go to the older and the newer point and stop at the ends', () => {
    const idAt = (index: number) => `rp_${idBody(index + 1)}`;
    expect(stepFrom(points, idAt(5), 'older')?.id).toBe(idAt(6));
    expect(stepFrom(points, idAt(0), 'newer')?.id).toBe(idAt(0));
    expect(stepFrom(points, idAt(5), 'much-older')?.id).toBe(idAt(25));
    expect(stepFrom(points, undefined, 'oldest')?.id).toBe(idAt(299));
    expect(stepFrom([], undefined, 'newest')).toBeUndefined();
  });

  test('the window follows a point that is outside, and never goes beyond now', () => {
    const window = { spanMs: 3_600_000, endMs: undefined };
    const old = point('0000000009', 10 * 3600);
    const moved = windowWith(window, old, nowMs);
    const seen = stretchOf(moved, points, nowMs);
    expect(old.takenAtMs).toBeGreaterThan(seen.fromMs);
    expect(old.takenAtMs).toBeLessThan(seen.toMs);
    expect(movedWindow(window, 5, nowMs)).toEqual(window);
  });
});

describe('the lag in words', () => {
  const series = lagOf(3_600_000);

  test('the worst lag and the time over the limit are those of the curve', () => {
    const { worst, overCount, overMs } = lagSummary(series);
    expect(worst?.lagMs).toBe(Math.max(...series.samples.map(({ lagMs }) => lagMs)));
    expect(overCount).toBe(1);
    expect(overMs).toBeGreaterThan(3 * 60_000);
  });

  test('without a point no lag is claimed', () => {
    expect(lagSentence({ ...series, samples: [] })).toBe('No recovery point in the last 1 h, so no lag is known.');
  });
});

function uiOf(state: MachineDetailState): DetailUi {
  if (state.kind === 'none') throw new Error('no page is open');
  return state.ui;
}

test('the churn is what was written between the points of the last hour', () => {
  const taken = (secondsAgo: number, changedBytes: number) => point('7K3M9Q2WXA', secondsAgo, { changedBytes });
  const points = [taken(0, 1_048_576), taken(30, 3_145_728), taken(60, 99_000_000), taken(7200, 5)];
  expect(churnWords(points)).toBe('4 MiB in 1 min (68.3 KiB/s)');
  expect(churnWords([taken(0, 5)])).toBe('not known yet');
});

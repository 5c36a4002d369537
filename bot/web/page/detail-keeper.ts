import { dayMs } from '../../../domain/units.ts';
import type { Problem } from '../wire.ts';
import type { Api, ReportQuery } from './api.ts';
import { basisOf } from './detail.ts';
import { type Asked, isDetailDue, isReportDue, type ReportAsked } from './detail-due.ts';
import type { PageEvent, PageState } from './model.ts';
import type { Route } from './router.ts';

export type DetailKeeperDeps = {
  readonly api: Pick<Api, 'machine' | 'report'>;
  readonly dispatch: (event: PageEvent) => void;
  /** The browser's clock. Epoch milliseconds. */
  readonly nowMs: () => number;
};

/**
 * Sees to it that what the open page needs is there: the machine's detail or the report.
 *
 * @returns to be called with the newest state after each change of it and each tick of the clock
 */
export function makeDetailKeeper(deps: DetailKeeperDeps): (state: PageState) => void {
  const keepMachine = machineKeeper(deps);
  const keepReport = reportKeeper(deps);
  return (state) => {
    if (state.me === undefined) return;
    keepMachine(state);
    keepReport(state);
  };
}

type Question = Asked & { readonly name: string };

function machineKeeper({ api, dispatch, nowMs }: DetailKeeperDeps): (state: PageState) => void {
  let asked: Question | undefined;
  return (state) => {
    const { route, detail } = state;
    if (route.kind !== 'machine') {
      if (detail.kind !== 'none') dispatch({ kind: 'detail-left' });
      return;
    }
    const { name } = route;
    if (detail.kind === 'none' || detail.name !== name) {
      asked = undefined;
      dispatch({ kind: 'detail-asked', name });
      return;
    }
    const basis = basisOf(state.site, name) ?? '';
    const last = asked?.name === name ? asked : undefined;
    if (!isDetailDue(detail, { basis, last, nowMs: nowMs(), isLive: state.freshness.kind === 'live' })) return;
    const mine: Question = { name, atMs: nowMs(), isAway: true };
    asked = mine;
    const lagRangeMs = detail.ui.lagRangeMs;
    // A person came to this machine, or picked a range; all other questions are the page's own.
    const isRangePicked = detail.kind === 'loaded' && detail.shownLagRangeMs !== lagRangeMs;
    const isBegunByPerson = last === undefined || (isRangePicked && detail.problem === undefined);
    void api.machine(name, lagRangeMs, isBegunByPerson).then((answer) => {
      if (asked === mine) asked = { ...mine, isAway: false };
      if (answer.kind === 'problem') dispatch({ kind: 'detail-failed', name, problem: answer });
      else dispatch({ kind: 'detail-arrived', name, detail: answer, basis, lagRangeMs });
    });
  };
}

function reportKeeper({ api, dispatch, nowMs }: DetailKeeperDeps): (state: PageState) => void {
  let asked: ReportAsked | undefined;
  let questionCount = 0;
  return (state) => {
    const { route, report } = state;
    const isLive = state.freshness.kind === 'live';
    if (route.kind !== 'report') {
      asked = undefined;
      if (report.kind !== 'none') dispatch({ kind: 'report-left' });
      return;
    }
    const query = reportWords(route);
    // Whatever failed before the engine was lost says nothing of when it is back.
    if (!isLive && asked !== undefined) asked = { ...asked, failedCount: 0 };
    if (!isReportDue(report, { query, last: asked, nowMs: nowMs(), isLive })) return;
    const isRetry = report.kind === 'failed' && report.query === query;
    const failedCount = isRetry && asked !== undefined ? asked.failedCount : 0;
    asked = { query, atMs: nowMs(), isAway: true, failedCount };
    questionCount += 1;
    const question = questionCount;
    // What is wrong stays to be read until it is better.
    if (!isRetry) dispatch({ kind: 'report-asked', query });
    void api.report(reportQueryOf(route, nowMs() + state.clockSkewMs), !isRetry).then((answer) => {
      const isFailed = answer.kind === 'problem';
      if (question === questionCount && asked !== undefined) {
        asked = { ...asked, atMs: nowMs(), isAway: false, failedCount: isFailed ? asked.failedCount + 1 : 0 };
      }
      // The same question asked anew, from another visit of the page, has its own answer.
      if (answer.kind === 'problem') dispatch({ kind: 'report-failed', query, problem: answer satisfies Problem });
      else dispatch({ kind: 'report-arrived', query, report: answer });
    });
  };
}

type ReportRoute = Extract<Route, { kind: 'report' }>;

/** What the address asks for, in one text. */
export function reportWords({ machine, days, fromDay, toDay }: ReportRoute): string {
  return JSON.stringify([machine ?? null, fromDay === undefined ? days : [fromDay, toDay]]);
}

/** The period that the address means now. Days are whole days of UTC; the last one counts whole. */
export function reportQueryOf({ machine, days, fromDay, toDay }: ReportRoute, nowMs: number): ReportQuery {
  const about = machine === undefined ? {} : { machine };
  if (fromDay === undefined || toDay === undefined) return { ...about, fromMs: nowMs - days * dayMs, toMs: nowMs };
  return { ...about, fromMs: Date.parse(fromDay), toMs: Math.min(nowMs, Date.parse(toDay) + dayMs) };
}

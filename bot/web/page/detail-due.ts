import { minuteMs, secondMs } from '../../../domain/units.ts';
import type { Problem } from '../wire.ts';
import type { MachineDetailState, ReportState } from './detail.ts';

/** Between two looks at the same machine, however much changes. */
export const detailEveryMs = 2 * secondMs;
const retryAfterMs = 5 * secondMs;
/** Without any live change: the audit trail has entries that change no machine. */
const detailOldMs = minuteMs;

/** The newest question about a machine; `isAway` until its answer has come. Epoch milliseconds. */
export type Asked = { readonly atMs: number; readonly isAway: boolean };
export type DetailFacts = {
  /** What the live site says of the machine now. */
  readonly basis: string;
  readonly last: Asked | undefined;
  readonly nowMs: number;
  readonly isLive: boolean;
};

/** Whether the machine's detail is asked for now. `last` is the newest question about this machine. */
export function isDetailDue(
  detail: Exclude<MachineDetailState, { kind: 'none' }>,
  { basis, last, nowMs, isLive }: DetailFacts,
): boolean {
  if (last === undefined) return true;
  const agoMs = nowMs - last.atMs;
  if (last.isAway) return false;
  if (detail.kind !== 'loaded') return agoMs >= retryAfterMs;
  // A range that somebody picked is asked for at once, also while nothing is live: what is old is said to be old.
  if (detail.shownLagRangeMs !== detail.ui.lagRangeMs) return detail.problem === undefined || agoMs >= retryAfterMs;
  if (!isLive || agoMs < detailEveryMs) return false;
  if (detail.problem !== undefined) return agoMs >= retryAfterMs;
  return detail.basis !== basis || agoMs >= detailOldMs;
}

const reportRetryMaxMs = minuteMs;

/** The newest question for a report. `atMs` is when it was asked, or when its answer came; `failedCount`: how often in a row it came to nothing. */
export type ReportAsked = Asked & { readonly query: string; readonly failedCount: number };

/**
 * Whether a report is asked for now: one that nobody has asked for, and again one that an outage has prevented, once the page is live. While
 * the page stays live the waits grow: a report reads much.
 */
export function isReportDue(
  report: ReportState,
  { query, last, nowMs, isLive }: { query: string; last: ReportAsked | undefined; nowMs: number; isLive: boolean },
): boolean {
  if (last === undefined || last.query !== query || report.kind === 'none' || report.query !== query) return true;
  if (last.isAway || report.kind !== 'failed' || !isLive) return false;
  if (!endsByItself(report.problem)) return false;
  return nowMs - last.atMs >= Math.min(reportRetryMaxMs, retryAfterMs * 2 ** Math.max(0, last.failedCount - 1));
}

/** Whether asking again later can help, without anybody doing anything. */
export function endsByItself({ why }: Problem): boolean {
  return why === 'outage' || why === 'too-many';
}

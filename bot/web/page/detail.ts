import { assertNever } from '../../../domain/invariant.ts';
import { dayMs, hourMs } from '../../../domain/units.ts';
import type { OverviewView, ReportView } from '../../../protocol/console-api.ts';
import type { MachineView, RunView } from '../../../protocol/control-api.ts';
import type { MachineDetail, Problem } from '../wire.ts';
import { type PointWindow, type Step, stepFrom, wholeWindow, windowWith } from './point-marks.ts';

/** How far the lag plot looks back. */
export const lagRanges = [
  { ms: hourMs, label: '1 h' },
  { ms: 6 * hourMs, label: '6 h' },
  { ms: dayMs, label: '24 h' },
  { ms: 7 * dayMs, label: '7 d' },
] as const;
export const defaultLagRangeMs = 6 * hourMs;

/** What a person has opened and picked on a machine's page; it outlives every new answer of the server. */
export type DetailUi = {
  readonly lagRangeMs: number;
  readonly pointWindow: PointWindow;
  readonly chosenPointId: string | undefined;
  readonly openRunIds: readonly string[];
  readonly areAllRunsShown: boolean;
};

/**
 * ```
 * none ──asked──▶ loading ──arrived──▶ loaded ──failed──▶ loaded, with the problem beside the old detail
 *                    └──────failed───▶ failed ──arrived──▶ loaded
 * ```
 */
export type MachineDetailState =
  | { readonly kind: 'none' }
  | { readonly kind: 'loading'; readonly name: string; readonly ui: DetailUi }
  | {
      readonly kind: 'loaded';
      readonly name: string;
      readonly ui: DetailUi;
      readonly detail: MachineDetail;
      /** What the live site said of the machine when the detail was asked for. */
      readonly basis: string;
      /** Of the detail that is shown; another one may be on its way. */
      readonly shownLagRangeMs: number;
      /** Why the newest try to refresh it failed. */
      readonly problem?: Problem;
    }
  | { readonly kind: 'failed'; readonly name: string; readonly ui: DetailUi; readonly problem: Problem };

export type DetailEvent =
  | { readonly kind: 'detail-asked'; readonly name: string }
  | {
      readonly kind: 'detail-arrived';
      readonly name: string;
      readonly detail: MachineDetail;
      readonly basis: string;
      readonly lagRangeMs: number;
    }
  | { readonly kind: 'detail-failed'; readonly name: string; readonly problem: Problem }
  | { readonly kind: 'detail-left' }
  | { readonly kind: 'detail-lag-range'; readonly ms: number }
  | { readonly kind: 'detail-point-window'; readonly window: PointWindow }
  | { readonly kind: 'detail-point-chosen'; readonly pointId: string | undefined; readonly window?: PointWindow }
  /** To an older or newer one, from whichever is chosen when it happens. */
  | { readonly kind: 'detail-point-stepped'; readonly step: Step; readonly nowMs: number }
  | { readonly kind: 'detail-run-toggled'; readonly runId: string }
  | { readonly kind: 'detail-all-runs-shown' };

export const noDetail: MachineDetailState = { kind: 'none' };

const firstUi: DetailUi = {
  lagRangeMs: defaultLagRangeMs,
  pointWindow: wholeWindow,
  chosenPointId: undefined,
  openRunIds: [],
  areAllRunsShown: false,
};

/** True for the events that `reduceDetail` understands. */
export function isDetailEvent(event: { readonly kind: string }): event is DetailEvent {
  return event.kind.startsWith('detail-');
}

/** What is known of the machine whose page is open. An answer for another page than the one that is open changes nothing. */
export function reduceDetail(state: MachineDetailState, event: DetailEvent): MachineDetailState {
  switch (event.kind) {
    case 'detail-asked':
      return isOf(state, event.name) ? state : { kind: 'loading', name: event.name, ui: firstUi };
    case 'detail-arrived':
      return isOf(state, event.name) ? arrived(state.ui, event) : state;
    case 'detail-failed':
      return isOf(state, event.name) ? failed(state, event.problem) : state;
    case 'detail-left':
      return noDetail;
    case 'detail-point-stepped':
      return state.kind === 'loaded' ? stepped(state, event) : state;
    default:
      return state.kind === 'none' ? state : { ...state, ui: reduceUi(state.ui, event) };
  }
}

type Open = Exclude<MachineDetailState, { kind: 'none' }>;
type UiEvent = Exclude<
  DetailEvent,
  { kind: 'detail-asked' | 'detail-arrived' | 'detail-failed' | 'detail-left' | 'detail-point-stepped' }
>;

function isOf(state: MachineDetailState, name: string): state is Open {
  return state.kind !== 'none' && state.name === name;
}

function arrived(ui: DetailUi, event: Extract<DetailEvent, { kind: 'detail-arrived' }>): MachineDetailState {
  const { name, detail, basis, lagRangeMs } = event;
  return { kind: 'loaded', name, detail, basis, shownLagRangeMs: lagRangeMs, ui };
}

function failed(state: Open, problem: Problem): MachineDetailState {
  if (state.kind === 'loaded') return { ...state, problem };
  return { kind: 'failed', name: state.name, ui: state.ui, problem };
}

function stepped(
  state: Extract<MachineDetailState, { kind: 'loaded' }>,
  { step, nowMs }: Extract<DetailEvent, { kind: 'detail-point-stepped' }>,
): MachineDetailState {
  const { ui, detail } = state;
  const point = stepFrom(detail.points, ui.chosenPointId, step);
  if (point === undefined) return state;
  const pointWindow = windowWith(ui.pointWindow, point, nowMs);
  return { ...state, ui: { ...ui, chosenPointId: point.id, pointWindow } };
}

function reduceUi(ui: DetailUi, event: UiEvent): DetailUi {
  switch (event.kind) {
    case 'detail-lag-range':
      return { ...ui, lagRangeMs: event.ms };
    case 'detail-point-window':
      return { ...ui, pointWindow: event.window };
    case 'detail-point-chosen':
      return { ...ui, chosenPointId: event.pointId, pointWindow: event.window ?? ui.pointWindow };
    case 'detail-run-toggled': {
      const isOpen = ui.openRunIds.includes(event.runId);
      const others = ui.openRunIds.filter((id) => id !== event.runId);
      return { ...ui, openRunIds: isOpen ? others : [...others, event.runId] };
    }
    case 'detail-all-runs-shown':
      return { ...ui, areAllRunsShown: true };
    default:
      return assertNever(event);
  }
}

/**
 * What the live site says of a machine, as far as a change of it makes the detail old: lag and bytes change all the time and are shown from the
 * live site itself. Undefined while the site or the machine is not known.
 */
export function basisOf(site: OverviewView | undefined, name: string): string | undefined {
  const machine = site?.machines.find((one) => one.name === name);
  if (site === undefined || machine === undefined) return undefined;
  const runs = site.runs.filter((run) => run.machineName === name).map(runBasis);
  return JSON.stringify([machineBasis(machine), runs]);
}

function machineBasis(machine: MachineView): unknown {
  const { protection, replication, health, newestPoint, availablePointCount, drill, lastDrill } = machine;
  const { policy, thresholds, disks } = machine;
  const marks = [newestPoint?.id, newestPoint?.state, drill?.id, drill?.state, lastDrill?.runId];
  return [protection.kind, replication, health.kind, availablePointCount, marks, policy, thresholds, disks];
}

function runBasis(run: RunView): unknown {
  return [run.id, run.state, run.steps.map((step) => step.state)];
}

// ── the report ─────────────────────────────────────────────────────────────────────────────────────────────
export type ReportState =
  | { readonly kind: 'none' }
  | { readonly kind: 'loading'; readonly query: string }
  | { readonly kind: 'loaded'; readonly query: string; readonly report: ReportView }
  | { readonly kind: 'failed'; readonly query: string; readonly problem: Problem };

/** `query` is what the address of the page asks for, in one text. */
export type ReportEvent =
  | { readonly kind: 'report-asked'; readonly query: string }
  | { readonly kind: 'report-arrived'; readonly query: string; readonly report: ReportView }
  | { readonly kind: 'report-failed'; readonly query: string; readonly problem: Problem }
  | { readonly kind: 'report-left' };

export const noReport: ReportState = { kind: 'none' };

/** True for the events that `reduceReport` understands. */
export function isReportEvent(event: { readonly kind: string }): event is ReportEvent {
  return event.kind.startsWith('report-');
}

/** An answer to an older question than the newest is dropped. */
export function reduceReport(state: ReportState, event: ReportEvent): ReportState {
  switch (event.kind) {
    case 'report-asked':
      return { kind: 'loading', query: event.query };
    case 'report-arrived':
      return isAwaited(state, event.query) ? { kind: 'loaded', query: event.query, report: event.report } : state;
    case 'report-failed':
      return isAwaited(state, event.query) ? { kind: 'failed', query: event.query, problem: event.problem } : state;
    case 'report-left':
      return noReport;
    default:
      return assertNever(event);
  }
}

function isAwaited(state: ReportState, query: string): boolean {
  return state.kind !== 'none' && state.query === query;
}

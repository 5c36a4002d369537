import { endedStates } from '../../domain/approval.ts';
import { counter, gauge, type MetricFamily } from '../../protocol/metric-family.ts';
import type { MetricCounts } from '../store/metric-counts.ts';

const pointStates = ['receiving', 'sealed', 'verified', 'available', 'damaged', 'expiring'] as const;
const runKinds = ['test-failover', 'cleanup', 'planned-failover'] as const;
const endedRunStates = ['succeeded', 'failed'] as const;
const surfaces = ['slack', 'teams'] as const;

/** The metrics that are counted over long tables. */
export function countFamilies(counts: MetricCounts): MetricFamily[] {
  return [...pointFamilies(counts), ...runFamilies(counts), ...endFamilies(counts)];
}

function pointFamilies({ points }: MetricCounts): MetricFamily[] {
  const inState = (state: string) => points.filter((row) => row.state === state);
  return [
    gauge(
      'lifeboat_points_available',
      'Recovery points that the machine can be failed over to.',
      inState('available').map(({ machineName, count }) => [count, machineName]),
      ['machine'],
    ),
    gauge(
      'lifeboat_points',
      'Recovery points of all machines by state.',
      pointStates.map((state) => [inState(state).reduce((sum, row) => sum + row.count, 0), state]),
      ['state'],
    ),
  ];
}

function runFamilies({ endedRuns, runDurations, verifiedDrills }: MetricCounts): MetricFamily[] {
  const ended = (kind: string, state: string) =>
    endedRuns.find((row) => row.kind === kind && row.state === state)?.count ?? 0;
  return [
    counter(
      'lifeboat_runs_total',
      'Jobs that have ended, as the database has them.',
      runKinds.flatMap((kind) => endedRunStates.map((state) => [ended(kind, state), kind, state] as const)),
      ['kind', 'state'],
    ),
    gauge(
      'lifeboat_run_duration_seconds',
      'How long the newest hundred jobs of a kind took that succeeded: median, 95th percentile and longest (quantile 1).',
      runDurations.flatMap(({ kind, median, nineteenOfTwenty, longest }) => [
        [median, kind, '0.5'] as const,
        [nineteenOfTwenty, kind, '0.95'] as const,
        [longest, kind, '1'] as const,
      ]),
      ['kind', 'quantile'],
    ),
    gauge(
      'lifeboat_last_verified_drill_timestamp_seconds',
      'When the newest verified test failover of the machine ended, in Unix time; no series before the first.',
      verifiedDrills.map(({ machineName, atMs }) => [atMs / 1000, machineName]),
      ['machine'],
    ),
  ];
}

function endFamilies({ endedApprovals, undeliverable }: MetricCounts): MetricFamily[] {
  return [
    counter(
      'lifeboat_approvals_ended_total',
      'Requests that are over, by how they ended.',
      endedStates.map((state) => [endedApprovals.find((row) => row.state === state)?.count ?? 0, state]),
      ['state'],
    ),
    gauge(
      'lifeboat_chat_deliveries_undeliverable',
      'Chat messages that were given up, of the 30 days that messages are kept.',
      surfaces.map((surface) => [undeliverable.find((row) => row.surface === surface)?.count ?? 0, surface]),
      ['surface'],
    ),
  ];
}

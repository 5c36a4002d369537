import { alertRules } from '../../domain/alert.ts';
import { openStates } from '../../domain/approval.ts';
import { criticalLagFactor, isAgentSilent, replicationHealth } from '../../domain/replication-health.ts';
import { counter, gauge, type MetricFamily } from '../../protocol/metric-family.ts';
import type { MetricMachine, MetricState } from '../store/metric-state.ts';

const severities = ['warning', 'critical'] as const;
const surfaces = ['slack', 'teams'] as const;
const runKinds = ['test-failover', 'cleanup', 'planned-failover'] as const;

/** The metrics of now. A state that nothing is in has 0, so that rules on it end; what is unknown has no series at all. */
export function stateFamilies(state: MetricState, heartbeatEveryMs: number): MetricFamily[] {
  return [
    ...lagFamilies(state.machines),
    ...machineFamilies(state.machines, heartbeatEveryMs),
    ...siteFamilies(state),
    ...hostFamilies(state, heartbeatEveryMs),
    ...attentionFamilies(state),
    ...dutyFamilies(state),
  ];
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}

function lagFamilies(machines: readonly MetricMachine[]): MetricFamily[] {
  const each = (value: (machine: MetricMachine) => number | undefined) =>
    machines.map((machine) => [seconds(value(machine)), machine.name] as const);
  const labels = ['machine'];
  return [
    gauge(
      'lifeboat_lag_seconds',
      'Age of the newest available recovery point; none of machines that were failed over.',
      each((one) => (one.protection.kind === 'failed-over' ? undefined : one.lagMs)),
      labels,
    ),
    gauge(
      'lifeboat_lag_threshold_seconds',
      'Lag from which people are warned.',
      each((one) => one.rpoThresholdMs),
      labels,
    ),
    gauge(
      'lifeboat_lag_critical_threshold_seconds',
      'Lag from which it is critical.',
      each((one) => one.criticalLagMs ?? criticalLagFactor * one.rpoThresholdMs),
      labels,
    ),
    gauge(
      'lifeboat_newest_point_age_seconds',
      'Age of the newest recovery point, also of one that is not available yet.',
      each((one) => one.newestPointAgeMs),
      labels,
    ),
    gauge(
      'lifeboat_machine_enabled_timestamp_seconds',
      'When replication was enabled, in Unix time.',
      each((one) => one.enabledAtMs),
      labels,
    ),
  ];
}

function machineFamilies(machines: readonly MetricMachine[], heartbeatEveryMs: number): MetricFamily[] {
  const labels = ['machine'];
  const healthOf = ({ criticalLagMs, ...facts }: MetricMachine) =>
    replicationHealth({ ...facts, heartbeatEveryMs, ...(criticalLagMs !== undefined && { criticalLagMs }) }).kind;
  return [
    gauge(
      'lifeboat_machine_info',
      'Always 1; where the machine is, its policy and its protection state.',
      machines.map(({ name, hostName, policyName, protection }) => [1, name, hostName, policyName, protection.kind]),
      ['machine', 'host', 'policy', 'state'],
    ),
    gauge(
      'lifeboat_machine_health',
      'Always 1; the health of its replication is in the label.',
      machines.map((machine) => [1, machine.name, healthOf(machine)]),
      ['machine', 'health'],
    ),
    gauge(
      'lifeboat_initial_replication_ratio',
      'Part of the disks that the vault holds, 0 to 1; only during initial replication.',
      machines.flatMap(({ name, protection }) =>
        protection.kind === 'initial-replication' ? [[partDone(protection), name] as const] : [],
      ),
      labels,
    ),
    gauge(
      'lifeboat_spool_bytes',
      'Changes that wait at the host for a process server, as its agent said last.',
      machines.map(({ name, spoolBytes }) => [spoolBytes, name]),
      labels,
    ),
    counter(
      'lifeboat_replicated_bytes_total',
      'Bytes of changes that the agent has sent.',
      machines.map(({ name, sentBytesTotal }) => [sentBytesTotal, name]),
      labels,
    ),
    counter(
      'lifeboat_points_sealed_total',
      'Recovery points that were ever committed.',
      machines.map(({ name, sealedPointCount }) => [sealedPointCount, name]),
      labels,
    ),
  ];
}

function partDone({ doneBytes, totalBytes }: { readonly doneBytes: number; readonly totalBytes: number }): number {
  return totalBytes === 0 ? 0 : Math.min(1, doneBytes / totalBytes);
}

function siteFamilies({ machines, unprotectedCount, activeRuns, openDrillCount }: MetricState): MetricFamily[] {
  const inState = (kind: string) => machines.filter(({ protection }) => protection.kind === kind).length;
  const states = ['initial-replication', 'protected', 'failed-over'];
  return [
    gauge(
      'lifeboat_machines',
      'Machines by protection state.',
      [[unprotectedCount, 'not-protected'], ...states.map((kind) => [inState(kind), kind] as const)],
      ['state'],
    ),
    gauge(
      'lifeboat_machines_paused',
      'Machines whose replication is paused.',
      machines.filter(({ replication }) => replication.kind === 'paused').length,
    ),
    gauge(
      'lifeboat_machines_resync_required',
      'Machines that need a full comparison with their source.',
      machines.filter(({ resyncRequired }) => resyncRequired !== undefined).length,
    ),
    gauge(
      'lifeboat_runs_active',
      'Jobs under way.',
      runKinds.map((kind) => [activeRuns.find((row) => row.kind === kind)?.count ?? 0, kind]),
      ['kind'],
    ),
    gauge('lifeboat_drills_open', 'Test failovers that are not cleaned up.', openDrillCount),
  ];
}

function hostFamilies({ hosts }: MetricState, heartbeatEveryMs: number): MetricFamily[] {
  const stateOf = ({ silentMs }: MetricState['hosts'][number]) => {
    if (silentMs === undefined) return 'never-heard';
    return isAgentSilent({ agentSilentMs: silentMs, heartbeatEveryMs }) ? 'silent' : 'heard';
  };
  const states = ['heard', 'silent', 'never-heard'] as const;
  return [
    gauge(
      'lifeboat_agents',
      'Enrolled agents; silent: more than three heartbeats are missing.',
      states.map((state) => [hosts.filter((host) => stateOf(host) === state).length, state]),
      ['state'],
    ),
    gauge(
      'lifeboat_agent_last_seen_seconds',
      'Time since the last heartbeat of the agent.',
      hosts.map(({ name, silentMs }) => [seconds(silentMs), name]),
      ['host'],
    ),
    gauge(
      'lifeboat_agent_certificate_expiry_timestamp_seconds',
      'When the certificate of the agent expires, in Unix time.',
      hosts.map(({ name, certificateExpiresAtMs }) => [seconds(certificateExpiresAtMs), name]),
      ['host'],
    ),
  ];
}

function attentionFamilies({ alerts, approvals, waiting }: MetricState): MetricFamily[] {
  const countOf = (rows: readonly { readonly count: number }[]) => rows.reduce((sum, row) => sum + row.count, 0);
  const ofSurface = (surface: string) => waiting.filter((row) => row.surface === surface);
  const oldest = (surface: string, of: 'oldestMs' | 'oldestCriticalMs') =>
    Math.max(0, ...ofSurface(surface).map((row) => row[of])) / 1000;
  return [
    gauge(
      'lifeboat_alerts_open',
      'Alerts that are not over, also acknowledged, snoozed and muted ones.',
      alertRules.flatMap((rule) =>
        severities.map((severity) => {
          const rows = alerts.filter((row) => row.rule === rule && row.severity === severity);
          return [countOf(rows), rule, severity] as const;
        }),
      ),
      ['rule', 'severity'],
    ),
    gauge(
      'lifeboat_alerts_unacknowledged',
      'Open alerts that nobody has taken.',
      severities.map((severity) => [
        countOf(alerts.filter((row) => row.state === 'open' && row.severity === severity)),
        severity,
      ]),
      ['severity'],
    ),
    gauge(
      'lifeboat_approvals',
      'Requests that are not over, by state.',
      openStates.map((state) => [countOf(approvals.filter((row) => row.state === state)), state]),
      ['state'],
    ),
    gauge(
      'lifeboat_approvals_pending_oldest_seconds',
      'How long the oldest request has waited for a decision; 0 when none waits.',
      (approvals.find(({ state }) => state === 'pending')?.oldestMs ?? 0) / 1000,
    ),
    gauge(
      'lifeboat_chat_deliveries_waiting',
      'Chat messages that are not delivered yet.',
      surfaces.map((surface) => [countOf(ofSurface(surface)), surface]),
      ['surface'],
    ),
    gauge(
      'lifeboat_chat_delivery_oldest_seconds',
      'How long the oldest of them has waited; 0 when none waits.',
      surfaces.map((surface) => [oldest(surface, 'oldestMs'), surface]),
      ['surface'],
    ),
    gauge(
      'lifeboat_chat_delivery_oldest_critical_seconds',
      'How long the oldest critical one has waited; 0 when none waits.',
      surfaces.map((surface) => [oldest(surface, 'oldestCriticalMs'), surface]),
      ['surface'],
    ),
  ];
}

function dutyFamilies({ executors, alertLookAgeMs, eventCount, audit }: MetricState): MetricFamily[] {
  return [
    gauge('lifeboat_executors', 'Engines that carry out jobs.', executors.count),
    gauge(
      'lifeboat_executor_oldest_heartbeat_seconds',
      'Time since the heartbeat of the engine that was silent longest.',
      seconds(executors.oldestHeartbeatMs),
    ),
    gauge(
      'lifeboat_alert_evaluation_age_seconds',
      'Time since alerts were last evaluated by any engine; every 10 s.',
      seconds(alertLookAgeMs),
    ),
    counter('lifeboat_events_total', 'Number of the newest event.', eventCount),
    counter('lifeboat_audit_entries_total', 'Entries of the audit trail.', audit.linkedCount + audit.unlinkedCount),
    gauge('lifeboat_audit_entries_unlinked', 'Entries that are not in the hash chain yet.', audit.unlinkedCount),
  ];
}

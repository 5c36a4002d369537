import type { AlertId, ApprovalId, MachineId, RecoveryPointId, RunId } from '../../domain/ids.ts';
import { replicationHealth } from '../../domain/replication-health.ts';
import { dayMs, gibibyte, hourMs, mebibyte, minuteMs, secondMs } from '../../domain/units.ts';
import type { AlertView, ApprovalView } from '../../protocol/chat-api.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import type { HostView, MachineView, PointView, RunView } from '../../protocol/control-api.ts';
import { pendingApproval } from '../teams/small-engine.ts';

/** A whole site as the engine would tell of it, made up: three sites, every state, and people who write script into everything. */
export const hostileText = '<img src=x onerror=alert(1)>';
export const hostileQuote = `"'><script>alert(document.cookie)</script>`;

/** Ids have ten characters after their prefix; the same number makes the same id. */
function body(number: number): string {
  return String(number).padStart(10, '0');
}

function point(number: number, takenAtMs: number): PointView {
  return {
    id: `rp_${body(number)}` as RecoveryPointId,
    kind: number % 5 === 0 ? 'application-consistent' : 'crash-consistent',
    state: 'available',
    takenAtMs,
    reason: 'schedule',
  };
}

const policy = {
  name: 'default',
  crashConsistentEveryMs: 30 * secondMs,
  rpoThresholdMs: minuteMs,
  retentionMs: dayMs,
  drillLimitMs: 4 * hourMs,
} as const;

/** One machine of many: what is special about it follows from its number. */
export function cannedMachine(number: number, hostName: string, nowMs: number): MachineView {
  const lagMs = 4000 + ((number * 7919) % 26_000);
  const enabled: MachineView = {
    id: `mch_${body(number)}` as MachineId,
    name: `vm-${number}`,
    hostName,
    kind: 'qemu-guest',
    tracking: 'dirty bitmap',
    unsupported: null,
    protection: { kind: 'protected' },
    replication: { kind: 'running' },
    health: { kind: 'healthy' },
    policy,
    thresholds: { warnMs: minuteMs, criticalMs: 3 * minuteMs },
    disks: [{ key: 'vda', sizeBytes: 40 * gibibyte }],
    lagMs,
    newestPoint: point(number, nowMs - lagMs - 2000),
    availablePointCount: 288,
    sentBytesTotal: 12 * gibibyte,
    drill: null,
    tags: number % 9 === 0 ? ['tier:0', 'payroll'] : number % 4 === 0 ? ['tier:1'] : [],
    lastDrill:
      number % 7 === 0
        ? null
        : {
            runId: `run_${body(number)}` as RunId,
            atMs: nowMs - ((number % 23) + 1) * dayMs,
            isVerified: number % 17 !== 0,
            secondsToGuestUp: 4.2,
          },
  };
  const machine = { ...enabled, ...specialOf(number, nowMs) };
  return { ...machine, health: machine.health.kind === 'healthy' ? engineHealth(machine) : machine.health };
}

/** What the engine says of such a machine. `agentSilentMs`: since its agent was heard. */
export function engineHealth(machine: MachineView, agentSilentMs = 1000): MachineView['health'] {
  return replicationHealth({
    ...{ protection: machine.protection, replication: machine.replication, agentSilentMs },
    lagMs: machine.lagMs ?? undefined,
    rpoThresholdMs: policy.rpoThresholdMs,
    heartbeatEveryMs: 5 * secondMs,
    resyncRequired: undefined,
    failing: undefined,
  });
}

const unprotected = {
  policy: null,
  thresholds: null,
  lagMs: null,
  newestPoint: null,
  availablePointCount: 0,
  sentBytesTotal: 0,
  lastDrill: null,
} as const;

function specialOf(number: number, nowMs: number): Partial<MachineView> {
  const drill = (state: 'open' | 'starting' | 'cleaning') => ({
    id: `drl_${body(number)}` as NonNullable<MachineView['drill']>['id'],
    runId: `run_${body(number)}` as RunId,
    state,
    point: point(number, nowMs - 40_000),
    vmName: `vm-${number}-Test`,
    startedAtMs: nowMs - 20 * minuteMs,
    expiresAtMs: nowMs + 3.7 * hourMs,
  });
  switch (number % 100) {
    case 3:
    case 53:
      return {
        ...unprotected,
        policy,
        id: `mch_${body(number)}` as MachineId,
        protection: {
          kind: 'initial-replication',
          doneBytes: 17.2 * gibibyte,
          totalBytes: 40 * gibibyte,
          bytesPerSecond: 96 * mebibyte,
        },
      };
    case 7:
      return { drill: drill('open') };
    case 12:
      return {
        lagMs: 4 * minuteMs + 12_000,
        health: { kind: 'critical', message: `The lag is 4 min 12 s, the limit 1 min. ${hostileText}` },
      };
    case 21:
      return {
        lagMs: 83_000,
        health: { kind: 'warning', message: 'The lag is 1 min 23 s, the limit 1 min: the link is full.' },
      };
    case 33:
      return { replication: { kind: 'paused', untilMs: nowMs + 2 * hourMs, reason: `storage work ${hostileQuote}` } };
    case 41:
      return { ...unprotected, protection: { kind: 'not-protected' }, id: null };
    case 42:
      return {
        ...unprotected,
        protection: { kind: 'not-protected' },
        id: null,
        unsupported: 'Its disk is a raw device that other machines share.',
      };
    case 60:
      return {
        protection: {
          kind: 'failed-over',
          runId: `run_${body(number)}` as RunId,
          target: 'recovery-1',
          vmName: `vm-${number}-Failover`,
          atMs: nowMs - 3 * hourMs,
          disks: 'hydrating',
        },
        lagMs: null,
      };
    case 71:
      return { tags: [hostileText, 'tier:1'] };
    case 88:
      return { health: { kind: 'unknown', message: 'The agent has been silent for 2 min.' } };
    default:
      return {};
  }
}

function cannedHost(index: number, names: readonly string[], nowMs: number): HostView {
  return {
    name: `host-${String(index).padStart(2, '0')}`,
    siteName: ['amsterdam', 'berlin', 'cork'][index % 3] ?? 'main',
    agentVersion: index === 5 ? '0.4.0' : '0.5.0',
    lastSeenMs: index === 8 ? nowMs - 5 * minuteMs : nowMs - 3000,
    certificateExpiresAtMs: nowMs + 60 * dayMs,
    guestNames: [...names],
  };
}

/** A site of so many machines on hosts of 25. */
export function cannedSite(machineCount: number, nowMs: number): OverviewView {
  const hostCount = Math.max(3, Math.ceil(machineCount / 25));
  const hostOf = (number: number) => `host-${String(number % hostCount).padStart(2, '0')}`;
  const machines = Array.from({ length: machineCount }, (_, index) =>
    cannedMachine(index + 1, hostOf(index + 1), nowMs),
  );
  const hosts = Array.from({ length: hostCount }, (_, index) => {
    const name = `host-${String(index).padStart(2, '0')}`;
    return cannedHost(
      index,
      machines.filter((one) => one.hostName === name).map((one) => one.name),
      nowMs,
    );
  });
  return {
    atMs: nowMs,
    hosts,
    machines,
    runs: cannedRuns(nowMs),
    approvals: [
      cannedApproval(1, nowMs),
      { ...cannedApproval(2, nowMs), state: 'succeeded', decidedAtMs: nowMs - hourMs },
    ],
    alerts: cannedAlerts(nowMs),
    surfaces: [
      { surface: 'slack', tenant: 'T1', isHealthy: true, detail: '', reportedAtMs: nowMs - 20_000 },
      { surface: 'teams', tenant: 'M1', isHealthy: false, detail: 'timed out', reportedAtMs: nowMs - 20_000 },
    ],
    versions: { engine: '0.5.0', node: 'v24', postgres: '18.4', vault: 'directory', accelerator: 'kvm' },
    eventNumber: 812,
  };
}

function cannedRuns(nowMs: number): RunView[] {
  const step = (name: string, state: 'done' | 'running' | 'pending', ago: number) => ({
    name,
    state,
    startedAtMs: state === 'pending' ? null : nowMs - ago,
    finishedAtMs: state === 'done' ? nowMs - ago + 900 : null,
  });
  const active: RunView = {
    id: `run_${body(71)}` as RunId,
    kind: 'test-failover',
    machineName: 'vm-7',
    state: 'active',
    requestedBy: 'ada',
    startedAtMs: nowMs - 9000,
    finishedAtMs: null,
    steps: [
      step('Choose the point', 'done', 9000),
      step('Serve the disks', 'done', 8000),
      step('Start the guest', 'running', 6000),
      step('Verify the boot', 'pending', 0),
    ],
    failure: null,
    result: null,
    approvalId: null,
  };
  const failed: RunView = {
    ...active,
    id: `run_${body(72)}` as RunId,
    machineName: 'vm-9',
    state: 'failed',
    finishedAtMs: nowMs - 5000,
    failure: 'The guest did not start.',
  };
  return [active, failed];
}

export function cannedApproval(number: number, nowMs: number): ApprovalView {
  return {
    ...pendingApproval,
    id: `apr_${body(number)}` as ApprovalId,
    revision: 2,
    digest: 'ab'.repeat(32),
    machineNames: ['vm-12'],
    requestedBy: 'grace',
    reason: `DC power work ${hostileText}`,
    requestedAtMs: nowMs - 4 * minuteMs,
    expiresAtMs: nowMs + 26 * minuteMs,
    eligible: ['ada', 'linus'],
    impact: ['vm-12 is shut down in order and starts at recovery-1; it stands still for about 2 min.'],
  };
}

export function cannedAlerts(nowMs: number): AlertView[] {
  const alert = (
    number: number,
    about: Pick<AlertView, 'rule' | 'scope' | 'severity' | 'title' | 'text'>,
  ): AlertView => ({
    id: `alr_${body(number)}` as AlertId,
    revision: 1,
    state: 'open',
    nextStep: 'Look at the link.',
    machineNames: [about.scope],
    members: [],
    occurrences: 1,
    openedAtMs: nowMs - number * 7 * minuteMs,
    changedAtMs: nowMs - minuteMs,
    recoveredAtMs: null,
    owner: null,
    snoozedUntilMs: null,
    escalationLevel: 0,
    ...about,
  });
  return [
    alert(1, {
      rule: 'lag',
      scope: 'vm-12',
      severity: 'critical',
      title: 'vm-12 lags by 4 min 12 s',
      text: `Its limit is 1 min. ${hostileText}`,
    }),
    alert(2, {
      rule: 'agent-silent',
      scope: 'host-08',
      severity: 'warning',
      title: 'The agent of host-08 is silent',
      text: 'Not heard for 5 min.',
    }),
    alert(3, {
      rule: 'drill-left-open',
      scope: 'vm-107',
      severity: 'warning',
      title: 'A test failover of vm-107 is open',
      text: 'It ends by itself in 3 h.',
    }),
    alert(4, {
      rule: 'disk-filling',
      scope: 'host-02',
      severity: 'warning',
      title: 'The spool of host-02 fills',
      text: '81 % of its disk.',
    }),
  ];
}

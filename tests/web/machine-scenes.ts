import type { MachineDetail, Problem } from '../../bot/web/wire.ts';
import { lagSamples } from '../../domain/lag-series.ts';
import type { ApprovalView, LagSeries } from '../../protocol/chat-api.ts';
import type { OverviewView, ReportView } from '../../protocol/console-api.ts';
import type { HostView, MachineView, PointView, RunView } from '../../protocol/control-api.ts';
import type { AuditAnswer } from '../../protocol/people-api.ts';
import { drillRun, machine, nowMs, openDrill, point, verifiedRun } from '../bot/recorded-answers.ts';
import { pendingApproval } from '../teams/small-engine.ts';

/** A site, and what is answered about one machine of it. */
export type Scene = {
  readonly site: OverviewView;
  readonly detail: (name: string, sinceMs: number) => MachineDetail | Problem;
  readonly report: (query: URLSearchParams) => ReportView | Problem;
};

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A well-formed id body for a number. */
export function idBody(number: number): string {
  return [...number.toString(32).padStart(10, '0')].map((digit) => digits[Number.parseInt(digit, 32)]).join('');
}

/** Three hundred points: one each five minutes, each twelfth application-consistent; one damaged, the newest not available yet. */
export function manyPoints(count = 300): PointView[] {
  return Array.from({ length: count }, (_, index) => {
    const isApplication = index % 12 === 3;
    return point(idBody(index + 1), 9 + index * 300, {
      kind: isApplication ? 'application-consistent' : 'crash-consistent',
      state: index === 0 ? 'sealed' : index === 40 ? 'damaged' : 'available',
      reason: index === 15 ? 'before the upgrade' : '',
    });
  });
}

/** The lag over so long: a point each 15 s, and one bad stretch a third before the end. */
export function lagOf(sinceMs: number, machineName = 'vm-7'): LagSeries {
  const fromMs = nowMs - sinceMs;
  const [gapFromMs, gapToMs] = [nowMs - sinceMs / 3, nowMs - sinceMs / 3 + 4 * minuteMs];
  const arrivals = Array.from({ length: Math.floor(sinceMs / 15_000) }, (_, index) => {
    const takenAtMs = fromMs + index * 15_000;
    return { takenAtMs, arrivedAtMs: takenAtMs + 4000 + ((index * 7919) % 9000) };
  }).filter(({ takenAtMs }) => takenAtMs < gapFromMs || takenAtMs > gapToMs);
  const samples = lagSamples(arrivals, nowMs, 2000);
  return { machineName, thresholdMs: minuteMs, criticalMs: 3 * minuteMs, fromMs, toMs: nowMs, samples };
}

/** Fifty runs, one each eight hours: drills and cleanups, now and then one that failed or was not verified, one planned failover. */
export function manyRuns(count = 50, machineName = 'vm-7'): RunView[] {
  return Array.from({ length: count }, (_, index) => runAt(index, machineName));
}

function runAt(index: number, machineName: string): RunView {
  const startedAtMs = nowMs - 40 * minuteMs - index * 8 * hourMs;
  const id: RunView['id'] = `run_${idBody(9000 + index)}`;
  const shifted = (run: RunView): RunView => ({
    ...run,
    id,
    machineName,
    startedAtMs,
    finishedAtMs: startedAtMs + 19_000,
    steps: run.steps.map((step, at) => ({
      ...step,
      startedAtMs: startedAtMs + at * 3000,
      finishedAtMs: step.state === 'pending' ? null : startedAtMs + at * 3000 + 2400 + at * 120,
    })),
  });
  if (index % 7 === 2) return shifted(failedRun);
  if (index % 2 === 1) return { ...shifted(drillRun(6)), kind: 'cleanup', state: 'succeeded' };
  if (index === 6)
    return { ...shifted(verifiedRun), kind: 'planned-failover', approvalId: approval.id, result: movedResult };
  const isNewestPoint = index !== 4;
  const pointAgeMs = isNewestPoint ? 4000 + (index % 9) * 2100 : 26 * hourMs;
  const result = { ...verified, secondsToGuestUp: 11.2 + (index % 5) * 1.7, pointAgeMs, isNewestPoint };
  if (index === 10)
    return { ...shifted(verifiedRun), result: { ...result, verified: false, verification: 'no marker within 120 s' } };
  return { ...shifted(verifiedRun), result };
}

// A verified run has its result: that is what verifies it.
const verified = verifiedRun.result as NonNullable<RunView['result']>;
const movedResult: NonNullable<RunView['result']> = {
  ...verified,
  vmName: 'vm-7',
  failover: {
    rpoMs: 0,
    rtoMs: 41_300,
    proof: '2 disks compared with the source after its shutdown, block by block: no difference',
    disksComparedCount: 2,
  },
};
const failedRun: RunView = {
  ...drillRun(4),
  state: 'failed',
  failure:
    'QEMU ended at once: no space left on /srv. Free 2 GiB there, or set another folder, then start the drill again.',
  steps: drillRun(4).steps.map((step, index) => ({
    ...step,
    state: index < 3 ? ('undone' as const) : index === 3 ? ('failed' as const) : ('pending' as const),
  })),
};
export const approval: ApprovalView = {
  ...pendingApproval,
  state: 'succeeded',
  reason: 'DC power work',
  requestedBy: 'ana',
  requestedVia: 'slack',
  requestedAtMs: nowMs - 50 * hourMs,
  votes: [
    { person: 'ben', decision: 'approve', atMs: nowMs - 49 * hourMs, via: 'web', reason: 'agreed', stepUp: 'totp' },
  ],
};

export const rejectedRequest: ApprovalView = {
  ...approval,
  id: 'apr_2B4D6F8H0K' as ApprovalView['id'],
  state: 'rejected',
  reason: 'move to the new hall',
  requestedAtMs: nowMs - 70 * hourMs,
  votes: [
    {
      person: 'ben',
      decision: 'reject',
      atMs: nowMs - 69 * hourMs,
      via: 'teams',
      reason: 'not before the backup',
      stepUp: 'none',
    },
  ],
  decidedBy: 'ben',
  decidedAtMs: nowMs - 69 * hourMs,
  decisionReason: 'not before the backup',
  runId: null,
};

export function auditOf(count = 60, more: Partial<AuditAnswer> = {}): AuditAnswer {
  const what = ['test-failover', 'cleanup', 'bookmark', 'approve planned-failover', 'sign-in'];
  const entries = Array.from({ length: count }, (_, index) => ({
    number: 1200 - index,
    atMs: nowMs - index * 37 * minuteMs,
    who: index % 3 === 0 ? 'ben' : 'ana',
    via: ['slack', 'web', 'certificate'][index % 3] ?? 'web',
    what: what[index % what.length] ?? '',
    target: 'vm-7',
    detail: index % 2 === 0 ? `run_${idBody(9000 + index)}, point rp_${idBody(index + 1)}` : '',
    digest: 'ab'.repeat(32),
  }));
  return { entries, isChainWhole: true, headDigest: '9f2c41d07be3a855'.repeat(4), problem: null, ...more };
}

export const host: HostView = {
  name: 'hv-1',
  siteName: 'berlin',
  agentVersion: '0.1.0',
  lastSeenMs: nowMs - 3000,
  certificateExpiresAtMs: nowMs + 89 * 86_400_000,
  guestNames: ['vm-7'],
};

export function siteOf(machines: readonly MachineView[], more: Partial<OverviewView> = {}): OverviewView {
  return {
    atMs: nowMs,
    hosts: [host],
    machines: [...machines],
    runs: [],
    approvals: [],
    alerts: [],
    surfaces: [],
    versions: { engine: '0.1.0', node: '24', postgres: '18', vault: 'directory', accelerator: 'tcg' },
    eventNumber: 7,
    ...more,
  };
}

export function detailOf(one: MachineView, more: Partial<MachineDetail> = {}): MachineDetail {
  return {
    kind: 'machine',
    machine: one,
    points: manyPoints(),
    runs: manyRuns(),
    lag: lagOf(6 * hourMs),
    audit: auditOf(),
    ...more,
  };
}

export const vm7: MachineView = machine('vm-7', {
  tags: ['tier:1', 'web'],
  availablePointCount: 298,
  sentBytesTotal: 4.2 * 1024 ** 3,
  lastDrill: { runId: runAt(0, 'vm-7').id, atMs: nowMs - 40 * minuteMs, isVerified: true, secondsToGuestUp: 11.2 },
});

/** A page for one machine and its detail. */
export function sceneOf(one: MachineView, more: Partial<MachineDetail> = {}, site: Partial<OverviewView> = {}): Scene {
  return {
    site: siteOf([one], site),
    detail: (_name, sinceMs) => detailOf(one, { ...(one.policy !== null && { lag: lagOf(sinceMs) }), ...more }),
    report: () => reportOf(8),
  };
}

const unprotected: Partial<MachineDetail> = { points: [], runs: [], lag: null, audit: auditOf(0) };

/** Each state that a machine can be in. */
export const machineStates: Readonly<Record<string, Scene>> = {
  enabled: sceneOf(vm7),
  drill: sceneOf({ ...vm7, drill: openDrill }, {}, { runs: [drillRun(3)] }),
  replicating: sceneOf(
    machine('vm-7', {
      protection: {
        kind: 'initial-replication',
        doneBytes: 1321 * 1024 ** 2,
        totalBytes: 3072 * 1024 ** 2,
        bytesPerSecond: 12 * 1024 ** 2,
      },
      health: { kind: 'unknown', message: 'No recovery point yet: initial replication is at 43 %.' },
      lagMs: null,
      newestPoint: null,
      availablePointCount: 0,
    }),
    { points: [], runs: [], lag: { ...lagOf(hourMs), samples: [] }, audit: auditOf(2) },
  ),
  critical: sceneOf(
    machine('vm-7', {
      health: { kind: 'critical', message: 'Lag 4 min 10 s, limit 1 min. no heartbeat of the agent on hv-1 for 42 s' },
      lagMs: 250_000,
      lastDrill: null,
    }),
    { audit: auditOf(60, { isChainWhole: false, problem: 'entry 1180 does not follow from entry 1179' }) },
  ),
  paused: sceneOf(
    machine('vm-7', {
      replication: { kind: 'paused', untilMs: nowMs + 5_400_000, reason: 'storage work' },
      health: { kind: 'warning', message: 'Replication is paused (storage work), lag 1 min 15 s.' },
      lagMs: 75_000,
    }),
  ),
  'failed-over': sceneOf(
    machine('vm-7', {
      protection: {
        kind: 'failed-over',
        runId: 'run_4F6H8J0KMN',
        target: 'dr-1',
        vmName: 'vm-7',
        atMs: nowMs - hourMs,
        disks: 'hydrating',
      },
      health: { kind: 'warning', message: 'Failed over: it runs at dr-1 and is not replicated there yet.' },
      lagMs: null,
    }),
  ),
  'not-enabled': sceneOf(notEnabled({}), unprotected),
  unsupported: sceneOf(notEnabled({ unsupported: 'its disk is not one that QEMU can track' }), unprotected),
};

function notEnabled(more: Partial<MachineView>): MachineView {
  return machine('vm-7', {
    id: null,
    protection: { kind: 'not-protected' },
    health: { kind: 'unknown', message: 'Not protected.' },
    policy: null,
    thresholds: null,
    lagMs: null,
    newestPoint: null,
    availablePointCount: 0,
    sentBytesTotal: 0,
    ...more,
  });
}

/** A report over so many runs of all kinds. */
export function reportOf(runCount: number, more: Partial<ReportView> = {}): ReportView {
  const runs = manyRuns(runCount)
    .reverse()
    .map((run) => ({
      run,
      target: 'QEMU on dr-1',
      cleanup:
        run.kind === 'test-failover' && run.state === 'succeeded'
          ? {
              runId: run.id,
              state: 'succeeded' as const,
              requestedBy: 'ana',
              startedAtMs: run.startedAtMs + hourMs,
              note: 'the login page came up',
            }
          : null,
      approval: run.kind === 'planned-failover' ? approval : null,
      hasPicture: run.result !== null && run.result.consolePicture !== null,
    }));
  return {
    machineName: null,
    fromMs: nowMs - 30 * 24 * hourMs,
    toMs: nowMs,
    madeAtMs: nowMs,
    madeBy: 'ana',
    summary: {
      machineCount: 12,
      drillCount: runs.filter(({ run }) => run.kind === 'test-failover').length,
      verifiedDrillCount: runs.filter(({ run }) => run.kind === 'test-failover' && run.result?.verified === true)
        .length,
      failoverCount: runs.filter(({ run }) => run.kind === 'planned-failover').length,
      failedRunCount: runs.filter(({ run }) => run.state === 'failed').length,
      chosenPointDrillCount: 1,
      breakGlassCount: 0,
      unreviewedBreakGlassCount: 0,
      machinesWithoutDrill: ['db-1', 'mail-2', 'vm-11'],
      drillTimes: { rpoMs: { medianMs: 8300, worstMs: 20_800 }, rtoMs: { medianMs: 14_600, worstMs: 18_000 } },
      failoverTimes: { rpoMs: { medianMs: 0, worstMs: 0 }, rtoMs: { medianMs: 41_300, worstMs: 41_300 } },
      rpoMs: { medianMs: 7777, worstMs: 20_800 },
      rtoMs: { medianMs: 17_777, worstMs: 41_300 },
    },
    runs,
    isCut: false,
    lagLimits: [...new Set(runs.map(({ run }) => run.machineName))].map((name) => ({
      machineName: name,
      limitMs: 10_000,
    })),
    requests: [rejectedRequest],
    areRequestsCut: false,
    audit: { headDigest: '9f2c41d07be3a855'.repeat(4), headNumber: 1234, isChainWhole: true },
    ...more,
  };
}

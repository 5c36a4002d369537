import type { ApiAnswer, ApiCall, WhoamiView } from '../../bot/api-call.ts';
import type { Role } from '../../domain/access.ts';
import type { MachineId, RecoveryPointId } from '../../domain/ids.ts';
import type { AlertView, ApprovalView, LagSeries, PersonView, SurfaceView } from '../../protocol/chat-api.ts';
import type { DrillView, HostView, MachineView, PointView, RefusalBody, RunView } from '../../protocol/control-api.ts';
import type { AuditAnswer } from '../../protocol/people-api.ts';

/** The instant at which all scenarios are read. */
export const nowMs = Date.UTC(2026, 10, 21, 14, 2, 20);
const gibibyte = 1024 ** 3;
const mebibyte = 1024 ** 2;

export function point(body: string, secondsAgo: number, more: Partial<PointView> = {}): PointView {
  return {
    id: `rp_${body}` as RecoveryPointId,
    kind: 'crash-consistent',
    state: 'available',
    takenAtMs: nowMs - secondsAgo * 1000,
    reason: '',
    ...more,
  };
}

export const newest = point('7K3M9Q2WXA', 9);

const policy: MachineView['policy'] = {
  name: 'default',
  crashConsistentEveryMs: 15_000,
  rpoThresholdMs: 60_000,
  retentionMs: 86_400_000,
  drillLimitMs: 14_400_000,
};

/** A protected machine that is well. */
export function machine(name: string, more: Partial<MachineView> = {}): MachineView {
  return {
    id: 'mch_0123456789' as MachineId,
    name,
    hostName: 'hv-1',
    kind: 'qemu-guest',
    tracking: 'QEMU dirty bitmaps',
    unsupported: null,
    protection: { kind: 'protected' },
    replication: { kind: 'running' },
    health: { kind: 'healthy' },
    policy,
    thresholds: { warnMs: 60_000, criticalMs: 180_000 },
    disks: [
      { key: 'disk0', sizeBytes: 2 * gibibyte },
      { key: 'disk1', sizeBytes: gibibyte },
    ],
    lagMs: 9000,
    newestPoint: newest,
    availablePointCount: 214,
    sentBytesTotal: 812 * mebibyte,
    drill: null,
    tags: [],
    lastDrill: null,
    ...more,
  };
}

/** A guest that nobody protects. */
function guest(name: string, more: Partial<MachineView> = {}): MachineView {
  return machine(name, {
    id: null,
    protection: { kind: 'not-protected' },
    policy: null,
    thresholds: null,
    lagMs: null,
    newestPoint: null,
    availablePointCount: 0,
    sentBytesTotal: 0,
    disks: [{ key: 'disk0', sizeBytes: 512 * mebibyte }],
    ...more,
  });
}

/** A machine in its initial replication. */
function replicating(name: string, doneMebibytes: number, more: Partial<MachineView> = {}): MachineView {
  return machine(name, {
    protection: {
      kind: 'initial-replication',
      doneBytes: doneMebibytes * mebibyte,
      totalBytes: 3072 * mebibyte,
      bytesPerSecond: doneMebibytes === 0 ? 0 : 12 * mebibyte,
    },
    lagMs: null,
    newestPoint: null,
    availablePointCount: 0,
    sentBytesTotal: doneMebibytes * mebibyte,
    ...more,
  });
}

export const openDrill: DrillView = {
  id: 'drl_5J8N2P4RST',
  runId: 'run_4F6H8J0KMN',
  state: 'open',
  point: newest,
  vmName: 'vm-7-test',
  startedAtMs: nowMs - 21_000,
  expiresAtMs: nowMs + 4 * 3_600_000 - 21_000,
};

const stepNames = [
  'reserve drill',
  'prepare folder',
  'start disk server',
  'start machine',
  'verify boot',
  'record result',
];

/** A test failover of vm-7 with that many steps done. */
export function drillRun(doneCount: number, more: Partial<RunView> = {}): RunView {
  const startedAtMs = nowMs - 21_000;
  return {
    id: 'run_4F6H8J0KMN',
    kind: 'test-failover',
    machineName: 'vm-7',
    state: 'active',
    requestedBy: 'ana',
    startedAtMs,
    finishedAtMs: null,
    steps: stepNames.map((name, index) => ({
      name,
      state: index < doneCount ? 'done' : index === doneCount ? 'running' : 'pending',
      startedAtMs: index <= doneCount ? startedAtMs + index * 3000 : null,
      finishedAtMs: index < doneCount ? startedAtMs + index * 3000 + 2900 : null,
    })),
    failure: null,
    result: null,
    approvalId: null,
    ...more,
  };
}

export const verifiedRun = drillRun(6, {
  state: 'succeeded',
  finishedAtMs: nowMs - 2000,
  result: {
    point: newest,
    pointAgeMs: 8000,
    secondsToGuestUp: 17.4,
    marker: 'LIFEBOAT vm-7 disk0=4711 disk1=4711',
    verified: true,
    verification: 'the guest wrote its marker to the serial console',
    consolePicture: '/srv/lifeboat/drills/drl_5J8N2P4RST/console.png',
    vmName: 'vm-7-test',
    accelerator: 'tcg',
  },
});

const failedRun: RunView = (() => {
  const run = drillRun(4, {
    state: 'failed',
    finishedAtMs: nowMs,
    failure: 'QEMU ended at once: no space left on /srv.',
  });
  const steps = run.steps.map((step, index) => ({
    ...step,
    state: index < 4 ? ('undone' as const) : index === 4 ? ('failed' as const) : ('pending' as const),
  }));
  return { ...run, steps };
})();

const cleanupRun: RunView = {
  ...drillRun(6),
  id: 'run_9W1X3Y5Z7A',
  kind: 'cleanup',
  state: 'succeeded',
  startedAtMs: nowMs - 4000,
  finishedAtMs: nowMs - 1000,
};

const host: HostView = {
  name: 'hv-1',
  siteName: 'main',
  agentVersion: '0.1.0',
  lastSeenMs: nowMs - 3000,
  certificateExpiresAtMs: nowMs + 89 * 86_400_000,
  guestNames: ['vm-7', 'vm-8', 'old-nt'],
};

/** What an engine answers in one scenario. `looks` are the successive answers to a call that is asked again and again. */
export type World = {
  readonly machines: readonly MachineView[];
  readonly points?: readonly PointView[];
  readonly hosts?: readonly HostView[];
  readonly runs?: readonly RunView[];
  readonly roles?: readonly Role[];
  readonly approvals?: readonly ApprovalView[];
  readonly alerts?: readonly AlertView[];
  readonly surfaces?: readonly SurfaceView[];
  readonly people?: readonly PersonView[];
  readonly audit?: AuditAnswer;
  /** False: somebody in chat who is linked to nobody. */
  readonly isLinked?: boolean;
  readonly order?: (call: ApiCall) => ApiAnswer;
  readonly looks?: { readonly run?: readonly RunView[]; readonly machine?: readonly MachineView[] };
};

const well: World = {
  machines: [machine('vm-7'), machine('vm-8', { disks: [{ key: 'disk0', sizeBytes: gibibyte }], lagMs: 14_000 })],
  points: [
    point('2B4D6F8H0K', 3600, { kind: 'application-consistent', reason: 'before the upgrade' }),
    newest,
    point('1A3C5E7G9J', 24, { state: 'verified' }),
    point('0Z9Y8X7W6V', 90_000, { state: 'damaged' }),
  ],
  hosts: [host],
  runs: [verifiedRun, failedRun],
  order: (call) => answerTo(call),
};

function answerTo(call: ApiCall): ApiAnswer {
  const started = (runId: string): ApiAnswer => ({ kind: 'order', answer: { kind: 'run-started', runId } as never });
  const said = (message: string): ApiAnswer => ({ kind: 'order', answer: { kind: 'done', message } });
  switch (call.kind) {
    case 'signInLink': {
      const [url, code] = ['https://lifeboat.example:7443/sign-in#7K3M-9Q2W-XA4T', '7K3M-9Q2W-XA4T'];
      return { kind: 'signInLink', link: { url, code, expiresAtMs: nowMs + 300_000 } };
    }
    case 'signOut':
      return said('ana signed out of the web console everywhere: 2 sessions ended.');
    case 'testFailover':
      return call.body.dryRun ? { kind: 'order', answer: { kind: 'plan', plan } } : started('run_4F6H8J0KMN');
    case 'cleanup':
      return started('run_9W1X3Y5Z7A');
    case 'enable':
      return said('vm-8 will be protected with the policy default; the initial replication starts now.');
    case 'pause':
      return said('Replication of vm-7 is paused until 16:02:20Z; then it goes on by itself.');
    case 'bookmark':
      return said('The agent on hv-1 will take a recovery point of vm-7 at its next heartbeat.');
    default:
      return said(`${call.kind}: done.`);
  }
}

const plan = {
  digest: '9f2c41d07be3a85566d3c1b0f4e7a9d2c8b1e0f3a6d5c4b7e8f9a0b1c2d3e4f5',
  machineName: 'vm-7',
  point: newest,
  pointAgeMs: 9000,
  target: 'qemu on this host',
  vmName: 'vm-7-test',
  network: 'isolated, no way out',
  accelerator: 'tcg',
  expiresAfterMs: 14_400_000,
  steps: stepNames,
  measured: { medianMs: 4200, slowestMs: 9100, runCount: 10 },
  checks: [
    { name: 'machine', state: 'ok' as const, detail: 'vm-7 is "Enabled"; it keeps running and replicating.' },
    {
      name: 'point',
      state: 'ok' as const,
      detail: `${newest.id} is available: its 2 disks were read back and verified.`,
    },
    { name: 'test failover', state: 'ok' as const, detail: 'No test failover of vm-7 is open.' },
    { name: 'other work', state: 'ok' as const, detail: 'Nothing else is at work on vm-7.' },
    { name: 'target', state: 'ok' as const, detail: 'qemu on this host answers and can start machines.' },
    {
      name: 'memory',
      state: 'warning' as const,
      detail: 'It has 4 GiB and starts with less: the target gives up to 2 GiB.',
    },
  ],
};

export function refusal(body: Partial<RefusalBody> & { message: string }): ApiAnswer {
  return { kind: 'refusal', refusal: { kind: 'refused', candidates: [], nextStep: null, ...body } };
}

const silentAgent = { kind: 'critical', message: 'no heartbeat of the agent on hv-1 for 42 s' } as const;

/** All scenarios' engines, by the name that the transcript's first line gives. */
export const worlds: Readonly<Record<string, World>> = {
  'no-console': {
    ...well,
    order: () => ({
      kind: 'signInLink',
      link: { url: null, code: '7K3M-9Q2W-XA4T', expiresAtMs: nowMs + 300_000 },
    }),
  },
  well,
  viewer: { ...well, roles: ['viewer'] },
  empty: { machines: [], hosts: [], runs: [] },
  drill: {
    ...well,
    machines: [machine('vm-7', { drill: openDrill }), machine('vm-8')],
    looks: { run: [drillRun(0), drillRun(3), drillRun(4), verifiedRun] },
  },
  unverified: {
    ...well,
    machines: [machine('vm-7', { drill: openDrill })],
    looks: {
      run: [
        {
          ...verifiedRun,
          result: {
            ...(verifiedRun.result as NonNullable<RunView['result']>),
            verified: false,
            marker: null,
            verification: 'no marker on the serial console within 120 s; look at the picture',
          },
        },
      ],
    },
  },
  failing: { ...well, looks: { run: [drillRun(1), failedRun] } },
  cleanup: { ...well, looks: { run: [cleanupRun] } },
  enabling: {
    ...well,
    machines: [machine('vm-7'), replicating('vm-8', 1321)],
    looks: { machine: [replicating('vm-8', 0), replicating('vm-8', 1321), replicating('vm-8', 3070), machine('vm-8')] },
  },
  trouble: {
    ...well,
    machines: [
      machine('vm-7', { health: silentAgent, lagMs: 200_000, drill: openDrill }),
      replicating('vm-8', 1321),
      machine('db-1', {
        replication: { kind: 'paused', untilMs: nowMs + 5_400_000, reason: 'storage work' },
        health: { kind: 'warning', message: 'lag is over the limit' },
        lagMs: 75_000,
      }),
      guest('web-1'),
      guest('old-nt', { unsupported: 'its disk is not one that QEMU can track' }),
    ],
  },
  refusing: {
    ...well,
    order: (call) =>
      call.kind === 'testFailover'
        ? refusal({
            message:
              'vm-8 is not protected yet: its initial replication is at 43 %, about 2 min 26 s left. ' +
              'You can fail over as soon as it says "Enabled".',
            nextStep: '`status vm-8` shows how far it is',
          })
        : refusal({
            kind: 'ambiguous-target',
            message: 'web-1 is a guest of 2 hosts. Say which with --host.',
            candidates: ['hv-1', 'hv-2'],
          }),
  },
  unknown: {
    ...well,
    order: () =>
      refusal({
        kind: 'unknown-target',
        message: 'There is no machine vm-77. Did you mean vm-7, vm-8?',
        candidates: ['vm-7', 'vm-8'],
      }),
  },
  hostile: {
    ...well,
    machines: [
      machine('vm-7', {
        tracking: '\u001b[2J\u001b[H\u001b]0;owned\u0007 all fine',
        health: { kind: 'critical', message: 'x\r\n✔ vm-7 Enabled\u001b[8m hidden\u001b[0m \u202egnp.exe' },
        replication: { kind: 'paused', untilMs: nowMs + 60_000, reason: '`failover vm-8 --test`\u009b31m' },
      }),
    ],
    points: [point('2B4D6F8H0K', 60, { reason: '\u001b]8;;http://evil\u0007click\u001b]8;;\u0007' })],
  },
};

/** Asks a world as the engine is asked; each look at a run or machine that is followed gets the next answer. */
export function engineOf(world: World): { ask: (call: ApiCall) => Promise<ApiAnswer> } {
  const asked = { run: 0, machine: 0 };
  const nextLook = <View>(kind: 'run' | 'machine', looks: readonly View[] | undefined) => {
    const look = looks?.[Math.min(asked[kind], looks.length - 1)];
    asked[kind] += 1;
    return look;
  };
  return { ask: async (call) => answer(world, call, nextLook) };
}

type NextLook = <View>(kind: 'run' | 'machine', looks: readonly View[] | undefined) => View | undefined;

function answer(world: World, call: ApiCall, nextLook: NextLook): ApiAnswer {
  switch (call.kind) {
    case 'whoami':
      return {
        kind: 'whoami',
        whoami: whoamiOf(world),
      };
    case 'version':
      return {
        kind: 'version',
        version: {
          engine: '0.1.0',
          node: '24.21.0',
          postgres: '18.4',
          vault: 'directory /srv/vault',
          accelerator: 'tcg',
        },
      };
    case 'machines':
      return { kind: 'machines', machines: world.machines };
    case 'machine': {
      const look = world.looks?.machine === undefined ? undefined : nextLook('machine', world.looks.machine);
      const found = look ?? world.machines.find((candidate) => candidate.name === call.name);
      return found === undefined ? unknownMachine(call.name, world) : { kind: 'machine', machine: found };
    }
    case 'points':
      return { kind: 'points', points: world.points ?? [] };
    case 'hosts':
      return { kind: 'hosts', hosts: world.hosts ?? [] };
    case 'approvals':
      return { kind: 'approvals', approvals: world.approvals ?? [] };
    case 'alerts':
      return { kind: 'alerts', alerts: world.alerts ?? [] };
    case 'surfaces':
      return { kind: 'surfaces', surfaces: world.surfaces ?? [] };
    case 'people':
      return { kind: 'people', people: world.people ?? [] };
    case 'approval': {
      const approval = world.approvals?.find((candidate) => candidate.id === call.id);
      if (approval !== undefined) return { kind: 'approval', approval };
      return refusal({ kind: 'unknown-target', message: `There is no request ${call.id}.` });
    }
    case 'alert': {
      const alert = world.alerts?.find((candidate) => candidate.id === call.id);
      if (alert !== undefined) return { kind: 'alert', alert };
      return refusal({ kind: 'unknown-target', message: `There is no alert ${call.id}.` });
    }
    case 'lagSeries':
      return { kind: 'lagSeries', series: seriesOf(call.machine) };
    case 'audit':
      return {
        kind: 'audit',
        audit: world.audit ?? { entries: [], isChainWhole: true, problem: null, headDigest: 'ab'.repeat(32) },
      };
    case 'runs':
      return { kind: 'runs', runs: world.runs ?? [] };
    case 'run': {
      const run = nextLook('run', world.looks?.run) ?? world.runs?.find((candidate) => candidate.id === call.id);
      return run === undefined
        ? refusal({ kind: 'unknown-target', message: `There is no run ${call.id}.` })
        : { kind: 'run', run };
    }
    default:
      return world.order?.(call) ?? refusal({ message: 'This world takes no orders.' });
  }
}

/** A machine whose points came every 15 s, and then stopped for some minutes. */
export function seriesOf(machineName: string): LagSeries {
  const fromMs = nowMs - 3_600_000;
  const samples = Array.from({ length: 240 }, (_, index) => ({ atMs: fromMs + index * 15_000, lagMs: 2000 }));
  return { machineName, thresholdMs: 60_000, fromMs, toMs: nowMs, samples };
}

function whoamiOf(world: World): WhoamiView {
  const roles = world.roles ?? ['operator'];
  const grants = roles.map((role) => ({ role, scope: { kind: 'everything' as const } }));
  const isLinked = world.isLinked ?? true;
  const via = isLinked ? 'person certificate' : 'slack';
  return {
    name: isLinked ? 'ana' : 'Ana Archer',
    roles: isLinked ? [...roles] : [],
    grants: isLinked ? grants : [],
    via,
    isLinked,
    hasAuthenticator: isLinked,
    isOnCall: false,
  };
}

function unknownMachine(name: string, world: World): ApiAnswer {
  const candidates = world.machines.map((candidate) => candidate.name).slice(0, 3);
  const meant = candidates.length === 0 ? '' : ` Did you mean ${candidates.join(', ')}?`;
  return refusal({ kind: 'unknown-target', message: `There is no machine ${name}.${meant}`, candidates });
}

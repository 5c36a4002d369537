import { expect, test } from 'vitest';
import type { DiskId, MachineId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { type PlannedFailoverFacts, planPlannedFailover } from '../../domain/planned-failover.ts';
import { defaultPolicy } from '../../domain/replication-policy.ts';
import { mebibyte, minuteMs, secondMs } from '../../domain/units.ts';

const machine: PlannedFailoverFacts['machine'] = {
  id: 'mch_0000000001' as MachineId,
  name: 'vm-7',
  epoch: 1,
  kind: 'qemu-guest',
  protection: { kind: 'protected' },
  drill: { kind: 'none' },
  replication: { kind: 'running' },
  policy: defaultPolicy,
  hardware: { memoryBytes: 64 * mebibyte, cpuCount: 1, firmware: 'bios' },
  disks: [{ diskId: 'dsk_0000000001' as DiskId, key: 'disk0', sizeBytes: mebibyte }],
};
const usable = {
  kind: 'usable',
  target: 'QEMU on b-1',
  network: 'none',
  accelerator: 'tcg',
  memoryBytesMax: 128 * mebibyte,
} as const;
const healthy: PlannedFailoverFacts = {
  machine,
  hostName: 'host-1',
  agentSilentMs: secondMs,
  heartbeatEveryMs: 2 * secondMs,
  guest: { disks: [{ key: 'disk0', sizeBytes: mebibyte }] },
  activity: { kind: 'idle', queuedBytes: 0 },
  health: { kind: 'healthy' },
  newestPoint: { epoch: 1 },
  lagMs: 12 * secondMs,
  lagWarnMs: defaultPolicy.rpoThresholdMs,
  activeRun: undefined,
  target: usable,
};

test('a healthy machine gets a plan, ten good checks, and says in words what stops, for how long and what is lost', () => {
  const decision = planPlannedFailover(healthy);
  invariant(decision.kind === 'planned', 'it can be failed over');
  expect(decision.checks.map((check) => check.state)).toEqual(Array(10).fill('ok'));
  expect(decision.plan).toMatchObject({ machineName: 'vm-7', vmName: 'vm-7', epoch: 1, pointRule: 'after-shutdown' });
  expect(decision.impact).toEqual([
    'Stops: vm-7 on host-1 is shut down in order and stays off; it starts again on QEMU on b-1.',
    'For how long: about 2 min; after 7 min at most it runs there or here again.',
    'Lost: nothing. It starts at the target only when every disk is proven to be what the source wrote last.',
    'Reached by: nobody yet. Its network at the target is none, and the way back comes with a later version.',
    'Point: the one taken after the shutdown (newest now: 12 s old).',
    'If a step fails before the target is up, vm-7 on host-1 is started again.',
  ]);
});

const blocked: [string, Partial<PlannedFailoverFacts>, string][] = [
  ['agent', { agentSilentMs: 40 * secondMs }, 'silent for 40 s'],
  ['agent', { agentSilentMs: undefined }, 'never heard'],
  ['replication', { health: { kind: 'critical', message: 'Resynchronisation required: x' } }, 'critical'],
  ['replication', { health: { kind: 'unknown', message: 'who knows' } }, 'unknown'],
  ['replication', { activity: { kind: 'scanning', queuedBytes: 0 } }, 'compared'],
  [
    'replication',
    { machine: { ...machine, replication: { kind: 'paused', untilMs: 1, reason: 'tape' } } },
    '`resume vm-7`',
  ],
  ['lag', { lagMs: undefined }, 'no recovery point'],
  ['other work', { activeRun: { id: 'run_1', kind: 'cleanup', requestedBy: 'ana' } }, 'run_1'],
  ['test failover', { machine: { ...machine, drill: { kind: 'open', pointTakenAtMs: 1 } } }, '`cleanup vm-7` first'],
  ['disks', { guest: { disks: [...(healthy.guest?.disks ?? []), { key: 'disk9', sizeBytes: 1 }] } }, 'disk9'],
  ['disks', { guest: { disks: [] } }, 'does not have disk0'],
  ['disks', { guest: { disks: [{ key: 'disk0', sizeBytes: 2 * mebibyte }] } }, 'another size'],
  ['memory', { machine: { ...machine, hardware: { ...machine.hardware, memoryBytes: 256 * mebibyte } } }, '256 MiB'],
  ['source', { machine: { ...machine, kind: 'disk-image' } }, 'plain disk image'],
  ['source', { guest: undefined }, 'does not answer its agent'],
  ['source', { activity: { kind: 'failing', queuedBytes: 0 } }, 'has trouble with vm-7'],
  ['epoch', { newestPoint: { epoch: 2 } }, 'epoch 2'],
];
test.each(blocked)('a failed check "%s" refuses and says why (%#)', (name, change, words) => {
  const decision = planPlannedFailover({ ...healthy, ...change });
  invariant(decision.kind === 'refused', 'it is refused');
  const check = decision.checks.find((one) => one.state === 'failed' && one.name === name);
  expect(check?.detail).toContain(words);
  expect(decision.message).toContain(words);
  expect(decision).toMatchObject({ isOver: false, plan: { machineName: 'vm-7' } });
});

test('a target that cannot be used refuses, and nobody can say what would be done', () => {
  const target = { kind: 'unusable', message: 'No QEMU here.' } as const;
  const decision = planPlannedFailover({ ...healthy, target });
  expect(decision).toMatchObject({ kind: 'refused', isOver: false, plan: undefined });
});

test.each([
  { kind: 'not-protected' },
  { kind: 'initial-replication', doneBytes: 1, totalBytes: 2, bytesPerSecond: 1 },
] as const)('a machine that is $kind is not failed over, and asking again does not help', (protection) => {
  const decision = planPlannedFailover({ ...healthy, machine: { ...machine, protection } });
  expect(decision).toMatchObject({ kind: 'refused', isOver: true, plan: undefined, checks: [] });
});

test('what changes by itself is not in the plan: the digest of what was asked for stays', () => {
  const later = {
    lagMs: 50 * secondMs,
    agentSilentMs: 3 * secondMs,
    activity: { kind: 'sending', queuedBytes: 9 },
  } as const;
  expect(planPlannedFailover({ ...healthy, ...later }).plan).toEqual(planPlannedFailover(healthy).plan);
});

test('the lag is judged by the threshold of the machine, not by that of its policy', () => {
  const lag = (lagMs: number, lagWarnMs: number) =>
    planPlannedFailover({ ...healthy, lagMs, lagWarnMs }).checks.find(({ name }) => name === 'lag')?.state;
  expect(lag(2 * minuteMs, 5 * minuteMs)).toBe('ok');
  expect(lag(40 * secondMs, 30 * secondMs)).toBe('warning');
});

test('a warning is shown and refuses nothing', () => {
  const decision = planPlannedFailover({
    ...healthy,
    lagMs: 2 * defaultPolicy.rpoThresholdMs,
    target: { ...usable, memoryBytesMax: undefined },
  });
  expect(decision.kind).toBe('planned');
  expect(decision.checks.filter((check) => check.state === 'warning').map((check) => check.name)).toEqual([
    'lag',
    'memory',
  ]);
});

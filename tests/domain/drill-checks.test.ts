import { expect, test } from 'vitest';
import { type DrillCheckFacts, drillChecks } from '../../domain/drill-checks.ts';
import { planTestFailover } from '../../domain/failover-plan.ts';
import { type DiskId, idFromBytes } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { startPosition } from '../../domain/position.ts';
import { defaultPolicy } from '../../domain/replication-policy.ts';
import { mebibyte } from '../../domain/units.ts';

const pointId = (number: number) => idFromBytes('recoveryPoint', Buffer.alloc(10, number));
const diskId: DiskId = idFromBytes('disk', Buffer.alloc(10, 1));

function planOf(point: string, accelerator = 'tcg') {
  const points = [1, 2].map((number) => ({
    id: pointId(number),
    kind: 'crash-consistent' as const,
    state: 'available' as const,
    takenAtMs: number * 1000,
    reason: '',
    hardware: { memoryBytes: 256 * mebibyte, cpuCount: 1, firmware: 'bios' as const },
    disks: [{ diskId, key: 'disk0', sizeBytes: 1024, position: { ...startPosition(1), sequence: number } }],
  }));
  const machine = {
    id: idFromBytes('machine', Buffer.alloc(10, 2)),
    name: 'vm-7',
    epoch: 1,
    protection: { kind: 'protected' },
    drill: { kind: 'none' },
    replication: { kind: 'running' },
  } as const;
  const target = { target: 'QEMU on b-1', network: 'isolated', accelerator };
  const decision = planTestFailover({ machine, points, policy: defaultPolicy, target }, { point });
  invariant(decision.kind === 'planned', 'it can be drilled');
  return decision.plan;
}

const well: DrillCheckFacts = { plan: planOf('latest'), activeRun: undefined, memoryBytesMax: 512 * mebibyte };
const notOk = (facts: Partial<DrillCheckFacts>) =>
  drillChecks({ ...well, ...facts })
    .filter(({ state }) => state !== 'ok')
    .map(({ name, state }) => `${name}: ${state}`);

test('a plan knows whether a newer point could be started, whatever the point was asked for by', () => {
  expect(planOf('latest').isNewestPoint).toBe(true);
  expect(planOf(pointId(2)).isNewestPoint).toBe(true);
  expect(planOf(pointId(1)).isNewestPoint).toBe(false);
});

test('the checks of a drill say what was looked at: machine, point, open drill, other work, target, memory', () => {
  expect(drillChecks(well).map(({ name, state }) => [name, state])).toEqual([
    ['machine', 'ok'],
    ['point', 'ok'],
    ['test failover', 'ok'],
    ['other work', 'ok'],
    ['target', 'ok'],
    ['memory', 'ok'],
  ]);
});

test('what would refuse the drill, or make it less than it seems, is said before it is asked for', () => {
  expect(notOk({ activeRun: { id: 'run_1', kind: 'cleanup', requestedBy: 'ana' } })).toEqual(['other work: failed']);
  expect(notOk({ plan: planOf(pointId(1)) })).toEqual(['newer point: warning']);
  expect(notOk({ memoryBytesMax: 128 * mebibyte })).toEqual(['memory: warning']);
  expect(notOk({ plan: planOf('latest', 'none (no machine is started)'), memoryBytesMax: undefined })).toEqual([
    'target: warning',
  ]);
});

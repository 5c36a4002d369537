import { describe, expect, it } from 'vitest';
import { type PlannablePoint, planTestFailover, type TestFailoverFacts } from '../../domain/failover-plan.ts';
import { type DiskId, idFromBytes, type RecoveryPointId } from '../../domain/ids.ts';
import { startPosition } from '../../domain/position.ts';
import type { RecoveryPointState } from '../../domain/recovery-point.ts';
import { defaultPolicy } from '../../domain/replication-policy.ts';

const pointId = (number: number): RecoveryPointId => idFromBytes('recoveryPoint', Buffer.alloc(10, number));
const diskId: DiskId = idFromBytes('disk', Buffer.alloc(10, 1));

function point(number: number, state: RecoveryPointState = 'available'): PlannablePoint {
  return {
    id: pointId(number),
    kind: 'crash-consistent',
    state,
    takenAtMs: number * 1000,
    reason: '',
    hardware: { memoryBytes: 64 * 1024 * 1024, cpuCount: 1, firmware: 'bios' },
    disks: [{ diskId, key: 'disk0', sizeBytes: 1024, position: { ...startPosition(1), sequence: number } }],
  };
}

function facts(points: PlannablePoint[], machine: Partial<TestFailoverFacts['machine']> = {}): TestFailoverFacts {
  return {
    machine: {
      id: idFromBytes('machine', Buffer.alloc(10, 2)),
      name: 'vm-7',
      epoch: 1,
      protection: { kind: 'protected' },
      drill: { kind: 'none' },
      replication: { kind: 'running' },
      ...machine,
    },
    points,
    policy: defaultPolicy,
    target: { target: 'QEMU on backup-1', network: 'isolated', accelerator: 'tcg' },
  };
}

describe('the plan of a test failover', () => {
  it('takes the newest available point, although a newer one is still on its way', () => {
    const decision = planTestFailover(facts([point(1), point(3), point(2), point(4, 'sealed')]), { point: 'latest' });
    expect(decision).toMatchObject({ kind: 'planned', plan: { point: { id: pointId(3) } } });
  });

  it('makes every choice: positions, name, network, accelerator, end and steps', () => {
    const decision = planTestFailover(facts([point(1), point(2)]), { point: pointId(1) });
    expect(decision).toMatchObject({
      kind: 'planned',
      plan: {
        vmName: 'vm-7-Test',
        network: 'isolated',
        accelerator: 'tcg',
        target: 'QEMU on backup-1',
        expiresAfterMs: defaultPolicy.drillLimitMs,
        disks: [{ diskId, position: { sequence: 1 } }],
        steps: expect.arrayContaining(['reserve drill', 'start machine', 'verify boot']),
      },
    });
  });

  it('is the same for the same facts', () => {
    const once = planTestFailover(facts([point(1)]), { point: 'latest' });
    expect(planTestFailover(facts([point(1)]), { point: 'latest' })).toEqual(once);
  });

  it('names the nearest and the newest point when the asked one does not exist', () => {
    const asked = `${pointId(2).slice(0, -1)}Z`;
    const decision = planTestFailover(facts([point(1), point(2), point(3)]), { point: asked });
    expect(decision).toMatchObject({ kind: 'refused', message: expect.stringContaining(pointId(3)) });
    expect(decision.kind === 'refused' && decision.candidates[0]).toBe(pointId(2));
  });

  it.each([
    ['receiving', 'still being received'],
    ['sealed', 'being read back'],
    ['verified', 'being read back'],
    ['damaged', 'nobody may start from it'],
    ['expiring', 'being removed'],
  ] as const)('refuses a point that is %s and says so', (state, words) => {
    const decision = planTestFailover(facts([point(1), point(2, state)]), { point: pointId(2) });
    expect(decision).toMatchObject({ kind: 'refused', message: expect.stringContaining(words) });
    expect(decision).toMatchObject({ message: expect.stringContaining(pointId(1)) });
  });

  it('refuses during initial replication, with how far it is', () => {
    const protection = { kind: 'initial-replication', doneBytes: 40, totalBytes: 100, bytesPerSecond: 1 } as const;
    expect(planTestFailover(facts([], { protection }), { point: 'latest' })).toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/40 %.*about.*left/),
    });
  });

  it('refuses while a drill is open, and says what ends it', () => {
    const drill = { kind: 'open', pointTakenAtMs: 1 } as const;
    expect(planTestFailover(facts([point(1)], { drill }), { point: 'latest' })).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('cleanup vm-7'),
    });
  });

  it('says that a first point is coming, or how to get one', () => {
    expect(planTestFailover(facts([point(1, 'sealed')]), { point: 'latest' })).toMatchObject({
      message: expect.stringContaining('on its way'),
    });
    expect(planTestFailover(facts([point(1, 'damaged')]), { point: 'latest' })).toMatchObject({
      message: expect.stringContaining('bookmark vm-7'),
    });
  });
});

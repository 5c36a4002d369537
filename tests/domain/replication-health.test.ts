import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ReplicationFacts, replicationHealth } from '../../domain/replication-health.ts';

const good: ReplicationFacts = {
  protection: { kind: 'protected' },
  replication: { kind: 'running' },
  lagMs: 10_000,
  rpoThresholdMs: 60_000,
  agentSilentMs: 1000,
  heartbeatEveryMs: 5000,
  resyncRequired: undefined,
  failing: undefined,
};
const kind = (change: Partial<ReplicationFacts>) => replicationHealth({ ...good, ...change }).kind;

test('warning above the threshold, critical above three times the threshold', () => {
  expect([0, 60_000, 60_001, 180_000, 180_001].map((lagMs) => kind({ lagMs }))).toEqual([
    'healthy',
    'healthy',
    'warning',
    'warning',
    'critical',
  ]);
});

test('a required resynchronisation is critical, a failing agent is a warning', () => {
  expect(kind({ resyncRequired: 'the bitmap was lost' })).toBe('critical');
  expect(replicationHealth({ ...good, failing: 'the disk is full' })).toEqual({
    kind: 'warning',
    message: 'the disk is full',
  });
});

test('an agent that is silent for more than three heartbeats makes everything unknown, and a large lag critical all the same', () => {
  expect([15_000, 15_001, undefined].map((agentSilentMs) => kind({ agentSilentMs }))).toEqual([
    'healthy',
    'unknown',
    'unknown',
  ]);
  expect(kind({ agentSilentMs: 600_000, lagMs: 600_000 })).toBe('critical');
});

test('a pause is shown as a warning with its reason, whatever else is wrong', () => {
  const replication = { kind: 'paused', untilMs: 0, reason: 'tape day' } as const;
  expect(replicationHealth({ ...good, replication, lagMs: 10_000_000 })).toEqual({
    kind: 'warning',
    message: 'Replication is paused (tape day), newest point 2 h 47 min old.',
  });
});

test('what people asked for is expected, and only that: a first copy that goes on, and a failover', () => {
  const protection = { kind: 'initial-replication', doneBytes: 1, totalBytes: 2, bytesPerSecond: 3 } as const;
  const where = { runId: 'run_1', target: 'dr-1', vmName: 'vm-7-Failover' };
  const moved = { kind: 'failed-over', ...where, atMs: 0, disks: 'local' } as const;
  const copying = (change: Partial<ReplicationFacts>) => replicationHealth({ ...good, protection, ...change });
  expect(copying({ lagMs: undefined })).toMatchObject({ kind: 'unknown', isExpected: true });
  expect(replicationHealth({ ...good, protection: moved })).toMatchObject({ kind: 'warning', isExpected: true });
  const paused = { kind: 'paused', untilMs: 0, reason: 'tape day' } as const;
  const troubles = [{ agentSilentMs: 60_000 }, { agentSilentMs: undefined }, { failing: 'x' }, { replication: paused }];
  for (const trouble of troubles) expect(copying(trouble)).not.toHaveProperty('isExpected');
});

const anyFacts = fc.record<ReplicationFacts>({
  protection: fc.constantFrom<ReplicationFacts['protection']>(
    { kind: 'not-protected' },
    { kind: 'initial-replication', doneBytes: 1, totalBytes: 2, bytesPerSecond: 3 },
    { kind: 'protected' },
  ),
  replication: fc.constantFrom<ReplicationFacts['replication']>(
    { kind: 'running' },
    { kind: 'paused', untilMs: 1, reason: 'x' },
  ),
  lagMs: fc.option(fc.integer({ min: 0, max: 500_000 }), { nil: undefined }),
  rpoThresholdMs: fc.constant(60_000),
  agentSilentMs: fc.option(fc.integer({ min: 0, max: 60_000 }), { nil: undefined }),
  heartbeatEveryMs: fc.constant(5000),
  resyncRequired: fc.constantFrom(undefined, 'x'),
  failing: fc.constantFrom(undefined, 'x'),
});
const goodOnlyWhenKnown = (health: typeof replicationHealth) => (facts: ReplicationFacts) =>
  health(facts).kind !== 'healthy' ||
  (facts.protection.kind === 'protected' &&
    facts.replication.kind === 'running' &&
    facts.lagMs !== undefined &&
    facts.lagMs <= facts.rpoThresholdMs &&
    facts.agentSilentMs !== undefined &&
    facts.agentSilentMs <= 3 * facts.heartbeatEveryMs &&
    facts.resyncRequired === undefined &&
    facts.failing === undefined);

test('healthy means that everything is known and good: unknown is never green', () => {
  fc.assert(fc.property(anyFacts, goodOnlyWhenKnown(replicationHealth)), { numRuns: 3000 });
});

test('the property sees a planted bug: no point counts as no lag', () => {
  const optimistic: typeof replicationHealth = (facts) => replicationHealth({ ...facts, lagMs: facts.lagMs ?? 0 });
  expect(fc.check(fc.property(anyFacts, goodOnlyWhenKnown(optimistic)), { numRuns: 3000 }).failed).toBe(true);
});

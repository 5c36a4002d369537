import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ReportedMachine, type ReportedRun, summariseRuns } from '../../domain/drill-report.ts';
import { measuredTimes, medianOf } from '../../domain/measured-times.ts';

const names = ['vm-1', 'vm-2', 'vm-3', 'vm-4'] as const;
const times = fc.option(fc.integer({ min: 0, max: 10_000_000 }));
const anyRun: fc.Arbitrary<ReportedRun> = fc.record({
  machineName: fc.constantFrom(...names),
  kind: fc.constantFrom('test-failover', 'planned-failover'),
  state: fc.constantFrom('active', 'succeeded', 'failed'),
  isVerified: fc.boolean(),
  isFromChosenPoint: fc.boolean(),
  breakGlass: fc.constantFrom('none', 'unreviewed', 'reviewed'),
  rpoMs: times,
  rtoMs: times,
});
const anyRuns = fc.array(anyRun, { maxLength: 30 });
const anyMachines: fc.Arbitrary<ReportedMachine[]> = fc
  .uniqueArray(fc.constantFrom(...names))
  .chain((chosen) =>
    fc.tuple(...chosen.map((name) => fc.record({ name: fc.constant(name), isProtected: fc.boolean() }))),
  );

const run = (more: Partial<ReportedRun> = {}): ReportedRun => ({
  machineName: 'vm-1',
  kind: 'test-failover',
  state: 'succeeded',
  isVerified: true,
  isFromChosenPoint: false,
  breakGlass: 'none',
  rpoMs: 9000,
  rtoMs: 4000,
  ...more,
});

test('an empty period proves nothing: every protected machine is without a drill, and nothing was measured', () => {
  const machines = [
    { name: 'vm-2', isProtected: true },
    { name: 'vm-1', isProtected: true },
    { name: 'vm-3', isProtected: false },
  ];
  expect(summariseRuns([], machines)).toEqual({
    machineCount: 3,
    drillCount: 0,
    verifiedDrillCount: 0,
    failoverCount: 0,
    failedRunCount: 0,
    chosenPointDrillCount: 0,
    breakGlassCount: 0,
    unreviewedBreakGlassCount: 0,
    machinesWithoutDrill: ['vm-1', 'vm-2'],
    drillTimes: { rpoMs: null, rtoMs: null },
    failoverTimes: { rpoMs: null, rtoMs: null },
    rpoMs: null,
    rtoMs: null,
  });
});

test('what drills would have lost and what failovers lost are never one figure', () => {
  const runs = [
    run({ rpoMs: 14_500, rtoMs: 4000 }),
    run({ kind: 'planned-failover', rpoMs: 0, rtoMs: 30_000 }),
    run({ kind: 'planned-failover', state: 'failed', rpoMs: 99_000, rtoMs: 99_000 }),
  ];
  const { drillTimes, failoverTimes } = summariseRuns(runs, []);
  const alone = (ms: number) => ({ medianMs: ms, worstMs: ms });
  expect(drillTimes).toEqual({ rpoMs: alone(14_500), rtoMs: alone(4000) });
  expect(failoverTimes).toEqual({ rpoMs: alone(0), rtoMs: alone(30_000) });
  expect(summariseRuns(runs.slice(0, 1), []).failoverTimes).toEqual({ rpoMs: null, rtoMs: null });
});

test('only a verified drill that succeeded proves a machine; a failover, a failed or an unverified drill does not', () => {
  const machines = ['vm-1', 'vm-2', 'vm-3', 'vm-4'].map((name) => ({ name, isProtected: true }));
  const runs = [
    run(),
    run({ machineName: 'vm-2', isVerified: false }),
    run({ machineName: 'vm-3', state: 'failed', rpoMs: null, rtoMs: null }),
    run({ machineName: 'vm-4', kind: 'planned-failover', rpoMs: 0, rtoMs: 30_000 }),
  ];
  expect(summariseRuns(runs, machines)).toMatchObject({
    drillCount: 3,
    verifiedDrillCount: 1,
    failoverCount: 1,
    failedRunCount: 1,
    machinesWithoutDrill: ['vm-2', 'vm-3', 'vm-4'],
  });
});

test('a guest that was never seen up has no recovery time, but its point’s age counts', () => {
  const runs = [run({ rpoMs: 1000, rtoMs: 4000 }), run({ isVerified: false, rpoMs: 60_000, rtoMs: 120_000 })];
  const { rpoMs, rtoMs } = summariseRuns(runs, []);
  expect(rpoMs).toEqual({ medianMs: 30_500, worstMs: 60_000 });
  expect(rtoMs).toEqual({ medianMs: 4000, worstMs: 4000 });
});

test('a drill from a chosen point proves that the machine starts, and says nothing of the data that would be lost', () => {
  const old = run({ isFromChosenPoint: true, rpoMs: 86_400_000, rtoMs: 6000 });
  const summary = summariseRuns([run({ rpoMs: 9000, rtoMs: 4000 }), old], [{ name: 'vm-1', isProtected: true }]);
  expect(summary).toMatchObject({ drillCount: 2, verifiedDrillCount: 2, chosenPointDrillCount: 1 });
  expect(summary.rpoMs).toEqual({ medianMs: 9000, worstMs: 9000 });
  expect(summary.rtoMs).toEqual({ medianMs: 5000, worstMs: 6000 });
  expect(summariseRuns([old], [])).toMatchObject({ rpoMs: null, chosenPointDrillCount: 1 });
});

test('a run without an approver is counted, and so is one that nobody has reviewed', () => {
  const glass = (breakGlass: 'unreviewed' | 'reviewed') => run({ kind: 'planned-failover', breakGlass });
  const runs = [run({ kind: 'planned-failover' }), glass('reviewed'), glass('unreviewed')];
  expect(summariseRuns(runs, [])).toMatchObject({
    failoverCount: 3,
    breakGlassCount: 2,
    unreviewedBreakGlassCount: 1,
  });
});

test('whatever ran: counts add up, the middle is never worse than the worst, and the worst was measured', () => {
  fc.assert(
    fc.property(anyRuns, anyMachines, (runs, machines) => {
      const summary = summariseRuns(runs, machines);
      expect(summary.drillCount + summary.failoverCount).toBe(runs.length);
      expect(summary.verifiedDrillCount).toBeLessThanOrEqual(summary.drillCount);
      expect(summary.verifiedDrillCount + summary.failedRunCount).toBeLessThanOrEqual(runs.length);
      for (const [spread, field] of [[summary.rpoMs, 'rpoMs'] as const, [summary.rtoMs, 'rtoMs'] as const]) {
        const measured = runs
          .filter((one) => one.state === 'succeeded' && !(field === 'rpoMs' && one.isFromChosenPoint))
          .map((one) => one[field]);
        if (spread === null) continue;
        expect(spread.medianMs).toBeLessThanOrEqual(spread.worstMs);
        expect(measured).toContain(spread.worstMs);
      }
    }),
  );
});

test('whatever ran: a protected machine is named exactly when no drill of it was verified', () => {
  fc.assert(
    fc.property(anyRuns, anyMachines, (runs, machines) => {
      const { machinesWithoutDrill, machineCount } = summariseRuns(runs, machines);
      const isProven = (name: string) =>
        runs.some(
          (one) =>
            one.machineName === name && one.kind === 'test-failover' && one.state === 'succeeded' && one.isVerified,
        );
      for (const { name, isProtected } of machines) {
        expect(machinesWithoutDrill.includes(name)).toBe(isProtected && !isProven(name));
      }
      expect(machineCount).toBeGreaterThanOrEqual(machines.length);
      expect(machinesWithoutDrill).toEqual([...machinesWithoutDrill].sort());
    }),
  );
});

test('the order of the runs makes no difference', () => {
  fc.assert(
    fc.property(anyRuns, anyMachines, (runs, machines) => {
      expect(summariseRuns([...runs].reverse(), [...machines].reverse())).toEqual(summariseRuns(runs, machines));
    }),
  );
});

test('what was measured is told by its middle and its slowest; of an even number the middle is the mean of two', () => {
  expect(measuredTimes([])).toBeNull();
  expect(measuredTimes([4200.4])).toEqual({ medianMs: 4200, slowestMs: 4200, runCount: 1 });
  expect(measuredTimes([9000, 3000, 4000, 5000])).toEqual({ medianMs: 4500, slowestMs: 9000, runCount: 4 });
  expect(medianOf([1000, 2000])).toBe(1500);
  expect(medianOf([])).toBeUndefined();
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1 }), (values) => {
      const middle = medianOf(values) ?? Number.NaN;
      // The mean of two is rounded to a whole millisecond.
      expect(2 * values.filter((value) => value <= middle + 1).length).toBeGreaterThanOrEqual(values.length);
      expect(2 * values.filter((value) => value >= middle - 1).length).toBeGreaterThanOrEqual(values.length);
    }),
  );
});

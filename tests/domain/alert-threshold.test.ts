import { expect, test } from 'vitest';
import { decideThresholds, thresholdsOfPolicy } from '../../domain/alert-threshold.ts';
import { minuteMs, secondMs } from '../../domain/units.ts';

const facts = { machineName: 'vm-7', now: { warnMs: minuteMs, criticalMs: 3 * minuteMs }, pointEveryMs: 15 * secondMs };

test('without figures of its own a machine has those of its policy', () => {
  expect(thresholdsOfPolicy({ rpoThresholdMs: minuteMs })).toEqual(facts.now);
});

test.each([
  ['stricter', { warnMs: 30_000, criticalMs: 60_000 }, 'immediate'],
  ['a later warning', { warnMs: 2 * minuteMs, criticalMs: 3 * minuteMs }, 'needs-approval'],
  ['a later critical alert, an earlier warning', { warnMs: 30_000, criticalMs: 4 * minuteMs }, 'needs-approval'],
  ['the same', facts.now, 'refused'],
  ['critical below the warning', { warnMs: minuteMs, criticalMs: minuteMs }, 'refused'],
  ['a warning that would never end', { warnMs: 1000, criticalMs: minuteMs }, 'refused'],
])('%s: %j is %s', (_name, wanted, kind) => {
  expect(decideThresholds(facts, wanted).kind).toBe(kind);
});

test('an approver reads what comes later, and by how much', () => {
  expect(decideThresholds(facts, { warnMs: 2 * minuteMs, criticalMs: 3 * minuteMs })).toMatchObject({
    impact: ['The warning comes 1 min later: at 2 min instead of 1 min.', expect.stringContaining('less closely')],
  });
});

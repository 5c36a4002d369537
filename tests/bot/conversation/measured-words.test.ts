import { expect, test } from 'vitest';
import { plannedPlanCard } from '../../../bot/conversation/failover-cards.ts';
import { measuredWords } from '../../../bot/conversation/measured-words.ts';
import { nowMs } from '../recorded-answers.ts';

const often = { medianMs: 4200, slowestMs: 9100, runCount: 10 };

test('what was measured is said by its middle and its slowest, and by how many runs say so', () => {
  expect(measuredWords(often, 'drill')).toBe('usually up in 4 s, slowest 9 s, of 10 drills');
  expect(measuredWords({ medianMs: 61_000, slowestMs: 61_000, runCount: 1 }, 'failover')).toBe(
    'up in 1 min 1 s, in 1 failover',
  );
  expect(measuredWords({ medianMs: 300, slowestMs: 400, runCount: 2 }, 'drill')).toContain('up in 1 s');
});

test('what was never measured is never guessed; drills are told as drills', () => {
  expect(measuredWords(null, 'drill')).toBe('never measured');
  const time = (measured: typeof often | null, measuredDrills?: typeof often) =>
    plannedPlanCard({ ...plan, measured, measuredDrills }, 'x', nowMs).fields?.find(({ label }) => label === 'Time')
      ?.value;
  expect(time(null)).toBe('never measured');
  expect(time(null, often)).toBe('never measured; drills: usually up in 4 s, slowest 9 s, of 10 drills');
  expect(time(often, often)).toBe('usually up in 4 s, slowest 9 s, of 10 failovers');
});

const plan = {
  digest: 'ab'.repeat(32),
  machineName: 'vm-7',
  newestPoint: null,
  lagMs: null,
  target: 'qemu',
  vmName: 'vm-7-failover',
  network: 'production',
  accelerator: 'kvm',
  shutdownLimitMs: 120_000,
  neededCount: 1,
  eligible: [],
  impact: [],
  checks: [],
  steps: [],
};

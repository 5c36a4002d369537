import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  dayMs,
  formatBytes,
  formatDuration,
  gibibyte,
  hourMs,
  kibibyte,
  mebibyte,
  minuteMs,
  parseDuration,
} from '../../domain/units.ts';

test('bytes are shown in binary units with three digits', () => {
  expect([0, 12, 1023, kibibyte, 240 * kibibyte, 1.5 * gibibyte, 123.4 * mebibyte].map(formatBytes)).toEqual([
    '0 B',
    '12 B',
    '1023 B',
    '1 KiB',
    '240 KiB',
    '1.5 GiB',
    '123 MiB',
  ]);
});

test('durations are shown by their two largest units', () => {
  const shown = [850, 4200, 42_000, 185_000, 2 * hourMs + 10 * minuteMs, 4 * dayMs + 3 * hourMs, 4 * hourMs].map(
    formatDuration,
  );
  expect(shown).toEqual(['850 ms', '4.2 s', '42 s', '3 min 5 s', '2 h 10 min', '4 d 3 h', '4 h']);
});

test('no duration is shown with a unit that is full, e.g. 60 s', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40 * dayMs }), (ms) => {
      expect(formatDuration(ms)).not.toMatch(/\b(60 s|60 min|24 h|1000 ms)\b/);
    }),
    { numRuns: 5000, examples: [[59_600], [59_999], [3_599_999], [86_399_999]] },
  );
});

test('the grammar’s durations are read, anything else is not guessed', () => {
  expect(['90s', '15m', '4h', '2d'].map(parseDuration)).toEqual([90_000, 15 * minuteMs, 4 * hourMs, 2 * dayMs]);
  expect(['', '5', 'm', '-5m', '1.5h', '5 m', '5M', '1234567s'].map(parseDuration)).toEqual(Array(8).fill(undefined));
});

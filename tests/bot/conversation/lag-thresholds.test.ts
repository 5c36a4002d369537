import { describe, expect, test } from 'vitest';
import { lagCard } from '../../../bot/conversation/lag-cards.ts';
import { machineCard } from '../../../bot/conversation/machine-cards.ts';
import { lagShare, lagWords } from '../../../bot/conversation/machine-words.ts';
import { machine, nowMs } from '../recorded-answers.ts';

/** `threshold vm-7 --warn 5m --crit 15m`, and a policy that says one minute. */
const own = { thresholds: { warnMs: 300_000, criticalMs: 900_000 } };
const at = (lagMs: number, more = {}) => machine('vm-7', { ...own, lagMs, ...more });

describe('the lag of a machine with thresholds of its own', () => {
  test('is told against them, in lists, on its card and in the list of lags', () => {
    expect(lagWords(at(120_000))).toBe('2 min of 5 min');
    expect(lagWords(at(360_000))).toBe('6 min of 5 min (over)');
    expect(lagCard([at(120_000)], nowMs)).toMatchObject({ title: 'Lag · all within their limits', tone: 'neutral' });
    expect(lagCard([at(360_000)], nowMs).title).toBe('Lag · 1 over the limit');
    const fields = new Map(machineCard(at(120_000), nowMs).fields?.map(({ label, value }) => [label, value]));
    expect(fields.get('Lag')).toBe('2 min of 5 min');
    expect(fields.get('Lag limits')).toBe('warning above 5 min, critical above 15 min, set for this machine');
    expect(fields.get('Policy')).not.toContain('limit');
  });

  test.each([
    [120_000, 0.4, 'good'],
    [300_000, 1, 'good'],
    [360_000, 1.2, 'warning'],
    // Three times the warning is not what makes it critical.
    [900_000, 3, 'warning'],
    [900_001, 3.000003333, 'bad'],
  ])('%s ms are %s of the warning and look %s', (lagMs, share, level) => {
    expect(lagShare(at(lagMs))).toEqual({ share: expect.closeTo(share, 6), level });
  });

  test('a stricter one is over its limit although its policy allows more', () => {
    const strict = machine('vm-7', { thresholds: { warnMs: 30_000, criticalMs: 45_000 }, lagMs: 50_000 });
    expect(lagWords(strict)).toBe('50 s of 30 s (over)');
    expect(lagShare(strict)?.level).toBe('bad');
  });

  test('without a lag or without protection nothing is judged', () => {
    expect(lagShare(at(0, { lagMs: null }))).toBeUndefined();
    expect(lagShare(machine('vm-7', { thresholds: null, policy: null }))).toBeUndefined();
  });
});

test('a machine without figures of its own is told the limit of its policy and no other', () => {
  const labels = machineCard(machine('vm-7'), nowMs).fields?.map(({ label }) => label);
  expect(labels).not.toContain('Lag limits');
  expect(machineCard(machine('vm-7'), nowMs).fields?.find(({ label }) => label === 'Policy')?.value).toContain(
    'lag limit 1 min',
  );
});

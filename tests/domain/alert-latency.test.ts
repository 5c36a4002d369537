import { describe, expect, test } from 'vitest';
import type { AlertChange } from '../../domain/alert.ts';
import { createDesk, type Told } from './alert-desk.ts';
import { minute } from './alert-facts.ts';
import {
  createSite,
  everyMs,
  firstAtMs,
  isAbout,
  type Mishap,
  mattersAtMs,
  numbersOf,
  seededMishaps,
} from './paced-site.ts';

const second = 1000;

function watchSite(seed: number, mishaps: readonly Mishap[], toMs: number, lookEveryMs = 10 * second): readonly Told[] {
  const random = numbersOf(seed);
  const site = createSite(random, mishaps);
  const desk = createDesk();
  for (let nowMs = minute; nowMs < toMs; nowMs += lookEveryMs + random() * second) desk.look(site.factsAt(nowMs));
  return desk.told;
}

/** How long each mishap went untold; Infinity for ever. */
function latencies(told: readonly Told[], mishaps: readonly Mishap[]): number[] {
  return mishaps
    .map((mishap) => {
      const first = told.find(
        ({ atMs, change }) => atMs >= mishap.fromMs && atMs < mishap.toMs + minute && isAbout(change, mishap),
      );
      return first === undefined ? Number.POSITIVE_INFINITY : first.atMs - mattersAtMs(mishap);
    })
    .sort((a, b) => a - b);
}

/** The decision alone; tests/bot/delivery/announced.test.ts goes on until people have it. */
describe('a site on a clock of its own', () => {
  const mishaps = seededMishaps(numbersOf(7), ['lag', 'lag', 'silence', 'process-server', 'vault'], 100);
  const endMs = firstAtMs + 101 * everyMs;
  const told = watchSite(11, mishaps, endMs);

  test('each of 100 seeded mishaps is told, 99 of 100 within a minute, and nothing else is', () => {
    const waited = latencies(told, mishaps);
    expect(waited.at(-1)).toBeLessThan(90 * second);
    expect(waited[98]).toBeLessThanOrEqual(60 * second);
    const opened = told.filter(({ change }) => change.kind === 'open');
    const unexplained = opened.filter(
      ({ atMs, change }) =>
        !mishaps.some((one) => atMs >= one.fromMs && atMs < one.toMs + minute && isAbout(change, one)),
    );
    // An hour of silence would also be told of its lag; that is a member of the alert that explains it.
    expect(unexplained.map(({ change }) => change)).toEqual([]);
  });

  test('everything that was told is over when it is repaired', () => {
    const count = (kind: AlertChange['kind']) => told.filter(({ change }) => change.kind === kind).length;
    expect(count('recover')).toBe(count('open'));
  });

  test('an hour in which all is well, with all its jitter, tells nothing', () => {
    for (const seed of [1, 2, 3]) expect(watchSite(seed, [], 61 * minute)).toEqual([]);
  });

  test('looks that come too seldom are found by the same measure: it can fail', () => {
    const waited = latencies(watchSite(11, mishaps, endMs, 70 * second), mishaps);
    expect(waited[98]).toBeGreaterThan(60 * second);
  });
});

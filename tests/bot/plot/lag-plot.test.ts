import fc from 'fast-check';
import { expect, it } from 'vitest';
import { lagPlotPng, lagPlotWords } from '../../../bot/plot/lag-plot.ts';
import { columnPeaks, lagSvg } from '../../../bot/plot/lag-svg.ts';
import { strokeText } from '../../../bot/plot/stroke-font.ts';
import type { LagSeries } from '../../../protocol/chat-api.ts';
import { anyText } from '../any-text.ts';
import { nowMs } from '../recorded-answers.ts';

const hourMs = 3_600_000;
function series(samples: LagSeries['samples'], more: Partial<LagSeries> = {}): LagSeries {
  return { machineName: 'vm-7', thresholdMs: 60_000, fromMs: nowMs - hourMs, toMs: nowMs, samples, ...more };
}
const quiet = Array.from({ length: 240 }, (_, index) => ({ atMs: nowMs - hourMs + index * 15_000, lagMs: 2000 }));

it('the plot is a small PNG, also with two thousand points and the longest name', () => {
  const many = Array.from({ length: 2000 }, (_, index) => ({
    atMs: nowMs - hourMs + index * 1800,
    lagMs: (index * 7919) % 400_000,
  }));
  for (const one of [series([]), series(quiet), series(many, { machineName: 'W'.repeat(63) })]) {
    const png = lagPlotPng(one);
    expect(png.subarray(0, 8).toString('hex')).toBe('89504e470d0a1a0a');
    expect(png.length).toBeLessThan(60_000);
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([960, 520]);
  }
});

it('a short peak between two columns is not lost, and the time before the first point is empty', () => {
  const peaks = columnPeaks(
    series([
      { atMs: nowMs - 600_000, lagMs: 1000 },
      { atMs: nowMs - 300_000, lagMs: 0 },
    ]),
    12,
  );
  expect(peaks.slice(0, 9)).toEqual(Array.from({ length: 9 }, () => undefined));
  expect(peaks.slice(9)).toEqual([1000, 301_000, 300_000]);
});

it('the worst value of all columns is the worst lag that was reached', () => {
  const sample = fc.record({ agoMs: fc.integer({ min: 0, max: hourMs }), lagMs: fc.integer({ min: 0, max: 900_000 }) });
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 300 }), (made, count) => {
      const samples = made
        .sort((a, b) => b.agoMs - a.agoMs)
        .map(({ agoMs, lagMs }) => ({ atMs: nowMs - agoMs, lagMs }));
      const reached = samples.map(({ atMs, lagMs }, index) => lagMs + (samples[index + 1]?.atMs ?? nowMs) - atMs);
      const peaks = columnPeaks(series(samples), count).filter((peak) => peak !== undefined);
      expect(Math.abs(Math.max(...peaks) - Math.max(...reached))).toBeLessThan(1);
    }),
  );
});

it('the words say what the picture shows', () => {
  expect(lagPlotWords(series(quiet))).toBe('Lag of vm-7 over 1 h: now 17 s, worst 17 s, limit 1 min.');
  expect(lagPlotWords(series([]))).toContain('no recovery point');
});

it('the critical line is drawn only when the lag is near it, and where the engine says', () => {
  const late = series([{ atMs: nowMs - hourMs, lagMs: 0 }], { criticalMs: 7_000_000 });
  expect(lagSvg(series(quiet)).split('stroke-dasharray')).toHaveLength(2);
  expect(lagSvg(late).split('stroke-dasharray')).toHaveLength(3);
});

it('nothing of a name gets into the markup', () => {
  fc.assert(
    fc.property(anyText(40), (text) => {
      const markup = strokeText(text, { x: 0, y: 0, height: 20, color: '#000000' });
      expect(markup).toMatch(
        /^<path d="[ML0-9. -]*" fill="none" stroke="#000000" stroke-width="[\d.]+" [a-z="-]+ [a-z="-]+\/>$/,
      );
    }),
  );
});

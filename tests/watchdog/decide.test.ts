import { expect, test } from 'vitest';
import { afterTelling, decide, type WatchState, wordsOf } from '../../watchdog/decide.ts';

const alive: WatchState = { status: 'alive', silentSinceMs: null, toldAgoMs: null };
const facts = { ageMs: 0, limitMs: 60_000, repeatAfterMs: 3_600_000, nowMs: 1_000_000 };

test.each([
  { what: 'alive and heard', state: alive, ageMs: 60_000, news: undefined },
  { what: 'alive and too late', state: alive, ageMs: 60_001, news: 'silent' },
  {
    what: 'silent and told',
    state: { status: 'silent', silentSinceMs: 0, toldAgoMs: 0 },
    ageMs: 90_000,
    news: undefined,
  },
  {
    what: 'silent for an hour more',
    state: { status: 'silent', silentSinceMs: 0, toldAgoMs: 3_600_000 },
    ageMs: 90_000,
    news: 'still-silent',
  },
  { what: 'silent and heard', state: { status: 'silent', silentSinceMs: 0, toldAgoMs: 0 }, ageMs: 10, news: 'back' },
] satisfies { what: string; state: WatchState; ageMs: number; news: string | undefined }[])(
  '$what: $news',
  ({ state, ageMs, news }) => {
    expect(decide(state, { ...facts, ageMs })?.kind).toBe(news);
  },
);

test('what nobody took is decided again; what was told is not', () => {
  const news = decide(alive, { ...facts, ageMs: 61_000 });
  expect(decide(alive, { ...facts, ageMs: 62_000 })?.kind).toBe('silent');
  const told = afterTelling(alive, news!, facts.nowMs);
  expect(decide(told, { ...facts, ageMs: 62_000 })).toBeUndefined();
  const back = decide(told, { ...facts, ageMs: 0, nowMs: facts.nowMs + 60_000 });
  expect(wordsOf('engine', back!)).toBe('Lifeboat: engine is back, after 2 min.');
  expect(afterTelling(told, back!, facts.nowMs)).toEqual(alive);
});

import { expect, test } from 'vitest';
import { createPulse } from '../../../engine/workflow/pulse.ts';

function pulseAt() {
  let nowMs = 1000;
  const pulse = createPulse(5000, () => nowMs);
  return {
    pulse,
    wait(forMs: number) {
      nowMs += forMs;
    },
    beatFor(forMs: number) {
      for (let passedMs = 0; passedMs < forMs; passedMs += 1000) {
        nowMs += 1000;
        pulse.beaten();
      }
    },
  };
}

test('an engine that beats in time may judge the silence of others', () => {
  const { pulse, beatFor } = pulseAt();
  expect(pulse.mayJudge()).toBe(true);
  beatFor(20_000);
  expect(pulse.mayJudge()).toBe(true);
});

test('one whose own beat is late may not, before that beat has come and for one silence after it', () => {
  const { pulse, wait, beatFor } = pulseAt();
  wait(2501);
  expect(pulse.mayJudge()).toBe(false);
  pulse.beaten();
  expect(pulse.mayJudge()).toBe(false);
  beatFor(4000);
  expect(pulse.mayJudge()).toBe(false);
  beatFor(1000);
  expect(pulse.mayJudge()).toBe(true);
});

test('a second late beat begins the wait anew', () => {
  const { pulse, wait, beatFor } = pulseAt();
  wait(3000);
  pulse.beaten();
  beatFor(4000);
  wait(3000);
  pulse.beaten();
  beatFor(4000);
  expect(pulse.mayJudge()).toBe(false);
});

import { expect, test } from 'vitest';
import { OutageError } from '../../../domain/outage.ts';
import { createTurns } from '../../../engine/store/turns.ts';

/** Work that ends when the test says so, and a record of what was begun and of how many ran at once. */
function workbench(limits: Parameters<typeof createTurns>[1]) {
  const turns = createTurns('the test', limits);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  let atOnce = 0;
  const seen = { atOnceMax: 0 };
  const take = (name: string) =>
    turns.take(async () => {
      begun.push(name);
      atOnce += 1;
      seen.atOnceMax = Math.max(seen.atOnceMax, atOnce);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      atOnce -= 1;
      return name;
    });
  return { turns, begun, seen, take, end: (name: string) => ends.get(name)?.() };
}
const outcomeOf = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

test('so much runs at once, and the rest in the order of asking', async () => {
  const { take, end, begun, seen } = workbench({ atOnceMax: 2, waitingMax: 10, waitMsMax: 60_000 });
  const all = ['a', 'b', 'c', 'd', 'e'].map(take);
  expect(begun).toEqual(['a', 'b']);
  for (const name of ['b', 'a', 'c', 'd', 'e']) {
    await expect.poll(() => begun).toContain(name);
    end(name);
  }
  expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(begun).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(seen.atOnceMax).toBe(2);
});

test('what is too much for the queue is turned away at once, retryable, and never begun', async () => {
  const { take, end, begun } = workbench({ atOnceMax: 1, waitingMax: 1, waitMsMax: 60_000 });
  const [first, second] = [take('first'), take('second')];
  const error = await outcomeOf(take('third'));
  expect(error).toBeInstanceOf(OutageError);
  expect(error).toMatchObject({ retryable: true, nextStep: expect.stringContaining('same idempotency key') });
  end('first');
  await first;
  await expect.poll(() => begun).toContain('second');
  end('second');
  await second;
  expect(begun).toEqual(['first', 'second']);
});

test('who waited too long is turned away, and its place goes to the next', async () => {
  const { take, end, begun, turns } = workbench({ atOnceMax: 1, waitingMax: 2, waitMsMax: 50 });
  const first = take('first');
  expect(await outcomeOf(take('late'))).toMatchObject({ retryable: true, message: expect.stringContaining('50 ms') });
  const next = turns.take(async () => 'next');
  end('first');
  expect(await Promise.all([first, next])).toEqual(['first', 'next']);
  expect(begun).toEqual(['first']);
});

test('work that fails gives its turn back', async () => {
  const turns = createTurns('the test', { atOnceMax: 1, waitingMax: 1, waitMsMax: 60_000 });
  await expect(turns.take(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(await turns.take(async () => 'done')).toBe('done');
});

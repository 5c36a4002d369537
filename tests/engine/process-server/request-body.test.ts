import { expect, test } from 'vitest';
import { mebibyte } from '../../../domain/units.ts';
import { createBodyMemory } from '../../../engine/process-server/request-body.ts';

function taken(body: Buffer | undefined): Buffer {
  if (body === undefined) throw new Error('there was no room');
  return body;
}

test('bodies never take more than the limit together, whatever is kept for later', () => {
  const memory = createBodyMemory(40 * mebibyte);
  const first = taken(memory.take(20 * mebibyte));
  const second = taken(memory.take(20 * mebibyte));
  expect(memory.take(1)).toBeUndefined();
  memory.giveBack(first);
  expect(memory.usedBytes()).toBe(20 * mebibyte);
  expect(memory.take(20 * mebibyte + 1)).toBeUndefined();
  memory.giveBack(second);
  expect(memory.usedBytes()).toBe(0);
  expect(memory.take(40 * mebibyte)?.length).toBe(40 * mebibyte);
});

test('memory is used again for a body of about the same length, never for two at once', () => {
  const memory = createBodyMemory(100 * mebibyte);
  const first = taken(memory.take(16 * mebibyte - 5));
  const atTheSameTime = taken(memory.take(16 * mebibyte - 5));
  expect(atTheSameTime.buffer).not.toBe(first.buffer);
  memory.giveBack(first);
  const next = taken(memory.take(15 * mebibyte));
  expect(next.buffer).toBe(first.buffer);
  expect(next.length).toBe(15 * mebibyte);
  expect(taken(memory.take(15 * mebibyte)).buffer).not.toBe(first.buffer);
});

test('a small body gets memory of its own', () => {
  const memory = createBodyMemory(100 * mebibyte);
  memory.giveBack(taken(memory.take(16 * mebibyte)));
  expect(taken(memory.take(100)).buffer.byteLength).toBe(100);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nameDistance, nearestNames } from '../../domain/nearest-names.ts';

test('the three nearest names are offered, nearest first', () => {
  const names = ['vm-1', 'vm-17', 'vm-7', 'vm-70', 'database', 'web-01'];
  expect(nearestNames('vm7', names)).toEqual(['vm-7', 'vm-1', 'vm-17']);
  expect(nearestNames('VM-7', names)[0]).toBe('vm-7');
  expect(nearestNames('vm7', ['vm17', 'vm71', 'vm_7'])[0]).toBe('vm_7');
  expect(nearestNames('databsae', names)).toEqual(['database']);
  expect(nearestNames('data', names)).toEqual(['database']);
  expect(nearestNames('xyzzy-unlike-all', names)).toEqual([]);
  expect(nearestNames('', names)).toEqual([]);
});

test('a swap of neighbours is one mistake', () => {
  expect([nameDistance('vm-17', 'vm-71'), nameDistance('kitten', 'sitting'), nameDistance('', 'abc')]).toEqual([
    1, 3, 3,
  ]);
});

/** The oracle: the definition, by recursion, for short words. */
function slowDistance(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length;
  const last = [a.at(-1), b.at(-1)];
  const costs = [
    slowDistance(a.slice(0, -1), b) + 1,
    slowDistance(a, b.slice(0, -1)) + 1,
    slowDistance(a.slice(0, -1), b.slice(0, -1)) + (last[0] === last[1] ? 0 : 1),
  ];
  if (a.length > 1 && b.length > 1 && last[0] === b.at(-2) && last[1] === a.at(-2)) {
    costs.push(slowDistance(a.slice(0, -2), b.slice(0, -2)) + 1);
  }
  return Math.min(...costs);
}

test('the distance is that of the definition', () => {
  const word = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 5 }).map((letters) => letters.join(''));
  fc.assert(fc.property(word, word, (a, b) => nameDistance(a, b) === slowDistance(a, b)));
});

import { expect, test } from 'vitest';
import { wireOf } from '../../bot/engine-wire.ts';

test('the runs of one machine are asked for by its name, whatever is in it, and those of all without one', () => {
  expect(wireOf({ kind: 'runs' })).toEqual({ method: 'GET', path: '/v1/runs' });
  expect(wireOf({ kind: 'runs', machine: 'vm-7&x=1' })).toEqual({
    method: 'GET',
    path: '/v1/runs?machine=vm-7%26x%3D1',
  });
});

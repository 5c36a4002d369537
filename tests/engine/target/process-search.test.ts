import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, expect, test } from 'vitest';
import { endProcess, findProcesses, isRunning } from '../../../engine/target/process-search.ts';
import { until } from './drill-fixture.ts';

let child: ChildProcess | undefined;
afterEach(() => child?.kill('SIGKILL'));

async function start(...words: string[]): Promise<ChildProcess> {
  child = spawn('sh', words, { stdio: 'ignore' });
  const { pid } = child;
  await until('it runs', async () => (await findProcesses(words)).some((found) => found.pid === pid));
  return child;
}

test('a process is found by words next to each other on its command line, and only by whole words', async () => {
  const tag = `tag-${process.pid}`;
  await start('-c', 'sleep 60; true', '-name', tag);
  expect(await findProcesses(['-name', tag])).toHaveLength(1);
  expect(await findProcesses(['-name', tag.slice(0, -1)])).toEqual([]);
  expect(await findProcesses(['-c', tag])).toEqual([]);
});

test('a pid that now belongs to another process is not ended: the start time tells', async () => {
  const { pid = 0 } = await start('-c', 'sleep 61; true');
  const recycled = { pid, startedAtTicks: '1' };
  expect(await isRunning(recycled)).toBe(false);
  await endProcess(recycled, 100);
  expect(child?.signalCode).toBeNull();
  expect(() => process.kill(pid, 0)).not.toThrow();
});

test('a process that ignores the request to end is ended by force', async () => {
  const words = ['-c', 'trap "" TERM; while true; do sleep 0.1; done'];
  await start(...words);
  const [found] = await findProcesses(words);
  if (found === undefined) throw new Error('it was not found');
  await endProcess(found, 300);
  expect(await isRunning(found)).toBe(false);
});

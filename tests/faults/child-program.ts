import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { expect } from 'vitest';
import { eventually } from './demo-site.ts';

const repository = path.join(import.meta.dirname, '..', '..');

export type Ended = { readonly exitCode: number | null; readonly text: string };
export type RunningProgram = {
  /** All that it has written, to both outputs. */
  readonly text: () => string;
  readonly says: (words: RegExp) => Promise<void>;
  readonly ended: Promise<Ended>;
  readonly stop: () => Promise<Ended>;
};
type Options = { readonly environment?: Record<string, string | undefined> };

/** Starts one of our two programs as a person does, each in a process of its own. */
export function startProgram(
  program: 'lifeboat' | 'dr',
  words: readonly string[],
  options: Options = {},
): RunningProgram {
  const child: ChildProcess = spawn(process.execPath, [path.join(repository, 'bin', `${program}.ts`), ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', ...options.environment },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (text += String(chunk)));
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (exitCode) => resolve({ exitCode, text }));
  });
  return {
    text: () => text,
    says: (words) =>
      eventually(`${program} says ${words}`, 60_000, async () => (words.test(text) ? text : undefined)).then(
        () => undefined,
      ),
    ended,
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** Runs it to its end; one that does not end by itself is the bug that is looked for, and is stopped. */
export async function run(program: 'lifeboat' | 'dr', words: readonly string[], options: Options = {}): Promise<Ended> {
  const running = startProgram(program, words, options);
  const limit = setTimeout(() => void running.stop(), 60_000);
  const ended = await running.ended;
  clearTimeout(limit);
  return ended;
}

/** A mistake's answer: the exit code, what, where and what to do next, and nothing of the program's insides. */
export function expectClear(ended: Ended, exitCode: number, words: readonly (string | RegExp)[]): void {
  const oneLine = ended.text.replace(/\s+/g, ' ');
  for (const wanted of words) {
    if (typeof wanted === 'string') expect(oneLine, ended.text).toContain(wanted);
    else expect(oneLine, ended.text).toMatch(wanted);
  }
  expect(insidesIn(ended.text), ended.text).toEqual([]);
  expect(ended.exitCode, ended.text).toBe(exitCode);
}

/** Lines of a stack trace, and values that were printed by mistake. */
export function insidesIn(text: string): string[] {
  return text.split('\n').filter((line) => /^\s+at .*:\d+:\d+\)?$|node:internal|\[object |\bundefined\b/.test(line));
}

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { OutageError } from '../domain/outage.ts';
import { cpuSecondsOf, peakMemoryBytesOf } from './measure.ts';

/** A program that runs beside the measurement: a server, or our agent. */
export type BackgroundProcess = {
  readonly pid: number;
  readonly cpuSeconds: () => number;
  readonly peakMemoryBytes: () => number;
  /** Throws with the end of its log when it is not running any more. */
  readonly check: () => void;
  /** Ends it, by force after five seconds; resolves when it is gone. */
  readonly stop: () => Promise<void>;
};

const stopLimitMs = 5000;
const logEndLength = 2000;

export function startProcess(words: readonly string[], logFile: string): BackgroundProcess {
  const [program = '', ...parameters] = words;
  const log = openSync(logFile, 'a');
  const child = spawn(program, parameters, { stdio: ['ignore', log, log] });
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) throw new OutageError(`start ${program}`, { retryable: false });
  let ended: string | undefined;
  const end = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = String(code ?? signal);
      resolve();
    });
  });
  return {
    pid,
    cpuSeconds: () => cpuSecondsOf([pid]),
    peakMemoryBytes: () => peakMemoryBytesOf(pid),
    check() {
      if (ended === undefined) return;
      const lastLines = readFileSync(logFile, 'utf8').slice(-logEndLength);
      throw new OutageError(`${words.join(' ')} ended with ${ended}: ${lastLines}`, { retryable: false });
    },
    async stop() {
      if (ended === undefined) child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), stopLimitMs);
      await end;
      clearTimeout(force);
    },
  };
}

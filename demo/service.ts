import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { endProcess, forgetProcess, markOf, rememberedProcess, rememberProcess } from './running-process.ts';

export type ServiceSettings = {
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly logFolder: string;
  readonly processFolder: string;
  /** The longest pause before a program that keeps dying is started again; 5000 if left out. */
  readonly restartDelayMsMax?: number | undefined;
  /** Called when the process ended although nobody asked it to. */
  readonly onUnexpectedEnd: (message: string) => void;
};

/** One program of the demo site: started in its own process group, restarted when it dies, stopped on request. */
export type Service = { start(): void; stop(limitMs: number): Promise<void>; pid(): number | undefined };

const usualRestartDelayMsMax = 5000;

/** Ends what an earlier, killed start of the demo left running under this name. */
export async function endLeftover(processFolder: string, name: string): Promise<void> {
  const file = processFile(processFolder, name);
  const mark = rememberedProcess(file);
  if (mark !== undefined) await endProcess(mark, 5000);
  forgetProcess(file);
}

export function createService(settings: ServiceSettings): Service {
  let child: ChildProcess | undefined;
  let isWanted = false;
  let failureCount = 0;
  let restartTimer: NodeJS.Timeout | undefined;

  function run(): void {
    const log = openSync(join(settings.logFolder, `${settings.name}.log`), 'a');
    // Its own process group: Ctrl-C in the terminal reaches only us, and we stop things in order.
    child = spawn(settings.command, settings.arguments, { stdio: ['pipe', log, log], detached: true });
    closeSync(log);
    const startedAt = performance.now();
    if (child.pid !== undefined) rememberProcess(processFile(settings.processFolder, settings.name), child.pid);
    child.once('error', (error) => settings.onUnexpectedEnd(`${settings.name} could not be started: ${error.message}`));
    child.once('exit', (code, signal) => onExit(code ?? signal, performance.now() - startedAt));
  }

  function onExit(how: number | NodeJS.Signals | null, ranForMs: number): void {
    child = undefined;
    if (!isWanted) return;
    failureCount = ranForMs > 30_000 ? 1 : failureCount + 1;
    settings.onUnexpectedEnd(`${settings.name} ended (${how}); starting it again. ${lastLogLine(settings)}`);
    restartTimer = setTimeout(
      run,
      Math.min(settings.restartDelayMsMax ?? usualRestartDelayMsMax, 100 * 2 ** failureCount),
    );
  }

  return {
    start() {
      isWanted = true;
      run();
    },
    async stop(limitMs) {
      isWanted = false;
      clearTimeout(restartTimer);
      const mark = child?.pid === undefined ? undefined : markOf(child.pid);
      if (mark !== undefined) await endProcess(mark, limitMs);
      forgetProcess(processFile(settings.processFolder, settings.name));
    },
    pid: () => child?.pid,
  };
}

function processFile(processFolder: string, name: string): string {
  return join(processFolder, `${name}.process.json`);
}

function lastLogLine(settings: ServiceSettings): string {
  const lines = readFileSync(join(settings.logFolder, `${settings.name}.log`), 'utf8')
    .trimEnd()
    .split('\n');
  // Why a program ended on its own accord stands in its last lines, with the next step below.
  const reasonAt = lines.findLastIndex((line) => line.startsWith('lifeboat: '));
  const last = reasonAt >= lines.length - 3 && reasonAt >= 0 ? lines.slice(reasonAt) : lines.slice(-1);
  return last.map(wordsOf).join(' ').slice(0, 500);
}

const logLine = z.object({ msg: z.string() });

/** The programs log JSON; people read the words in it. */
function wordsOf(line: string): string {
  try {
    return logLine.parse(JSON.parse(line)).msg;
  } catch {
    return line.trim(); // not of the log: what Node itself printed
  }
}

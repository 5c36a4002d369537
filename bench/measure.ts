import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeCauses, OutageError } from '../domain/outage.ts';

/**
 * What one operation cost. CPU seconds are user + system of every process that took part, their children included:
 * on a machine with other work, trust them and ratios more than wall seconds.
 */
export type Cost = { readonly wallSeconds: number; readonly cpuSeconds: number; readonly peakMemoryBytes: number };

/** Linux reports CPU times to programs in hundredths of a second, whatever the kernel's own clock. */
const ticksPerSecond = 100;
const outputBytesMax = 64 * 1024 * 1024;
const commandLimitMs = 600_000;
const memoryPollMs = 50;

export type CommandSettings = {
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The output is not wanted: it goes to /dev/null. */
  readonly discardOutput?: boolean;
};

/** Runs a command to its end and returns its standard output; a failure carries the end of what it said. */
export async function runCommand(words: readonly string[], settings: CommandSettings = {}): Promise<string> {
  return (await runWatched(words, settings)).output;
}

/** Runs a command to its end and measures it, with all children that it waited for. Only one at a time: CPU is read from our own account. */
export async function measureCommand(words: readonly string[], settings: CommandSettings = {}): Promise<Cost> {
  const cpuBefore = waitedChildrenCpuSeconds();
  const startedAt = performance.now();
  const { peakMemoryBytes } = await runWatched(words, settings);
  const wallSeconds = (performance.now() - startedAt) / 1000;
  return { wallSeconds, cpuSeconds: waitedChildrenCpuSeconds() - cpuBefore, peakMemoryBytes };
}

/** The sum of costs that were paid one after the other. */
export function addCosts(...costs: readonly Cost[]): Cost {
  return {
    wallSeconds: costs.reduce((sum, cost) => sum + cost.wallSeconds, 0),
    cpuSeconds: costs.reduce((sum, cost) => sum + cost.cpuSeconds, 0),
    peakMemoryBytes: Math.max(...costs.map((cost) => cost.peakMemoryBytes)),
  };
}

/** CPU seconds of running processes so far, with the children that they have waited for. */
export function cpuSecondsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = statFields(`/proc/${pid}/stat`);
    return sum + fields.slice(11, 15).reduce((ticks, field) => ticks + Number(field), 0) / ticksPerSecond;
  }, 0);
}

/** The most memory that a running process has had resident, code included; 0 when it has just ended. */
export function peakMemoryBytesOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0; // the process has ended since; the peak seen before counts
  }
}

/** Bytes that a folder's files take: a sparse file counts what it holds, a small file its length rather than its disk block. */
export async function storedBytes(path: string): Promise<number> {
  const entry = await stat(path);
  if (!entry.isDirectory()) return Math.min(entry.size, entry.blocks * 512);
  const sizes = await Promise.all((await readdir(path)).map((name) => storedBytes(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The middle value; the mean of the two middle ones when there are as many below as above. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  const lower = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** Waits until the condition holds, asking every few milliseconds; an outage names what was waited for. */
export async function waitUntil(what: string, limitMs: number, condition: () => boolean | Promise<boolean>) {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new OutageError(`wait for ${what} (${limitMs} ms)`, { retryable: true });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function runWatched(words: readonly string[], settings: CommandSettings) {
  return new Promise<{ output: string; peakMemoryBytes: number }>((resolve, reject) => {
    const [program = '', ...parameters] = words;
    const child = spawn(program, parameters, {
      cwd: settings.folder,
      env: { ...process.env, LC_ALL: 'C', ...settings.environment },
      stdio: ['ignore', settings.discardOutput ? 'ignore' : 'pipe', 'pipe'],
      timeout: commandLimitMs,
    });
    const texts = { output: '', errors: '' };
    const collect = (key: keyof typeof texts) => (chunk: Buffer) => {
      texts[key] = (texts[key] + chunk.toString()).slice(-outputBytesMax);
    };
    child.stdout?.on('data', collect('output'));
    child.stderr?.on('data', collect('errors'));
    let peakMemoryBytes = 0;
    const poll = setInterval(() => {
      if (child.pid !== undefined) peakMemoryBytes = Math.max(peakMemoryBytes, peakMemoryBytesOf(child.pid));
    }, memoryPollMs);
    const fail = (cause: unknown) => {
      clearInterval(poll);
      reject(new OutageError(`run ${words.join(' ')}`, { cause, retryable: false }));
    };
    child.once('error', fail);
    child.once('close', (code, signal) => {
      clearInterval(poll);
      if (code === 0) resolve({ output: texts.output, peakMemoryBytes });
      else fail(new Error(`it ended with ${code ?? signal}: ${texts.errors.slice(-2000)}${texts.output.slice(-500)}`));
    });
  });
}

/** CPU of all children of this process that have ended: what `wait4` reports, without a program of its own. */
function waitedChildrenCpuSeconds(): number {
  const [user = 0, system = 0] = statFields('/proc/self/stat').slice(13, 15).map(Number);
  return (user + system) / ticksPerSecond;
}

/** The fields of a `stat` file after the program's name, which may hold spaces: the first one is the state. */
function statFields(file: string): string[] {
  try {
    const text = readFileSync(file, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch (cause) {
    throw new OutageError(`read ${file}: the process is gone (${describeCauses(cause)})`, { cause, retryable: false });
  }
}

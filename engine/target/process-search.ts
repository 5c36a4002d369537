import { spawn } from 'node:child_process';
import { open, readdir, readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { OutageError } from '../../domain/outage.ts';

/** A process of this host, named so that a recycled pid is never taken for it. */
export type FoundProcess = {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: when it was started, in ticks since the host's boot. */
  readonly startedAtTicks: string;
};

const pollMs = 25;

/**
 * All processes whose command line holds these words next to each other.
 *
 * Found by what they are, not by a remembered pid: a process that was started just before our own program died is found too.
 */
export async function findProcesses(words: readonly string[]): Promise<FoundProcess[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => (pid === process.pid ? undefined : matching(pid, words))));
  return found.filter((candidate) => candidate !== undefined);
}

async function matching(pid: number, words: readonly string[]): Promise<FoundProcess | undefined> {
  const text = await readProcFile(pid, 'cmdline');
  if (text === undefined) return undefined;
  const isHere = `\0${text}`.includes(`\0${words.join('\0')}\0`);
  return isHere ? identify(pid) : undefined;
}

/** The process with that pid now; undefined when there is none, or only its remains that nobody has collected. */
async function identify(pid: number): Promise<FoundProcess | undefined> {
  const text = await readProcFile(pid, 'stat');
  if (text === undefined) return undefined;
  // The command's name may hold spaces and parentheses; the fields begin after its last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startedAtTicks = fields[19];
  const isGone = fields[0] === 'Z' || fields[0] === 'X';
  return isGone || startedAtTicks === undefined ? undefined : { pid, startedAtTicks };
}

async function readProcFile(pid: number, name: string): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/${name}`, 'latin1');
  } catch (error) {
    // It ended while we looked, or belongs to somebody else: then it is not ours.
    if (isCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return undefined;
    throw error;
  }
}

export async function isRunning(found: FoundProcess): Promise<boolean> {
  return (await identify(found.pid))?.startedAtTicks === found.startedAtTicks;
}

/** Asks a process to end and ends it by force after the limit. Throws OutageError when even that does not help. */
export async function endProcess(found: FoundProcess, limitMs: number): Promise<void> {
  await signal(found, 'SIGTERM');
  if (await isGoneWithin(found, limitMs)) return;
  await signal(found, 'SIGKILL');
  if (await isGoneWithin(found, limitMs)) return;
  throw new OutageError(`end process ${found.pid}: it still runs ${limitMs} ms after SIGKILL`, {
    retryable: true,
    nextStep: `See what process ${found.pid} waits for (a hung disk or network file system), then clean up again.`,
  });
}

async function signal(found: FoundProcess, name: NodeJS.Signals): Promise<void> {
  if (!(await isRunning(found))) return;
  try {
    process.kill(found.pid, name);
  } catch (error) {
    if (!isCode(error, 'ESRCH')) throw error;
  }
}

async function isGoneWithin(found: FoundProcess, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    if (!(await isRunning(found))) return true;
    await pause(pollMs);
  }
  return !(await isRunning(found));
}

/**
 * Starts a program that lives on when ours ends. What it says goes to the end of the log file.
 *
 * @returns its pid and whether it has ended since; it is only known here that it could be started
 */
export async function startDetached(command: readonly string[], logPath: string): Promise<{ hasEnded(): boolean }> {
  const [program = '', ...words] = command;
  const log = await open(logPath, 'a', 0o600);
  try {
    const child = spawn(program, words, { detached: true, stdio: ['ignore', log.fd, log.fd], cwd: '/' });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => reject(new OutageError(`start ${program}`, { cause, retryable: false })));
    });
    child.unref();
    return { hasEnded: () => child.exitCode !== null || child.signalCode !== null };
  } finally {
    await log.close();
  }
}

/** True when it is a system error with one of these codes. */
export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

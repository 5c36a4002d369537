import { readFileSync, rmSync, writeFileSync } from 'node:fs';

/** A process that we started, so named that a recycled pid is never taken for it. */
export type ProcessMark = { readonly pid: number; readonly startedAtTicks: string };

/**
 * The mark of a running process, or undefined when there is none with that pid.
 *
 * The start time comes from /proc/<pid>/stat (field 22, after the command's closing parenthesis).
 */
export function markOf(pid: number): ProcessMark | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // no such process, or no /proc: then nothing is ever taken for ours
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const isGone = fields[0] === 'Z' || fields[0] === 'X';
  return isGone || fields[19] === undefined ? undefined : { pid, startedAtTicks: fields[19] };
}

export function isRunning(mark: ProcessMark): boolean {
  return markOf(mark.pid)?.startedAtTicks === mark.startedAtTicks;
}

/** Remembers a process in a file, so that the next start finds what a killed one left behind. */
export function rememberProcess(file: string, pid: number): void {
  const mark = markOf(pid);
  if (mark !== undefined) writeFileSync(file, JSON.stringify(mark));
}

/** The process that a file remembers, if it still runs. */
export function rememberedProcess(file: string): ProcessMark | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined; // nothing was remembered
  }
  const [pid, ticks] = [/"pid":(\d+)/.exec(text)?.[1], /"startedAtTicks":"(\d+)"/.exec(text)?.[1]];
  if (pid === undefined || ticks === undefined) return undefined;
  const mark = { pid: Number(pid), startedAtTicks: ticks };
  return isRunning(mark) ? mark : undefined;
}

export function forgetProcess(file: string): void {
  rmSync(file, { force: true });
}

/** Asks a process to end, waits up to the limit, then ends it by force. Resolves when it is gone. */
export async function endProcess(mark: ProcessMark, limitMs: number): Promise<void> {
  signal(mark, 'SIGTERM');
  if (await isGoneWithin(mark, limitMs)) return;
  signal(mark, 'SIGKILL');
  await isGoneWithin(mark, limitMs);
}

function signal(mark: ProcessMark, name: NodeJS.Signals): void {
  if (!isRunning(mark)) return;
  try {
    process.kill(mark.pid, name);
  } catch (error) {
    const isAlreadyGone = error instanceof Error && 'code' in error && error.code === 'ESRCH';
    if (!isAlreadyGone) throw error;
  }
}

async function isGoneWithin(mark: ProcessMark, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    if (!isRunning(mark)) return true;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return !isRunning(mark);
}

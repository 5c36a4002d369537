import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from './layout.ts';
import { endProcess, markOf } from './running-process.ts';

const endLimitMs = 8000;

/**
 * Ends the machines that run at the target since their failover: they are processes of their own and would outlive the site.
 * Their disks stay; with the next start the engine starts them again. Call it when the engine has stopped.
 */
export async function endFailedOverMachines(layout: Layout): Promise<void> {
  const folder = join(layout.engineState, 'machines');
  if (!existsSync(folder)) return;
  const ids = readdirSync(folder);
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const ours = pids.filter((pid) => ids.some((id) => commandLineOf(pid).includes(id)));
  const marks = ours.map((pid) => markOf(Number(pid))).filter((mark) => mark !== undefined);
  await Promise.all(marks.map((mark) => endProcess(mark, endLimitMs)));
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return ''; // it ended while we looked
  }
}

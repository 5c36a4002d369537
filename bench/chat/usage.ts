import { readdirSync, readFileSync } from 'node:fs';
import { cpuSecondsOf } from '../measure.ts';
import type { ChatSite, Program } from './site.ts';

/** CPU seconds, user + system, with children; `people and workspace` is the load itself. */
export type Usage = Readonly<Record<Program | 'people and workspace', number>>;

export function usageOf(site: ChatSite): Usage {
  const of = (program: Program) => familyCpuSeconds(site.pidOf(program));
  return {
    bot: of('bot'),
    engine: of('engine'),
    postgres: of('postgres'),
    'process-server': of('process-server'),
    agent: of('agent'),
    'people and workspace': cpuSecondsOf([process.pid]),
  };
}

export function usageSince(before: Usage, site: ChatSite): Usage {
  const now = usageOf(site);
  const since = (program: keyof Usage) => now[program] - before[program];
  return {
    bot: since('bot'),
    engine: since('engine'),
    postgres: since('postgres'),
    'process-server': since('process-server'),
    agent: since('agent'),
    'people and workspace': since('people and workspace'),
  };
}

/** A process counts its children when they have ended; PostgreSQL's live as long as their connections. */
function familyCpuSeconds(pid: number): number {
  return cpuSecondsOf([pid]) + childrenOf(pid).reduce((sum, child) => sum + familyCpuSecondsOrNone(child), 0);
}

function familyCpuSecondsOrNone(pid: number): number {
  try {
    return cpuSecondsOf([pid]);
  } catch {
    return 0; // ended since: its parent counts it
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
}

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '../../demo/layout.ts';
import type { FaultSite } from './demo-site.ts';

/** Segments that are durably in a vault's directory. */
export function storedSegments(vault: string): number {
  return filesBelow(vault, '.seg');
}

/** Logs that wait in the agent's spool. */
export function spooledLogs(layout: Layout): number {
  return filesBelow(layout.agentState, '.hrl');
}

function filesBelow(folder: string, ending: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith(ending)).length;
}

/** Stops the site's Postgres so that it cannot be started again until it is repaired. */
export function brokenPostgres(faults: FaultSite): { readonly stop: () => void; readonly repair: () => void } {
  // As root the data may lie elsewhere; the folder then says where.
  const pointer = join(faults.layout.database, 'postgres-is-at');
  const place = existsSync(pointer) ? readFileSync(pointer, 'utf8').trim() : faults.layout.database;
  const settings = join(place, 'data', 'postgresql.auto.conf');
  const good = readFileSync(settings, 'utf8');
  return {
    stop() {
      writeFileSync(settings, `${good}this is no setting\n`);
      const pid = faults.site.pidOf('postgres');
      if (pid !== undefined) process.kill(pid, 'SIGQUIT');
    },
    repair: () => writeFileSync(settings, good),
  };
}

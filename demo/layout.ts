import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where everything of a demo site lies. Sockets have a folder of their own, because their paths may have only 107 bytes. */
export type Layout = {
  readonly state: string;
  readonly engineState: string;
  readonly engineConfig: string;
  readonly processServerState: string;
  readonly processServerConfig: string;
  readonly agentState: string;
  readonly agentConfig: string;
  readonly botState: string;
  readonly botConfig: string;
  readonly database: string;
  readonly vault: string;
  readonly guests: string;
  readonly logs: string;
  readonly processes: string;
  /** Short: `/tmp/lifeboat-<hash>`; the agent looks for guests here. */
  readonly sockets: string;
};

export function layoutOf(state: string): Layout {
  const hash = createHash('sha256').update(state).digest('hex').slice(0, 10);
  return {
    state,
    engineState: join(state, 'engine'),
    engineConfig: join(state, 'engine', 'config.json'),
    processServerState: join(state, 'process-server'),
    processServerConfig: join(state, 'process-server', 'config.json'),
    agentState: join(state, 'agent'),
    agentConfig: join(state, 'agent', 'config.json'),
    botState: join(state, 'bot-state'),
    botConfig: join(state, 'bot-state', 'config.json'),
    database: join(state, 'postgres'),
    vault: join(state, 'vault'),
    guests: join(state, 'guests'),
    logs: join(state, 'logs'),
    processes: join(state, 'processes'),
    sockets: join(tmpdir(), `lifeboat-${hash}`),
  };
}

export function makeFolders(layout: Layout): void {
  const own = [
    layout.engineState,
    layout.processServerState,
    layout.agentState,
    layout.botState,
    layout.guests,
    layout.logs,
  ];
  // The state folder itself stays open for traversal: PostgreSQL runs as another user and must reach its data below it.
  mkdirSync(layout.state, { recursive: true, mode: 0o755 });
  for (const folder of [...own, layout.processes, layout.sockets]) mkdirSync(folder, { recursive: true, mode: 0o700 });
}

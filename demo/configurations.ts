import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BotConfig, SlackConfig } from '../bot/service-config.ts';
import type { EngineConfig } from '../engine/config.ts';
import type { Layout } from './layout.ts';
import type { Ports } from './ports.ts';

export const demoHost = 'demo-host';

/** Writes the files with which engine and process server are started, exactly as an administrator would. */
export function writeConfigurations(
  layout: Layout,
  site: { readonly ports: Ports; readonly databaseUrl: string; readonly hasQemu: boolean },
): void {
  const keysFolder = join(layout.state, 'keys');
  const vault = { kind: 'directory' as const, folder: layout.vault };
  const engine: EngineConfig = {
    stateFolder: layout.state,
    name: 'demo-engine',
    listen: { host: '127.0.0.1', port: site.ports.engine },
    url: `https://127.0.0.1:${site.ports.engine}`,
    databaseUrl: site.databaseUrl,
    vault,
    processServers: [`https://127.0.0.1:${site.ports.processServer}`],
    hypervisor: site.hasQemu ? 'qemu' : 'none',
    metrics: { host: '127.0.0.1', port: site.ports.engineMetrics },
  };
  writeJson(layout.engineConfig, engine);
  writeJson(layout.processServerConfig, {
    listen: { host: '127.0.0.1', port: site.ports.processServer },
    vault,
    keysFolder,
    tls: {
      certificateFile: join(layout.processServerState, 'server.crt'),
      privateKeyFile: join(layout.processServerState, 'server.key'),
      certificateAuthorityFile: join(layout.processServerState, 'certificate-authority.crt'),
    },
    grantPublicKeyFile: join(layout.processServerState, 'grant-public-key.pem'),
    metrics: { port: site.ports.processServerMetrics },
  });
}

/** The bot shows the web console; with `slack`, it is in a Slack workspace besides. */
export function writeBotConfiguration(layout: Layout, ports: Ports, slack?: SlackConfig): void {
  const config: BotConfig = {
    connectionFile: join(layout.state, 'bot', 'bot.json'),
    stateFolder: layout.botState,
    web: { listen: { host: '127.0.0.1', port: ports.console } },
    metrics: { host: '127.0.0.1', port: ports.botMetrics },
    ...(slack !== undefined && { slack }),
  };
  writeJson(layout.botConfig, config);
}

export function writeJson(file: string, content: unknown): void {
  // Replaced in one step: a start that is cut off leaves the old file or the new one.
  writeFileSync(`${file}.unfinished`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.unfinished`, file);
}

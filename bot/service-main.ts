import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { z } from 'zod';
import { describeCauses } from '../domain/outage.ts';
import { chatPlace } from '../protocol/chat-api.ts';
import { replaceDurably } from '../protocol/durable-file.ts';
import type { ChatSurface } from './chat-surface.ts';
import { readConnection } from './connection-file.ts';
import { reportCredentials } from './credential-report.ts';
import { type Delivery, type DeliveryLog, type PlaceMemory, startDelivery } from './delivery/start-delivery.ts';
import { type BotClient, createEngineClient } from './engine-client.ts';
import { type ServedBotMetrics, serveBotMetrics } from './metrics/serve-metrics.ts';
import { type Platform, type Running, startPlatform, type TenantMemory } from './platform.ts';
import {
  type BotConfig,
  readBotConfig,
  readSecret,
  type SlackConfig,
  type TeamsConfig,
  type WebConfig,
} from './service-config.ts';
import type { WebConsole } from './web/start-web.ts';

const stopLimitMs = 20_000;

type Deps = {
  readonly engine: BotClient;
  readonly log: DeliveryLog;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  readonly metrics: ServedBotMetrics;
};

/** Runs the bot until SIGTERM or SIGINT. @throws OutageError with a next step when it cannot start */
export async function runBot(configFile: string): Promise<void> {
  const config = await readBotConfig(configFile);
  const logger = pino({ name: 'bot' }, pino.destination({ fd: 2, sync: false }));
  const stopping = new AbortController();
  const bot = await startBot(config, { log: logOf(logger), signal: stopping.signal });
  await new Promise<void>((resolve, reject) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    // A bug: better to be started again than to be silent.
    bot.ended.catch(reject);
  });
  logger.info('the bot stops');
  stopping.abort();
  await Promise.race([bot.close(), delay(stopLimitMs, undefined, { ref: false })]);
  logger.info('the bot has stopped');
}

export type Bot = { readonly ended: Promise<void>; readonly close: () => Promise<void> };

/** Starts everything that the configuration asks for. The engine and a platform may be away: who asks is told so. */
export async function startBot(
  config: BotConfig,
  deps: { readonly log: DeliveryLog; readonly signal: AbortSignal },
): Promise<Bot> {
  await mkdir(config.stateFolder, { recursive: true, mode: 0o700 });
  const { connectionFile } = config;
  const engine = createEngineClient(readConnection(connectionFile), {
    readAgain: () => readConnection(connectionFile),
  });
  const metrics = await serveBotMetrics(config, deps.log);
  const all: Deps = { ...deps, engine, nowMs: Date.now, metrics };
  // The console needs no chat: it answers while a platform is waited for.
  const web = config.web === undefined ? undefined : await webOf(config.web, config.stateFolder, all);
  const platforms = platformsOf(config, all);
  await triedOnce(platforms);
  const reported = reportCredentials(config, all);
  return {
    ended: Promise.all([...platforms.map((platform) => platform.ended), web?.ended, reported]).then(() => undefined),
    close: async () => {
      await Promise.all([...platforms.map((platform) => platform.close()), web?.close()]);
      await metrics.close();
      await engine.close();
    },
  };
}

function platformsOf(config: BotConfig, deps: Deps): Platform[] {
  const { slack, teams, web, stateFolder } = config;
  const isOnly = [slack, teams, web].filter((one) => one !== undefined).length === 1;
  const common = {
    ...deps,
    isOnly,
    deliver: (surface: ChatSurface) => deliver(surface, { ...deps, stateFolder, isOther: isOther(surface, config) }),
  };
  const tenant = (name: ChatSurface['surface']) => tenantMemory(join(stateFolder, `tenant-${name}.json`), deps.log);
  const platforms: Platform[] = [];
  if (slack !== undefined) {
    const connect = () => slackOf(slack, deps);
    platforms.push(startPlatform({ ...common, name: 'slack', connect, tenant: tenant('slack') }));
  }
  if (teams !== undefined) {
    const connect = () => teamsOf(teams, deps);
    platforms.push(startPlatform({ ...common, name: 'teams', connect, tenant: tenant('teams') }));
  }
  return platforms;
}

/** One that does not answer keeps the others waiting no longer than this. */
const firstTryLimitMs = 5000;

async function triedOnce(platforms: readonly Platform[]): Promise<void> {
  const tried = Promise.all(platforms.map((platform) => platform.tried));
  if (platforms.length === 1) await tried;
  else await Promise.race([tried, delay(firstTryLimitMs, undefined, { ref: false })]);
}

async function slackOf(config: SlackConfig, deps: Deps): Promise<Running> {
  const { startSlack } = await import('./slack/start-slack.ts');
  const { allowedTenants, apiUrl } = config;
  const secret = (reference: string) => readSecret(reference, process.env);
  const transport =
    config.mode === 'socket'
      ? { kind: 'socket' as const, appToken: await secret(config.appToken) }
      : {
          kind: 'http' as const,
          signingSecret: await secret(config.signingSecret),
          host: config.host,
          port: config.port,
        };
  const options = {
    botToken: await secret(config.botToken),
    transport,
    ...(allowedTenants !== undefined && { allowedTenants }),
    ...(apiUrl !== undefined && { apiUrl }),
  };
  return startSlack(options, { ...deps, observeLine: deps.metrics.lines('slack') });
}

async function teamsOf(config: TeamsConfig, deps: Deps): Promise<Running> {
  const { startTeams } = await import('./teams/start-teams.ts');
  const { publicCloud, publicServiceUrls } = await import('./teams/settings.ts');
  const { appId, tenantId, port, botName, allowedTenants, cloud } = config;
  const credential =
    config.secret === undefined
      ? { kind: 'managed-identity' as const }
      : { kind: 'secret' as const, secret: await readSecret(config.secret, process.env) };
  const settings = {
    appId,
    tenantId,
    port,
    botName,
    allowedTenants,
    credential,
    serviceUrls: config.serviceUrls ?? publicServiceUrls,
    cloud:
      cloud === undefined
        ? publicCloud
        : { ...cloud, tokenUrl: (tenant: string) => cloud.tokenUrl.replace('{tenant}', encodeURIComponent(tenant)) },
  };
  return startTeams({ ...deps, settings, random: Math.random, observeLine: deps.metrics.lines('teams') });
}

/** The web console: nothing is delivered to it, the page asks by itself. */
async function webOf(config: WebConfig, stateFolder: string, deps: Deps): Promise<WebConsole> {
  const { startWeb } = await import('./web/start-web.ts');
  const { lines, setOpenPages } = deps.metrics;
  return startWeb(config, { ...deps, stateFolder, observeLine: lines('web'), setOpenPages });
}

/** True for a tenant that the bot serves besides its own. */
function isOther({ surface, tenant }: ChatSurface, { teams }: BotConfig): boolean {
  return surface === 'teams' && tenant !== teams?.tenantId;
}

type DeliverDeps = Deps & { readonly stateFolder: string; readonly isOther: boolean };

function deliver(surface: ChatSurface, deps: DeliverDeps): Delivery {
  const { stateFolder, nowMs } = deps;
  const places = (name: string) => placeMemory(join(stateFolder, `places-${name}.json`), deps.log);
  const observe = deps.metrics.deliveries(surface.surface);
  // Whether the platform answers, and whether this program lives, is said for its own tenant.
  if (deps.isOther) {
    const name = `${surface.surface}-${surface.tenant.replace(/[^A-Za-z0-9-]/g, '_')}`;
    const ofOthers: typeof observe = (event) => event.kind === 'probed' || observe(event);
    return startDelivery({ ...deps, surface, observe: ofOthers, places: places(name) });
  }
  // Each platform says for itself that it lives: the watchdog looks at a file for each.
  const name = `alive-${surface.surface}.json`;
  const content = () => JSON.stringify({ program: 'bot', pid: process.pid, surface: surface.surface, atMs: nowMs() });
  return startDelivery({
    ...deps,
    surface,
    observe,
    places: places(surface.surface),
    alive: () => replaceDurably(join(stateFolder, name), `${content()}\n`, 0o644),
  });
}

function tenantMemory(file: string, log: DeliveryLog): TenantMemory {
  return {
    load: async () => {
      try {
        return z.object({ tenant: z.string().min(1).max(100) }).parse(JSON.parse(await readFile(file, 'utf8'))).tenant;
      } catch (error) {
        log.info(`no remembered tenant in ${file} (${describeCauses(error).slice(0, 200)})`);
        return undefined;
      }
    },
    save: async (tenant) => {
      await replaceDurably(file, `${JSON.stringify({ tenant })}\n`).catch((error: unknown) =>
        log.warn(`${file} could not be written; only words of a later outage need it`, error),
      );
    },
  };
}

/** Which channels listen, for the day on which the engine cannot say it. A file that cannot be read is as none. */
function placeMemory(file: string, log: DeliveryLog): PlaceMemory {
  return {
    load: async () => {
      try {
        return z.array(chatPlace).parse(JSON.parse(await readFile(file, 'utf8')));
      } catch (error) {
        log.info(`no remembered places in ${file} (${describeCauses(error).slice(0, 200)})`);
        return [];
      }
    },
    save: (places) => replaceDurably(file, `${JSON.stringify(places)}\n`),
  };
}

function logOf(logger: pino.Logger): DeliveryLog {
  return {
    info: (message) => logger.info(message),
    warn: (message, error) => logger.warn({ err: error === undefined ? undefined : describeCauses(error) }, message),
  };
}

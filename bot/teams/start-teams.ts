import type { ChatSurface } from '../chat-surface.ts';
import type { DeliveryLog } from '../delivery/start-delivery.ts';
import type { BotClient } from '../engine-client.ts';
import type { ObserveLine } from '../observed-line.ts';
import { createActors } from './actors.ts';
import { createBotFramework } from './bot-framework.ts';
import { createConnectorHttp } from './connector-http.ts';
import { createPlaces } from './places.ts';
import { createReceiver } from './receive.ts';
import { listen } from './server.ts';
import { createTokenSource } from './service-token.ts';
import { type TeamsSettings, teamsLimits, tenantsOf } from './settings.ts';
import { createTeamsSurface } from './surface.ts';

export type StartTeamsDeps = {
  readonly settings: TeamsSettings;
  readonly engine: Pick<BotClient, 'ask' | 'follow' | 'places' | 'savePlace'>;
  readonly nowMs: () => number;
  readonly log: DeliveryLog;
  /** Ends what nobody waits for; what was begun for a person is finished by `close`. */
  readonly signal: AbortSignal;
  /** Spreads retries, 0 to 1; Math.random in production. */
  readonly random: () => number;
  /** Before the first retry of a message; 500 ms if left out. */
  readonly retryPauseMs?: number;
  /** How long who clicks is kept waiting for the engine; 8 s if left out, because Teams gives up soon after. */
  readonly invokeMs?: number;
  readonly observeLine?: ObserveLine;
};

export type Teams = {
  /** For `startDelivery`: the bot's own tenant. */
  readonly surface: ChatSurface;
  /** The same for every other tenant that it serves. */
  readonly otherSurfaces: readonly ChatSurface[];
  /** Where activities are taken, on the loopback. */
  readonly url: string;
  /** Resolves when nothing that came in is being worked on. */
  readonly idle: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/**
 * Starts the Teams bot: its listener, and Teams as a surface for the delivery of messages.
 *
 * @throws OutageError when the port is taken. An engine that is away is no reason not to start: who asks is told so.
 */
export async function startTeams(deps: StartTeamsDeps): Promise<Teams> {
  const { settings, nowMs, log, signal } = deps;
  const http = createConnectorHttp({
    serviceUrls: settings.serviceUrls,
    random: deps.random,
    ...(deps.retryPauseMs !== undefined && { pauseMs: deps.retryPauseMs }),
  });
  const { credential } = settings;
  const token =
    credential.kind === 'secret' ? createTokenSource(settings, credential.secret, nowMs) : () => Promise.resolve('');
  const framework = createBotFramework({ settings, http, token });
  const places = createPlaces({ engine: deps.engine, tenants: tenantsOf(settings), log, signal });
  await places.load().catch((error: unknown) => log.warn('stored Teams conversations could not be loaded yet', error));
  const actors = createActors({ framework, nowMs });
  const receiver = createReceiver({
    settings,
    engine: deps.engine,
    framework,
    places,
    actors,
    nowMs,
    log,
    invokeMs: deps.invokeMs ?? teamsLimits.invokeMs,
    observeLine: deps.observeLine,
  });
  const surfaceOf = (tenant: string) => createTeamsSurface({ settings, framework, places, token, tenant });
  const server = await listen(receiver, { port: settings.port, log });
  log.info(`teams listens at ${server.url}`);
  return {
    surface: surfaceOf(settings.tenantId),
    otherSurfaces: tenantsOf(settings).slice(1).map(surfaceOf),
    url: server.url,
    idle: receiver.idle,
    close: async () => {
      await server.close();
      await http.close();
    },
  };
}

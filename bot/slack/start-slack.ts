import { App, HTTPReceiver, LogLevel, type Receiver, type webApi } from '@slack/bolt';
import { OutageError } from '../../domain/outage.ts';
import { minuteMs } from '../../domain/units.ts';
import type { ChatSurface } from '../chat-surface.ts';
import type { BotClient } from '../engine-client.ts';
import type { ObserveLine } from '../observed-line.ts';
import { createBoundedMemory } from './bounded-memory.ts';
import type { ConversationDeps, SlackLog } from './conversation.ts';
import { bodyBytesMax, openHttpDoor, requestPath } from './http-door.ts';
import { openSlackClients } from './slack-clients.ts';
import { createChannelFinder, createSlackSurface } from './slack-surface.ts';
import { createSocketLine, keepConnected } from './socket-line.ts';
import { type Acknowledgement, createTurns, type Turns } from './turns.ts';
import { createWhoSpeaks, type SlackHome } from './who-speaks.ts';

export type SlackOptions = {
  /** `xoxb-…` */
  readonly botToken: string;
  readonly transport: /** `xapp-…`; nothing listens, the bot connects to Slack. */
    | { readonly kind: 'socket'; readonly appToken: string }
    /** Behind a reverse proxy with TLS; Slack posts to `/slack/events`. */
    | { readonly kind: 'http'; readonly signingSecret: string; readonly host: string; readonly port: number };
  /** Team and organisation ids that may speak; only our own if left out. */
  readonly allowedTenants?: readonly string[];
  /** Slack's Web API if left out; the loopback peer's in demo and tests. Ends in `/`. */
  readonly apiUrl?: string;
};

export type SlackDeps = {
  readonly engine: Pick<BotClient, 'ask' | 'follow'>;
  readonly nowMs: () => number;
  readonly log: SlackLog;
  readonly observeLine?: ObserveLine;
};

export type SlackBot = {
  /** What the delivery posts through. */
  readonly surface: ChatSurface;
  /** Where it listens, in HTTP mode. */
  readonly port: number | undefined;
  /** Stops listening, and waits for what was begun, at most 10 s. */
  readonly close: () => Promise<void>;
};

const slackApiUrl = 'https://slack.com/api/';

/**
 * Connects to Slack and answers there.
 *
 * @throws OutageError when Slack cannot be reached, or does not accept a token
 */
export async function startSlack(options: SlackOptions, deps: SlackDeps): Promise<SlackBot> {
  const apiUrl = options.apiUrl ?? slackApiUrl;
  const logger = quietLogger(deps.log);
  const clients = openSlackClients(options.botToken, apiUrl, logger);
  const self = await whoAmI(clients.answering);
  const { teamId, enterpriseId } = self.home;
  const tenant = enterpriseId ?? teamId;
  const { nowMs } = deps;
  const conversation: ConversationDeps = {
    ...deps,
    clients,
    tenant,
    homeIds: [teamId, tenant],
    whoSpeaks: createWhoSpeaks({ client: clients.answering, home: self.home, nowMs }),
    channelOf: createChannelFinder({ client: clients.answering, nowMs }),
    homes: createBoundedMemory({ countMax: 2000, keepMs: 60 * minuteMs, nowMs }),
    shownViews: createBoundedMemory({ countMax: 2000, keepMs: 10 * minuteMs, nowMs }),
  };
  const turns = createTurns(conversation, options.allowedTenants ?? [teamId, tenant]);
  const line = prepareLine(options.transport, { apiUrl, logger, ...deps });
  listen(createApp(line.receiver, { ...self, botToken: options.botToken, apiUrl, logger }), turns, deps.log);
  const opened = await line.open();
  return {
    surface: createSlackSurface({ client: clients.delivering, tenant, nowMs }),
    port: opened.port,
    close: async () => {
      await opened.close();
      await turns.settled();
    },
  };
}

type Self = { readonly home: SlackHome; readonly botId: string; readonly botUserId: string };

async function whoAmI(client: webApi.WebClient): Promise<Self> {
  try {
    const { team_id, enterprise_id, bot_id, user_id } = await client.auth.test();
    if (team_id === undefined || bot_id === undefined || user_id === undefined)
      throw new Error('invalid_auth: no bot token');
    return { home: { teamId: team_id, enterpriseId: enterprise_id }, botId: bot_id, botUserId: user_id };
  } catch (cause) {
    throw outageOf('signing in to Slack', cause, 'check the bot token (xoxb-…), and that this host reaches slack.com');
  }
}

function outageOf(doing: string, cause: unknown, nextStep: string): OutageError {
  const isFinal =
    cause instanceof Error && /invalid_auth|not_authed|account_inactive|token_|not_allowed/.test(cause.message);
  return new OutageError(doing, { cause, retryable: !isFinal, nextStep });
}

function createApp(
  receiver: Receiver,
  options: Self & { readonly botToken: string; readonly apiUrl: string; readonly logger: webApi.Logger },
): App {
  const { botToken, botId, botUserId, apiUrl, logger } = options;
  return new App({
    receiver,
    // Known since the start: nothing is asked of Slack before an event is acknowledged.
    authorize: async () => ({ botToken, botId, botUserId }),
    clientOptions: { slackApiUrl: apiUrl },
    // Bolt's own memory of conversations has no limit.
    convoStore: false,
    logger,
    logLevel: LogLevel.WARN,
  });
}

/** Whatever Bolt calls it, everything is read in one place; what nobody knows is acknowledged all the same. */
function listen(app: App, turns: Turns, log: SlackLog): void {
  app.command(/.*/, ({ body, ack }) => turns.receive(body, (what) => ack(wordsOf(what))));
  app.action(/.*/, ({ body, ack }) => turns.receive(body, () => ack()));
  app.shortcut(/.*/, ({ body, ack }) => turns.receive(body, () => ack()));
  app.view(/.*/, ({ body, ack }) =>
    turns.receive(body, (what) => (what.kind === 'view' ? ack({ response_action: 'update', view: what.view }) : ack())),
  );
  // Events are acknowledged by Bolt before they come here.
  app.event('app_mention', ({ body }) => turns.receive(body, async () => undefined));
  app.event('message', ({ body }) => turns.receive(body, async () => undefined));
  app.event('app_home_opened', ({ body }) => turns.receive(body, async () => undefined));
  app.error(async (error) => log.warn('slack: an event could not be handled', error));
}

function wordsOf(what: Acknowledgement) {
  return what.kind === 'words' ? { response_type: 'ephemeral' as const, text: what.text } : undefined;
}

type OpenLine = { readonly port: number | undefined; readonly close: () => Promise<void> };
type LineDeps = SlackDeps & { readonly apiUrl: string; readonly logger: webApi.Logger };

function prepareLine(
  transport: SlackOptions['transport'],
  deps: LineDeps,
): { readonly receiver: Receiver; readonly open: () => Promise<OpenLine> } {
  if (transport.kind === 'http') {
    const receiver = new HTTPReceiver({
      signingSecret: transport.signingSecret,
      endpoints: [requestPath],
      bodyLimit: bodyBytesMax,
      logger: deps.logger,
    });
    return { receiver, open: () => openDoor(transport, receiver, deps) };
  }
  const line = createSocketLine({ appToken: transport.appToken, apiUrl: deps.apiUrl, logger: deps.logger });
  return { receiver: line, open: () => openSocket(line, deps.log) };
}

async function openDoor(
  transport: Extract<SlackOptions['transport'], { kind: 'http' }>,
  receiver: HTTPReceiver,
  { nowMs, log }: LineDeps,
): Promise<OpenLine> {
  const onTrouble = (error: unknown) => log.warn('slack: a request could not be taken', error);
  try {
    return await openHttpDoor(transport, { accept: receiver.requestListener, nowMs, onTrouble });
  } catch (cause) {
    const nextStep = 'choose another host or port for slack in the configuration of the bot';
    throw new OutageError(`listening on ${transport.host}:${transport.port} for Slack`, {
      cause,
      retryable: false,
      nextStep,
    });
  }
}

async function openSocket(line: ReturnType<typeof createSocketLine>, log: SlackLog): Promise<OpenLine> {
  const stopping = new AbortController();
  try {
    await line.start();
  } catch (cause) {
    throw outageOf('opening Socket Mode', cause, 'check the app token (xapp-…) and its scope connections:write');
  }
  keepConnected(line, log, stopping.signal);
  const close = async () => {
    stopping.abort();
    await line.stop();
  };
  return { port: undefined, close };
}

/** The library's warnings go into our log; what it says of each request does not. */
function quietLogger(log: SlackLog): webApi.Logger {
  const say = (...words: unknown[]) => log.warn(`slack library: ${words.map(String).join(' ').slice(0, 500)}`);
  const nothing = () => undefined;
  return {
    debug: nothing,
    info: nothing,
    warn: say,
    error: say,
    setLevel: nothing,
    getLevel: () => LogLevel.WARN,
    setName: nothing,
  };
}

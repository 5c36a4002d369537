import { textOfAdaptiveCard } from '../../bot/teams/render-text.ts';
import type { TeamsSettings } from '../../bot/teams/settings.ts';
import { startTeamsConnector, type TeamsConnector } from './connector.ts';
import type { Message, Person, Place } from './conversations.ts';
import { activityOf, type BotLink, type Client, clientOf, deliver } from './people.ts';

/** A team with a channel, its people, and the loopback connector that they talk through. */
export type Team = {
  readonly connector: TeamsConnector;
  /** What the bot needs to know to live here. */
  readonly settings: TeamsSettings;
  /** Says where the bot listens. */
  readonly connect: (url: string) => void;
  readonly as: (name: string, more?: Partial<Omit<Person, 'name' | 'id'>>) => Client;
  /** @param tenant another tenant's channel, when it is named for the first time */
  readonly channel: (name: string, tenant?: string) => Place;
  readonly groupChat: (name: string) => Place;
  readonly personal: (name: string) => Place;
  /** Adds the app to a place, as Teams tells it to the bot. */
  readonly installs: (name: string, place: Place) => Promise<void>;
  /** Everything that stands in a place, as text. */
  readonly reads: (place: Place) => string;
  /** The bot's messages in a place, oldest first. */
  readonly botMessages: (place: Place) => readonly Message[];
  readonly close: () => Promise<void>;
};

export async function startTeam(
  options: { readonly port?: number; readonly isThrottling?: boolean } = {},
): Promise<Team> {
  const connector = await startTeamsConnector(options);
  const { conversations } = connector;
  let bot: BotLink = { url: '', botName: 'DR' };
  const messagesOf = (place: Place) => conversations.messagesIn(place.conversationId);
  return {
    connector,
    settings: settingsFor(connector),
    connect: (url) => {
      bot = { ...bot, url };
    },
    as: (name, more) => clientOf(conversations.person(name, more), connector, () => bot),
    channel: conversations.channel,
    groupChat: conversations.groupChat,
    personal: (name) => conversations.personalOf(conversations.person(name)),
    installs: async (name, place) => {
      const base = activityOf(conversations.person(name), place, { connector, botName: bot.botName });
      const added = [{ id: `28:${connector.appId}` }];
      await deliver(connector, bot.url, { ...base, type: 'conversationUpdate', membersAdded: added });
      await deliver(connector, bot.url, { ...base, id: `${base.id}i`, type: 'installationUpdate', action: 'add' });
    },
    reads: (place) => messagesOf(place).map(textOfMessage).join('\n'),
    botMessages: (place) => messagesOf(place).filter((message) => message.by === 'bot'),
    close: connector.close,
  };
}

/** The bot's configuration for this connector, in place of Microsoft's addresses. */
export function settingsFor(connector: TeamsConnector): TeamsSettings {
  return {
    appId: connector.appId,
    tenantId: connector.tenantId,
    allowedTenants: [],
    credential: { kind: 'secret', secret: connector.secret },
    serviceUrls: [connector.serviceUrl],
    cloud: {
      tokenIssuer: connector.issuer.issuer,
      openIdMetadataUrl: `${connector.url}/.well-known/openidconfiguration`,
      tokenUrl: (tenantId) => `${connector.url}/${tenantId}/oauth2/v2.0/token`,
      tokenScope: 'https://api.botframework.com/.default',
    },
    botName: 'DR',
    port: 0,
  };
}

/** A message as people read it. */
export function textOfMessage(message: Message): string {
  const by = message.by === 'bot' ? 'DR' : message.by.name;
  const { content } = message;
  const text = 'card' in content ? textOfAdaptiveCard(content.card) : content.text;
  return `${by}> ${text.replaceAll('\n', '\n    ')}`;
}

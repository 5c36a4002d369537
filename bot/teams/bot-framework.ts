import {
  CloudAdapter,
  ConfigurationBotFrameworkAuthentication,
  ConfigurationServiceClientCredentialFactory,
} from 'botbuilder';
import type { InboundActivity, OutboundActivity, RosterMember } from './activity.ts';
import { rosterMember } from './activity.ts';
import type { ConnectorHttp } from './connector-http.ts';
import { ConnectorError } from './connector-http.ts';
import type { TeamsSettings } from './settings.ts';

/*
 * The only file that knows botbuilder. Its support has ended, so it does only what is safest left to it: proving who calls us, the
 * managed identity, and the shape of the connector's requests. Waiting, retrying and reaching out are ours (connector-http).
 */

/** Whether Teams itself sent an activity. */
export type Verdict =
  | { readonly kind: 'verified' }
  | { readonly kind: 'refused'; readonly why: string }
  /** Microsoft's keys could not be had; nothing is said about the caller. */
  | { readonly kind: 'unknown'; readonly cause: unknown };

/** Where a message stands after it was posted. */
export type Posted = { readonly conversationId: string; readonly activityId: string };

/** Where something new is made: the connector, and whose it is to be. */
export type TenantAddress = { readonly serviceUrl: string; readonly tenantId: string };

/** The Bot Framework as the rest uses it. Every method but `verify` throws ConnectorError, or OutageError for want of a token. */
export type BotFramework = {
  readonly verify: (authorization: string, activity: InboundActivity) => Promise<Verdict>;
  readonly send: (serviceUrl: string, conversationId: string, activity: OutboundActivity) => Promise<Posted>;
  readonly update: (serviceUrl: string, posted: Posted, activity: OutboundActivity) => Promise<void>;
  /** Begins a thread in a channel. */
  readonly beginThread: (where: TenantAddress, channelId: string, activity: OutboundActivity) => Promise<Posted>;
  /** The private conversation with a person, made if it is not there. */
  readonly openPersonal: (where: TenantAddress, userId: string) => Promise<string>;
  readonly member: (serviceUrl: string, conversationId: string, userId: string) => Promise<RosterMember>;
};

type Authentication = ConfigurationBotFrameworkAuthentication;
type AuthenticationArguments = ConstructorParameters<typeof ConfigurationBotFrameworkAuthentication>;
type CredentialsFactory = NonNullable<AuthenticationArguments[1]>;
type ConnectorOptions = NonNullable<AuthenticationArguments[4]>;
type HttpClient = NonNullable<ConnectorOptions['httpClient']>;
type WebResource = Parameters<HttpClient['sendRequest']>[0];
type Activity = Parameters<Authentication['authenticateRequest']>[0];
type ConnectorClient = Awaited<ReturnType<ReturnType<Authentication['createConnectorFactory']>['create']>>;

export function createBotFramework(deps: {
  readonly settings: TeamsSettings;
  readonly http: ConnectorHttp;
  /** The bot's token; not asked for with a managed identity. */
  readonly token: () => Promise<string>;
}): BotFramework {
  const { settings } = deps;
  const authentication = new ConfigurationBotFrameworkAuthentication(
    {
      MicrosoftAppId: settings.appId,
      MicrosoftAppTenantId: settings.tenantId,
      ToBotFromChannelTokenIssuer: settings.cloud.tokenIssuer,
      ToBotFromChannelOpenIdMetadataUrl: settings.cloud.openIdMetadataUrl,
      ToChannelFromBotOAuthScope: settings.cloud.tokenScope.replace(/\/\.default$/, ''),
    },
    credentialsOf(deps),
    undefined,
    undefined,
    { httpClient: httpClientOf(deps.http) },
  );
  const adapter = new CloudAdapter(authentication);
  const connector = (serviceUrl: string) => connectorOf(adapter, settings, serviceUrl);
  const bot = { id: `28:${settings.appId}`, name: settings.botName };
  return {
    verify: (authorization, activity) => verify(authentication, settings, { authorization, activity }),
    send: async (serviceUrl, conversationId, activity) => {
      const { conversations } = await connector(serviceUrl);
      const answer = await conversations.sendToConversation(conversationId, asActivity(activity));
      return { conversationId, activityId: idIn(answer.id) };
    },
    update: async (serviceUrl, { conversationId, activityId }, activity) => {
      const { conversations } = await connector(serviceUrl);
      await conversations.updateActivity(conversationId, activityId, asActivity({ ...activity, id: activityId }));
    },
    beginThread: async ({ serviceUrl, tenantId }, channelId, activity) => {
      const { conversations } = await connector(serviceUrl);
      const answer = await conversations.createConversation({
        bot,
        tenantId,
        isGroup: true,
        channelData: { channel: { id: channelId }, tenant: { id: tenantId } },
        activity: asActivity(activity),
      });
      return { conversationId: idIn(answer.id), activityId: idIn(answer.activityId) };
    },
    openPersonal: async ({ serviceUrl, tenantId }, userId) => {
      const { conversations } = await connector(serviceUrl);
      const members = [{ id: userId, name: '' }];
      const answer = await conversations.createConversation({
        bot,
        tenantId,
        isGroup: false,
        members,
        channelData: { tenant: { id: tenantId } },
      });
      return idIn(answer.id);
    },
    member: async (serviceUrl, conversationId, userId) => {
      const { conversations } = await connector(serviceUrl);
      return rosterMember.parse(await conversations.getConversationMember(conversationId, userId));
    },
  };
}

/**
 * The library takes tokens of the emulator, of other bots and of whole tenants besides Teams' own, and checks the service URL only
 * when there is one. We take Teams' own issuer and its algorithm, before anything else is looked at.
 */
async function verify(
  authentication: Authentication,
  settings: TeamsSettings,
  call: { readonly authorization: string; readonly activity: InboundActivity },
): Promise<Verdict> {
  const { authorization, activity } = call;
  const token = /^Bearer ([\w-]+)\.([\w-]+)\.[\w-]+$/.exec(authorization);
  if (token === null) return { kind: 'refused', why: 'no bearer token' };
  const { alg } = partOf(token[1]);
  const { iss } = partOf(token[2]);
  if (alg !== 'RS256') return { kind: 'refused', why: 'not signed with RS256' };
  if (iss !== settings.cloud.tokenIssuer) return { kind: 'refused', why: 'not issued by the Bot Framework' };
  try {
    await authentication.authenticateRequest(asActivity(activity), authorization);
    return { kind: 'verified' };
  } catch (error) {
    // Its own refusals are AuthenticationErrors, a bad signature is a JsonWebTokenError; what it could not fetch is neither, or a 500.
    const name = error instanceof Error ? error.name : '';
    const message = error instanceof Error ? error.message : 'unknown';
    const isTokenAtFault = /^(JsonWebToken|TokenExpired|NotBefore)Error$/.test(name);
    const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
    if (isTokenAtFault || status === 401 || status === 400) return { kind: 'refused', why: message.slice(0, 200) };
    return { kind: 'unknown', cause: error };
  }
}

function partOf(part: string | undefined): { readonly alg?: unknown; readonly iss?: unknown } {
  try {
    const value: unknown = JSON.parse(Buffer.from(part ?? '', 'base64url').toString());
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function credentialsOf(deps: Parameters<typeof createBotFramework>[0]): CredentialsFactory {
  const { appId, tenantId, credential } = deps.settings;
  if (credential.kind === 'managed-identity') {
    return new ConfigurationServiceClientCredentialFactory({
      MicrosoftAppId: appId,
      MicrosoftAppTenantId: tenantId,
      MicrosoftAppType: 'UserAssignedMSI',
    });
  }
  return {
    isValidAppId: async (id) => id === appId,
    isAuthenticationDisabled: async () => false,
    createCredentials: async () => ({
      signRequest: async (resource) => {
        resource.headers.set('Authorization', `Bearer ${await deps.token()}`);
        return resource;
      },
    }),
  };
}

/** The library's own retries look only at answers, never at what we throw: so each request is retried in one place. */
function httpClientOf(http: ConnectorHttp): HttpClient {
  return {
    sendRequest: async (resource: WebResource) => {
      const answer = await http.send({
        method: resource.method,
        url: resource.url,
        headers: resource.headers.toJson({ preserveCase: true }),
        body: typeof resource.body === 'string' ? resource.body : undefined,
      });
      const headers = resource.headers.clone();
      for (const name of headers.headerNames()) headers.remove(name);
      headers.set('content-type', 'application/json');
      return { request: resource, status: answer.status, headers, bodyAsText: answer.body };
    },
  };
}

/** The adapter makes a client per conversation; only the service URL matters for what it can do. */
async function connectorOf(
  adapter: CloudAdapter,
  settings: TeamsSettings,
  serviceUrl: string,
): Promise<ConnectorClient> {
  let client: ConnectorClient | undefined;
  const reference = {
    channelId: 'msteams',
    serviceUrl,
    bot: { id: `28:${settings.appId}`, name: settings.botName },
    conversation: { id: 'any', isGroup: false, conversationType: '', name: '' },
  };
  await adapter.continueConversationAsync(settings.appId, reference, async (context) => {
    client = context.turnState.get<ConnectorClient>(context.adapter.ConnectorClientKey);
  });
  if (client === undefined) throw new ConnectorError('no connector client', { status: 0, code: 'NoClient' });
  return client;
}

/** The library's type has forty fields that Teams fills in itself. */
function asActivity(activity: object): Activity {
  return activity as Activity;
}

function idIn(id: string | undefined): string {
  if (id === undefined || id === '') throw new ConnectorError('Teams gave no id', { status: 0, code: 'NoId' });
  return id;
}

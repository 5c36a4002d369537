import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { faultsOfCard } from './card-check.ts';
import {
  type Conversations,
  createConversations,
  type Message,
  type MessageContent,
  type Person,
} from './conversations.ts';
import { createIssuer, type Issuer } from './issuer.ts';
import { createThrottle } from './throttle.ts';

/** The next answers of the connector, whatever is asked. */
export type Failure = {
  readonly status: number;
  readonly code?: string;
  readonly retryAfterSeconds?: number;
  /** How often; once if left out. */
  readonly times?: number;
  /** Only for this method; for every one if left out. */
  readonly method?: 'POST' | 'PUT' | 'GET';
};

export type TeamsConnector = {
  readonly appId: string;
  readonly tenantId: string;
  readonly secret: string;
  readonly url: string;
  readonly serviceUrl: string;
  readonly issuer: Issuer;
  readonly conversations: Conversations;
  /** What was asked of the connector: `POST /v3/conversations/…`. */
  readonly requests: readonly string[];
  readonly fail: (failure: Failure) => void;
  readonly close: () => Promise<void>;
};

type Answer = { readonly status: number; readonly body?: object; readonly headers?: Readonly<Record<string, string>> };
type Node = Readonly<Record<string, unknown>>;

const messageBytesMax = 28_672;

/**
 * A Bot Framework connector on the loopback, with its token issuer: it refuses what the platform refuses.
 * It is for tests and for trying the bot without a tenant; nothing in it proves anything about a person.
 */
export async function startTeamsConnector(
  options: { readonly port?: number; readonly isThrottling?: boolean } = {},
): Promise<TeamsConnector> {
  const appId = '11111111-2222-4333-8444-555555555555';
  const tenantId = '66666666-7777-4888-9999-000000000000';
  const secret = 'only-for-the-loopback';
  const requests: string[] = [];
  const failures: Failure[] = [];
  const conversations = createConversations(tenantId);
  const throttle = createThrottle(() => Date.now());
  let url = '';
  const issuer = createIssuer({ appId, tenantId, secret, serviceUrl: () => `${url}/teams/` });
  const world: World = {
    appId,
    tenantId,
    conversations,
    issuer,
    throttle: options.isThrottling === false ? () => undefined : throttle,
    url: () => url,
    takeFailure: (method) => takeFailure(failures, method),
    note: (request) => requests.push(request),
  };
  const server = createServer((request, response) => void serve(request, response, world));
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    appId,
    tenantId,
    secret,
    url,
    serviceUrl: `${url}/teams/`,
    issuer,
    conversations,
    requests,
    fail: (failure) => failures.push(failure),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

type World = {
  readonly appId: string;
  readonly tenantId: string;
  readonly conversations: Conversations;
  readonly issuer: Issuer;
  readonly throttle: (thread: string) => number | undefined;
  readonly url: () => string;
  readonly takeFailure: (method: string) => Failure | undefined;
  readonly note: (request: string) => void;
};

function takeFailure(failures: Failure[], method: string): Failure | undefined {
  const index = failures.findIndex((failure) => failure.method === undefined || failure.method === method);
  const failure = failures[index];
  if (failure === undefined) return undefined;
  const times = failure.times ?? 1;
  if (times > 1) failures[index] = { ...failure, times: times - 1 };
  else failures.splice(index, 1);
  return failure;
}

async function serve(request: IncomingMessage, response: ServerResponse, world: World): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(Buffer.from(piece));
  const text = Buffer.concat(pieces).toString('utf8');
  const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '');
  const answer = path.startsWith('/teams/v3/')
    ? connectorAnswer(request, path.slice('/teams'.length), text, world)
    : issuerAnswer(path, text, world);
  const body = answer.body === undefined ? '' : JSON.stringify(answer.body);
  response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
  response.end(body);
}

function issuerAnswer(path: string, text: string, world: World): Answer {
  if (path === '/.well-known/openidconfiguration') {
    return { status: 200, body: { issuer: world.issuer.issuer, jwks_uri: `${world.url()}/keys` } };
  }
  if (path === '/keys') return { status: 200, body: world.issuer.keys() };
  const tenant = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(path)?.[1];
  if (tenant === undefined) return { status: 404 };
  const token = world.issuer.giveToken(new URLSearchParams(text), tenant);
  if (token === undefined)
    return { status: 401, body: { error: 'invalid_client', error_description: 'unknown id or secret' } };
  return { status: 200, body: { token_type: 'Bearer', expires_in: 3600, access_token: token } };
}

function connectorAnswer(request: IncomingMessage, path: string, text: string, world: World): Answer {
  const method = request.method ?? '';
  world.note(`${method} ${path}`);
  if (!world.issuer.isOwnToken(request.headers.authorization)) return refusal(401, 'Unauthorized');
  const failure = world.takeFailure(method);
  if (failure !== undefined) return failed(failure);
  const [, conversationId, rest = ''] = /^\/v3\/conversations(?:\/([^/]+)(\/.*)?)?$/.exec(path) ?? [];
  if (conversationId === undefined)
    return method === 'POST' ? create(JSON.parse(text), world) : refusal(405, 'MethodNotAllowed');
  const place = world.conversations.placeOf(conversationId);
  if (place === undefined) return refusal(404, 'ConversationNotFound');
  if (!place.hasBot) return refusal(403, 'BotNotInConversationRoster');
  const memberId = /^\/members\/(.+)$/.exec(rest)?.[1];
  if (memberId !== undefined) return memberAnswer(memberId, world);
  const activityId = /^\/activities\/(.+)$/.exec(rest)?.[1];
  const waitSeconds = world.throttle(conversationId);
  if (waitSeconds !== undefined) return failed({ status: 429, retryAfterSeconds: waitSeconds });
  if (method === 'PUT') return edit(conversationId, activityId ?? '', text, world);
  const content = contentOf(text);
  if ('fault' in content) return content.fault;
  const message = world.conversations.add({ conversationId, place, by: 'bot', content });
  return { status: 201, body: { id: message.id } };
}

function create(body: Node, world: World): Answer {
  const channelData = nodeIn(body.channelData);
  const tenant = nodeIn(channelData.tenant).id ?? body.tenantId;
  if (tenant !== body.tenantId) return refusal(403, 'TenantNotAllowed');
  if (body.isGroup !== true) return createPersonal(body, world);
  const place = world.conversations.placeOf(String(nodeIn(channelData.channel).id ?? ''));
  if (place === undefined || place.kind !== 'channel') return refusal(400, 'BadSyntax');
  if (place.tenantId !== tenant) return refusal(403, 'TenantNotAllowed');
  if (!place.hasBot) return refusal(403, 'BotNotInConversationRoster');
  const waitSeconds = world.throttle(place.conversationId);
  if (waitSeconds !== undefined) return failed({ status: 429, retryAfterSeconds: waitSeconds });
  const content = contentOf(JSON.stringify(body.activity ?? {}));
  if ('fault' in content) return content.fault;
  const message = world.conversations.add({ conversationId: place.conversationId, place, by: 'bot', content });
  return { status: 201, body: { id: message.conversationId, activityId: message.id } };
}

function createPersonal(body: Node, world: World): Answer {
  const members = Array.isArray(body.members) ? body.members : [];
  const id = String(nodeIn(members[0]).id ?? '');
  if (members.length !== 1 || !id.startsWith('29:')) return refusal(400, 'BadSyntax');
  const person = world.conversations.personOf(id);
  if (person === undefined) return refusal(404, 'MemberNotFoundInConversation');
  if (!person.hasApp) return refusal(403, 'ForbiddenOperationException');
  const place = world.conversations.personalOf(person);
  if (place.tenantId !== body.tenantId) return refusal(403, 'TenantNotAllowed');
  return { status: 201, body: { id: place.conversationId } };
}

function edit(conversationId: string, activityId: string, text: string, world: World): Answer {
  const message: Message | undefined = world.conversations
    .messagesIn(conversationId)
    .find(({ id }) => id === activityId);
  if (message === undefined) return refusal(404, 'ActivityNotFoundInConversation');
  if (message.by !== 'bot') return refusal(403, 'ActivityNotOwned');
  const content = contentOf(text);
  if ('fault' in content) return content.fault;
  message.content = content;
  message.editCount += 1;
  return { status: 200, body: { id: activityId } };
}

function memberAnswer(id: string, world: World): Answer {
  const person = world.conversations.personOf(id);
  if (person === undefined) return refusal(404, 'MemberNotFoundInConversation');
  return { status: 200, body: memberOf(person) };
}

function memberOf(person: Person): object {
  const { id, name, aadObjectId, tenantId, userRole } = person;
  return { id, name, aadObjectId, objectId: aadObjectId, tenantId, userRole, email: `${name}@example.test` };
}

/** A message as Teams takes it: one card that is right, or words; never both, because that would split it. */
function contentOf(text: string): MessageContent | { readonly fault: Answer } {
  if (Buffer.byteLength(text) > messageBytesMax) return { fault: refusal(413, 'MessageSizeTooBig') };
  const activity: Node = JSON.parse(text);
  if (activity.type !== 'message') return { fault: refusal(400, 'BadArgument', 'not a message') };
  const attachments = Array.isArray(activity.attachments) ? activity.attachments : [];
  if (attachments.length === 0) return { text: String(activity.text ?? '') };
  const attachment = nodeIn(attachments[0]);
  const card = nodeIn(attachment.content);
  const faults = [
    ...(attachments.length > 1 ? ['several attachments'] : []),
    ...(typeof activity.text === 'string' && activity.text !== '' ? ['text beside a card: Teams splits it'] : []),
    ...(attachment.contentType === 'application/vnd.microsoft.card.adaptive' ? [] : ['unknown attachment']),
    ...faultsOfCard(card),
  ];
  if (faults.length > 0) return { fault: refusal(400, 'BadArgument', faults.join('; ')) };
  return { card, summary: String(activity.summary ?? '') };
}

function failed(failure: Failure): Answer {
  const { status, retryAfterSeconds } = failure;
  const answer = refusal(status, failure.code ?? `Scripted${status}`);
  return retryAfterSeconds === undefined
    ? answer
    : { ...answer, headers: { 'retry-after': String(retryAfterSeconds) } };
}

function refusal(status: number, code: string, message = code): Answer {
  return { status, body: { error: { code, message } } };
}

function nodeIn(value: unknown): Node {
  return typeof value === 'object' && value !== null ? (value as Node) : {};
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDeliveries, type Fault } from './deliveries.ts';
import { takeResponse } from './message-methods.ts';
import { type Person, personAt } from './person.ts';
import { createRateLimits, type RateLimits } from './rate-limits.ts';
import { readChannel, readStory, tellMessage } from './transcript.ts';
import { answerCall, takeUpload } from './web-api.ts';
import { acceptWebSocket } from './websocket.ts';
import { type Call, createWorld, type Message, type UserKind, type World } from './world.ts';

/** What may go wrong with one call of the app. */
export type CallFault =
  | { readonly kind: 'rate-limited'; readonly retryAfterSeconds: number }
  | { readonly kind: 'error'; readonly error: string }
  | { readonly kind: 'http'; readonly status: number }
  /** Slack does what was asked, and its answer never arrives. */
  | { readonly kind: 'lost-answer' };

/**
 * A Slack workspace on this host: strict where Slack is strict, for the demo and for tests. It keeps nothing.
 * What it refuses, it refuses with Slack's own names of errors. Source: CHAT 2
 */
export type SlackWorkspace = {
  /** For the bot's configuration. */
  readonly apiUrl: string;
  readonly botToken: string;
  readonly appToken: string;
  readonly signingSecret: string;
  readonly teamId: string;
  readonly addUser: (name: string, kind?: UserKind) => Person;
  readonly addChannel: (name: string, members: readonly string[], kind?: 'public' | 'private') => string;
  readonly addUserGroup: (handle: string, members: readonly string[]) => string;
  readonly as: (name: string) => Person;
  /** `#dr` as everybody in it sees it. */
  readonly reads: (channel: string) => string;
  /** Everything that happened everywhere, for a narrator. */
  readonly story: () => string;
  /** One message as a narrator says it. */
  readonly tell: (message: Message) => string;
  readonly onChange: (listener: () => void) => void;
  readonly people: () => readonly string[];
  readonly messages: () => readonly Message[];
  readonly calls: () => readonly Call[];
  /** Resolves when it is so; fails with the story after the deadline. */
  readonly until: (what: string, isSo: () => boolean, deadlineMs?: number) => Promise<void>;
  /** HTTP mode instead of Socket Mode. */
  readonly useHttp: (requestUrl: string) => void;
  readonly failNextDelivery: (fault: Fault) => void;
  readonly releaseHeld: () => Promise<void>;
  readonly failNextCall: (method: string, fault: CallFault) => void;
  readonly connectionCount: () => number;
  readonly endConnections: (how: 'announced' | 'cut') => void;
  readonly close: () => Promise<void>;
};

const everyScope = [
  'commands',
  'chat:write',
  'chat:write.public',
  'users:read',
  'usergroups:read',
  'im:write',
  'files:write',
  'app_mentions:read',
  'im:history',
];
const bodyBytesMax = 32 * 1_048_576;

/** @param options.scopes what the app was given at its installation; all that our manifest asks for if left out */
export async function startSlackWorkspace(
  options: {
    readonly scopes?: readonly string[];
    readonly nowMs?: () => number;
    readonly port?: number;
    /** How long the app may take to acknowledge; Slack's 3 s if left out. */
    readonly acknowledgeMsMax?: number;
    /** False: as many calls as the app likes. Slack's limits, by the real clock, if left out. */
    readonly isLimitingRates?: boolean;
  } = {},
): Promise<SlackWorkspace> {
  const world = createWorld({ scopes: options.scopes ?? everyScope, nowMs: options.nowMs ?? Date.now });
  const deliveries = createDeliveries(world, options.acknowledgeMsMax ?? 3000);
  const faults = new Map<string, CallFault[]>();
  const limits = options.isLimitingRates === false ? undefined : createRateLimits(() => performance.now());
  let baseUrl = '';
  const server = createServer((request, response) => {
    void route(request, response, { world, faults, limits, baseUrl }).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  server.on('upgrade', (request, socket) => {
    const line = acceptWebSocket(request, socket, {
      text: deliveries.heard,
      closed: () => deliveries.removeLine(line),
    });
    deliveries.addLine(line);
  });
  await new Promise<void>((resolve) => {
    server.listen(options.port ?? 0, '127.0.0.1', () => resolve());
  });
  const { port } = server.address() as AddressInfo; // A TCP server that listens has no other kind of address.
  baseUrl = `http://127.0.0.1:${port}`;
  return {
    apiUrl: `${baseUrl}/api/`,
    botToken: world.botToken,
    appToken: world.appToken,
    signingSecret: world.signingSecret,
    teamId: world.teamId,
    ...peopleOf(world, (user) => personAt({ user, world, deliveries, baseUrl: () => baseUrl })),
    tell: (message) => tellMessage(message, world),
    onChange: (listener) => void world.changes.on('change', listener),
    people: () => [...world.users.values()].filter((user) => user !== world.botUser).map((user) => user.name),
    messages: () => world.messages,
    calls: () => world.calls,
    until: (what, isSo, deadlineMs) => until(what, isSo, { world, deadlineMs: deadlineMs ?? 30_000 }),
    useHttp: deliveries.useHttp,
    failNextDelivery: deliveries.failNext,
    releaseHeld: deliveries.releaseHeld,
    failNextCall: (method, fault) => faults.set(method, [...(faults.get(method) ?? []), fault]),
    connectionCount: deliveries.lineCount,
    endConnections: deliveries.endLines,
    close: async () => {
      deliveries.endLines('cut');
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

type User = Parameters<typeof personAt>[0]['user'];

function peopleOf(world: World, person: (user: User) => Person) {
  const userOf = (name: string) => {
    const found = [...world.users.values()].find((user) => user.name === name);
    if (found === undefined) throw new Error(`there is nobody called ${name}`);
    return found;
  };
  const channelOf = (name: string) => {
    const found = [...world.channels.values()].find((channel) => `#${channel.name}` === name);
    if (found === undefined) throw new Error(`there is no channel ${name}`);
    return found;
  };
  return {
    addUser: (name: string, kind: UserKind = 'member') => {
      const user = { id: world.newId('U'), name, kind };
      world.users.set(user.id, user);
      return person(user);
    },
    addChannel: (name: string, members: readonly string[], kind: 'public' | 'private' = 'public') => {
      const id = world.newId('C');
      const ids = new Set(members.map((member) => userOf(member).id));
      world.channels.set(id, { id, name, kind, members: ids, isArchived: false });
      return id;
    },
    addUserGroup: (handle: string, members: readonly string[]) => {
      const id = world.newId('S');
      world.userGroups.set(handle, { id, users: members.map((member) => userOf(member).id) });
      return id;
    },
    as: (name: string) => person(userOf(name)),
    reads: (channel: string) => readChannel(channelOf(channel), undefined, world),
    story: () => readStory(world),
  };
}

async function until(
  what: string,
  isSo: () => boolean,
  { world, deadlineMs }: { readonly world: World; readonly deadlineMs: number },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => finish(new Error(`never came true: ${what}\n${readStory(world)}`)), deadlineMs);
    const finish = (error?: Error) => {
      clearTimeout(timer);
      world.changes.off('change', look);
      if (error === undefined) resolve();
      else reject(error);
    };
    const look = () => {
      if (isSo()) finish();
    };
    world.changes.on('change', look);
    look();
  });
}

type Site = {
  readonly world: World;
  readonly faults: Map<string, CallFault[]>;
  readonly limits: RateLimits | undefined;
  readonly baseUrl: string;
};

async function route(request: IncomingMessage, response: ServerResponse, site: Site): Promise<void> {
  const [, area = '', name = ''] = (request.url ?? '').split('?')[0]?.split('/') ?? [];
  const body = await readBody(request);
  if (request.method !== 'POST') return end(response, { status: 405, text: 'POST only' });
  if (area === 'response') {
    const { status, text } = takeResponse(name, JSON.parse(body.toString('utf8')), site.world);
    return end(response, { status, text });
  }
  if (area === 'upload')
    return end(response, { status: takeUpload(name, fileOf(request, body), site.world), text: 'OK' });
  if (area !== 'api') return end(response, { status: 404, text: 'not found' });
  const reply = answerApi(name, request, body, site);
  if (reply === 'cut') request.socket.destroy();
  else end(response, reply);
}

type Reply = { readonly status: number; readonly text: string | object; readonly retryAfterSeconds?: number };

function answerApi(method: string, request: IncomingMessage, body: Buffer, site: Site): Reply | 'cut' {
  const { world, faults, limits, baseUrl } = site;
  const args = argsOf(body);
  const fault = faults.get(method)?.shift();
  if (fault?.kind === 'rate-limited') return rateLimited(fault.retryAfterSeconds);
  if (fault?.kind === 'http') return { status: fault.status, text: 'upstream connect error' };
  const waitSeconds = limits?.take(method, typeof args.channel === 'string' ? args.channel : undefined);
  if (waitSeconds !== undefined) {
    world.calls.push({ method, args, answer: 'ratelimited' });
    return rateLimited(waitSeconds);
  }
  if (fault?.kind === 'error') {
    world.calls.push({ method, args: {}, answer: fault.error });
    return { status: 200, text: { ok: false, error: fault.error } };
  }
  const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  const answer = answerCall({ method, token, args }, world, baseUrl);
  return fault?.kind === 'lost-answer' ? 'cut' : { status: 200, text: answer };
}

function rateLimited(retryAfterSeconds: number): Reply {
  return { status: 429, text: { ok: false, error: 'ratelimited' }, retryAfterSeconds };
}

/** Arguments come as a form whose nested values are JSON. */
function argsOf(body: Buffer): Record<string, unknown> {
  const entries = [...new URLSearchParams(body.toString('utf8'))];
  return Object.fromEntries(
    entries.map(([name, value]) => {
      const isNested = ['blocks', 'view', 'files', 'attachments', 'metadata'].includes(name);
      return [name, isNested ? JSON.parse(value) : value];
    }),
  );
}

/** The one part of a multipart body, or the body itself. */
function fileOf(request: IncomingMessage, body: Buffer): Buffer {
  const boundary = /boundary=(\S+)/.exec(request.headers['content-type'] ?? '')?.[1];
  if (boundary === undefined) return body;
  const start = body.indexOf('\r\n\r\n') + 4;
  return body.subarray(start, body.indexOf(`\r\n--${boundary}`, start));
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request) {
    sizeBytes += chunk.length;
    if (sizeBytes > bodyBytesMax) throw new RangeError('the body is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function end(response: ServerResponse, reply: Reply): void {
  const { status, text, retryAfterSeconds } = reply;
  const isJson = typeof text !== 'string';
  if (retryAfterSeconds !== undefined) response.setHeader('retry-after', String(retryAfterSeconds));
  response.writeHead(status, { 'content-type': isJson ? 'application/json; charset=utf-8' : 'text/plain' });
  response.end(isJson ? JSON.stringify(text) : text);
}

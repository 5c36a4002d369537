import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { z } from 'zod';
import type { ApiCall } from '../../bot/api-call.ts';
import type { Connection } from '../../bot/connection-file.ts';
import { createCertificateAuthority } from '../../engine/certificate-authority.ts';
import { secureServerOptions } from '../../engine/tls.ts';
import {
  actorHeader,
  alertBody,
  approveBody,
  authenticatorBody,
  chatRoutes,
  linkBody,
  onCallBody,
  plannedFailoverBody,
  rejectBody,
  reviewBody,
  roleBody,
  snoozeBody,
  subscribeBody,
  tagBody,
  thresholdBody,
  withdrawBody,
} from '../../protocol/chat-api.ts';
import { consoleRoutes, signOutBody } from '../../protocol/console-api.ts';
import {
  bookmarkBody,
  cleanupBody,
  enableBody,
  pauseBody,
  type refusalBody,
  resumeBody,
  resyncBody,
  routes,
  testFailoverBody,
} from '../../protocol/control-api.ts';

export type Received = {
  readonly method: string;
  readonly path: string;
  readonly key: string | undefined;
  /** The header `lifeboat-actor`, as it came. */
  readonly actor: string | undefined;
};
type Answer = { readonly status: number; readonly text: string };
/** Answers one parsed call; the text is sent as it is, so that broken answers can be sent too. */
export type Handler = (call: ApiCall | { kind: 'events'; after: number }, received: Received) => Answer | 'hang up';

type RawAnswer = { readonly status: number; readonly type: string; readonly body: Buffer };
type RawHandler = (received: Received, text: string) => RawAnswer | undefined;

export type LoopbackEngine = {
  readonly connection: Connection;
  readonly received: Received[];
  /** Answers some requests itself, byte by byte: what undefined is returned for is handled as ever. */
  readonly answerRaw: (answer: RawHandler) => void;
  readonly close: () => Promise<void>;
};

const orders = {
  [routes.enable]: ['enable', enableBody],
  [routes.pause]: ['pause', pauseBody],
  [routes.resume]: ['resume', resumeBody],
  [routes.resync]: ['resync', resyncBody],
  [routes.bookmark]: ['bookmark', bookmarkBody],
  [routes.testFailover]: ['testFailover', testFailoverBody],
  [routes.cleanup]: ['cleanup', cleanupBody],
  [chatRoutes.plannedFailover]: ['plannedFailover', plannedFailoverBody],
  [chatRoutes.approve]: ['approve', approveBody],
  [chatRoutes.reject]: ['reject', rejectBody],
  [chatRoutes.withdraw]: ['withdraw', withdrawBody],
  [chatRoutes.review]: ['review', reviewBody],
  [chatRoutes.ack]: ['ack', alertBody],
  [chatRoutes.snooze]: ['snooze', snoozeBody],
  [chatRoutes.mute]: ['mute', alertBody],
  [chatRoutes.threshold]: ['threshold', thresholdBody],
  [chatRoutes.subscribe]: ['subscribe', subscribeBody],
  [chatRoutes.onCall]: ['onCall', onCallBody],
  [chatRoutes.link]: ['link', linkBody],
  [chatRoutes.authenticator]: ['authenticator', authenticatorBody],
  [chatRoutes.role]: ['role', roleBody],
  [chatRoutes.tag]: ['tag', tagBody],
  [consoleRoutes.signInLink]: ['signInLink', z.strictObject({})],
  [consoleRoutes.signOut]: ['signOut', signOutBody],
} as const;

/** An HTTPS peer that is as strict as the engine: TLS 1.3 with client certificates, known routes, strict bodies, keys on orders. */
export async function startLoopbackEngine(folder: string, handle: Handler): Promise<LoopbackEngine> {
  const authority = await createCertificateAuthority(folder, Date.now());
  const issue = { nowMs: Date.now() };
  const serverKey = await authority.issueKeyPair({ kind: 'engine', name: 'engine' }, issue);
  const ana = await authority.issueKeyPair({ kind: 'person', name: 'ana' }, issue);
  const received: Received[] = [];
  let answerRaw: RawHandler = () => undefined;
  const server = createServer(secureServerOptions(serverKey, 'if-offered'), (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const key = request.headers['idempotency-key'];
      const actor = request.headers[actorHeader];
      const one = {
        method: request.method ?? '',
        path: request.url ?? '',
        key: typeof key === 'string' ? key : undefined,
        actor: typeof actor === 'string' ? actor : undefined,
      };
      received.push(one);
      const isKnown = (request.socket as TLSSocket).authorized;
      const raw = isKnown ? answerRaw(one, Buffer.concat(chunks).toString()) : undefined;
      if (raw !== undefined) {
        response.writeHead(raw.status, { 'content-type': raw.type }).end(raw.body);
        return;
      }
      const reply = isKnown ? answerTo(one, Buffer.concat(chunks).toString(), handle) : refused('unauthenticated');
      if (reply === 'hang up') return request.socket.destroy();
      response.writeHead(reply.status, { 'content-type': 'application/json' }).end(reply.text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    connection: {
      engineUrl: `https://127.0.0.1:${port}`,
      name: 'ana',
      certificate: ana.certificate,
      key: ana.privateKey,
      certificateAuthority: authority.certificate,
    },
    received,
    answerRaw: (answer) => {
      answerRaw = answer;
    },
    close: () => closeServer(server),
  };
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

export function refused(kind: z.input<typeof refusalBody>['kind'], message = kind as string): Answer {
  return { status: kind === 'unauthenticated' ? 401 : 409, text: JSON.stringify({ kind, message }) };
}

export function json(value: unknown): Answer {
  return { status: 200, text: JSON.stringify(value) };
}

function answerTo(one: Received, text: string, handle: Handler): Answer | 'hang up' {
  const url = new URL(one.path, 'https://engine');
  if (one.method === 'POST') return order(one, text, handle);
  const [, first, second] = /^\/v1\/machines\/([^/]+)(\/points)?$/.exec(url.pathname) ?? [];
  const run = /^\/v1\/runs\/([^/]+)$/.exec(url.pathname)?.[1];
  if (first !== undefined && second !== undefined)
    return handle({ kind: 'points', machine: decodeURIComponent(first) }, one);
  if (first !== undefined) return handle({ kind: 'machine', name: decodeURIComponent(first) }, one);
  if (run !== undefined) return handle({ kind: 'run', id: run }, one);
  if (url.pathname === routes.events) {
    const query = z.strictObject({
      after: z.coerce.number().int().min(0),
      waitMs: z.coerce.number().int().max(20_000),
    });
    return handle({ kind: 'events', after: query.parse(Object.fromEntries(url.searchParams)).after }, one);
  }
  const chat = chatQuery(url);
  if (chat !== undefined) return handle(chat, one);
  const plain = (['whoami', 'version', 'machines', 'hosts', 'runs'] as const).find(
    (kind) => routes[kind] === url.pathname,
  );
  return plain === undefined ? { status: 404, text: '{"message":"Route not found"}' } : handle({ kind: plain }, one);
}

function chatQuery(url: URL): ApiCall | undefined {
  const [, list, id] = /^\/v1\/(approval|alert)s\/([^/]+)$/.exec(url.pathname) ?? [];
  if ((list === 'approval' || list === 'alert') && id !== undefined) return { kind: list, id: decodeURIComponent(id) };
  const lagOf = /^\/v1\/machines\/([^/]+)\/lag$/.exec(url.pathname)?.[1];
  if (lagOf !== undefined) {
    const sinceMs = z.coerce.number().int().min(1000).parse(url.searchParams.get('sinceMs'));
    return { kind: 'lagSeries', machine: decodeURIComponent(lagOf), sinceMs };
  }
  if (url.pathname === chatRoutes.audit) return { kind: 'audit', about: url.searchParams.get('about') ?? '' };
  const plain = ['people', 'approvals', 'alerts', 'surfaces'] as const;
  const kind = plain.find((known) => chatRoutes[known] === url.pathname);
  return kind === undefined ? undefined : { kind };
}

function order(one: Received, text: string, handle: Handler): Answer | 'hang up' {
  const row = Object.entries(orders).find(([path]) => path === one.path)?.[1];
  if (row === undefined) return { status: 404, text: '{"message":"Route not found"}' };
  if (one.key === undefined || one.key.length < 8) return refused('bad-request', 'no idempotency key');
  const body = z.strictObject(row[1].shape).safeParse(JSON.parse(text));
  if (!body.success) return refused('bad-request', z.prettifyError(body.error));
  return handle({ kind: row[0], body: body.data } as ApiCall, one);
}

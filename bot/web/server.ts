import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { OutageError } from '../../domain/outage.ts';
import type { DeliveryLog } from '../delivery/start-delivery.ts';
import { turnedAway } from './admission.ts';
import type { WebLimits } from './limits.ts';
import { badRequest, problemOfError, type WebProblem } from './problem.ts';
import { securityHeaders } from './security-headers.ts';
import type { ServerKey } from './server-key.ts';
import { clearedCookie } from './session-cookie.ts';

/** HTTP/2 where the browser speaks it: over HTTP/1.1 six open pages would take all its connections with their live streams. */
export type WebApp = FastifyInstance<Http2SecureServer, Http2ServerRequest, Http2ServerResponse>;
export type WebRequest = FastifyRequest<Record<string, unknown>, Http2SecureServer, Http2ServerRequest>;
export type WebReply = FastifyReply<
  Record<string, unknown>,
  Http2SecureServer,
  Http2ServerRequest,
  Http2ServerResponse
>;

export type WebServerDeps = {
  readonly key: ServerKey;
  readonly limits: WebLimits;
  /** Whether the certificate is one that people trust, so that browsers may be told to insist on it. */
  readonly isHostPinned: boolean;
  /** By which names browsers reach us; known when it listens. */
  readonly hosts: () => ReadonlySet<string>;
  readonly log: DeliveryLog;
};

/** The server without any route: TLS, limits, what every answer has, and who is turned away before anything is read. */
export function createWebServer(deps: WebServerDeps): WebApp {
  const { limits } = deps;
  const headers = securityHeaders(deps.isHostPinned);
  const app: WebApp = Fastify({
    http2: true,
    https: {
      allowHTTP1: true,
      cert: deps.key.certificate,
      key: deps.key.privateKey,
      minVersion: 'TLSv1.2',
      handshakeTimeout: 10_000,
      // Who begins a request over HTTP/1.1 and does not end it is found by looking; an option of HTTP/1.1 that the types leave out here.
      ...{ connectionsCheckingInterval: limits.headersMs / 2 },
      settings: { maxConcurrentStreams: limits.streamCount, maxHeaderListSize: limits.headerBytes },
    },
    http2SessionTimeout: limits.idleConnectionMs,
    bodyLimit: limits.bodyBytes,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    logger: false,
    clientErrorHandler: (_error, socket) => refuseBroken(socket, headers),
    frameworkErrors: (error, _request, reply) => {
      void reply.headers(headers);
      void sendProblem(badRequest(error.message), reply);
    },
  });
  limitHttp1(app.server, limits);
  rememberSockets(app.server);
  // JSON is all that the page sends.
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(headers);
    limitTime(reply, limits.requestMs);
    addresses.set(request.raw, request.raw.socket.remoteAddress ?? '');
    const path = request.url.split('?', 1)[0] ?? '';
    const problem = turnedAway({ method: request.method, path, headers: request.raw.headers }, deps.hosts());
    if (problem !== undefined) throw problem;
  });
  app.addHook('onResponse', async (request, reply) => deps.log.info(accessLine(request, reply)));
  app.setErrorHandler(async (error, request, reply) => {
    const status = callersFault(error);
    const problem = status === undefined ? problemOfError(error) : badRequest('The request is not understood.', status);
    if (problem.status === 500) deps.log.warn('a request to the console failed', error);
    // A body that is too large ends the connection over HTTP/1.1; HTTP/2 has no such header.
    if (request.raw.httpVersionMajor > 1) void reply.removeHeader('connection');
    return sendProblem(problem, reply);
  });
  return app;
}

/** The status with which Fastify itself refuses a request: too large, not JSON. */
function callersFault(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

/** Says what is wrong; a browser whose session is gone forgets it. */
export function sendProblem({ status, problem, retryAfterMs }: WebProblem, reply: WebReply): WebReply {
  if (problem.why === 'signed-out') void reply.header('set-cookie', clearedCookie);
  if (retryAfterMs !== undefined) void reply.header('retry-after', String(Math.ceil(retryAfterMs / 1000)));
  return reply.code(status).type('application/json; charset=utf-8').send(problem);
}

/** @throws OutageError when the port cannot be had */
export async function listen(app: WebApp, at: { readonly host: string; readonly port: number }): Promise<number> {
  await app.listen(at).catch((cause: unknown) => {
    const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE';
    const why = isTaken ? ': another program has this port' : '';
    throw new OutageError(`listen on ${at.host}:${at.port} for the web console${why}`, {
      cause,
      retryable: true,
      nextStep: isTaken
        ? `stop the other program (ss -ltnp 'sport = :${at.port}' names it), or change web.listen.port in the configuration of the bot`
        : 'change web.listen in the configuration of the bot',
    });
  });
  const address = app.server.address();
  return typeof address === 'object' && address !== null ? address.port : at.port;
}

/** Ends all connections: those that are idle or done at once, the others after a short while. */
export async function closeServer(app: WebApp, graceMs = 2000): Promise<void> {
  const { server } = app;
  const sockets = openSockets.get(server) ?? new Set();
  const end = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, graceMs);
  await app.close();
  clearTimeout(end);
}

const openSockets = new WeakMap<Http2SecureServer, Set<Socket>>();

/** Fastify and Node know each only a part of the connections of a server of both versions. */
function rememberSockets(server: Http2SecureServer): void {
  const sockets = new Set<Socket>();
  openSockets.set(server, sockets);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
}

function limitHttp1(server: Http2SecureServer, limits: WebLimits): void {
  server.maxConnections = limits.connectionCount;
  Object.assign(server, { headersTimeout: limits.headersMs, requestTimeout: limits.requestMs });
}

/** However slowly it is sent: a request ends within its time. The live stream is taken out of it when it begins. */
const requestEnds = new WeakMap<Http2ServerResponse, NodeJS.Timeout>();

function limitTime(reply: WebReply, requestMs: number): void {
  const end = setTimeout(() => reply.raw.destroy(), requestMs);
  requestEnds.set(reply.raw, end);
  reply.raw.once('close', () => clearTimeout(end));
}

export function liftTimeLimit(reply: WebReply): void {
  clearTimeout(requestEnds.get(reply.raw));
}

/** Kept from the beginning: a connection that is closed has none any more. */
const addresses = new WeakMap<Http2ServerRequest, string>();

/** Where the browser is. */
export function addressOf(request: WebRequest): string {
  return addresses.get(request.raw) ?? '';
}

/** The path without what stands behind it, and no header: no secret is in it. */
function accessLine(request: WebRequest, reply: WebReply): string {
  const path = (request.url.split('?', 1)[0] ?? '').slice(0, 200);
  const tookMs = Math.round(reply.elapsedTime);
  return `web ${request.method} ${path} ${reply.statusCode} ${tookMs} ms ${addressOf(request)}`;
}

/** What is not HTTP gets an answer with the same headers, as far as anybody reads it. */
function refuseBroken(socket: Socket, headers: Readonly<Record<string, string>>): void {
  if (!socket.writable) return void socket.destroy();
  const { problem } = badRequest('The request is not understood.');
  const body = JSON.stringify(problem);
  const lines = Object.entries({ ...headers, 'content-type': 'application/json', connection: 'close' })
    .map(([name, value]) => `${name}: ${value}`)
    .join('\r\n');
  socket.end(`HTTP/1.1 400 Bad Request\r\n${lines}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

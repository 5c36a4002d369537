import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { describeCauses, OutageError } from '../domain/outage.ts';

/**
 * Where Prometheus reads: the same in the configuration of engine, process server and bot. Left out, nothing listens.
 * Plain HTTP without a password: beyond the loopback it belongs into a network of its own, or behind a proxy.
 */
export const metricsConfig = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port: z.number().int().min(1).max(65_535),
});

export type MetricsListener = {
  readonly url: string;
  /** Cuts the connections that are open. */
  close(): Promise<void>;
};

const path = '/metrics';
const contentType = 'text/plain; version=0.0.4; charset=utf-8';
const connectionsMax = 32;

/**
 * Answers `GET /metrics` with what `render` gives, and everything else with 404 or 405. Requests at the same time share one rendering.
 *
 * @param at port 0: any free one
 * @throws OutageError with a next step when the port cannot be had
 */
export async function listenForMetrics(
  at: { readonly host: string; readonly port: number },
  render: () => Promise<string>,
  onTrouble: (message: string) => void,
): Promise<MetricsListener> {
  let rendering: Promise<string> | undefined;
  const shared = () => {
    rendering ??= render().finally(() => {
      rendering = undefined;
    });
    return rendering;
  };
  const limits = { maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 5000 };
  const server = createServer(limits, (request, response) => {
    void respond(request, response, { render: shared, onTrouble, hosts: hostsOf(at.host) });
  });
  server.maxConnections = connectionsMax;
  // Who stops reading, or never asks, is cut off.
  server.setTimeout(15_000);
  await listen(server, at);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : at.port;
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  return { url: `http://${host}:${port}${path}`, close: () => close(server) };
}

type Answering = {
  readonly render: () => Promise<string>;
  readonly onTrouble: (message: string) => void;
  readonly hosts: readonly string[] | 'any';
};

async function respond(request: IncomingMessage, response: ServerResponse, to: Answering): Promise<void> {
  const refusal = refusalOf(request, to.hosts);
  if (refusal !== undefined) return send(response, refusal.status, `${refusal.message}\n`, refusal.headers);
  try {
    send(response, 200, await to.render(), { 'content-type': contentType });
  } catch (error) {
    to.onTrouble(`metrics: ${describeCauses(error)}`);
    send(response, 500, 'The metrics could not be made; the log says why.\n');
  }
}

type Refusal = { readonly status: number; readonly message: string; readonly headers?: Record<string, string> };

function refusalOf(request: IncomingMessage, hosts: Answering['hosts']): Refusal | undefined {
  if (hosts !== 'any' && !hosts.includes(hostNameOf(request.headers.host ?? ''))) {
    return { status: 421, message: `This listens for ${hosts.join(', ')} only.` };
  }
  if (request.url !== path && !request.url?.startsWith(`${path}?`)) {
    return { status: 404, message: `There is only ${path} here.` };
  }
  if (request.method !== 'GET') return { status: 405, message: 'Only GET.', headers: { allow: 'GET' } };
  return undefined;
}

/**
 * On the loopback only names of the loopback are answered: a page in a browser on this host could else have a name of its own point here
 * and read the names of all machines.
 */
function hostsOf(host: string): Answering['hosts'] {
  const isLoopback = host === 'localhost' || host === '::1' || /^127\./.test(host);
  return isLoopback ? ['localhost', '127.0.0.1', '[::1]', host] : 'any';
}

function hostNameOf(header: string): string {
  return header.replace(/:\d+$/, '').toLowerCase();
}

function send(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  const body = Buffer.from(text);
  // A body that came with the request is not read: the connection ends with the answer.
  const always = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
  const length = { 'content-length': body.length, ...(status === 200 ? {} : { connection: 'close' }) };
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...always, ...length, ...headers });
  response.end(body);
}

async function listen(server: Server, at: { readonly host: string; readonly port: number }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(at.port, at.host, resolve);
  await promise.catch((cause: unknown) => {
    const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE';
    throw new OutageError(
      `listen on ${at.host}:${at.port} for metrics${isTaken ? ': another program has this port' : ''}`,
      {
        cause,
        retryable: false,
        nextStep: isTaken
          ? `Stop the other program (ss -ltnp 'sport = :${at.port}' names it), change metrics.port, or leave metrics out.`
          : 'Change metrics.host or metrics.port, or leave metrics out.',
      },
    );
  });
}

async function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}

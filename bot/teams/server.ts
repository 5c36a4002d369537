import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OutageError } from '../../domain/outage.ts';
import type { DeliveryLog } from '../delivery/start-delivery.ts';
import type { HttpAnswer, Receiver } from './receive.ts';
import { teamsLimits } from './settings.ts';

/** Where Azure sends the bot's activities. */
export const messagesPath = '/api/messages';

export type TeamsServer = { readonly url: string; readonly close: () => Promise<void> };

/** Listens on the loopback; what Teams sends comes through a reverse proxy or a tunnel that ends TLS. */
export async function listen(receiver: Receiver, options: { port: number; log: DeliveryLog }): Promise<TeamsServer> {
  const { port, log } = options;
  const server = createServer(
    { requestTimeout: 15_000, headersTimeout: 10_000, maxHeaderSize: 16_384 },
    (request, response) => {
      void answer(request, response, { receiver, log });
    },
  );
  server.maxConnections = 256;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new OutageError(`listening on 127.0.0.1:${port} for Teams`, {
          cause,
          retryable: false,
          nextStep: 'choose another port for teams in the configuration of the bot',
        }),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${taken}${messagesPath}`, close: () => close(server, receiver) };
}

async function close(server: Server, receiver: Receiver): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await closed;
  await receiver.idle();
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { receiver, log }: { readonly receiver: Receiver; readonly log: DeliveryLog },
): Promise<void> {
  try {
    write(response, await answerOf(request, receiver));
  } catch (error) {
    // The request was cut off, or a bug that the receiver has not taken: nothing of it is said to the other side.
    log.warn('a request to the Teams endpoint failed', error);
    write(response, { status: 500 });
  }
}

async function answerOf(request: IncomingMessage, receiver: Receiver): Promise<HttpAnswer> {
  if (request.url?.split('?')[0] !== messagesPath) return { status: 404 };
  if (request.method !== 'POST') return { status: 405 };
  const { authorization } = request.headers;
  if (authorization === undefined) return { status: 401 };
  const body = await bodyOf(request);
  if (body === undefined) return { status: 413 };
  const parsed = parseJson(body);
  return parsed === undefined ? { status: 400 } : receiver.receive(authorization, parsed.value);
}

/** Undefined when it is larger than any activity. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of request) {
    const bytes = Buffer.from(piece);
    sizeBytes += bytes.length;
    if (sizeBytes > teamsLimits.bodyBytes) return undefined;
    pieces.push(bytes);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function write(response: ServerResponse, answerToSend: HttpAnswer): void {
  if (response.headersSent || response.destroyed) return;
  const body = answerToSend.body === undefined ? '' : JSON.stringify(answerToSend.body);
  response.writeHead(answerToSend.status, {
    ...(body !== '' && { 'content-type': 'application/json; charset=utf-8' }),
    'content-length': Buffer.byteLength(body),
    // What was not read to its end cannot be followed by another request.
    ...(answerToSend.status === 413 && { connection: 'close' }),
    ...(answerToSend.retryAfterSeconds !== undefined && { 'retry-after': String(answerToSend.retryAfterSeconds) }),
  });
  response.end(body);
}

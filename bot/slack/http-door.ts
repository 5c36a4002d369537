import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Slack's own requests are far smaller; Bolt alone would take 4 MB. Source: CHAT 2.3 */
export const bodyBytesMax = 256 * 1024;
/** Both ways: Bolt alone takes a request from the future. Source: CHAT 2.3 */
export const clockDifferenceMsMax = 300_000;
export const requestPath = '/slack/events';

/** What the door says to a request before Bolt sees it: an HTTP status, or `pass`. */
export function judgeRequest(
  request: Pick<IncomingMessage, 'method' | 'url' | 'headers'>,
  nowMs: number,
): 'pass' | 401 | 404 | 405 | 413 {
  // As it came: what is no address at all must not throw here, before anybody has proved who they are.
  const [path] = (request.url ?? '').split('?', 1);
  if (path !== requestPath) return 404;
  if (request.method !== 'POST') return 405;
  if (Number(request.headers['content-length'] ?? 0) > bodyBytesMax) return 413;
  const stamp = request.headers['x-slack-request-timestamp'];
  // Without one it can only be Slack's unsigned certificate check, which Bolt answers without any handler.
  if (stamp === undefined) return 'pass';
  const differenceMs = Math.abs(nowMs - Number(stamp) * 1000);
  return differenceMs <= clockDifferenceMsMax ? 'pass' : 401;
}

type DoorDeps = {
  readonly accept: (request: IncomingMessage, response: ServerResponse) => void;
  readonly nowMs: () => number;
  readonly onTrouble: (error: unknown) => void;
};

/**
 * Listens for Slack. TLS is the reverse proxy's; this listens where that one reaches it.
 *
 * @param deps.accept what takes a request that the door lets pass (Bolt, which checks the signature)
 * @param deps.onTrouble hears of a request that could not be taken; it was answered with 400
 */
export async function openHttpDoor(
  listen: { readonly host: string; readonly port: number },
  { accept, nowMs, onTrouble }: DoorDeps,
): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000 });
  server.on('request', (request, response) => {
    try {
      const verdict = judgeRequest(request, nowMs());
      if (verdict === 'pass') accept(request, response);
      else response.writeHead(verdict, { connection: 'close' }).end();
    } catch (error) {
      // Whatever a stranger sends: an error that leaves this listener would end the bot.
      onTrouble(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(400, { connection: 'close' }).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, () => resolve());
  });
  return { port: portOf(server), close: () => closed(server) };
}

function portOf(server: Server): number {
  const address = server.address() as AddressInfo; // A TCP server that listens has no other kind of address.
  return address.port;
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 2000).unref();
  });
}

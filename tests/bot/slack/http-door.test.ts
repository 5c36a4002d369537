import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { openHttpDoor, requestPath } from '../../../bot/slack/http-door.ts';
import { listen } from '../../../bot/teams/server.ts';
import { listenForMetrics } from '../../../protocol/metrics-listener.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function answerTo(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.setEncoding('utf8').write(bytes);
  return text(socket);
}

const good = `POST ${requestPath} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
/** What a stranger can send without any secret. */
const odd = [
  ...['//', 'http://[', 'http://[::1', '/%', '/%ff', '*', 'x:', '/slack/events/../..'].map(
    (address) => `GET ${address}`,
  ),
  'POST //',
  'OPTIONS *',
].map((line) => `${line} HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n`);

async function slackDoor(accept: Parameters<typeof openHttpDoor>[1]['accept']) {
  const troubles: unknown[] = [];
  const onTrouble = (error: unknown) => void troubles.push(error);
  const door = await openHttpDoor({ host: '127.0.0.1', port: 0 }, { accept, nowMs: Date.now, onTrouble });
  closing.push(door.close);
  return { port: door.port, troubles };
}

describe('the door for Slack', () => {
  it('says 404 to what is no address, and goes on to take what Slack sends', async () => {
    const { port, troubles } = await slackDoor((_request, response) => void response.writeHead(200).end());
    for (const bytes of odd) expect(await answerTo(port, bytes)).toMatch(/^HTTP\/1\.1 40[04] /);
    expect(await answerTo(port, good)).toMatch(/^HTTP\/1\.1 200 /);
    expect(troubles).toEqual([]);
  });

  it('outlives whoever takes its requests', async () => {
    const broken = new RangeError('broken');
    const { port, troubles } = await slackDoor(() => {
      throw broken;
    });
    expect(await answerTo(port, good)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await answerTo(port, good)).toMatch(/^HTTP\/1\.1 400 /);
    expect(troubles).toEqual([broken, broken]);
  });
});

it('the door for Teams says 404 to what is no address', async () => {
  // Its port has to be named.
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  const receiver = { receive: async () => ({ status: 200 }) as const, idle: async () => undefined };
  const server = await listen(receiver, { port, log: { info: () => undefined, warn: () => undefined } });
  closing.push(server.close);
  for (const bytes of odd) expect(await answerTo(port, bytes)).toMatch(/^HTTP\/1\.1 40[04] /);
});

it('the metrics say 404 or 421 to what is no address', async () => {
  const metrics = await listenForMetrics(
    { host: '127.0.0.1', port: 0 },
    async () => 'up 1\n',
    () => undefined,
  );
  closing.push(metrics.close);
  const port = Number(new URL(metrics.url).port);
  for (const bytes of odd) {
    expect(await answerTo(port, bytes)).toMatch(/^HTTP\/1\.1 4(00|21) /);
    expect(await answerTo(port, bytes.replace('Host: [', 'Host: localhost'))).toMatch(/^HTTP\/1\.1 40[04] /);
  }
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startBot } from '../../bot/service-main.ts';
import { type SlackWorkspace, startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import { readExposition, sampleValue } from '../fixtures/exposition.ts';
import { delivery } from './delivery/deliveries.ts';
import { json, type LoopbackEngine, startLoopbackEngine } from './loopback-engine.ts';
import { engineOf, worlds } from './recorded-answers.ts';

let folder: string;
let engine: LoopbackEngine;
let workspace: SlackWorkspace;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-bot-service-'));
  const world = engineOf(worlds.well ?? { machines: [] });
  const whoami = await world.ask({ kind: 'whoami' });
  engine = await startLoopbackEngine(folder, (call) =>
    call.kind === 'whoami' && whoami.kind === 'whoami' ? json(whoami.whoami) : { status: 404, text: '{}' },
  );
  workspace = await startSlackWorkspace({ acknowledgeMsMax: 30_000 });
  workspace.addUser('ana');
});
afterEach(async () => {
  await workspace.close();
  await engine.close();
  await rm(folder, { recursive: true });
});

async function fileOf(name: string, content: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, content, { mode: 0o600 });
  return file;
}

const quiet = { info: () => undefined, warn: () => undefined };

async function connectionFile(): Promise<string> {
  const { certificate, key, certificateAuthority, engineUrl } = engine.connection;
  const connection = {
    engineUrl,
    name: 'bot',
    certificateFile: await fileOf('bot.crt', certificate),
    keyFile: await fileOf('bot.key', key),
    certificateAuthorityFile: await fileOf('ca.crt', certificateAuthority),
  };
  return fileOf('bot.json', JSON.stringify(connection));
}

async function configuration(botToken = workspace.botToken) {
  return {
    connectionFile: await connectionFile(),
    stateFolder: path.join(folder, 'state'),
    slack: {
      mode: 'socket' as const,
      botToken: `file:${await fileOf('bot-token', `${botToken}\n`)}`,
      appToken: `file:${await fileOf('app-token', workspace.appToken)}`,
      apiUrl: workspace.apiUrl,
    },
  };
}

it('the bot serves the web console without any chat, and says that it is alive and where it is', {
  timeout: 60_000,
}, async () => {
  const told: unknown[] = [];
  engine.answerRaw((one, text) => {
    if (one.path !== '/v1/bot/console') return undefined;
    told.push(JSON.parse(text));
    return { status: 200, type: 'application/json', body: Buffer.from('{}') };
  });
  const stateFolder = path.join(folder, 'state');
  const stopping = new AbortController();
  const bot = await startBot(
    { connectionFile: await connectionFile(), stateFolder, web: { listen: { host: '127.0.0.1', port: 0 } } },
    { log: { info: () => undefined, warn: () => undefined }, signal: stopping.signal },
  );
  const alive = async () =>
    JSON.parse(await readFile(path.join(stateFolder, 'alive-web.json'), 'utf8').catch(() => '{}'));
  await expect.poll(alive, { timeout: 50_000, interval: 20 }).toMatchObject({ program: 'bot', surface: 'web' });
  const { url } = await alive();
  await expect.poll(() => told, { timeout: 50_000, interval: 20 }).toEqual([{ url }]);
  const dispatcher = new Agent({ connect: { ca: await readFile(path.join(stateFolder, 'console.crt'), 'utf8') } });
  const shell = await request(url, { dispatcher });
  expect(await shell.body.text()).toContain('<div id="page"></div>');
  await dispatcher.close();
  stopping.abort();
  await bot.close();
  await bot.ended;
});

it('a token that Slack refuses ends the start of a bot that has only Slack, with what to do', async () => {
  const starting = startBot(await configuration('xoxb-wrong'), { log: quiet, signal: new AbortController().signal });
  await expect(starting).rejects.toMatchObject({ message: 'signing in to Slack', retryable: false });
});

it('a Slack that is down keeps Teams from nothing; the engine is told, and people are answered once it is back', {
  timeout: 60_000,
}, async () => {
  // Each try is three calls.
  for (let i = 0; i < 3; i += 1) workspace.failNextCall('auth.test', { kind: 'http', status: 503 });
  const reports: unknown[] = [];
  engine.answerRaw((one, text) => {
    if (one.path.endsWith('/surface')) reports.push(JSON.parse(text));
    return one.path.startsWith('/v1/bot/')
      ? { status: 200, type: 'application/json', body: Buffer.from('[]') }
      : undefined;
  });
  const port = await freePort();
  const teams = {
    appId: 'app',
    tenantId: 'tenant',
    secret: `file:${await fileOf('secret', 'x')}`,
    port,
    botName: 'DR',
    allowedTenants: [],
    serviceUrls: ['http://127.0.0.1:9'],
    cloud: {
      tokenIssuer: 'http://127.0.0.1:9',
      openIdMetadataUrl: 'http://127.0.0.1:9/keys',
      tokenUrl: 'http://127.0.0.1:9/token',
      tokenScope: 'x',
    },
  };
  const said: string[] = [];
  const stopping = new AbortController();
  const log = { info: (message: string) => said.push(message), warn: (message: string) => said.push(message) };
  const bot = await startBot({ ...(await configuration()), teams }, { log, signal: stopping.signal });
  const patient = { timeout: 50_000, interval: 20 };
  await expect.poll(() => said, patient).toContain(`slack ${workspace.teamId}: ready`);
  const isSlack = (report: unknown) => JSON.stringify(report).includes('slack');
  await expect
    .poll(() => reports.filter(isSlack), patient)
    .toEqual([
      expect.objectContaining({ tenant: 'unknown', isHealthy: false }),
      expect.objectContaining({ tenant: workspace.teamId, isHealthy: true }),
    ]);
  expect(said.indexOf('teams tenant: ready')).toBeLessThan(said.indexOf(`slack ${workspace.teamId}: ready`));
  expect(said.filter((words) => words.startsWith('slack cannot be reached'))).toHaveLength(1);
  stopping.abort();
  await bot.close();
  await bot.ended;
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo; // A TCP server that listens has no other kind of address.
  await new Promise((resolve) => server.close(resolve));
  return port;
}

it('the bot answers in Slack, delivers what the engine wants to be seen, and says that it is alive', {
  timeout: 60_000,
}, async () => {
  const channel = workspace.addChannel('dr', ['ana', 'Lifeboat']);
  const place = { surface: 'slack' as const, tenant: workspace.teamId, place: channel };
  const waiting = [delivery(1, { place })];
  const outcomes: unknown[] = [];
  engine.answerRaw((one, text) => {
    if (!one.path.startsWith('/v1/bot/')) return undefined;
    const isClaim = one.path.endsWith('/claim');
    if (one.path.endsWith('/outcome')) outcomes.push(JSON.parse(text));
    const places = one.path.includes('/places') ? [{ ...place, reference: {}, isSubscribed: true }] : [];
    const body = Buffer.from(JSON.stringify(isClaim ? waiting.splice(0) : places));
    return { status: 200, type: 'application/json', body };
  });
  const stopping = new AbortController();
  const said: string[] = [];
  const bot = await startBot(
    { ...(await configuration()), metrics: { host: '127.0.0.1', port: 0 } },
    { log: { info: (message) => said.push(message), warn: () => undefined }, signal: stopping.signal },
  );
  const patient = { timeout: 50_000, interval: 20 };
  await expect.poll(() => outcomes.length, patient).toBe(1);
  expect(workspace.reads('#dr')).toContain('note 1');
  await workspace.as('ana').types('#dr', '/dr whoami');
  await expect.poll(() => workspace.as('ana').reads('#dr'), patient).toContain('You are ana');
  const actor = JSON.parse(decodeURIComponent(engine.received.find((one) => one.actor !== undefined)?.actor ?? '{}'));
  expect(actor).toMatchObject({ surface: 'slack', tenant: workspace.teamId, kind: 'member' });
  const read = (name: string) => readFile(path.join(folder, 'state', name), 'utf8').catch(() => '{}');
  await expect.poll(async () => JSON.parse(await read('alive-slack.json')).program, patient).toBe('bot');
  expect(JSON.parse(await read('places-slack.json'))).toEqual([place]);
  const url = said.find((message) => message.startsWith('metrics: '))?.slice('metrics: '.length) ?? '';
  const measured = readExposition(await (await fetch(url)).text());
  const of = { surface: 'slack' };
  expect(sampleValue(measured, 'lifeboat_chat_lines_total', { ...of, verb: 'whoami', outcome: 'answered' })).toBe(1);
  expect(sampleValue(measured, 'lifeboat_chat_deliveries_total', { ...of, outcome: 'delivered' })).toBe(1);
  expect(sampleValue(measured, 'lifeboat_chat_surface_up', of)).toBe(1);
  stopping.abort();
  await bot.close();
  await bot.ended;
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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
    {
      metrics: { host: '127.0.0.1', port: 0 },
      connectionFile: await connectionFile(),
      stateFolder: path.join(folder, 'state'),
      slack: {
        mode: 'socket',
        botToken: `file:${await fileOf('bot-token', `${workspace.botToken}\n`)}`,
        appToken: `file:${await fileOf('app-token', workspace.appToken)}`,
        apiUrl: workspace.apiUrl,
      },
    },
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

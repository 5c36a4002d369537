import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startBot } from '../../bot/service-main.ts';
import { type SlackWorkspace, startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
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

it('the bot answers in Slack, delivers what the engine wants to be seen, and says that it is alive', {
  timeout: 60_000,
}, async () => {
  const channel = workspace.addChannel('dr', ['ana', 'Lifeboat']);
  const { certificate, key, certificateAuthority, engineUrl } = engine.connection;
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
  const connection = {
    engineUrl,
    name: 'bot',
    certificateFile: await fileOf('bot.crt', certificate),
    keyFile: await fileOf('bot.key', key),
    certificateAuthorityFile: await fileOf('ca.crt', certificateAuthority),
  };
  const stopping = new AbortController();
  const bot = await startBot(
    {
      connectionFile: await fileOf('bot.json', JSON.stringify(connection)),
      stateFolder: path.join(folder, 'state'),
      slack: {
        mode: 'socket',
        botToken: `file:${await fileOf('bot-token', `${workspace.botToken}\n`)}`,
        appToken: `file:${await fileOf('app-token', workspace.appToken)}`,
        apiUrl: workspace.apiUrl,
      },
    },
    { log: { info: () => undefined, warn: () => undefined }, signal: stopping.signal },
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
  stopping.abort();
  await bot.close();
  await bot.ended;
});

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeGuestDisks } from '../../demo/guest/guest-disk.ts';
import { type Layout, layoutOf, makeFolders } from '../../demo/layout.ts';
import { protectGuests } from '../../demo/protect-guests.ts';
import { type Site, startSite } from '../../demo/site.ts';
import { type SlackWorkspace, startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import { invariant } from '../../domain/invariant.ts';
import { mebibyte } from '../../domain/units.ts';
import { readEngineConfig } from '../../engine/config.ts';
import { openStore, type Store } from '../../engine/store/open.ts';
import { waitUntil } from '../measure.ts';
import { writeBotConfiguration } from './bot-configuration.ts';
import { linkPeople, people, seatPeople } from './people.ts';

/** What a load needs: where people type, and a look of our own into the engine's database. */
export type LoadSite = { readonly workspace: SlackWorkspace; readonly store: Store };

/**
 * A whole site under load: PostgreSQL, engine, process server, agent and bot, each a process of its own; the Slack workspace and
 * those who type in it are this process.
 */
export type ChatSite = LoadSite & {
  readonly pidOf: (program: Program) => number;
  /** What went wrong with the programs themselves: it spoils the measurement. */
  readonly troubles: readonly string[];
  readonly close: () => Promise<void>;
};
export type Program = 'bot' | 'engine' | 'postgres' | 'process-server' | 'agent';

/** Slack gives three seconds; we wait longer, to know how long it really took. */
export const acknowledgeMsMax = 30_000;
const botLimitMs = 60_000;

type Deps = { readonly say: (line: string) => void; readonly signal: AbortSignal };
type Closers = (() => Promise<unknown>)[];

/** Starts everything with ten people who are linked by codes. Takes about fifteen seconds on a quiet machine. */
export async function openChatSite(deps: Deps): Promise<ChatSite> {
  const layout = layoutOf(join(tmpdir(), `lifeboat-chat-${randomBytes(4).toString('hex')}`));
  makeFolders(layout);
  const closers: Closers = [() => rm(layout.state, { recursive: true, force: true })];
  const close = async () => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    return { ...(await open(layout, closers, deps)), close };
  } catch (error) {
    deps.say(endOfLogs(layout));
    await close();
    throw error;
  }
}

async function open(layout: Layout, closers: Closers, { say, signal }: Deps): Promise<Omit<ChatSite, 'close'>> {
  const troubles: string[] = [];
  const workspace = await startSlackWorkspace({ acknowledgeMsMax, isLimitingRates: false });
  closers.push(workspace.close);
  await makeSmallImages(layout);
  const ports = { engine: await freePort(), processServer: await freePort() };
  writeFileSync(join(layout.state, 'ports.json'), JSON.stringify(ports));
  const onTrouble = (message: string) => void troubles.push(message);
  const site = await startSite({ layout, hasQemu: false, say, onTrouble });
  closers.push(async () => {
    await site.engine.close();
    await site.stop();
  });
  await protectGuests({ engine: site.engine, say, signal });
  const { databaseUrl } = await readEngineConfig(layout.engineConfig);
  const store = await openStore({ connectionString: databaseUrl });
  closers.push(store.close);
  await subscribe(site, { surface: 'slack', tenant: workspace.teamId, place: seatPeople(workspace) });
  await startBot(site, layout, workspace);
  await linkPeople(workspace, store);
  say(`${people.length} people linked by codes`);
  const pidOf = (program: Program) => {
    const pid = site.pidOf(program);
    invariant(pid !== undefined, `${program} runs`);
    return pid;
  };
  return { workspace, store, pidOf, troubles };
}

/** The machines of the demo, in small: the load is on chat, not on replication. */
async function makeSmallImages(layout: Layout): Promise<void> {
  const disk = { sizeBytes: 8 * mebibyte, filledBytes: 2 * mebibyte };
  const machines = { 'vm-7': [disk, disk], 'vm-8': [disk] };
  for (const [machineName, disks] of Object.entries(machines)) {
    const folder = join(layout.guests, 'images', machineName);
    await makeGuestDisks({ folder, machineName, disks, format: 'raw' });
  }
}

type Place = { readonly surface: 'slack'; readonly tenant: string; readonly place: string };

async function subscribe(site: Site, place: Place): Promise<void> {
  const order = { kind: 'subscribe' as const, body: { place } };
  const answer = await site.engine.ask(order, { idempotencyKey: `bench-subscribe-${place.place}` });
  invariant(answer.kind === 'order', 'the local administrator may subscribe a channel');
}

async function startBot(site: Site, layout: Layout, workspace: SlackWorkspace): Promise<void> {
  const connectionFile = join(layout.state, 'bot', 'bot.json');
  writeBotConfiguration(layout.botConfig, { connectionFile, stateFolder: layout.botState, workspace });
  site.startBot();
  await waitUntil('the bot to come', botLimitMs, () => workspace.connectionCount() > 0);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function endOfLogs(layout: Layout): string {
  const logs = ['engine', 'process-server', 'agent', 'bot'].map((name) => {
    try {
      return `${name}.log\n${readFileSync(join(layout.logs, `${name}.log`), 'utf8').slice(-2000)}`;
    } catch {
      return `${name}.log: never started`;
    }
  });
  return logs.join('\n');
}

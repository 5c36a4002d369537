import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeBotConfiguration } from '../../bench/chat/bot-configuration.ts';
import { type Load, prepareLoad } from '../../bench/chat/load.ts';
import { type LoadResults, loadSettings, measureLoad } from '../../bench/chat/measure-chat.ts';
import { linkPeople, seatPeople } from '../../bench/chat/people.ts';
import { acknowledgeMsMax, type LoadSite } from '../../bench/chat/site.ts';
import { readTrail } from '../../bench/chat/trail.ts';
import { createService, type Service } from '../../demo/service.ts';
import { startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import { appendAudit, listAudit } from '../../engine/store/audit.ts';
import { startTestApi, type TestApi } from '../engine/api/api-fixture.ts';
import { protectMachines } from '../engine/workflow/protected-machine.ts';
import { startTestPostgres } from '../fixtures/postgres.ts';

/** `npm run bench -- chat` does the same for a minute, with a whole site. Here the engine's API shares this process; the bot has its own. */
const seconds = 5;
const closers: (() => Promise<unknown>)[] = [];
let site: LoadSite;
let load: Load;

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-load-'));
  closers.push(async () => rmSync(folder, { recursive: true, force: true }));
  const postgres = await startTestPostgres();
  closers.push(postgres.stop);
  const store = await postgres.freshStore();
  await protectMachines(store, ['vm-7', 'vm-8']);
  const api = await startTestApi(store);
  closers.push(api.stop);
  const workspace = await startSlackWorkspace({ acknowledgeMsMax, isLimitingRates: false });
  closers.push(workspace.close);
  site = { workspace, store };
  seatPeople(workspace);
  const bot = await startBotProcess(folder, api);
  closers.push(() => bot.stop(5000));
  await workspace.until('the bot is there', () => workspace.connectionCount() > 0, 60_000);
  await linkPeople(workspace, store);
  load = await prepareLoad(site, loadSettings, new AbortController().signal);
});

afterAll(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** The bot as it is installed, in Socket Mode; it ends with this process. */
async function startBotProcess(folder: string, api: TestApi): Promise<Service> {
  const { certificateAuthority } = api.deps.enrolment;
  const stateFolder = join(folder, 'bot');
  mkdirSync(stateFolder);
  const {
    certificate,
    privateKey,
    certificateAuthority: authority,
  } = await certificateAuthority.issueKeyPair({ kind: 'bot', name: 'bot' }, { nowMs: Date.now() });
  const fileOf = (name: string, content: string) => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const connection = {
    engineUrl: api.url,
    name: 'bot',
    certificateFile: fileOf('bot.crt', certificate),
    keyFile: fileOf('bot.key', privateKey),
    certificateAuthorityFile: fileOf('authority.crt', authority),
  };
  const connectionFile = fileOf('connection.json', JSON.stringify(connection));
  const configFile = join(folder, 'bot.json');
  writeBotConfiguration(configFile, { connectionFile, stateFolder, workspace: site.workspace });
  const program = join(import.meta.dirname, '../../bin/lifeboat.ts');
  const service = createService({
    name: 'bot',
    command: process.execPath,
    arguments: [program, 'bot', '--config', configFile, '--exit-with-parent'],
    logFolder: folder,
    processFolder: folder,
    onUnexpectedEnd: (message) => console.error(message),
  });
  service.start();
  return service;
}

describe('fifty commands a second', () => {
  let results: LoadResults;

  it('are acknowledged in time, and each is answered once', async () => {
    results = await measureLoad(site, load, seconds);
    const { acknowledgementMs, ...rest } = results.load;
    // Slack's own limit: one second is for a quiet machine, and is measured by the bench.
    expect(acknowledgementMs.p99).toBeLessThanOrEqual(3000);
    expect(rest).toMatchObject({
      commandCount: loadSettings.commandsPerSecond * seconds,
      unacknowledgedCount: 0,
      lostCount: 0,
      doubledAnswerCount: 0,
      mistakeCount: 0,
    });
    expect(rest.doubledCount).toBeGreaterThan(0);
  });

  it('leave each order in the audit trail once, although some were delivered twice', () => {
    const { trail, orderCount, unheardOrderCount } = results;
    expect(orderCount).toBeGreaterThan(0);
    expect(trail).toMatchObject({ doubledCount: 0, isChainWhole: true });
    expect(trail.orderCount).toBeGreaterThanOrEqual(orderCount - unheardOrderCount);
    expect(trail.orderCount).toBeLessThanOrEqual(orderCount);
  });

  it('would be seen to be lost', async () => {
    site.workspace.failNextDelivery('lose');
    const { load: figures } = await measureLoad(site, load, 0.04);
    expect(figures).toMatchObject({ commandCount: 2, unacknowledgedCount: 1 });
    expect(figures.mistakeCount + figures.lostCount).toBe(1);
  });

  it('would be seen to be carried out twice', async () => {
    const before = await readTrail(site.store, 0);
    const entries = await site.store.read((db) => listAudit(db, { countMax: 1000 }));
    const order = entries.find(({ what }) => what === 'bookmark');
    expect(order).toBeDefined();
    if (order !== undefined) await site.store.write((db) => appendAudit(db, order));
    expect(await readTrail(site.store, 0)).toMatchObject({
      orderCount: before.orderCount,
      doubledCount: before.doubledCount + 1,
    });
  });
});

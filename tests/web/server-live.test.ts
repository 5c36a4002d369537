import { readFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import path from 'node:path';
import { createGunzip } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { applyChange } from '../../bot/web/site-changes.ts';
import type { LiveEvent } from '../../bot/web/wire.ts';
import { addPerson, setDisabled, setGrants } from '../../engine/store/people.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import { guestReport, heartbeatOf } from '../engine/api/api-fixture.ts';
import { protectMachines } from '../engine/workflow/protected-machine.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { type Browser, type ConsoleSite, type LiveEnd, startConsoleSite } from './console-site.ts';

let postgres: TestPostgres;
let site: ConsoleSite;
let ana: Browser;
const patient = { timeout: 20_000, interval: 20 };

beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await startConsoleSite(await postgres.freshStore(), {
    limits: { livePerSession: 3, unreadBytes: 65_536, liveStrangers: 2 },
    pauses: {
      lookGapMs: 20,
      lookEveryMs: 200,
      retryMs: 50,
      beatEveryMs: 300,
      staleAfterMs: 1500,
      tickMs: 50,
      checkEveryMs: 300,
    },
  });
  await protectMachines(site.store, ['vm-7']);
  ana = site.browser();
  await ana.signIn('ana');
});
afterAll(async () => {
  await site.stop();
  await postgres.stop();
});

const kinds = (live: LiveEnd) => live.events.map(({ kind }) => kind);
const isKind =
  <Kind extends LiveEvent['kind']>(kind: Kind) =>
  (event: LiveEvent): event is Extract<LiveEvent, { kind: Kind }> =>
    event.kind === kind;
const until = (live: LiveEnd, kind: LiveEvent['kind'], from = 0) =>
  expect.poll(() => live.events.slice(from).some(isKind(kind)), patient).toBe(true);

/** What a page shows after all that it was told. */
function siteOf(live: LiveEnd): OverviewView | undefined {
  return live.events.reduce<OverviewView | undefined>((shown, event) => {
    if (event.kind === 'snapshot') return event.site;
    return event.kind === 'change' && shown !== undefined ? applyChange(shown, event) : shown;
  }, undefined);
}

const order = (line: string) => ana.post('/api/line', { line, key: crypto.randomUUID() });

it('gives the whole site first, and then what changes, as the engine has it', async () => {
  const live = await ana.live();
  await until(live, 'beat');
  // On a busy machine the engine's first answer may be late.
  const first = live.events.find(({ kind }) => kind !== 'stale');
  expect(first).toMatchObject({ kind: 'snapshot', me: { name: 'ana', roles: ['operator'] } });
  expect(kinds(live).filter((kind) => kind === 'snapshot')).toHaveLength(1);
  await order('pause vm-7 --for 1h --reason "kernel work"');
  const paused = () => siteOf(live)?.machines.find(({ name }) => name === 'vm-7')?.replication;
  await expect.poll(paused, patient).toMatchObject({ kind: 'paused', reason: 'kernel work' });
  await order('resume vm-7');
  await expect.poll(paused, patient).toEqual({ kind: 'running' });
  const lags = live.events.filter(isKind('change')).filter(({ machines }) => machines !== undefined);
  expect(lags.length).toBeLessThan(live.events.length);
  live.close();
});

it('keeps what hosts say inside its event, whatever it is', async () => {
  const injected = 'x\n\ndata: {"kind":"signed-out","why":"y"}\n\n<script>';
  const { caller } = await site.api.enrol('host-1');
  const live = await ana.live();
  await until(live, 'beat');
  await caller.post('/v1/agent/heartbeat', heartbeatOf([guestReport('vm-odd', { tracking: injected })]));
  const tracking = () => siteOf(live)?.machines.find(({ name }) => name === 'vm-odd')?.tracking;
  await expect.poll(tracking, patient).toBe(injected);
  expect(kinds(live)).not.toContain('signed-out');
  live.close();
});

it('says that it knows nothing while the engine is away, and goes on by itself', async () => {
  const live = await ana.live();
  await until(live, 'beat');
  await site.stopEngine();
  const { blind, count } = await whileAway(live).finally(() => site.startEngine());
  await until(live, 'change', count);
  await until(live, 'beat', count);
  await until(blind, 'snapshot');
  await until(blind, 'beat');
  expect(ana.cookie).toBeDefined();
  live.close();
  blind.close();
});

/** What pages see without an engine: no state, and nothing at all for who comes now. */
async function whileAway(live: LiveEnd) {
  await until(live, 'stale');
  const seenAtMs = siteOf(live)?.atMs ?? 0;
  const newest = () => live.events.findLast(isKind('stale'));
  await expect.poll(() => newest()?.why, patient).toContain('The engine cannot be asked');
  const stale = newest();
  expect(Math.abs((stale?.sinceMs ?? 0) - seenAtMs)).toBeLessThan(5000);
  await strangersTakeNoPlaces();
  const blind = await ana.live();
  await until(blind, 'stale');
  expect(blind.events.filter((event) => event.kind !== 'stale')).toEqual([]);
  const answer = await ana.get('/api/machines/vm-7');
  const outage = expect.objectContaining({ why: 'outage', nextStep: expect.stringContaining('engine') });
  expect([answer.status, answer.json]).toEqual([503, outage]);
  expect((await order('help')).status).toBe(503);
  expect(kinds(live).slice(kinds(live).indexOf('stale'))).not.toContain('beat');
  return { blind, count: live.events.length };
}

/** Nobody can say now whose a session is: invented ones get few places, and keep nobody out who was known before. */
async function strangersTakeNoPlaces(): Promise<void> {
  const streams: LiveEnd[] = [];
  for (const letter of ['A', 'B', 'C']) {
    const stranger = site.browser();
    stranger.cookie = `__Host-lifeboat=${letter.repeat(43)}`;
    streams.push(await stranger.live());
  }
  expect(streams.map(({ status }) => status)).toEqual([200, 200, 429]);
  for (const stream of streams) {
    expect(stream.events.filter(({ kind }) => kind !== 'stale')).toEqual([]);
    stream.close();
  }
}

it('ends when the session ends, here or in the engine', async () => {
  const first = site.browser();
  await first.signIn('ben');
  const second = site.browser();
  await second.signIn('ben');
  const [one, two] = [await first.live(), await second.live()];
  await Promise.all([until(one, 'snapshot'), until(two, 'snapshot')]);
  await first.post('/api/sign-out', { isEverywhere: true });
  for (const live of [one, two]) {
    await expect.poll(() => live.isOver(), patient).toBe(true);
    expect(live.events.at(-1)?.kind).toBe('signed-out');
  }
  await site.store.write(async (db) => {
    await addPerson(db, 'gone', 'the test');
    await setGrants(db, 'gone', [{ role: 'viewer', scope: { kind: 'everything' } }], 'the test');
  });
  const third = site.browser();
  await third.signIn('gone');
  const live = await third.live();
  await until(live, 'snapshot');
  await site.store.write((db) => setDisabled(db, 'gone', true));
  await expect.poll(() => live.isOver(), patient).toBe(true);
  expect(live.events.at(-1)?.kind).toBe('signed-out');
});

it('ends with the reason for a person whose last role is taken away, and shows nothing to who has none', async () => {
  const roles = (grants: Parameters<typeof setGrants>[2]) =>
    site.store.write(async (db) => {
      await addPerson(db, 'rolf', 'the test');
      await setGrants(db, 'rolf', grants, 'the test');
    });
  await roles([{ role: 'viewer', scope: { kind: 'everything' } }]);
  const browser = site.browser();
  await browser.signIn('rolf');
  const live = await browser.live();
  await until(live, 'snapshot');
  await roles([]);
  await expect.poll(() => live.isOver(), patient).toBe(true);
  const reason = { kind: 'signed-out', why: expect.stringContaining('rolf has no role') };
  expect(live.events.at(-1)).toEqual(reason);
  const again = await browser.live();
  await expect.poll(() => again.isOver(), patient).toBe(true);
  expect(again.events).toEqual([reason]);
  await roles([{ role: 'viewer', scope: { kind: 'everything' } }]);
  const back = await browser.live();
  await until(back, 'snapshot');
  back.close();
});

it('serves so many pages of a session, and gives places back', async () => {
  const browser = site.browser();
  await browser.signIn('vera');
  const open = [await browser.live(), await browser.live(), await browser.live()];
  expect(open.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect((await browser.get('/api/live')).status).toBe(429);
  await Promise.all(open.map((live) => until(live, 'snapshot')));
  for (const live of open) live.close();
  const again = async () => {
    const live = await browser.live();
    live.close();
    return live.status;
  };
  await expect.poll(again, patient).toBe(200);
});

it('is small on the wire for who takes gzip, and has each event at once', async () => {
  const { session, stream } = await rawLive({ 'accept-encoding': 'gzip, deflate, br' });
  const encoding = await new Promise((resolve) => {
    stream.on('response', (headers) => resolve(headers['content-encoding']));
  });
  expect(encoding).toBe('gzip');
  let text = '';
  const unzipped = stream.pipe(createGunzip());
  unzipped
    .on('error', () => undefined)
    .on('data', (piece) => {
      text += piece;
    });
  await expect
    .poll(() => text, patient)
    .toMatch(/^(data: {"kind":"stale".*}\n\n)*data: {"kind":"snapshot".*}\n\n(.*\n\n)*data: {"kind":"beat"/);
  session.destroy();
});

it('cuts off who does not read', async () => {
  const { caller } = await site.api.enrol('host-2');
  const crowd = (round: number) =>
    Array.from({ length: 150 }, (_, index) => guestReport(`vm-${index}`, { tracking: `${round} ${'x'.repeat(100)}` }));
  const { session, stream } = await rawLive({});
  // Nothing reads: what is sent stays with the server once the window of HTTP/2 is full.
  stream.pause();
  const isCut = () => site.log.some((line) => line.includes('reads too slowly'));
  for (let round = 0; round < 300 && !isCut(); round += 1) {
    const body = heartbeatOf(crowd(round), { instanceId: '00000000-0000-4000-8000-000000000002' });
    expect((await caller.post('/v1/agent/heartbeat', { ...body, hostName: 'host-2' })).status).toBe(200);
  }
  expect(isCut()).toBe(true);
  const isEnded = new Promise((resolve) => stream.once('close', () => resolve('ended')));
  stream.resume();
  expect(await isEnded).toBe('ended');
  session.destroy();
  expect((await ana.get('/api/machines/vm-7')).status).toBe(200);
});

async function rawLive(headers: Record<string, string>) {
  const ca = await readFile(path.join(site.folder, 'console.crt'), 'utf8');
  const session = connect(site.web.url, { ca });
  // Both are cut off in these tests.
  session.on('error', () => undefined);
  const stream = session.request({ ':path': '/api/live', cookie: ana.cookie ?? '', ...headers });
  stream.on('error', () => undefined);
  return { session, stream };
}

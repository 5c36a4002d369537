import { readFile, stat } from 'node:fs/promises';
import { type ClientHttp2Session, connect } from 'node:http2';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { webLimits } from '../../bot/web/limits.ts';
import { contentSecurityPolicy } from '../../bot/web/security-headers.ts';
import type { CardAnswer, LineReply, MachineDetail } from '../../bot/web/wire.ts';
import { guestReport, heartbeatOf } from '../engine/api/api-fixture.ts';
import { protectMachines } from '../engine/workflow/protected-machine.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { type Browser, type ConsoleSite, startConsoleSite } from './console-site.ts';
import { drillWithPicture } from './drilled-machine.ts';
import {
  brokenRequests,
  consoleCertificate,
  foreignCookies,
  foreignLooks,
  foreignNames,
  foreignPosts,
  foreignTypes,
  getUnder,
  openCookies,
  rawAnswer,
  statusUnder,
} from './forgeries.ts';

let postgres: TestPostgres;
let site: ConsoleSite;
let ana: Browser;

const limits = {
  linesPerSession: { countMax: 20, perMs: 600_000 },
  signInsPerAddress: { countMax: 6, perMs: 600_000 },
};
const script = '<script>alert(1)</script>';

beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await startConsoleSite(await postgres.freshStore(), { limits });
  await protectMachines(site.store, ['vm-7']);
  const { caller } = await site.api.enrol('host-1');
  const hostile = guestReport('vm-odd', { tracking: script, unsupported: script });
  expect((await caller.post('/v1/agent/heartbeat', heartbeatOf([hostile]))).status).toBe(200);
  ana = site.browser();
  expect((await ana.signIn('ana')).json).toEqual({ kind: 'signed-in', name: 'ana' });
});
afterAll(async () => {
  await site.stop();
  await postgres.stop();
});

const problem = (why: string) => expect.objectContaining({ kind: 'problem', why, message: expect.any(String) });
const key = () => crypto.randomUUID();

/** Every route that the server says it has, with a name in the place of its parameter. */
function dataRoutes(): { method: string; address: string }[] {
  return site.web.routes
    .filter(({ url }) => url.startsWith('/api/') && url !== '/api/sign-in')
    .map(({ method, url }) => ({ method, address: url.replace(':name', 'vm-7') }));
}

describe('who comes in', () => {
  it('gives the shell and its files to everybody, and nothing else without a session', async () => {
    for (const version of ['http/1.1', 'h2'] as const) await strangerSees(version);
  });

  const strangerSees = async (version: 'http/1.1' | 'h2') => {
    const stranger = site.browser(version);
    for (const address of ['/', '/machines/vm-7', '/sign-in', '/anything?x=1']) {
      const shell = await stranger.get(address);
      expect(shell.text).toContain('<title>Lifeboat</title>');
      expect(shell.headers).toMatchObject({ 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    }
    const asset = await stranger.get('/assets/main-TEST.js', { 'accept-encoding': 'gzip, br' });
    expect(asset.headers).toMatchObject({
      'content-encoding': 'br',
      'cache-control': 'public, max-age=31536000, immutable',
    });
    expect(dataRoutes().length).toBe(9);
    for (const { method, address } of dataRoutes()) {
      for (const cookie of [
        undefined,
        '__Host-lifeboat=',
        'lifeboat=abcdefghijklmnopqrst',
        '__Host-lifeboat=no spaces in it',
      ]) {
        const headers = { ...(cookie && { cookie }) };
        const answer =
          method === 'GET' ? await stranger.get(address, headers) : await stranger.post(address, {}, headers);
        expect([address, answer.status, answer.json]).toEqual([address, 401, problem('signed-out')]);
      }
    }
  };

  it('takes a session that the engine does not know for none, on every route, and makes the browser forget it', async () => {
    const forger = site.browser();
    const bodies: Record<string, unknown> = {
      '/api/line': { line: 'help', key: key() },
      '/api/form': { form: { kind: 'reject', context: 'reject' }, answers: {}, key: key() },
      '/api/sign-out': { isEverywhere: true },
    };
    const addresses: Record<string, string> = {
      card: '/api/cards/run:run_0123456789',
      report: '/api/report?fromMs=0&toMs=9',
      picture: '/api/pictures/run_0123456789',
    };
    for (const { method, address } of dataRoutes().filter((route) => route.address !== '/api/live')) {
      forger.cookie = `__Host-lifeboat=${'A'.repeat(43)}`;
      const named = Object.entries(addresses).find(([name]) => address.startsWith(`/api/${name}`))?.[1] ?? address;
      const answer = method === 'GET' ? await forger.get(named) : await forger.post(named, bodies[address]);
      if (address === '/api/sign-out') expect(answer.status).toBe(200);
      else expect([address, answer.status, answer.json]).toEqual([address, 401, problem('signed-out')]);
      expect(forger.cookie, address).toBeUndefined();
    }
    forger.cookie = `__Host-lifeboat=${'A'.repeat(43)}`;
    const live = await forger.live();
    await expect.poll(() => live.isOver(), { timeout: 20_000 }).toBe(true);
    expect(live.events.map(({ kind }) => kind)).toEqual(['signed-out']);
  });

  it('gives a cookie that scripts and other sites cannot use, for a code that is good once', async () => {
    const browser = site.browser();
    const code = await site.codeOf('ana');
    const answer = await browser.post('/api/sign-in', { code });
    const [cookie = ''] = [answer.headers['set-cookie']].flat();
    expect(await openCookies(site)).toEqual([]);
    expect(answer.text).not.toContain(cookie.slice(16, 59));
    const again = await site.browser().post('/api/sign-in', { code });
    expect([again.status, again.json, again.headers['set-cookie']]).toEqual([403, problem('refused'), undefined]);
    expect(site.log.join('\n')).not.toContain(code);
    expect(site.log.join('\n')).not.toContain(cookie.slice(16, 59));
  });

  it('writes down who came from where, and which path was asked for', async () => {
    for (const version of ['http/1.1', 'h2'] as const) {
      const before = site.log.length;
      await site.browser(version).get(`/machines/${version.slice(0, 2)}?code=secret`);
      const line = `web GET /machines/${version.slice(0, 2)} 200`;
      await expect.poll(() => site.log.slice(before).join('\n'), { timeout: 20_000 }).toContain(line);
      expect(site.log.slice(before).join('\n')).toMatch(/ ms 127\.0\.0\.1$/m);
    }
    expect(site.log.join('\n')).not.toContain('code=secret');
    const { body } = await (await site.api.as({ kind: 'person', name: 'ana' })).get('/v1/events?after=0&waitMs=0');
    expect(JSON.stringify(body)).toContain('ana signed in at the web console from 127.0.0.1.');
  });

  it('forgets a session that was signed out, here and in the engine', async () => {
    const browser = site.browser();
    await browser.signIn('ben');
    const { cookie } = browser;
    expect((await browser.get('/api/machines/vm-7')).status).toBe(200);
    expect((await browser.post('/api/sign-out', { isEverywhere: false })).json).toEqual({ kind: 'signed-out' });
    expect(browser.cookie).toBeUndefined();
    browser.cookie = cookie;
    expect((await browser.get('/api/machines/vm-7')).status).toBe(401);
  });
});

describe('what is turned away', () => {
  it('is every other name of this host', async () => {
    expect(await foreignNames(site)).toEqual([]);
    const { port } = site.web;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) {
      expect([host, await statusUnder(site, host)]).toEqual([host, '200']);
    }
  });

  it('is every POST that our own page did not send', async () => {
    expect(await foreignPosts(site, ana)).toEqual([]);
    expect(await foreignTypes(site, ana)).toEqual([]);
    const headers = { 'content-type': 'application/json', origin: site.web.url };
    const own = { method: 'POST', headers, body: { line: 'help', key: key() } };
    expect((await ana.ask('/api/line', own)).status).toBe(200);
  });

  it('is what another page asks for, and not what was typed into the address bar', async () => {
    expect(await foreignLooks(site, ana)).toEqual([]);
    expect((await ana.get('/api/machines/vm-7', { 'sec-fetch-site': 'none' })).status).toBe(200);
  });

  it('is every cookie that is no session, and a session beside another one', async () => {
    expect(await foreignCookies(site, ana)).toEqual([]);
  });

  it('is what is too large, no JSON, or not as the page sends it', async () => {
    const large = { line: 'x'.repeat(webLimits.bodyBytes), key: key() };
    expect((await ana.post('/api/line', large)).status).toBe(413);
    for (const body of ['{', '[]', 'null', '{"__proto__":{"line":"help"}}', '{"line":"help"}']) {
      expect([body, (await ana.post('/api/line', body)).status]).toEqual([body, 400]);
    }
    const extra = { line: 'help', key: key(), session: 'x' };
    expect((await ana.post('/api/line', extra)).json).toEqual(problem('bad-request'));
    expect((await ana.get('/api/machines/vm-7?sinceMs=-1')).status).toBe(400);
    expect((await ana.get('/api/report?fromMs=x&toMs=1')).status).toBe(400);
    for (const topic of ['run:x', 'run:../../whoami', 'person:ana', 'alert:alr_0000000000']) {
      expect([topic, (await ana.get(`/api/cards/${encodeURIComponent(topic)}`)).status]).toEqual([topic, 404]);
    }
  });

  it('says so in the same words for methods and paths that there are not', async () => {
    for (const { method, address } of dataRoutes()) {
      const other = method === 'GET' ? 'DELETE' : 'PUT';
      const answer = await ana.ask(address, { method: other, headers: { origin: site.web.url } });
      expect([address, answer.status, answer.headers.allow, answer.json]).toEqual([
        address,
        405,
        method,
        problem('bad-request'),
      ]);
    }
    for (const address of ['/api/none', '/api/', '/assets/none.js', '/favicon.ico']) {
      expect([address, (await ana.get(address)).status]).toEqual([address, 404]);
    }
  });
});

it('puts the same protection on every answer, also on broken requests', async () => {
  const answers = [
    await ana.get('/'),
    await ana.get('/assets/main-TEST.js'),
    await ana.get('/api/machines/vm-7'),
    await ana.get('/api/none'),
    await ana.get('/%zz'),
    await ana.get(`/api/machines/${'x'.repeat(300)}`),
    await ana.post('/api/line', '{'),
    await ana.ask('/', { method: 'DELETE' }),
    await site.browser().get('/api/report'),
  ];
  for (const { headers, status } of answers) {
    expect([status, headers['content-security-policy']]).toEqual([status, contentSecurityPolicy]);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': expect.stringContaining('camera=()'),
    });
    // A certificate that nobody trusts yet must not lock people out.
    expect(headers['strict-transport-security']).toBeUndefined();
  }
  expect(contentSecurityPolicy).not.toMatch(/unsafe|\*|data:/);
  expect(await rawAnswer(site, getUnder('evil.example'))).toContain(
    `content-security-policy: ${contentSecurityPolicy}`,
  );
  expect(await rawAnswer(site, 'NONSENSE\r\n\r\n')).toContain(`content-security-policy: ${contentSecurityPolicy}`);
});

it('answers addresses, hosts and cookies that are none, and lives on', async () => {
  expect(await brokenRequests(site)).toEqual([]);
  expect((await ana.get('/api/me')).json).toMatchObject({ name: 'ana', roles: ['operator'] });
});

it('speaks HTTP/2, so that many open pages do not block each other', async () => {
  const session: ClientHttp2Session = connect(site.web.url, { ca: await consoleCertificate(site) });
  const status = await new Promise((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request({ ':path': '/api/machines/vm-7', cookie: ana.cookie ?? '' });
    stream.on('response', (headers) => resolve(headers[':status'])).resume();
  });
  const foreign = await new Promise((resolve) => {
    const stream = session.request({ ':path': '/', ':authority': 'evil.example' });
    stream.on('response', (headers) => resolve(headers[':status'])).resume();
  });
  session.destroy();
  expect([status, foreign]).toEqual([200, 421]);
});

it('refuses TLS before 1.2, and keeps its own key to itself', async () => {
  const old = connectTls({
    port: site.web.port,
    host: '127.0.0.1',
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    rejectUnauthorized: false,
  });
  const outcome = await new Promise((resolve) => {
    old.once('secureConnect', () => resolve('connected')).once('error', () => resolve('refused'));
  });
  expect(outcome).toBe('refused');
  expect((await stat(path.join(site.folder, 'console.key'))).mode & 0o777).toBe(0o600);
});

describe('what a session gets', () => {
  it('carries out lines as the person, once for each key', async () => {
    const line = { line: 'pause vm-7 --for 1h --reason "kernel work"', key: key() };
    const first = (await ana.post('/api/line', line)).json as LineReply;
    expect(first).toMatchObject({ kind: 'reply', cards: [{ tone: 'good', title: expect.stringContaining('Pause') }] });
    await ana.post('/api/line', line);
    const { json } = await ana.get('/api/machines/vm-7');
    const detail = json as MachineDetail;
    expect(detail.machine.replication).toMatchObject({ kind: 'paused', reason: 'kernel work' });
    const pauses = detail.audit.entries.filter((entry) => entry.what.includes('pause'));
    expect(pauses).toMatchObject([{ who: 'ana', via: expect.stringMatching(/^web/) }]);
    const other = site.browser();
    await other.signIn('vera');
    const refused = (await other.post('/api/line', { line: 'resume vm-7', key: key() })).json as LineReply;
    expect(refused.cards[0]?.title).toBe('You may not do this');
  });

  it('makes a line of a form, and helps with one that does not fit', async () => {
    const form = { kind: 'failover', context: 'failover vm-7' };
    const answers = { mode: 'planned-dry', reason: script };
    const planned = (await ana.post('/api/form', { form, answers, key: key() })).json as LineReply;
    expect(planned.kind).toBe('reply');
    const forged = { form: { kind: 'approve', context: 'pause vm-7 --for 1h --reason x' }, answers: {}, key: key() };
    const help = (await ana.post('/api/form', forged)).json as LineReply;
    expect(help.cards[0]?.title).toContain('approve');
  });

  it('sends what hosts and guests say as data, never as a page', async () => {
    const { headers, json } = await ana.get('/api/machines/vm-odd');
    expect(headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' });
    expect(json).toMatchObject({ machine: { tracking: script, unsupported: script }, points: [] });
    const missing = await ana.get(`/api/machines/${encodeURIComponent(script)}`);
    expect([missing.status, missing.headers['content-type']]).toEqual([404, 'application/json; charset=utf-8']);
    expect(missing.text).not.toContain('<script');
  });

  it('gives files of a reply, and cards of what the machine did', async () => {
    const plot = (await ana.post('/api/line', { line: 'lag vm-7 --since 1h', key: key() })).json as LineReply;
    const [file] = plot.files;
    expect(file).toMatchObject({ name: 'lag-vm-7.png', type: 'image/png' });
    expect(
      Buffer.from(file?.base64 ?? '', 'base64')
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
    const report = await ana.get(`/api/report?machine=vm-7&fromMs=${Date.now() - 86_400_000}&toMs=${Date.now()}`);
    expect(report.json).toMatchObject({ machineName: 'vm-7', madeBy: 'ana' });
    const refused = await ana.get('/api/report?machine=vm-none&fromMs=0&toMs=1');
    expect(refused.status).toBeGreaterThanOrEqual(400);
    const none = (await ana.get('/api/cards/run:run_0123456789')).json as CardAnswer;
    expect(none).toEqual(problem('not-found'));
  });
});

it('shows the console of a drill as a picture of its own, and no path of the host', async () => {
  const png = Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), Buffer.from('picture')]);
  const runId = await drillWithPicture(site, png);
  const address = `/api/pictures/${runId}`;
  const picture = await ana.get(address);
  expect(picture.headers).toMatchObject({
    'content-type': 'image/png',
    'content-length': String(png.length),
    'content-security-policy': "default-src 'none'; sandbox; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
  });
  const card = await ana.get(`/api/cards/run:${runId}`);
  expect(card.json).toMatchObject({ isFinal: true, card: { picture: { path: address, apiPath: address } } });
  const shown = await ana.post('/api/line', { line: `show ${runId}`, key: key() });
  const detail = await ana.get('/api/machines/vm-drilled');
  expect(detail.json).toMatchObject({ runs: [{ id: runId, result: { consolePicture: address } }] });
  const report = await ana.get(`/api/report?fromMs=${Date.now() - 86_400_000}&toMs=${Date.now() + 60_000}`);
  const live = await ana.live();
  // The first look that is sent may be from before the drill.
  await expect.poll(() => JSON.stringify(live.events), { timeout: 20_000 }).toContain(runId);
  live.close();
  const texts = [card.text, shown.text, detail.text, report.text, JSON.stringify(live.events)];
  for (const one of texts) {
    expect(one).toContain(runId);
    expect(one).not.toContain(path.join(site.api.stateFolder, 'pictures'));
  }
  expect((await ana.get('/api/pictures/run_0123456789')).json).toEqual(problem('not-found'));
  expect((await ana.get('/api/pictures/..%2f..%2fwhoami')).json).toEqual(problem('not-found'));
});

it('says where it is to the engine and to the watchdog', async () => {
  const link = await (await site.api.as({ kind: 'person', name: 'ana' })).post('/v1/console/links', {});
  expect(link.body).toMatchObject({ url: expect.stringMatching(new RegExp(`^${site.web.url}/sign-in#`)) });
  const alive = JSON.parse(await readFile(path.join(site.folder, 'alive-web.json'), 'utf8'));
  expect(alive).toMatchObject({ program: 'bot', surface: 'web', url: site.web.url, pid: process.pid });
});

it('takes no more lines and codes than a person types', async () => {
  const statuses = new Set<number>();
  const eager = site.browser();
  await eager.signIn('ben');
  for (let count = 0; count <= limits.linesPerSession.countMax; count += 1) {
    statuses.add((await eager.post('/api/line', { line: 'help', key: key() })).status);
  }
  expect([...statuses]).toEqual([200, 429]);
  expect((await ana.post('/api/line', { line: 'help', key: key() })).status).toBe(200);
  // Good codes count for nothing: behind a reverse proxy everybody has one address.
  for (let count = 0; count < limits.signInsPerAddress.countMax; count += 1) {
    expect((await site.browser().signIn('vera')).status).toBe(200);
  }
  let last = await eager.post('/api/sign-in', { code: 'WRONG-CODE' });
  for (let count = 0; count < limits.signInsPerAddress.countMax; count += 1) {
    last = await eager.post('/api/sign-in', { code: 'WRONG-CODE' });
  }
  expect([last.status, last.json]).toEqual([429, problem('too-many')]);
  expect(Number(last.headers['retry-after'])).toBeGreaterThan(0);
});

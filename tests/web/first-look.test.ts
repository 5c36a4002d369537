import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, expect, test } from 'vitest';
import type { WebEngine } from '../../bot/web/api-deps.ts';
import { startWeb, type WebConsole } from '../../bot/web/start-web.ts';
import { smallPage } from './console-site.ts';
import { cannedSite } from './page-site.ts';

/** A look takes as long as loading the page: it begins with the page, for those who have been in before. */
const token = 'a-session-that-the-engine-has-made';
const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function startConsole() {
  const looks = { count: 0 };
  const unused = async () => {
    throw new Error('this test does not ask for it');
  };
  const engine: WebEngine = {
    ask: unused,
    download: unused,
    report: unused,
    reportConsole: async () => undefined,
    events: async () => [],
    signIn: async () => ({
      kind: 'signed-in',
      session: { token, person: 'ada', expiresAtMs: Date.now() + 60_000, idleLimitMs: 60_000 },
    }),
    overview: async () => {
      looks.count += 1;
      return cannedSite(3, Date.now());
    },
  };
  const stateFolder = await mkdtemp(join(tmpdir(), 'lifeboat-first-look-'));
  opened.push(() => rm(stateFolder, { recursive: true }));
  const log = { info: () => undefined, warn: () => undefined };
  const web = await startWeb(
    { listen: { host: '127.0.0.1', port: 0 } },
    { engine, log, nowMs: Date.now, signal: new AbortController().signal, stateFolder, page: smallPage },
  );
  opened.push(() => web.close());
  const ca = await readFile(join(stateFolder, 'console.crt'), 'utf8');
  const dispatcher = new Agent({ connect: { ca } });
  opened.push(() => dispatcher.destroy());
  return { looks, visit: (path: string, session: string) => visit(web, dispatcher, { path, session }) };
}

type Visit = { readonly path: string; readonly session: string };

async function visit({ url }: WebConsole, dispatcher: Agent, { path, session }: Visit): Promise<void> {
  const isSignIn = path === '/api/sign-in';
  const headers = { cookie: `__Host-lifeboat=${session}`, 'sec-fetch-site': 'same-origin' };
  const post = { method: 'POST' as const, body: JSON.stringify({ code: 'GOOD-CODE' }) };
  const { statusCode, body } = await request(new URL(path, url), {
    dispatcher,
    headers: isSignIn ? { ...headers, origin: url, 'content-type': 'application/json' } : headers,
    ...(isSignIn && post),
  });
  await body.dump();
  expect(statusCode).toBe(200);
}

test('the engine is looked at while the browser loads the page', async () => {
  const { looks, visit: goTo } = await startConsole();
  await goTo('/api/sign-in', 'none-of-its-own-yet');
  expect(looks.count).toBe(0);
  await goTo('/machines/vm-7', token);
  await expect.poll(() => looks.count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
});

test('an invented session makes nobody look', async () => {
  const { looks, visit: goTo } = await startConsole();
  await goTo('/', 'a-session-that-nobody-has-ever-made');
  // Its look would have begun before the page was sent.
  expect(looks.count).toBe(0);
});

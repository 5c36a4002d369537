import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Agent, request } from 'undici';
import type { Connection } from '../../bot/connection-file.ts';
import { createEngineClient } from '../../bot/engine-client.ts';
import type { WebConfig } from '../../bot/service-config.ts';
import type { PageBundle } from '../../bot/web/page-bundle.ts';
import { startWeb, type WebConsole, type WebDeps } from '../../bot/web/start-web.ts';
import type { LiveEvent } from '../../bot/web/wire.ts';
import { createApi } from '../../engine/api/server.ts';
import { makeConsoleLink } from '../../engine/people/console-sign-in.ts';
import type { Store } from '../../engine/store/open.ts';
import { startTestApi, type TestApi } from '../engine/api/api-fixture.ts';

/** A page as small as can be: what the page itself does is tested in a browser. */
export const smallPage: PageBundle = {
  shell: Buffer.from('<!doctype html><title>Lifeboat</title>'),
  assets: [
    {
      path: '/assets/main-TEST.js',
      contentType: 'text/javascript; charset=utf-8',
      plain: Buffer.from('plain'),
      gzip: Buffer.from('zipped'),
      brotli: Buffer.from('brotli'),
    },
  ],
  gzipBytes: 100,
};

export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: unknown;
};
type Asked = { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: unknown };

export type HttpVersion = 'http/1.1' | 'h2';
/** What one browser does: it keeps its cookie, and says where its requests come from. */
export type Browser = {
  cookie: string | undefined;
  readonly get: (address: string, headers?: Record<string, string>) => Promise<Answer>;
  readonly post: (address: string, body: unknown, headers?: Record<string, string>) => Promise<Answer>;
  readonly ask: (address: string, asked: Asked) => Promise<Answer>;
  readonly signIn: (person: string) => Promise<Answer>;
  readonly live: () => Promise<LiveEnd>;
};
export type LiveEnd = {
  readonly status: number;
  readonly events: readonly LiveEvent[];
  readonly isOver: () => boolean;
  readonly close: () => void;
};

export type ConsoleSite = {
  readonly api: TestApi;
  readonly store: Store;
  readonly web: WebConsole;
  readonly log: readonly string[];
  readonly folder: string;
  readonly browser: (version?: HttpVersion) => Browser;
  /** A link's code, as `dr console` makes it. */
  readonly codeOf: (person: string) => Promise<string>;
  /** The engine's port answers no more, or again. */
  readonly stopEngine: () => Promise<void>;
  readonly startEngine: () => Promise<void>;
  readonly stop: () => Promise<void>;
};

type More = Partial<Pick<WebDeps, 'limits' | 'pauses' | 'page'>> & {
  readonly config?: Partial<WebConfig>;
  /** An engine that is there already; whoever made it stops it. */
  readonly api?: TestApi;
  /** A console whose guards are switched off. */
  readonly start?: typeof startWeb;
};

/** The console with a real engine on a real database behind it. */
export async function startConsoleSite(store: Store, more: More = {}): Promise<ConsoleSite> {
  const api = more.api ?? (await startTestApi(store));
  const folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-console-'));
  let engine = createApi(api.deps);
  const { port: enginePort } = await engine.listen({ host: '127.0.0.1', port: 0 });
  const client = createEngineClient(await connectionOf(api, enginePort), { timeoutMs: 10_000 });
  const log: string[] = [];
  const stopping = new AbortController();
  const { config, start = startWeb, api: given, ...deps } = more;
  const web = await start(
    { listen: { host: '127.0.0.1', port: 0 }, ...config },
    {
      engine: client,
      log: { info: (line) => log.push(line), warn: (line, error) => log.push(`${line} ${error ?? ''}`) },
      nowMs: Date.now,
      signal: stopping.signal,
      stateFolder: folder,
      page: smallPage,
      ...deps,
    },
  );
  const ca = await readFile(path.join(folder, 'console.crt'), 'utf8');
  const limits = { headersTimeout: 30_000, bodyTimeout: 0, connect: { ca } };
  const dispatchers = {
    h2: new Agent({ ...limits, allowH2: true }),
    'http/1.1': new Agent({ ...limits, allowH2: false }),
  };
  const codeOf = async (person: string) => (await store.write((db) => makeConsoleLink(db, person, 'test'))).code;
  return {
    api,
    store,
    web,
    log,
    folder,
    codeOf,
    browser: (version = 'h2') => browserOf(web.url, dispatchers[version], codeOf),
    stopEngine: () => engine.close(),
    async startEngine() {
      engine = createApi(api.deps);
      await engine.listen({ host: '127.0.0.1', port: enginePort });
    },
    async stop() {
      stopping.abort();
      await Promise.all(Object.values(dispatchers).map((dispatcher) => dispatcher.destroy()));
      await web.close();
      await client.close();
      await engine.close();
      if (given === undefined) await api.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function connectionOf(api: TestApi, port: number): Promise<Connection> {
  const authority = api.deps.certificateAuthority;
  const bot = await authority.issueKeyPair({ kind: 'bot', name: 'bot-1' }, { nowMs: Date.now() });
  return {
    engineUrl: `https://127.0.0.1:${port}`,
    name: 'bot-1',
    certificate: bot.certificate,
    key: bot.privateKey,
    certificateAuthority: authority.certificate,
  };
}

function browserOf(url: string, dispatcher: Agent, codeOf: (person: string) => Promise<string>): Browser {
  const browser: Browser = {
    cookie: undefined,
    async ask(address, { method = 'GET', headers = {}, body }) {
      const response = await request(new URL(address, url), {
        dispatcher,
        method: method as 'GET',
        headers: { ...(browser.cookie !== undefined && { cookie: browser.cookie }), ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.body.text();
      const setCookie = [response.headers['set-cookie']].flat()[0];
      if (setCookie !== undefined) browser.cookie = /Max-Age=0/.test(setCookie) ? undefined : setCookie.split(';')[0];
      const isJson = `${response.headers['content-type']}`.startsWith('application/json');
      return {
        status: response.statusCode,
        headers: response.headers,
        text,
        json: isJson ? JSON.parse(text) : undefined,
      };
    },
    get: (address, headers = {}) => browser.ask(address, { headers: { 'sec-fetch-site': 'same-origin', ...headers } }),
    post: (address, body, headers = {}) =>
      browser.ask(address, {
        method: 'POST',
        body,
        headers: { origin: url, 'sec-fetch-site': 'same-origin', 'content-type': 'application/json', ...headers },
      }),
    signIn: async (person) => browser.post('/api/sign-in', { code: await codeOf(person) }),
    live: () => listen(new URL('/api/live', url), browser.cookie, dispatcher),
  };
  return browser;
}

async function listen(address: URL, cookie: string | undefined, dispatcher: Agent): Promise<LiveEnd> {
  const gone = new AbortController();
  const headers = { 'sec-fetch-site': 'same-origin', ...(cookie !== undefined && { cookie }) };
  const response = await request(address, { dispatcher, headers, signal: gone.signal });
  const events: LiveEvent[] = [];
  let isOver = false;
  let text = '';
  response.body.setEncoding('utf8');
  response.body.on('data', (piece: string) => {
    text += piece;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) events.push(JSON.parse(block.replace(/^data: /, '')));
  });
  // However it ends: the test looks at what had come.
  response.body.on('close', () => {
    isOver = true;
  });
  response.body.on('error', () => undefined);
  return { status: response.statusCode, events, isOver: () => isOver, close: () => gone.abort() };
}

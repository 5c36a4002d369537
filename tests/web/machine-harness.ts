import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { Resvg } from '@resvg/resvg-js';
import { type Browser, chromium, type Page } from 'playwright-core';
import { bundlePage, type PageBundle } from '../../bot/web/page-bundle.ts';
import { contentSecurityPolicy } from '../../bot/web/security-headers.ts';
import type { LineReply, LiveEvent, MachineDetail, Me, Problem } from '../../bot/web/wire.ts';
import type { OverviewView, ReportView } from '../../protocol/console-api.ts';

export type Theme = 'light' | 'dark';
export type Scene = {
  readonly site: OverviewView;
  readonly detail: (name: string, sinceMs: number) => MachineDetail | Problem;
  readonly report: (query: URLSearchParams) => ReportView | Problem;
};

/** The console's own page in a browser, under its own security policy, with a canned server behind it. */
export type Harness = {
  readonly page: Page;
  /** Lines that the page sent, oldest first. */
  readonly linesSent: string[];
  /** Paths of the API that the page asked for, oldest first. */
  readonly asked: string[];
  /** What broke: errors of the page and breaches of the policy. */
  readonly faults: string[];
  readonly look: (theme: Theme, widthPixels: number, heightPixels?: number) => Promise<void>;
  readonly open: (scene: Scene, path: string) => Promise<void>;
  /** Something changes at the site. */
  readonly push: (event: LiveEvent) => void;
  /** Serious and critical findings of axe in what the page itself draws, one line each; of one rule only when it is named. */
  readonly audit: (rule?: string) => Promise<string[]>;
  readonly close: () => Promise<void>;
};

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const me: Me = { name: 'ana', roles: ['operator'], hasAuthenticator: true, isOnCall: true };

type Served = {
  scene: Scene | undefined;
  readonly streams: Set<ServerResponse>;
  readonly linesSent: string[];
  readonly asked: string[];
};

export async function openHarness(): Promise<Harness> {
  const [bundle, browser] = await Promise.all([bundlePage(), launch()]);
  const served: Served = { scene: undefined, streams: new Set(), linesSent: [], asked: [] };
  const server = await serve(bundle, served);
  const { port } = server.address() as AddressInfo;
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  return {
    page,
    linesSent: served.linesSent,
    asked: served.asked,
    faults,
    look: async (theme, width, height = 900) => {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme: theme });
    },
    open: async (scene, path) => {
      served.scene = scene;
      served.linesSent.length = 0;
      served.asked.length = 0;
      await page.goto(`http://127.0.0.1:${port}${path}`);
    },
    push: (event) => {
      for (const stream of served.streams) send(stream, event);
    },
    audit: async (rule) => {
      await page.evaluate(axe);
      const only = rule === undefined ? allRules : [rule];
      return page.evaluate(`(${auditScript})(${JSON.stringify(only)})`);
    },
    close: async () => {
      await browser.close();
      server.closeAllConnections();
      server.close();
    },
  };
}

function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: flags, timeout: 60_000 });
}

async function serve(bundle: PageBundle, served: Served): Promise<Server> {
  const picture = consolePicture();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    const asset = bundle.assets.find(({ path }) => path === url.pathname);
    response.setHeader('content-security-policy', contentSecurityPolicy);
    if (asset !== undefined) return give(response, asset.contentType, asset.plain);
    if (url.pathname.startsWith('/api/pictures/')) return give(response, 'image/png', picture);
    if (url.pathname.startsWith('/api/')) return void callApi(served, url, { request, response });
    return give(response, 'text/html; charset=utf-8', bundle.shell);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function give(response: ServerResponse, type: string, body: Buffer | string): void {
  response.writeHead(200, { 'content-type': type });
  response.end(body);
}

async function callApi(
  served: Served,
  url: URL,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
): Promise<void> {
  const { scene } = served;
  if (scene === undefined) return give(response, 'application/json', '{}');
  if (url.pathname === '/api/live') return stream(served, scene, response);
  served.asked.push(`${url.pathname}${url.search}`);
  const machine = /^\/api\/machines\/(.+)$/.exec(url.pathname)?.[1];
  let answer: object = noReply;
  if (machine !== undefined) {
    answer = scene.detail(decodeURIComponent(machine), Number(url.searchParams.get('sinceMs')));
  } else if (url.pathname === '/api/report') answer = scene.report(url.searchParams);
  else if (url.pathname === '/api/line') {
    const body: unknown = JSON.parse(Buffer.concat(await request.toArray()).toString());
    served.linesSent.push((body as { line: string }).line);
  }
  give(response, 'application/json', JSON.stringify(answer));
}

const noReply: LineReply = { kind: 'reply', cards: [], files: [] };

function stream(served: Served, scene: Scene, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  served.streams.add(response);
  send(response, { kind: 'snapshot', me, site: scene.site });
  const beats = setInterval(() => send(response, { kind: 'beat', atMs: scene.site.atMs }), 4000);
  response.on('close', () => {
    clearInterval(beats);
    served.streams.delete(response);
  });
}

function send(response: ServerResponse, event: LiveEvent): void {
  response.write(`data: ${JSON.stringify(event)}\n\n`);
}

/** What a guest's text console looks like when it is up. */
function consolePicture(): Buffer {
  const lines = [
    'Lifeboat test guest',
    'disk0 4711  disk1 4711',
    'LIFEBOAT vm-7 disk0=4711 disk1=4711',
    'vm-7 login: _',
  ];
  const rows = lines.map((line, index) => `<text x="12" y="${32 + index * 24}">${line}</text>`).join('');
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="720" height="400"><rect width="720" height="400"/><g fill="#c0c0c0" font-family="monospace" font-size="18">${rows}</g></svg>`;
  return Buffer.from(new Resvg(svg).render().asPng());
}

const allRules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
/** In the browser. */
const auditScript = `(runOnly) => axe.run(document.querySelector('main'), { runOnly }).then(({ violations }) =>
  violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').flatMap((finding) =>
    finding.nodes.map((node) => finding.id + ': ' + node.target.join(' ') + ' ' + (node.failureSummary ?? '').replace(/\\s+/g, ' '))))`;

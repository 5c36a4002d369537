import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Resvg } from '@resvg/resvg-js';
import type { FormAnswers } from '../../bot/form.ts';
import { bundlePage, type PageBundle } from '../../bot/web/page-bundle.ts';
import { securityHeaders } from '../../bot/web/security-headers.ts';
import {
  type CardAnswer,
  type FormRequest,
  type LineReply,
  type LineRequest,
  type LiveEvent,
  type MachineDetail,
  type Me,
  type Problem,
  webPaths,
} from '../../bot/web/wire.ts';
import type { OverviewView, ReportView } from '../../protocol/console-api.ts';
import { type Alteration, altered } from '../fixtures/altered-modules.ts';
import { cannedSite } from './page-site.ts';

/** What the calls are answered; a test puts its own in. */
export type Answers = {
  line: (line: string) => Promise<LineReply | Problem>;
  form: (form: FormRequest['form'], answers: FormAnswers) => Promise<LineReply | Problem>;
  card: (topic: string) => Promise<CardAnswer | Problem>;
  machine: (name: string, sinceMs: number) => MachineDetail | Problem;
  report: (query: URLSearchParams) => ReportView | Problem;
};

/** The real page, bundled as the bot does it and under the same headers, before canned answers: for its tests, and to look at it while working on it. */
export type PageHarness = {
  readonly url: string;
  readonly bundle: PageBundle;
  readonly answers: Answers;
  readonly setSite: (site: OverviewView) => void;
  readonly site: () => OverviewView;
  readonly setMe: (me: Me) => void;
  /** Said to every new page before the snapshot, as the server does while the engine is away. */
  readonly setStale: (stale: Extract<LiveEvent, { kind: 'stale' }> | undefined) => void;
  /** To every open page. */
  readonly emit: (event: LiveEvent) => void;
  /** The streams break, and new ones are refused until `heal`. */
  readonly breakStreams: () => void;
  readonly heal: () => void;
  /** Nobody is signed in until the right code comes. */
  readonly signEverybodyOut: () => void;
  readonly signIn: () => void;
  /** Everything that was posted, oldest first. */
  readonly posted: readonly { readonly path: string; readonly body: unknown }[];
  /** Lines that were sent, oldest first. */
  readonly linesSent: string[];
  /** Paths that were asked for, oldest first, without those of the live stream. */
  readonly asked: string[];
  readonly close: () => Promise<void>;
};

export const harnessMe: Me = { name: 'ada', roles: ['operator', 'approver'], hasAuthenticator: true, isOnCall: true };
export const rightCode = 'RIGHT-CODE';

type Start = {
  readonly site: OverviewView;
  readonly me?: Me;
  readonly port?: number;
  /** Of an earlier harness: it takes seconds on a busy machine. */
  readonly bundle?: PageBundle;
  /** The engine's clock. */
  readonly nowMs?: () => number;
  /** In the place of those that every page of the console has. */
  readonly headers?: Readonly<Record<string, string>>;
};

type State = {
  readonly bundle: PageBundle;
  readonly headers: Readonly<Record<string, string>>;
  readonly streams: Set<ServerResponse>;
  readonly answers: Answers;
  readonly posted: { path: string; body: unknown }[];
  readonly linesSent: string[];
  readonly asked: string[];
  site: OverviewView;
  me: Me;
  stale: Extract<LiveEvent, { kind: 'stale' }> | undefined;
  isBroken: boolean;
  isSignedIn: boolean;
};

export async function startPageHarness(start: Start): Promise<PageHarness> {
  const { nowMs = Date.now } = start;
  const state: State = {
    bundle: start.bundle ?? (await bundlePage()),
    headers: start.headers ?? securityHeaders(false),
    streams: new Set(),
    answers: { ...cannedAnswers, machine: (name) => cannedDetail(state.site, name) },
    posted: [],
    linesSent: [],
    asked: [],
    site: start.site,
    me: start.me ?? harnessMe,
    stale: undefined,
    isBroken: false,
    isSignedIn: true,
  };
  const server = createServer((request, response) => void answer(state, request, response));
  await new Promise<void>((resolve) => server.listen(start.port ?? 0, '127.0.0.1', resolve));
  const beat = setInterval(() => emit({ kind: 'beat', atMs: nowMs() }), 2000);
  const emit = (event: LiveEvent) => {
    for (const stream of state.streams) stream.write(eventText(event));
  };
  const endStreams = () => {
    for (const stream of state.streams) stream.destroy();
  };
  return {
    // A server on a port has an address with one.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ bundle: state.bundle, answers: state.answers, posted: state.posted },
    ...{ linesSent: state.linesSent, asked: state.asked, emit },
    site: () => state.site,
    setSite: (site) => Object.assign(state, { site }),
    setMe: (me) => Object.assign(state, { me }),
    setStale: (stale) => Object.assign(state, { stale }),
    breakStreams: () => {
      state.isBroken = true;
      endStreams();
    },
    heal: () => Object.assign(state, { isBroken: false }),
    signEverybodyOut: () => {
      state.isSignedIn = false;
      endStreams();
    },
    signIn: () => Object.assign(state, { isSignedIn: true }),
    close: async () => {
      clearInterval(beat);
      endStreams();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The same page with some of its code written otherwise. */
export async function alteredPage(bundle: PageBundle, alterations: readonly Alteration[]): Promise<PageBundle> {
  const script = Buffer.from(await altered('bot/web/page/main.ts', alterations, { platform: 'browser' }));
  const assets = bundle.assets.map((asset) => (asset.path.endsWith('.js') ? { ...asset, plain: script } : asset));
  return { ...bundle, assets };
}

function eventText(event: LiveEvent): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '', 'http://harness');
  const path = url.pathname;
  for (const [name, value] of Object.entries(state.headers)) response.setHeader(name, value);
  if (!path.startsWith('/api/')) return sendFile(state, path, response);
  if (path.startsWith(webPaths.picture)) return void response.setHeader('content-type', 'image/png').end(picture);
  const body: unknown = request.method === 'POST' ? JSON.parse(await textOf(request)) : undefined;
  if (request.method === 'POST') state.posted.push({ path, body });
  if (path === webPaths.signIn) return sendJson(response, signInAnswer(state, body));
  if (!state.isSignedIn) return sendJson(response, problem('signed-out', 'Your session has ended.'));
  if (path === webPaths.live) return openStream(state, response);
  state.asked.push(`${path}${url.search}`);
  return sendJson(response, await answerTo(state, url, body));
}

function answerTo(state: State, { pathname, searchParams }: URL, body: unknown): unknown {
  const { answers } = state;
  const named = (folder: string) => decodeURIComponent(pathname.slice(folder.length));
  if (pathname.startsWith(webPaths.machine)) {
    return answers.machine(named(webPaths.machine), Number(searchParams.get('sinceMs')));
  }
  if (pathname.startsWith(webPaths.card)) return answers.card(named(webPaths.card));
  if (pathname === webPaths.me) return state.me;
  if (pathname === webPaths.report) return answers.report(searchParams);
  if (pathname === webPaths.line) {
    // Our own page sends what `wire.ts` says.
    const { line } = body as LineRequest;
    state.linesSent.push(line);
    return answers.line(line);
  }
  if (pathname === webPaths.form) {
    const { form, answers: filled } = body as FormRequest;
    return answers.form(form, filled);
  }
  if (pathname === webPaths.signOut) state.isSignedIn = false;
  return {};
}

function openStream(state: State, response: ServerResponse): void {
  if (state.isBroken) {
    response.destroy();
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (state.stale !== undefined) response.write(eventText(state.stale));
  response.write(eventText({ kind: 'snapshot', me: state.me, site: state.site }));
  state.streams.add(response);
  response.on('close', () => state.streams.delete(response));
}

function signInAnswer(state: State, body: unknown): object {
  const isRight = typeof body === 'object' && body !== null && 'code' in body && body.code === rightCode;
  if (!isRight) return problem('refused', 'This code is not known, or was used already.');
  state.isSignedIn = true;
  return { kind: 'signed-in', name: state.me.name };
}

const noSuch = problem('not-found', 'There is nothing of this name.');

const cannedAnswers: Omit<Answers, 'machine'> = {
  line: async (line) => {
    const text = ['This harness answers every line so.'];
    return {
      kind: 'reply',
      cards: [{ title: `You wrote ${line}`, tone: 'neutral', audience: 'asker', text }],
      files: [],
    };
  },
  form: async () => ({ kind: 'reply', cards: [], files: [] }),
  card: async () => noSuch,
  report: () => noSuch,
};

function cannedDetail(site: OverviewView, name: string): MachineDetail | Problem {
  const machine = site.machines.find((one) => one.name === name);
  if (machine === undefined) return noSuch;
  const audit = { entries: [], isChainWhole: true, headDigest: '0'.repeat(64), problem: null };
  return { kind: 'machine', machine, points: [], runs: [], lag: null, audit };
}

function problem(why: Problem['why'], message: string): Problem {
  return { kind: 'problem', why, message, nextStep: 'Make a new one with `dr console`.' };
}

async function textOf(request: IncomingMessage): Promise<string> {
  return Buffer.concat(await request.toArray()).toString();
}

const statuses: Readonly<Record<string, number>> = { 'signed-out': 401, refused: 401, 'not-found': 404, outage: 503 };

function sendJson(response: ServerResponse, body: unknown): void {
  const isProblem = typeof body === 'object' && body !== null && 'why' in body;
  response.writeHead(isProblem ? (statuses[String(body.why)] ?? 400) : 200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendFile({ bundle }: State, path: string, response: ServerResponse): void {
  const asset = bundle.assets.find((one) => one.path === path);
  response.setHeader('content-type', asset?.contentType ?? 'text/html; charset=utf-8');
  response.end(asset?.plain ?? bundle.shell);
}

/** What a guest's text console looks like when it is up. */
const picture = consolePicture();

function consolePicture(): Buffer {
  const lines = ['Lifeboat test guest', 'LIFEBOAT vm-7 disk0=4711 disk1=4711', 'vm-7 login: _'];
  const rows = lines.map((line, index) => `<text x="12" y="${32 + index * 24}">${line}</text>`).join('');
  const style = 'fill="#c0c0c0" font-family="monospace" font-size="18"';
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="720" height="400"><rect width="720" height="400"/><g ${style}>${rows}</g></svg>`;
  return new Resvg(svg).render().asPng();
}

if (import.meta.main) {
  const port = Number(process.argv[process.argv.indexOf('--port') + 1] ?? 8099) || 8099;
  const harness = await startPageHarness({ site: cannedSite(1000, Date.now()), port });
  console.log(`${harness.url}  (${Math.round(harness.bundle.gzipBytes / 1024)} KiB gzip)`);
}

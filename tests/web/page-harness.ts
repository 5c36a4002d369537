import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { bundlePage, type PageBundle } from '../../bot/web/page-bundle.ts';
import { securityHeaders } from '../../bot/web/security-headers.ts';
import type { LineReply, LiveEvent, Me, Problem } from '../../bot/web/wire.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import { cannedSite } from './page-site.ts';

/** The real page, bundled as the bot does it and under the same headers, before canned answers: for its tests, and to look at it while working on it. */
export type PageHarness = {
  readonly url: string;
  readonly bundle: PageBundle;
  /** To every open page. */
  readonly emit: (event: LiveEvent) => void;
  /** The streams break, and new ones are refused until `heal`. */
  readonly breakStreams: () => void;
  readonly heal: () => void;
  readonly setSite: (site: OverviewView) => void;
  readonly site: () => OverviewView;
  /** Nobody is signed in until the right code comes. */
  readonly signEverybodyOut: () => void;
  readonly signIn: () => void;
  readonly answers: CannedAnswers;
  /** Everything that was posted: path and body. */
  readonly posted: readonly { readonly path: string; readonly body: unknown }[];
  readonly close: () => Promise<void>;
};
/** What the calls are answered, by path; a test puts its own in. */
export type CannedAnswers = Map<string, (request: { readonly path: string; readonly body: unknown }) => unknown>;

export const harnessMe: Me = { name: 'ada', roles: ['operator', 'approver'], hasAuthenticator: true, isOnCall: true };
export const rightCode = 'RIGHT-CODE';

type State = {
  readonly bundle: PageBundle;
  readonly streams: Set<ServerResponse>;
  readonly answers: CannedAnswers;
  readonly posted: { path: string; body: unknown }[];
  site: OverviewView;
  isBroken: boolean;
  isSignedIn: boolean;
};

/** @param options.bundle of an earlier harness: it takes seconds on a busy machine */
export async function startPageHarness(options: {
  readonly machineCount: number;
  readonly port?: number;
  readonly bundle?: PageBundle;
}): Promise<PageHarness> {
  const state: State = {
    bundle: options.bundle ?? (await bundlePage()),
    streams: new Set(),
    answers: new Map(),
    posted: [],
    site: cannedSite(options.machineCount, Date.now()),
    isBroken: false,
    isSignedIn: true,
  };
  const server = createServer((request, response) => void answer(state, request, response));
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const beat = setInterval(() => emit({ kind: 'beat', atMs: Date.now() }), 2000);
  const emit = (event: LiveEvent) => {
    for (const stream of state.streams) stream.write(eventText(event));
  };
  const endStreams = () => {
    for (const stream of state.streams) stream.destroy();
  };
  return {
    url: `http://127.0.0.1:${port}`,
    bundle: state.bundle,
    emit,
    breakStreams: () => {
      state.isBroken = true;
      endStreams();
    },
    heal: () => {
      state.isBroken = false;
    },
    setSite: (site) => {
      state.site = site;
    },
    site: () => state.site,
    signEverybodyOut: () => {
      state.isSignedIn = false;
      endStreams();
    },
    signIn: () => {
      state.isSignedIn = true;
    },
    answers: state.answers,
    posted: state.posted,
    close: async () => {
      clearInterval(beat);
      endStreams();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function eventText(event: LiveEvent): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname: path } = new URL(request.url ?? '/', 'http://harness');
  for (const [name, value] of Object.entries(securityHeaders(false))) response.setHeader(name, value);
  if (!path.startsWith('/api/')) return sendFile(state, path, response);
  const body = await readBody(request);
  if (request.method === 'POST') state.posted.push({ path, body });
  if (path === '/api/sign-in') return sendJson(response, ...signInAnswer(state, body));
  if (!state.isSignedIn) return sendJson(response, 401, problem('signed-out', 'Your session has ended.'));
  if (path === '/api/live') return openStream(state, response);
  const made = state.answers.get(path)?.({ path, body }) ?? cannedAnswer(state, path, body);
  const isProblem = typeof made === 'object' && made !== null && 'kind' in made && made.kind === 'problem';
  return sendJson(response, isProblem ? 404 : 200, made);
}

function openStream(state: State, response: ServerResponse): void {
  if (state.isBroken) {
    response.destroy();
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(eventText({ kind: 'snapshot', me: harnessMe, site: state.site }));
  state.streams.add(response);
  response.on('close', () => state.streams.delete(response));
}

function signInAnswer(state: State, body: unknown): [number, unknown] {
  const isRight = typeof body === 'object' && body !== null && 'code' in body && body.code === rightCode;
  if (!isRight) return [401, problem('refused', 'This code is not known, or was used already.')];
  state.isSignedIn = true;
  return [200, { kind: 'signed-in', name: harnessMe.name }];
}

function cannedAnswer(state: State, path: string, body: unknown): unknown {
  if (path === '/api/sign-out') {
    state.isSignedIn = false;
    return {};
  }
  if (path === '/api/line' || path === '/api/form') return lineReply(body);
  const name = decodeURIComponent(path.slice('/api/machines/'.length));
  const machine = path.startsWith('/api/machines/') ? state.site.machines.find((one) => one.name === name) : undefined;
  if (machine === undefined) return problem('not-found', 'There is nothing of this name.');
  return {
    kind: 'machine',
    machine,
    points: [],
    runs: [],
    lag: null,
    audit: { entries: [], isChainWhole: true, headDigest: '0'.repeat(64), problem: null },
  };
}

function lineReply(body: unknown): LineReply {
  const line = typeof body === 'object' && body !== null && 'line' in body ? String(body.line) : '';
  const text = ['This harness answers every line so.'];
  return {
    kind: 'reply',
    cards: [{ title: `You wrote ${line}`, tone: 'neutral', audience: 'asker', text }],
    files: [],
  };
}

function problem(why: Problem['why'], message: string): Problem {
  return { kind: 'problem', why, message, nextStep: 'Make a new one with `dr console`.' };
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  const text = Buffer.concat(parts).toString();
  return text === '' ? undefined : JSON.parse(text);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendFile({ bundle }: State, path: string, response: ServerResponse): void {
  const asset = bundle.assets.find((one) => one.path === path);
  response.setHeader('content-type', asset?.contentType ?? 'text/html; charset=utf-8');
  response.end(asset?.plain ?? bundle.shell);
}

/** axe-core, to be run inside the page. */
export async function axeSource(): Promise<string> {
  return readFile(join(import.meta.dirname, '../../node_modules/axe-core/axe.min.js'), 'utf8');
}

if (import.meta.main) {
  const port = Number(process.argv[process.argv.indexOf('--port') + 1] ?? 8099) || 8099;
  const harness = await startPageHarness({ machineCount: 1000, port });
  console.log(`${harness.url}  (${Math.round(harness.bundle.gzipBytes / 1024)} KiB gzip)`);
}

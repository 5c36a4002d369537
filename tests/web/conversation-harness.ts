import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { Resvg } from '@resvg/resvg-js';
import { build } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { Card } from '../../bot/card.ts';
import type { FormAnswers, FormKind } from '../../bot/form.ts';
import { contentSecurityPolicy } from '../../bot/web/security-headers.ts';
import type { CardAnswer, LineReply, Me, Problem } from '../../bot/web/wire.ts';
import type { OverviewView } from '../../protocol/console-api.ts';

/** What the canned server answers; a test replaces what it needs. */
export type Answers = {
  line: (line: string) => Promise<LineReply | Problem>;
  form: (form: { kind: FormKind; context: string }, answers: FormAnswers) => Promise<LineReply | Problem>;
  card: (topic: string) => Promise<CardAnswer | Problem>;
};
export type Theme = 'light' | 'dark';
export type Scene = {
  readonly site: OverviewView;
  readonly me: Me;
  readonly path: string;
  readonly nowMs: number;
};

/** The conversation of the page, in a browser, under the console's own security policy, with a canned server behind it. */
export type Harness = {
  readonly page: Page;
  readonly answers: Answers;
  readonly linesSent: string[];
  /** What broke: errors of the page and breaches of the policy. */
  readonly faults: string[];
  readonly look: (theme: Theme, widthPixels: number, heightPixels?: number) => Promise<void>;
  readonly open: (scene: Scene) => Promise<void>;
  readonly showCards: (cards: readonly Card[]) => Promise<void>;
  readonly dispatch: (event: object) => Promise<void>;
  /** The page's whole state as JSON. */
  readonly state: () => Promise<string>;
  /** Serious and critical findings of axe, one line each. */
  readonly audit: () => Promise<string[]>;
  readonly close: () => Promise<void>;
};

const pageFolder = path.join(import.meta.dirname, '../../bot/web/page');
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

export async function openHarness(): Promise<Harness> {
  const [files, browser] = await Promise.all([bundle(), launch()]);
  const server = await serve(files);
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  const notCanned = async () => ({ kind: 'problem', why: 'outage', message: 'not canned', nextStep: null }) as const;
  const answers: Answers = { line: notCanned, form: notCanned, card: notCanned };
  const linesSent: string[] = [];
  await page.exposeFunction('answerLine', (line: string) => {
    linesSent.push(line);
    return answers.line(line);
  });
  await page.exposeFunction('answerForm', (form: { kind: FormKind; context: string }, filled: FormAnswers) =>
    answers.form(form, filled),
  );
  await page.exposeFunction('answerCard', (topic: string) => answers.card(topic));
  const { port } = server.address() as AddressInfo;
  await page.goto(`http://127.0.0.1:${port}/`);
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(axe);
  return {
    page,
    answers,
    linesSent,
    faults,
    look: async (theme, width, height = 900) => {
      await page.setViewportSize({ width, height });
      await page.evaluate(`harness.theme(${JSON.stringify(theme)})`);
    },
    open: async (scene) => {
      linesSent.length = 0;
      await page.evaluate(`harness.open(${JSON.stringify(scene)})`);
    },
    showCards: (cards) => page.evaluate(`harness.showCards(${JSON.stringify(cards)})`),
    dispatch: (event) => page.evaluate(`harness.dispatch(${JSON.stringify(event)})`),
    state: () => page.evaluate('JSON.stringify(harness.state())'),
    audit: () => page.evaluate(auditScript),
    close: async () => {
      await browser.close();
      server.close();
    },
  };
}

function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: flags, timeout: 60_000 });
}

type Files = { readonly script: string; readonly style: string };

async function bundle(): Promise<Files> {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: pageFolder, loader: 'js' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    outdir: '/',
    logLevel: 'silent',
  });
  const textOf = (extension: string) => outputFiles.find((file) => file.path.endsWith(extension))?.text ?? '';
  return { script: textOf('.js'), style: `${textOf('.css')}\n${harnessStyle}` };
}

async function serve(files: Files): Promise<Server> {
  const shell =
    '<!doctype html><html lang="en"><head><title>Lifeboat</title><meta name="viewport" content="width=device-width">' +
    '<link rel="icon" href="/icon.png"><link rel="stylesheet" href="/main.css"><script type="module" src="/main.js"></script></head>' +
    '<body><div id="page"></div></body></html>';
  const kinds = [
    [/^\/main\.js$/, 'text/javascript', files.script],
    [/^\/main\.css$/, 'text/css', files.style],
    [/^\/(api\/pictures\/.*|icon\.png)$/, 'image/png', consolePicture()],
    [/./, 'text/html', shell],
  ] as const;
  const server = createServer((request, response) => {
    const [, type, body] = kinds.find(([pattern]) => pattern.test(request.url ?? '')) ?? kinds[3];
    response.writeHead(200, {
      'content-type': `${type}; charset=utf-8`,
      'content-security-policy': contentSecurityPolicy,
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** What a guest's text console looks like when it is up. */
function consolePicture(): Buffer {
  const lines = ['Lifeboat test guest', 'disk0 4711  disk1 4711', 'vm-7 login: _'];
  const rows = lines.map((line, index) => `<text x="12" y="${32 + index * 24}">${line}</text>`).join('');
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" width="720" height="400"><rect width="720" height="400" fill="#000"/><g fill="#ccc" font-family="DejaVu Sans Mono" font-size="18">${rows}</g></svg>`;
  return new Resvg(drawing).render().asPng();
}

const auditScript = `(async () => {
  const { violations } = await axe.run(document, { resultTypes: ['violations'] });
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').flatMap(({ id, nodes }) =>
    nodes.slice(0, 3).map((node) => id + ': ' + node.html.slice(0, 160) + ' – ' + (node.any[0] ?? node.all[0] ?? node.none[0] ?? {}).message));
})()`;

const harnessStyle = `
body { background: var(--ground); }
.harness { display: grid; grid-template-columns: minmax(0, 1fr); min-height: 100dvh; }
.harness > main { padding: 16px; min-width: 0; }
.harness-chat { position: fixed; inset: 0; z-index: 5; }
@media (min-width: 1000px) {
  .harness.with-chat { grid-template-columns: minmax(0, 1fr) 26rem; }
  .harness-chat { position: sticky; top: 0; height: 100dvh; border-left: 1px solid var(--line); }
}
.cases { display: grid; gap: 12px; max-width: 44rem; padding: 12px; }
.case { min-width: 0; }`;

/** The harness's own main file; as text, because it is not ours to type-check here. */
const entry = `
import { html, render } from 'lit-html';
import './css/theme.css';
import './css/conversation.css';
import { actionSheet, openAction } from './action-sheet.ts';
import { alertsPage } from './alert-page.ts';
import { approvalPage, approvalsPage } from './approval-page.ts';
import { cardView } from './card-view.ts';
import { chatPane } from './chat-pane.ts';
import { formDialog } from './form-view.ts';
import { initialState, reduce } from './model.ts';
import { onPaletteKey, palette } from './palette.ts';
import { pictureDialog } from './picture-dialog.ts';
import { parseRoute } from './router.ts';
import { followTopics } from './topics.ts';

const query = new URLSearchParams();
const root = document.getElementById('page');
let nowMs = 0;
let cards;
let isDue = false;
let state = initialState({ route: { kind: 'overview' }, query, theme: 'light' });
const api = {
  sendLine: (line) => window.answerLine(line),
  sendForm: (form, answers) => window.answerForm(form, answers),
  card: (topic) => window.answerCard(topic),
  pictureUrl: (runId) => '/api/pictures/' + encodeURIComponent(runId),
};
const page = () => ({ state, dispatch, nowMs, go, api });
function go(path) { dispatch({ kind: 'went', route: parseRoute(path, query), query }); }
function dispatch(event) {
  state = reduce(state, event);
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(draw);
}
function content() {
  if (cards !== undefined) return html\`<div class="cases">\${cards.map((card) => html\`<div class="case">\${cardView(page(), card)}</div>\`)}</div>\`;
  const { route } = state;
  if (route.kind === 'approvals') return approvalsPage(page());
  if (route.kind === 'approval') return approvalPage(page(), route.id);
  return route.kind === 'alerts' ? alertsPage(page()) : html\`<h1>Overview</h1>\`;
}
function draw() {
  isDue = false;
  const isChat = cards === undefined && state.talk.pane === 'open';
  render(html\`<div class="harness \${isChat ? 'with-chat' : ''}">
      <main id="content" tabindex="-1">\${cards === undefined ? '' : html\`<h1 class="visually-hidden">Cards</h1><h2 class="visually-hidden">All</h2>\`}\${content()}</main>
      \${isChat ? html\`<div class="harness-chat">\${chatPane(page())}</div>\` : ''}
    </div>
    \${actionSheet(page())} \${formDialog(page())} \${palette(page())} \${pictureDialog(page())}\`, root);
  if (state.site !== undefined) followTopics(page());
}
window.addEventListener('keydown', (event) => onPaletteKey(page(), event));
const drawn = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(undefined))));
window.harness = {
  state: () => state,
  theme: (theme) => { document.documentElement.dataset.theme = theme; return drawn(); },
  dispatch: (event) => { dispatch(event); return drawn(); },
  act: (line) => { openAction(page(), line); return drawn(); },
  later: (ms) => { nowMs += ms; return window.harness.dispatch({ kind: 'theme', theme: state.theme }); },
  open: (scene) => {
    cards = undefined;
    nowMs = scene.nowMs;
    state = initialState({ route: parseRoute(scene.path, query), query, theme: 'light' });
    return window.harness.dispatch({ kind: 'live', event: { kind: 'snapshot', me: scene.me, site: scene.site }, browserMs: scene.nowMs });
  },
  showCards: (shown) => { cards = shown; return window.harness.dispatch({ kind: 'theme', theme: 'light' }); },
};
draw();
`;

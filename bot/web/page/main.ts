import { render } from 'lit-html';
import './css/theme.css';
import './css/frame.css';
import './css/overview.css';
import './css/conversation.css';
import './css/machine.css';
import './css/report.css';
import { secondMs } from '../../../domain/units.ts';
import { isProblem, makeApi } from './api.ts';
import { appView } from './app.ts';
import { makeDetailKeeper } from './detail-keeper.ts';
import { makeLive } from './live.ts';
import { initialState, type PageEvent, type PageState, reduce, type SignInState } from './model.ts';
import { currentPlace, listenToLinks, pushPath, replacePath } from './navigation.ts';
import { pathOfFilters } from './overview-state.ts';
import { type ListPlace, layoutFor, listPlace, windowFor } from './overview-window.ts';
import type { Page } from './page.ts';
import { onPaletteKey } from './palette.ts';
import { signIn, signInPath, takeCode } from './sign-in-page.ts';
import { titleWords } from './site-words.ts';
import { applyTheme, storedTheme } from './theme.ts';
import { followTopics } from './topics.ts';

// Before anything else: whoever looks over a shoulder, or into the history, sees no code.
const linkCode = takeCode();

const root = document.getElementById('page') ?? document.body;
let state: PageState = initialState({ ...currentPlace(), theme: storedTheme() });
let isDrawingDue = false;
applyTheme(state.theme);

const api = makeApi(signedOut);
const live = makeLive({
  onEvent: (event) => dispatch({ kind: 'live', event, browserMs: Date.now() }),
  onLost: (why) => dispatch({ kind: 'lost', why }),
  onSignedOut: signedOut,
});
const keepDetail = makeDetailKeeper({ api, dispatch, nowMs: () => Date.now() });

function page(): Page {
  const nowMs = Math.floor((Date.now() + state.clockSkewMs) / secondMs) * secondMs;
  return { state, dispatch, nowMs, go, api };
}

function dispatch(event: PageEvent): void {
  const before = state;
  state = reduce(state, event);
  if (state === before) return;
  if (state.theme !== before.theme) applyTheme(state.theme);
  if (state.overview.filters !== before.overview.filters && state.route.kind === 'overview') addressSoon();
  drawSoon();
}

/** All that happens between two pictures is drawn at once. A page in the background draws no pictures, but its title must be true. */
function drawSoon(): void {
  if (isDrawingDue) return;
  isDrawingDue = true;
  if (document.visibilityState === 'visible') requestAnimationFrame(draw);
  else setTimeout(draw, secondMs);
}

function draw(): void {
  isDrawingDue = false;
  const shown = page();
  render(appView(shown, useCode), root);
  const title = titleWords(state);
  if (document.title !== title) document.title = title;
  measure();
  if (state.me === undefined) return;
  followTopics(shown);
  keepDetail(state);
}

let list: ListPlace | undefined;
let measuredFor = '';

/**
 * Where the list begins and how wide it is. Asking makes the browser lay the page out at once, so it is asked only when that can have changed:
 * all that stands above the list has a fixed height.
 */
function measure(): void {
  const { route, site, talk, overview } = state;
  const facts = [
    route.kind,
    site === undefined,
    talk.pane,
    overview.layout,
    window.innerWidth,
    window.innerHeight,
  ].join();
  if (facts === measuredFor) return;
  measuredFor = facts;
  list = route.kind === 'overview' ? listPlace() : undefined;
  if (list === undefined) return;
  dispatch({ kind: 'overview-layout', layout: layoutFor(list.width) });
  showRows();
}

/** The rows that are in view now. */
function showRows(): void {
  if (list === undefined) return;
  dispatch({ kind: 'overview-window', ...windowFor(list, window.scrollY, layoutFor(list.width)) });
}

function arrive(afterDrawing: () => void): void {
  const wasLive = state.me !== undefined && state.route.kind !== 'sign-in';
  dispatch({ kind: 'went', ...currentPlace() });
  if (state.route.kind === 'sign-in') live.stop();
  else if (!wasLive) live.start();
  requestAnimationFrame(afterDrawing);
}

function go(path: string): void {
  pushPath(path);
  arrive(() => {
    window.scrollTo(0, 0);
    // A screen reader begins at the new page, not where the link was.
    document.getElementById('content')?.focus({ preventScroll: true });
  });
}

let addressTimer: number | undefined;
/** Not at each letter: browsers allow only so many changes of the address. */
function addressSoon(): void {
  clearTimeout(addressTimer);
  addressTimer = window.setTimeout(() => {
    if (state.route.kind === 'overview') replacePath(pathOfFilters(state.overview.filters));
  }, 250);
}

function signedOut(why?: string): void {
  live.stop();
  if (state.route.kind === 'sign-in') return;
  const path = signInPath();
  dispatch({ kind: 'signed-out' });
  if (why !== undefined) saySignIn({ phase: 'asking', refusal: { message: why, nextStep: null } });
  go(path);
}

function useCode(code: string): void {
  void signIn(page(), code, (path) => {
    // Nothing of whoever was signed in before is shown to who is now.
    if (state.me !== undefined) dispatch({ kind: 'signed-out' });
    go(path);
  });
}

/**
 * A link signs in at once where nobody is signed in. Elsewhere a person says first whether it may: whoever sent the link may want them to work
 * under another name than they think.
 */
async function useLink(code: string): Promise<void> {
  saySignIn({ phase: 'busy', refusal: undefined });
  const me = await api.me();
  if (isProblem(me) && me.why === 'signed-out') return useCode(code);
  const name = isProblem(me) ? undefined : me.name;
  saySignIn({ phase: 'asking', refusal: undefined, pending: { code, name } });
}

function saySignIn(signInNow: SignInState): void {
  dispatch({ kind: 'sign-in', signIn: signInNow });
}

listenToLinks(root, go, (scrollY) => arrive(() => window.scrollTo(0, scrollY)));
window.addEventListener('scroll', showRows, { passive: true });
window.addEventListener('resize', drawSoon);
document.addEventListener('visibilitychange', drawSoon);
window.addEventListener('keydown', (event) => {
  if (onPaletteKey(page(), event)) return;
  const isTyping = event.target instanceof Element && event.target.closest('input, textarea, select, dialog') !== null;
  const search = document.getElementById('search');
  if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey || search === null) return;
  event.preventDefault();
  search.focus();
});
// Ages go on by themselves; only the rows in view are drawn, and of them only what has changed.
setInterval(() => document.visibilityState === 'visible' && drawSoon(), secondMs);
// A newer link in a page that stands on the sign-in page already changes only what is behind the `#`.
window.addEventListener('hashchange', () => {
  const code = takeCode();
  if (code !== undefined) void useLink(code);
});
// The stream first, the drawing with the next picture: whatever is drawn before keeps the browser from asking.
if (linkCode !== undefined) void useLink(linkCode);
else if (state.route.kind !== 'sign-in') live.start();
drawSoon();

import { html, nothing, type TemplateResult } from 'lit-html';
import { textOf } from './card-text.ts';
import { icon } from './icons.ts';
import type { SignInState } from './model.ts';
import type { Page } from './page.ts';
import { ownPath } from './router.ts';

const codeLengthMax = 200;

/**
 * The code of a link, which stands behind the `#` so that nothing that only looks at links uses it up. It is taken out of the address bar
 * and of the browser's history at once.
 */
export function takeCode(): string | undefined {
  const { pathname, search, hash } = window.location;
  if (pathname !== '/sign-in' || hash.length < 2) return undefined;
  window.history.replaceState(null, '', `${pathname}${search}`);
  return hash.slice(1, codeLengthMax + 1);
}

/** Where somebody is sent who has to sign in first; they come back to where they wanted to go. */
export function signInPath(): string {
  const wanted = ownPath(`${window.location.pathname}${window.location.search}`, window.location.origin);
  return wanted === '/' ? '/sign-in' : `/sign-in?to=${encodeURIComponent(wanted)}`;
}

/** Sends the code; a refusal stays on the page in words. `onSignedIn` gets the path to go to. */
export async function signIn(page: Page, code: string, onSignedIn: (path: string) => void): Promise<void> {
  page.dispatch({ kind: 'sign-in', signIn: { phase: 'busy', refusal: undefined } });
  const reply = await page.api.signIn(code.trim());
  const refusal = reply.kind === 'problem' ? { message: reply.message, nextStep: reply.nextStep } : undefined;
  page.dispatch({ kind: 'sign-in', signIn: { phase: 'asking', refusal } });
  if (refusal === undefined) onSignedIn(wantedPath());
}

function wantedPath(): string {
  return ownPath(new URLSearchParams(window.location.search).get('to'), window.location.origin);
}

/** Somebody is signed in: nothing is done with the link unless they say so. */
function questionPage(
  page: Page,
  { code, name }: NonNullable<SignInState['pending']>,
  onCode: (code: string) => void,
): TemplateResult {
  const stay = () => {
    page.dispatch({ kind: 'sign-in', signIn: { phase: 'asking', refusal: undefined } });
    page.go(wantedPath());
  };
  return html`<main class="sign-in" id="content">
    <section class="card sign-in-card">
      <p class="brand">${icon('boat')}<span>Lifeboat</span></p>
      <h1>Use this link?</h1>
      <p role="alert">
        ${name === undefined ? 'Somebody may be signed in in this browser.' : html`You are signed in as <strong>${textOf(name)}</strong>.`}
        Use this link and sign in as its owner?
      </p>
      <p class="muted">Do so only when you asked for the link yourself: what you do then is done in its owner's name.</p>
      <button type="button" class="button" @click=${stay}>${name === undefined ? 'Do not use it' : html`Stay ${textOf(name)}`}</button>
      <button type="button" class="button button-quiet" @click=${() => onCode(code)}>Use the link</button>
    </section>
  </main>`;
}

/** Without a session there is only this. */
export function signInPage(page: Page, onCode: (code: string) => void): TemplateResult {
  const { phase, refusal, pending } = page.state.signIn;
  if (pending !== undefined) return questionPage(page, pending, onCode);
  const isBusy = phase === 'busy';
  const sent = (event: SubmitEvent) => {
    event.preventDefault();
    const code = event.target instanceof HTMLFormElement ? new FormData(event.target).get('code') : null;
    if (typeof code === 'string' && code.trim() !== '') onCode(code);
  };
  return html`<main class="sign-in" id="content">
    <section class="card sign-in-card">
      <p class="brand">${icon('boat')}<span>Lifeboat</span></p>
      <h1>Sign in</h1>
      <form @submit=${sent} autocomplete="off">
        <label for="code">One-time code</label>
        <input
          id="code"
          name="code"
          class="field mono"
          maxlength=${codeLengthMax}
          autocapitalize="off"
          autocomplete="one-time-code"
          spellcheck="false"
          required
          autofocus
          aria-describedby="code-help sign-in-refusal"
        />
        <button class="button button-primary" type="submit" ?disabled=${isBusy}>${isBusy ? 'Signing in' : 'Sign in'}</button>
      </form>
      <div id="sign-in-refusal" class="sign-in-refusal" role="alert">${
        refusal === undefined
          ? nothing
          : html`<p class="tone-bad">${icon('bad')} ${textOf(refusal.message)}</p>${refusal.nextStep === null ? nothing : html`<p>${textOf(refusal.nextStep)}</p>`}`
      }</div>
      <ul id="code-help" class="sign-in-help muted">
        <li>In a terminal: <code>dr console</code> makes a link that signs you in.</li>
        <li>In Slack or Teams: <code>/dr console</code> makes the same link, for you alone.</li>
        <li>On a new installation: the set-up code that the engine printed at its first start.</li>
      </ul>
    </section>
  </main>`;
}

import { html, nothing, type TemplateResult } from 'lit-html';
import { grantWords } from '../../../domain/access.ts';
import { absoluteTime } from '../../conversation/time-words.ts';
import type { Me } from '../wire.ts';
import { chatPane } from './chat-pane.ts';
import { type IconName, icon } from './icons.ts';
import { pathOfFilters } from './overview-state.ts';
import type { Page } from './page.ts';
import type { Route } from './router.ts';
import { needsMe, routeWords, siteWords } from './site-words.ts';
import { nextTheme } from './theme.ts';

/** From this width on the chat has a column of its own beside the page. */
export const chatColumnQuery = '(min-width: 1200px)';

/** What stands around every page: who and where I am, what waits for me, whether what I see is so now. */
export function frameView(page: Page, content: TemplateResult): TemplateResult {
  const isChatShown = isPaneShown(page);
  return html`<a class="skip-link" href="#content">Skip to the content</a>
    <div class="frame ${isChatShown ? 'frame-with-chat' : ''}">
      ${headerView(page)} ${stripView(page)} ${navigationView(page)}
      <main id="content" class="content" tabindex="-1" aria-label=${routeWords(page.state)}>${content}</main>
      <div class="chat-slot" ?hidden=${!isChatShown}>${isChatShown ? chatPane(page) : nothing}</div>
    </div>`;
}

/** The chat is open when somebody opened it, or when nobody closed it and there is room. */
export function isPaneShown({ state }: Page): boolean {
  const { pane } = state.talk;
  return pane === 'open' || (pane === 'auto' && matchMedia('(min-width: 1500px)').matches);
}

function headerView(page: Page): TemplateResult {
  const { theme } = page.state;
  const next = nextTheme(theme);
  return html`<header class="header">
    <a class="brand" href="/">${icon('boat')}<span class="brand-name">Lifeboat</span></a>
    ${searchView(page)}
    <div class="header-end">
      ${badgesView(page)}
      <button
        class="button button-quiet button-icon"
        type="button"
        aria-label="Theme: ${theme}. Change to ${next}"
        title="Theme: ${theme}"
        @click=${() => page.dispatch({ kind: 'theme', theme: next })}
      >${icon(theme)}</button>
      ${personView(page)}
    </div>
  </header>`;
}

function searchView(page: Page): TemplateResult {
  const { filters } = page.state.overview;
  const isHere = page.state.route.kind === 'overview';
  const typed = (event: Event) => {
    const text = event.target instanceof HTMLInputElement ? event.target.value.slice(0, 200) : '';
    page.dispatch({ kind: 'overview-filters', filters: { text } });
  };
  const sent = (event: Event) => {
    event.preventDefault();
    if (!isHere) page.go(pathOfFilters({ ...filters }));
  };
  return html`<form class="search" role="search" @submit=${sent}>
    <label class="search-field">
      ${icon('search')}
      <span class="visually-hidden">Search machines, hosts, sites and tags</span>
      <input
        id="search"
        class="field"
        type="search"
        placeholder="Search machines, hosts, tags"
        autocomplete="off"
        spellcheck="false"
        maxlength="200"
        aria-keyshortcuts="/"
        .value=${filters.text}
        @input=${typed}
      /><kbd aria-hidden="true">/</kbd>
    </label>
    <button
      class="button palette-button"
      type="button"
      aria-keyshortcuts="Control+K Meta+K"
      @click=${() => page.dispatch({ kind: 'talk-palette-opened' })}
    ><span class="palette-words">Commands</span><kbd aria-hidden="true">Ctrl K</kbd><span class="mono palette-short" aria-hidden="true">/dr</span></button>
  </form>`;
}

function badgesView(page: Page): TemplateResult {
  const { approvals, reviews, alerts } = needsMe(page.state);
  const label = reviews.length === 0 ? 'approvals wait for me' : 'approvals and reviews wait for me';
  const isCritical = alerts.some((alert) => alert.severity === 'critical');
  return html`<nav class="badges" aria-label="What needs me">
    ${badge({ href: '/approvals', icon: 'approvals', count: approvals.length + reviews.length, label, tone: 'warning' })}
    ${badge({ href: '/alerts', icon: 'alerts', count: alerts.length, label: 'open alerts', tone: isCritical ? 'bad' : 'warning' })}
  </nav>`;
}

type Badge = {
  readonly href: string;
  readonly icon: IconName;
  readonly count: number;
  readonly label: string;
  readonly tone: 'warning' | 'bad';
};

function badge({ href, icon: name, count, label, tone }: Badge): TemplateResult {
  const look = count === 0 ? 'badge-none' : `badge-${tone}`;
  return html`<a class="badge ${look}" href=${href} title="${count} ${label}" aria-label="${count} ${label}">
    ${icon(name)}<span class="badge-count">${count}</span>
  </a>`;
}

function personView(page: Page): TemplateResult {
  const { me } = page.state;
  if (me === undefined) return html`<span class="person-place"></span>`;
  const signOut = (isEverywhere: boolean) => async () => {
    await page.api.signOut(isEverywhere);
    page.dispatch({ kind: 'signed-out' });
    page.go('/sign-in');
  };
  return html`<button class="button button-quiet person" type="button" popovertarget="person-menu">
      ${icon('person')}<span class="person-name">${me.name}</span>
    </button>
    <div id="person-menu" class="card person-menu" popover>
      <p><strong>${me.name}</strong></p>
      <p class="muted small">${roleWords(me)}${me.isOnCall ? ' · on call' : ''}</p>
      <p class="muted small">
        ${me.hasAuthenticator ? 'Six-digit codes are set up.' : html`No six-digit codes yet: <code>authenticator</code> in the chat.`}
      </p>
      <div class="person-actions">
        <button class="button" type="button" @click=${signOut(false)}>Sign out</button>
        <button class="button button-quiet" type="button" @click=${signOut(true)}>Sign out everywhere</button>
      </div>
    </div>`;
}

function roleWords({ roles, grants = [] }: Me): string {
  const held = grants.length > 0 ? grants.map(grantWords) : roles;
  return held.length === 0 ? 'no role yet' : held.join(', ');
}

/** One line that is always there, so that nothing moves when it has to shout. */
function stripView(page: Page): TemplateResult {
  const { freshness, site } = page.state;
  const isStale = freshness.kind === 'stale';
  return html`<div class="strip ${isStale ? 'strip-stale' : ''}">
    <p class="strip-site">${site === undefined ? 'Connecting to the site' : siteWords(site)}</p>
    <p class="strip-fresh" role="status">
      <span class="visually-hidden">${isStale ? staleWords(page) : freshness.kind === 'live' ? 'Live' : 'Connecting'}</span>
      <span aria-hidden="true">${freshnessView(page)}</span>
    </p>
  </div>`;
}

function freshnessView(page: Page): TemplateResult {
  const { freshness } = page.state;
  switch (freshness.kind) {
    case 'connecting':
      return html`connecting`;
    case 'live':
      return html`<span class="pulse"></span>live · ${absoluteTime(page.nowMs, page.nowMs)}`;
    case 'stale':
      return html`${icon('warning')} <strong>${staleWords(page)}</strong>`;
    default:
      return freshness satisfies never;
  }
}

function staleWords(page: Page): string {
  const { freshness } = page.state;
  if (freshness.kind !== 'stale') return '';
  const { sinceMs, why } = freshness;
  const time = sinceMs === null ? 'Not known' : `As of ${absoluteTime(sinceMs, page.nowMs)}`;
  return `${time} · ${why}`;
}

const places = [
  { href: '/', kinds: ['overview', 'machine'], words: 'Overview', icon: 'overview' },
  { href: '/approvals', kinds: ['approvals', 'approval'], words: 'Approvals', icon: 'approvals' },
  { href: '/alerts', kinds: ['alerts'], words: 'Alerts', icon: 'alerts' },
  { href: '/report', kinds: ['report'], words: 'Report', icon: 'report' },
] as const satisfies readonly { href: string; kinds: readonly Route['kind'][]; words: string; icon: IconName }[];

function navigationView(page: Page): TemplateResult {
  const { kind } = page.state.route;
  const isShown = isPaneShown(page);
  const isOf = (kinds: readonly Route['kind'][]) => kinds.includes(kind);
  return html`<nav class="navigation" aria-label="Main">
    ${places.map(
      (place) => html`<a href=${place.href} aria-current=${isOf(place.kinds) ? 'page' : nothing}>
        ${icon(place.icon)}<span>${place.words}</span>
      </a>`,
    )}
    <button
      type="button"
      aria-pressed=${isShown ? 'true' : 'false'}
      @click=${() => page.dispatch({ kind: 'talk-pane', pane: isShown ? 'closed' : 'open' })}
    >${icon('chat')}<span>Chat</span></button>
  </nav>`;
}

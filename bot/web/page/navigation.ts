import { parseRoute, type Route } from './router.ts';

export type Place = { readonly route: Route; readonly query: URLSearchParams };

/** Where the address bar says that we are. */
export function currentPlace(): Place {
  const query = new URLSearchParams(window.location.search);
  return { route: parseRoute(window.location.pathname, query), query };
}

/** How far down the page was when it was left, by the browser's own entry of its history. */
type EntryState = { readonly scrollY: number };

function scrollOf(state: unknown): number {
  const known = typeof state === 'object' && state !== null && 'scrollY' in state ? state.scrollY : 0;
  return typeof known === 'number' ? known : 0;
}

/** Goes to a path of this page without loading it anew. */
export function pushPath(path: string): void {
  window.history.replaceState({ scrollY: window.scrollY } satisfies EntryState, '');
  window.history.pushState({ scrollY: 0 } satisfies EntryState, '', path);
}

/** Corrects the address without a new entry: what was typed into the search is no step to go back to. */
export function replacePath(path: string): void {
  if (`${window.location.pathname}${window.location.search}` === path) return;
  window.history.replaceState(window.history.state, '', path);
}

/**
 * Clicks on links of our own go through `onPath`, Back and Forward through `onBack` with how far down the page was.
 * Links with a modifier, to other places, or to be downloaded are the browser's.
 */
export function listenToLinks(
  root: HTMLElement,
  onPath: (path: string) => void,
  onBack: (scrollY: number) => void,
): void {
  window.history.scrollRestoration = 'manual';
  window.addEventListener('popstate', (event) => onBack(scrollOf(event.state)));
  root.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[href]') : null;
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!(link instanceof HTMLAnchorElement) || !isPlain || event.defaultPrevented) return;
    const isOurs = link.origin === window.location.origin && link.target === '' && !link.hasAttribute('download');
    const isPage = isOurs && !link.pathname.startsWith('/api/') && !link.pathname.startsWith('/assets/');
    const isSpot = link.getAttribute('href')?.startsWith('#') === true;
    if (!isPage || isSpot) return;
    event.preventDefault();
    onPath(`${link.pathname}${link.search}${link.hash}`);
  });
}

import type { Page } from 'playwright-core';

/** What no page of the console may ever show. Each check says what it has found; the planted bugs prove that it finds something. */

/** What is drawn as well now. Not what was so at a time that stands beside it: how a run ended, and the chain of the audit trail. */
export function greens(page: Page): Promise<string[]> {
  return page.evaluate(`[...document.querySelectorAll('[class*="-good"]')]
    .filter((element) => element.closest('.run-outcome') === null)
    .map((element) => element.getAttribute('class') + ': ' + element.textContent.trim().slice(0, 60))`);
}

/** Elements that only a text which was taken for HTML can have made, and what script in it did. */
export function foreignMarkup(page: Page): Promise<string[]> {
  return page.evaluate(`(async () => {
  const loading = [...document.images].filter((image) => !image.complete);
  await Promise.all(loading.map((image) => new Promise((resolve) => {
    image.addEventListener('load', resolve);
    image.addEventListener('error', resolve);
  })));
  // The handlers of pictures that had failed already have run by then.
  await new Promise((resolve) => setTimeout(resolve));
  return [
    ...[...document.querySelectorAll('#page script, #page [onerror], #page [src="x"], #page a[href^="javascript"]')].map((element) => element.outerHTML),
    ...(globalThis.harmed === undefined ? [] : ['its script ran']),
  ];
  })()`);
}

/** Where the page still has a secret: in its state, in a field, in what it drew. Needs `windowIntoState`. */
export function placesOf(page: Page, secret: string): Promise<string[]> {
  return page.evaluate(`Object.entries({
    state: JSON.stringify(stateOfPage()),
    fields: [...document.querySelectorAll('input, textarea')].map((field) => field.value).join(' '),
    page: document.documentElement.outerHTML,
  }).filter(([, text]) => text.includes(${JSON.stringify(secret)})).map(([place]) => place)`);
}

/** The page keeps its state to itself; a test may look at it. */
export const windowIntoState = {
  file: 'bot/web/page/main.ts',
  from: 'const api = makeApi(signedOut);',
  to: 'const api = makeApi(signedOut);\nObject.assign(globalThis, { stateOfPage: () => state });',
} as const;

/** What strangers write; as a text it does nothing. */
export const hostileMarkup = '<img src=x onerror="globalThis.harmed=1"><script>globalThis.harmed=1</script>';

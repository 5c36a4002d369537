import type { Browser, BrowserContext } from 'playwright-core';

/** What one load of the console's first page was like; milliseconds since the browser set out for it. */
export type PageLoad = {
  readonly firstPaintMs: number;
  /** Until the first rows of machines had been painted: what people came for. */
  readonly firstRowsMs: number;
  /** How many rows were in the page then. */
  readonly rowCount: number;
  /** The browser's own sum, up to two seconds after the rows; 0 when nothing moved. */
  readonly layoutShift: number;
  /** As sent, in whatever encoding the browser asked for, until the rows were there. */
  readonly wireBytes: number;
};

const patienceMs = 30_000;
const settleMs = 2000;

/** Opens the page as a browser does that was never there: nothing is kept, no connection is open. The session's cookie is all that it has. */
export async function loadPage(browser: Browser, url: string, cookie: string): Promise<PageLoad> {
  // The console's own certificate, which nobody has trusted yet; browsers keep nothing of such a place either.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
  try {
    await context.addCookies([cookieOf(url, cookie)]);
    return await measureIn(context, url);
  } finally {
    await context.close();
  }
}

function cookieOf(url: string, cookie: string) {
  const [name = '', value = ''] = cookie.split('=', 2);
  return { name, value, url, secure: true, httpOnly: true, sameSite: 'Strict' as const };
}

async function measureIn(context: BrowserContext, url: string): Promise<PageLoad> {
  await context.addInitScript({ content: watchPaints });
  const page = await context.newPage();
  const wire = await context.newCDPSession(page);
  let wireBytes = 0;
  wire.on('Network.dataReceived', ({ encodedDataLength }) => {
    wireBytes += encodedDataLength;
  });
  await wire.send('Network.enable');
  await page.goto(url, { waitUntil: 'commit', timeout: patienceMs });
  const { atMs, rowCount }: { atMs: number; rowCount: number } = await page.evaluate('benchRows');
  const bytesForRows = wireBytes;
  await page.waitForTimeout(settleMs);
  const [firstPaintMs, layoutShift]: [number, number] = await page.evaluate('[benchFirstPaintMs, benchShift]');
  return { firstPaintMs, firstRowsMs: atMs, rowCount, layoutShift, wireBytes: bytesForRows };
}

/** Runs inside the browser before the page's own script; as text, because it is not ours to type-check there. */
const watchPaints = `
globalThis.benchShift = 0;
globalThis.benchFirstPaintMs = 0;
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) globalThis.benchShift += value;
}).observe({ type: 'layout-shift', buffered: true });
new PerformanceObserver((list) => {
  for (const { name, startTime } of list.getEntries()) if (name === 'first-contentful-paint') globalThis.benchFirstPaintMs = startTime;
}).observe({ type: 'paint', buffered: true });
globalThis.benchRows = new Promise((resolve) => {
  const rows = new MutationObserver(() => {
    const rowCount = document.querySelectorAll('#tree-rows .row-machine').length;
    if (rowCount === 0) return;
    rows.disconnect();
    // Drawn within a frame; when the next one begins, that one has been painted.
    requestAnimationFrame(() => resolve({ atMs: performance.now(), rowCount }));
  });
  rows.observe(document, { childList: true, subtree: true });
});
`;

import { existsSync } from 'node:fs';
import { loadavg } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { bundlePage } from '../../bot/web/page-bundle.ts';
import { invariant } from '../../domain/invariant.ts';
import { launchBrowser } from '../../tests/fixtures/browser.ts';
import { startConsoleSite } from '../../tests/web/console-site.ts';
import { loadPage, type PageLoad } from './page-load.ts';
import type { SeededStore } from './seeded-store.ts';

/** Whether the bot has the site at hand already, because somebody else looks at it, or has to ask the engine first. */
export type Company = 'nobody else looks' | 'others look already';
export type LoadsOf = { readonly company: Company; readonly loads: readonly PageLoad[] };
export type PageResults =
  | {
      readonly kind: 'measured';
      readonly browser: string;
      readonly weight: PageWeight;
      readonly loads: readonly LoadsOf[];
      readonly loadAverage: number;
    }
  | { readonly kind: 'not-measured'; readonly why: string };
export type PageWeight = {
  /** All that the page ever loads of its own: HTML, script, style, icon. */
  readonly gzipBytes: number;
  readonly files: readonly { readonly path: string; readonly plainBytes: number; readonly gzipBytes: number }[];
};

const chromium = '/usr/bin/chromium';
/** Half a minute as it is shipped: so long the bot goes on looking after the last page was closed. */
const lingerMs = 1000;
/** After this nothing of the last look is left. */
const forgottenAfterMs = 2500;

/**
 * Opens the console's first page again and again, cold each time: the engine's API and the bot's web server as they are shipped, over TLS,
 * in one process, a real browser with a session.
 */
export async function measurePage({ store, freshen }: SeededStore, loadCount: number): Promise<PageResults> {
  if (!existsSync(chromium)) return { kind: 'not-measured', why: `${chromium} is not installed` };
  const page = await bundlePage();
  const site = await startConsoleSite(store, { page, pauses: { lingerMs } });
  const browser = await launchBrowser();
  try {
    const person = site.browser();
    await person.signIn('ana');
    invariant(person.cookie !== undefined, 'whoever has signed in has a cookie');
    const at = { browser, url: site.web.url, cookie: person.cookie, freshen };
    // The first load of all compiles what later ones only run, here and in the browser.
    await loadPage(browser, at.url, at.cookie);
    const alone = await takeLoads(at, loadCount);
    const other = await person.live();
    const beside = await takeLoads(at, loadCount);
    other.close();
    const loads: LoadsOf[] = [
      { company: 'nobody else looks', loads: alone },
      { company: 'others look already', loads: beside },
    ];
    const version = `Chromium ${browser.version()}`;
    return { kind: 'measured', browser: version, weight: weightOf(page), loads, loadAverage: loadavg()[0] ?? 0 };
  } finally {
    await browser.close();
    await site.stop();
  }
}

type LoadingAt = {
  readonly browser: Browser;
  readonly url: string;
  readonly cookie: string;
  readonly freshen: () => Promise<void>;
};

async function takeLoads({ browser, url, cookie, freshen }: LoadingAt, loadCount: number): Promise<PageLoad[]> {
  const loads: PageLoad[] = [];
  while (loads.length < loadCount) {
    await freshen();
    await wait(forgottenAfterMs);
    loads.push(await loadPage(browser, url, cookie));
  }
  return loads;
}

function weightOf({ gzipBytes, assets }: Awaited<ReturnType<typeof bundlePage>>): PageWeight {
  const files = assets.map(({ path, plain, gzip }) => ({ path, plainBytes: plain.length, gzipBytes: gzip.length }));
  return { gzipBytes, files };
}

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { makeGuestDisks } from '../../demo/guest/guest-disk.ts';
import type { Layout } from '../../demo/layout.ts';
import { staffWorkspace, type Telephone } from '../../demo/slack-conversation-people.ts';
import { type SlackWorkspace, startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import { mebibyte } from '../../domain/units.ts';
import { type FaultSite, startFaultSite } from '../faults/demo-site.ts';
import { launchBrowser, openPage, type WatchedPage } from '../fixtures/browser.ts';

/** The demo site with its real bot, ana and ben in a Slack workspace, and browsers in which they open the console. */
export type JourneySite = {
  readonly faults: FaultSite;
  readonly workspace: SlackWorkspace;
  readonly consoleUrl: string;
  /** ben's telephone with the six-digit codes. */
  readonly telephone: Telephone;
  /** A browser of its own, as on a host of its own. */
  readonly openBrowser: (options?: { readonly width: number; readonly height: number }) => Promise<Page>;
  /** What went wrong in any page: errors, breaches of the content security policy, dialogs that script opened. */
  readonly pageFaults: () => readonly string[];
  readonly close: () => Promise<void>;
};

export const patienceMs = 60_000;
const pictures = join(import.meta.dirname, 'pictures');
/** vm-7 has enough to copy for a page to be opened meanwhile; what is proved for vm-8 is proved for a few megabytes as well. */
const guestDisks = [
  ['vm-7', 160, 150],
  ['vm-8', 32, 4],
] as const;

export async function openJourneySite(): Promise<JourneySite> {
  const [workspace, browser] = await Promise.all([startSlackWorkspace(), launchBrowser()]);
  const faults = await startFaultSite(makeSmallDisks);
  const { site, layout } = faults;
  const telephone = await staffWorkspace({ site, layout, signal: AbortSignal.timeout(patienceMs) }, workspace);
  const opened: WatchedPage[] = [];
  return {
    faults,
    workspace,
    telephone,
    consoleUrl: `https://127.0.0.1:${site.ports.console}`,
    pageFaults: () => opened.flatMap(({ faults }) => faults),
    async openBrowser(viewport = { width: 1280, height: 800 }) {
      const watched = await openPage(browser, { ignoreHTTPSErrors: true, viewport });
      watched.page.setDefaultTimeout(patienceMs);
      opened.push(watched);
      return watched.page;
    },
    async close() {
      await browser.close();
      await faults.stop();
      await workspace.close();
    },
  };
}

async function makeSmallDisks(layout: Layout): Promise<void> {
  for (const [machineName, sizeMebibytes, filledMebibytes] of guestDisks) {
    const disk = { sizeBytes: sizeMebibytes * mebibyte, filledBytes: filledMebibytes * mebibyte };
    const disks = machineName === 'vm-7' ? [disk, { ...disk, filledBytes: 4 * mebibyte }] : [disk];
    await makeGuestDisks({ folder: `${layout.guests}/${machineName}`, machineName, disks, format: 'qcow2' });
  }
}

/** The newest link to the console that somebody was given in Slack. */
export async function linkInSlack({ workspace }: JourneySite, name: string): Promise<string> {
  await workspace.as(name).types('@Lifeboat', '/dr console');
  const links = () =>
    workspace
      .as(name)
      .reads('@Lifeboat')
      .match(/https:\/\/127\.0\.0\.1:\d+\/sign-in#[\w-]+/g) ?? [];
  await workspace.until(`${name} has a link`, () => links().length > 0, patienceMs);
  return links().at(-1) ?? '';
}

/** The link that `dr console` gives the administrator. */
export async function linkOfAdmin({ faults, consoleUrl }: JourneySite): Promise<string> {
  const answer = await faults.site.engine.ask({ kind: 'signInLink', body: {} }, {});
  if (answer.kind !== 'signInLink') throw new Error(`no link: ${JSON.stringify(answer)}`);
  return `${consoleUrl}/sign-in#${answer.link.code}`;
}

/**
 * The engine hangs until the pages call themselves stale, then is killed, as by somebody who has lost patience. It is started again by itself;
 * so are the pages.
 *
 * @param meanwhile what somebody does who has not noticed yet
 */
export async function restartEngine(
  { faults }: JourneySite,
  pages: readonly Page[],
  meanwhile: () => Promise<void> = async () => undefined,
): Promise<void> {
  const pid = faults.site.pidOf('engine');
  if (pid === undefined) throw new Error('the engine does not run');
  const allSay = (words: RegExp) => Promise.all(pages.map((page) => page.getByText(words).first().waitFor()));
  process.kill(pid, 'SIGSTOP');
  await meanwhile();
  await allSay(/the engine does not answer/i);
  process.kill(pid, 'SIGKILL');
  await allSay(/^\s*live/);
}

/** Kept as files by each run: people look at them. */
export async function takePictures(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  const before = page.viewportSize();
  for (const [width, height] of [
    [360, 780],
    [1280, 800],
    [2560, 1440],
  ] as const) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await pause(150); // one picture later the layout has followed
      await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`) });
    }
  }
  await page.emulateMedia({ colorScheme: null });
  if (before !== null) await page.setViewportSize(before);
}

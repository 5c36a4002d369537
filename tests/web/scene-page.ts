import type { Page } from 'playwright-core';
import { nowMs } from '../bot/recorded-answers.ts';
import { launchBrowser, openPage } from '../fixtures/browser.ts';
import { type Scene, sceneOf, vm7 } from './machine-scenes.ts';
import { harnessMe, type PageHarness, startPageHarness } from './page-harness.ts';

/** The page in a browser whose clock stands still, before the answers of a scene. */
export type ScenePage = {
  readonly page: Page;
  readonly harness: PageHarness;
  /** What went wrong in the page until now. */
  readonly faults: readonly string[];
  readonly open: (scene: Scene, address: string) => Promise<void>;
  /** Until its detail is there. */
  readonly openMachine: (scene: Scene) => Promise<void>;
  readonly openReport: (scene: Scene, query?: string) => Promise<void>;
  readonly close: () => Promise<void>;
};

export const enabled = sceneOf(vm7);

export async function openScenePage(): Promise<ScenePage> {
  const start = { site: enabled.site, me: { ...harnessMe, name: 'ana' }, nowMs: () => nowMs };
  const [harness, browser] = await Promise.all([startPageHarness(start), launchBrowser()]);
  const { page, faults } = await openPage(browser);
  await page.clock.setFixedTime(nowMs);
  const open = async ({ site, detail, report }: Scene, address: string) => {
    harness.setSite(site);
    Object.assign(harness.answers, { machine: detail, report });
    harness.linesSent.length = 0;
    harness.asked.length = 0;
    await page.goto(`${harness.url}${address}`);
  };
  return {
    page,
    harness,
    faults,
    open,
    async openMachine(scene) {
      await open(scene, '/machines/vm-7');
      await page.locator('.panel-audit[aria-busy="false"]').waitFor();
    },
    async openReport(scene, query = 'days=30') {
      await open(scene, `/report?${query}`);
      await page.locator('.report-sheet').waitFor();
    },
    async close() {
      await browser.close();
      await harness.close();
    },
  };
}

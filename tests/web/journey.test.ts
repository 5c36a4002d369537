import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readEngineConfig } from '../../engine/config.ts';
import { openStore } from '../../engine/store/open.ts';
import { eventually, machineOf } from '../faults/demo-site.ts';
import { type People, peopleIn } from '../faults/people-in-chat.ts';
import {
  type JourneySite,
  linkInSlack,
  linkOfAdmin,
  openJourneySite,
  patienceMs,
  restartEngine,
  takePictures,
} from './journey-site.ts';

/** Issue 4: the demo site is driven from a browser, with the engine killed on the way. Source: A4–A7, A10, A12 */
const hostileReason = '<img src=x onerror=alert(1)> "power" work';

let site: JourneySite;
let admin: Page;
let ana: Page;
let ben: Page;
let people: People;

const row = (page: Page, machine: string) =>
  page.getByRole('row').filter({ hasText: new RegExp(`^\\s*${machine}\\b`) });
const dialog = (page: Page) => page.getByRole('dialog').first();

async function act(page: Page, machine: string, item: RegExp): Promise<void> {
  await row(page, machine).getByRole('button').last().click();
  await page.getByRole('menuitem', { name: item }).click();
}

async function isProtected(machine: string): Promise<true | undefined> {
  return (await machineOf(site.faults.site, machine))?.protection.kind === 'protected' ? true : undefined;
}

describe('the demo site, driven from a browser', () => {
  beforeAll(async () => {
    site = await openJourneySite();
    people = peopleIn(site.workspace);
  }, 240_000);
  afterAll(async () => {
    await site?.close();
  }, 60_000);

  test('a one-time link opens the overview: site, host, and guests that nobody protects yet', async () => {
    admin = await site.openBrowser();
    const link = await linkOfAdmin(site);
    await admin.goto(link);
    await row(admin, 'vm-7').waitFor();
    expect(new URL(admin.url()).hash).toBe('');
    await expect.poll(() => row(admin, 'vm-7').innerText()).toContain('Not enabled');
    const other = await site.openBrowser();
    await other.goto(link);
    await other.getByText(/used already/).waitFor();
    expect(await other.getByRole('row').count()).toBe(0);
    // The next link, opened where the last one was refused.
    await other.goto(await linkOfAdmin(site));
    await row(other, 'vm-7').waitFor();
    await other.context().close();
  });

  test('the initial replication is watched live, over a restart of the engine, until it says Enabled', async () => {
    await act(admin, 'vm-7', /Enable/);
    await dialog(admin).getByRole('button', { name: 'Run' }).click();
    await dialog(admin).getByRole('button', { name: 'Close' }).click();
    await row(admin, 'vm-7')
      .getByText(/Enabled: Replicating/)
      .waitFor();
    await restartEngine(site, [admin]);
    await row(admin, 'vm-7')
      .getByText(/^\s*Enabled\s*$/)
      .first()
      .waitFor();
    await act(admin, 'vm-8', /Enable/);
    await dialog(admin).getByRole('button', { name: 'Run' }).click();
    await dialog(admin).getByRole('button', { name: 'Close' }).click();
    await eventually('vm-8 is Enabled', patienceMs, () => isProtected('vm-8'));
  });

  test('a drill goes from a click to the picture of the console, over a restart of the engine', async () => {
    await act(admin, 'vm-7', /Test failover/);
    await dialog(admin)
      .getByText(/dry run: nothing has been started/)
      .waitFor();
    await dialog(admin).getByText('/dr failover vm-7 --test').waitFor();
    await dialog(admin).getByRole('button', { name: 'Run' }).click();
    await dialog(admin)
      .getByText(/Test failover of vm-7 · (started|\d+ %|verified)/)
      .first()
      .waitFor();
    await restartEngine(site, [admin]);
    const picture = dialog(admin).getByRole('img').first();
    await picture.waitFor();
    await expect.poll(() => picture.boundingBox().then((box) => box?.height ?? 0)).toBeGreaterThan(200);
    await dialog(admin).getByRole('button', { name: 'Close' }).last().click();
    await admin.getByText('vm-7-Test').first().waitFor();
    await takePictures(admin, 'overview');
    await admin.goto(`${site.consoleUrl}/machines/vm-7`);
    await admin.getByText('vm-7-Test').first().waitFor();
    await takePictures(admin, 'machine');
    await admin.getByRole('button', { name: 'Clean up' }).first().click();
    await dialog(admin).getByRole('button', { name: 'Run' }).click();
    await dialog(admin)
      .getByText(/The drill is over/)
      .waitFor();
    await dialog(admin).getByRole('button', { name: 'Close' }).last().click();
  });

  test('ana asks in the browser, ben approves in Slack, over a restart of the engine', async () => {
    ana = await site.openBrowser();
    await ana.goto(await linkInSlack(site, 'ana'));
    await row(ana, 'vm-8').waitFor();
    await act(ana, 'vm-8', /Planned failover/);
    await dialog(ana).getByLabel('Reason').fill(hostileReason);
    await dialog(ana)
      .getByRole('button', { name: /^(Run|Ask)/ })
      .click();
    await dialog(ana)
      .getByText(/waits for approval/)
      .first()
      .waitFor();
    await restartEngine(site, [ana]);
    await people.approves('vm-8', site.telephone);
    site.telephone.used();
    await dialog(ana)
      .getByText(/nothing lost/)
      .first()
      .waitFor();
    await dialog(ana).getByRole('button', { name: 'Close' }).last().click();
    await row(ana, 'vm-8')
      .first()
      .getByText(/Failed over/)
      .first()
      .waitFor();
  });

  test('ana asks in Slack, ben approves in the browser of his telephone, and a report is asked for, over a restart of the engine', async () => {
    ben = await site.openBrowser({ width: 390, height: 844 });
    await ben.goto(await linkInSlack(site, 'ben'));
    await ben.getByText('vm-7').first().waitFor();
    await people.asks('vm-7', 'the other host too');
    await ben.goto(`${site.consoleUrl}/approvals`);
    await ben
      .getByText(/Planned failover of vm-7/)
      .first()
      .click();
    await ben.getByRole('button', { name: /^Approve/ }).waitFor();
    await restartEngine(site, [ben, admin], async () => {
      await admin.getByRole('link', { name: 'Report' }).first().click();
      await admin.getByText(/Making the report/).waitFor();
    });
    // The report that was asked for while the engine hung: the page asks again by itself.
    await admin.getByText('Planned failover of vm-8').first().waitFor();
    await takePictures(ben, 'approval');
    // Whoever asks sees the same page, and no button to decide.
    await ana.goto(ben.url());
    await ana
      .getByText(/Planned failover of vm-7/)
      .first()
      .waitFor();
    expect(await ana.getByRole('button', { name: /^Approve/ }).count()).toBe(0);
    await ben.getByRole('button', { name: /^Approve/ }).click();
    await dialog(ben)
      .getByLabel(/Six-digit code/)
      .fill(site.telephone.code());
    await dialog(ben)
      .getByRole('button', { name: /^Approve/ })
      .click();
    site.telephone.used();
    await site.workspace.until(
      '#dr reads that nothing was lost',
      () => site.workspace.reads('#dr').includes('Planned failover of vm-7 · nothing lost'),
      patienceMs,
    );
    expect(await ben.content()).not.toContain(site.telephone.code());
  });

  test('the report has all three runs with who decided, and prints', async () => {
    await admin.goto(`${site.consoleUrl}/report?days=7`);
    await admin.getByText('Planned failover of vm-7').first().waitFor();
    const words = await admin.locator('main').innerText();
    for (const part of ['Test failover of vm-7', 'Planned failover of vm-8', 'ben', hostileReason]) {
      expect(words).toContain(part);
    }
    const pdf = await admin.pdf({ format: 'A4', preferCSSPageSize: true });
    expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
    expect(pdf.length).toBeGreaterThan(20_000);
    await takePictures(admin, 'report');
  });

  test('a session that has expired, or was ended elsewhere, leads to the sign-in page and shows nothing', async () => {
    const store = await openStore({
      connectionString: (await readEngineConfig(site.faults.layout.engineConfig)).databaseUrl,
    });
    await store.write((db) =>
      db.execute(`update console_sessions set expires_at = created_at + interval '1 second' where person = 'ana'`),
    );
    await store.close();
    await ana.goto(`${site.consoleUrl}/machines/vm-7`);
    await ana.getByLabel(/code/i).first().waitFor();
    expect(await ana.locator('body').innerText()).not.toContain('vm-7');
    await site.faults.site.engine.ask(
      { kind: 'signOut', body: { isEverywhere: true } },
      { idempotencyKey: 'journey-out' },
    );
    await admin.getByLabel(/code/i).first().waitFor();
  });

  test('nothing that people wrote ran in any page, and no page broke', () => {
    expect(site.pageFaults()).toEqual([]);
    expect(readFileSync(`${import.meta.dirname}/pictures/overview-360-dark.png`).length).toBeGreaterThan(5000);
  });
});

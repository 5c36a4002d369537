import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Grant, Role } from '../../domain/access.ts';
import { gibibyte, mebibyte } from '../../domain/units.ts';
import type { MachineView } from '../../protocol/control-api.ts';
import {
  launchBrowser,
  look,
  openPage,
  seriousFindings,
  sidewaysPixels,
  type WatchedPage,
} from '../fixtures/browser.ts';
import { foreignMarkup, greens, hostileMarkup } from './page-checks.ts';
import { harnessMe, type PageHarness, startPageHarness } from './page-harness.ts';
import { cannedMachine, cannedSite, engineHealth } from './page-site.ts';

/** What a row of the overview says and offers: first copies, who may do what, and names that strangers chose. */
const nowMs = Date.now();
const canned = cannedSite(100, nowMs);

let browser: Browser;
let harness: PageHarness;
let usual: WatchedPage;
let page: Page;
beforeAll(async () => {
  [harness, browser] = await Promise.all([startPageHarness({ site: canned }), launchBrowser()]);
  usual = await openPage(browser);
  ({ page } = usual);
});
afterAll(async () => {
  await browser?.close();
  await harness?.close();
});
beforeEach(async () => {
  harness.setMe(harnessMe);
  harness.setStale(undefined);
  await look(page, 'light', 1280, 800);
});
afterEach(() => expect(usual.faults.splice(0)).toEqual([]));

const eventually = <Value>(look: () => Promise<Value> | Value) => expect.poll(look, { timeout: 20_000, interval: 30 });
const row = (name: string) => page.locator(`[role=row][data-key$="/${name}"]:not([data-key^="copy:"])`);

async function open(machines: readonly MachineView[], address = '/'): Promise<void> {
  const hosts = canned.hosts.filter(({ name }) => machines.some(({ hostName }) => hostName === name));
  harness.setSite({ ...canned, atMs: Date.now(), machines: [...machines], hosts });
  await page.goto(`${harness.url}${address}`);
  await page.locator('[role=treegrid]').waitFor();
}

type Copied = Partial<Extract<MachineView['protection'], { kind: 'initial-replication' }>>;

/** A first copy as the engine tells of it. */
function firstCopy(name: string, copied: Copied = {}, more: Partial<MachineView> = {}, agentSilentMs = 1000) {
  const machine = { ...cannedMachine(3, 'host-01', nowMs), name, ...more };
  const protection = {
    ...({ kind: 'initial-replication', doneBytes: 4.3 * gibibyte, totalBytes: 10 * gibibyte } as const),
    ...{ bytesPerSecond: 12 * mebibyte, ...copied },
  };
  return { ...machine, protection, health: engineHealth({ ...machine, protection }, agentSilentMs) };
}

const pause = { kind: 'paused', untilMs: nowMs + 3_600_000, reason: 'storage work' } as const;
const firstCopies = [
  firstCopy('vm-7'),
  firstCopy('vm-8', { totalBytes: 10_000 * gibibyte, bytesPerSecond: 1000 * mebibyte }),
  firstCopy('vm-9', {}, { replication: pause }),
  firstCopy('vm-10', {}, { hostName: 'host-02' }, 90_000),
  { ...cannedMachine(60, 'host-00', nowMs), name: 'vm-60' },
];

describe('a first copy', () => {
  test('is said with its rate and the time left, as work and not as trouble; a silent agent stays visible', async () => {
    await open(firstCopies.filter(({ name }) => name === 'vm-7' || name === 'vm-10'));
    const state = row('vm-7').locator('.cell-state');
    expect(await state.textContent()).toMatch(/Enabled: Replicating 43 % · 12 MiB\/s · 8 min 6 s left/);
    expect(await state.locator('.chip-working').count()).toBe(1);
    expect(await row('vm-7').textContent()).toContain('no point yet');
    expect(await row('vm-7').textContent()).not.toMatch(/Unknown|Warning/);
    const group = (name: string) => page.locator(`[data-key^="host:"]`, { hasText: name }).textContent();
    expect(await group('host-01')).toMatch(/Replicating.*1 machine · 1 replicatingagent/s);
    expect(await group('host-02')).toContain('1 needs attention');
    expect(await row('vm-10').locator('.cell-state .chip-unknown').count()).toBe(1);
    expect(await row('vm-10').locator('.cell-health').isVisible()).toBe(true);
    expect(await row('vm-10').locator('.cell-health').textContent()).toMatch(/Unknown\s*The agent has been silent/);
    await page.getByLabel('State', { exact: true }).selectOption('attention');
    await eventually(() => page.locator('.filters-count').textContent()).toBe('1 of 2 machines');
    expect(await greens(page)).toEqual([]);
  });

  test('and a failover are readable to their last word, on a phone and on a desk, and nothing of the row is cut off', async () => {
    await open(firstCopies);
    for (const width of [1280, 1220, 900, 768, 360]) {
      await look(page, 'light', width, 1200);
      await page.locator(width < 900 ? '.tree-cards' : width < 1220 ? '.tree-compact' : '.tree-wide').waitFor();
      await eventually(() => cutRows()).toEqual([]);
    }
    for (const [name, word] of [
      ['vm-10', 'Unknown'],
      ['vm-9', 'Paused'],
    ] as const) {
      const trouble = row(name).locator('.only-cards');
      expect([await trouble.isVisible(), await trouble.innerText()]).toEqual([true, word]);
    }
  });
});

describe('a group', () => {
  test('of which one was failed over says so of that one only, and on a phone no word of it is cut off', async () => {
    const moved = {
      kind: 'failed-over',
      target: 'recovery-1',
      vmName: 'vm-8-Failover',
      atMs: nowMs,
      disks: 'local',
      runId: 'run_1',
    } as const;
    const vm8 = { ...firstCopy('vm-8'), protection: moved, health: { kind: 'healthy' } } as const;
    await open([{ ...cannedMachine(61, 'host-01', nowMs), name: 'vm-7', tags: ['tier:0'] }, vm8]);
    for (const width of [1280, 360]) {
      await look(page, 'light', width, 800);
      await page.locator(width === 360 ? '.tree-cards' : '.tree-wide').waitFor();
      const group = page.locator('.row-host');
      expect(await group.locator('.roll-up').innerText()).toMatch(/^1 Enabled · 1 failed over\s*2 machines$/);
      expect(await group.locator('.chip-moved').count()).toBe(1);
      expect(await cutGroups()).toEqual([]);
      expect(await row('vm-7').locator('.tag').isVisible()).toBe(true);
    }
    const silent = firstCopy('vm-10', {}, {}, 90_000);
    await open([{ ...cannedMachine(61, 'host-01', nowMs), name: 'vm-7' }, vm8, firstCopy('vm-9'), silent]);
    const words = await page.locator('.row-host .roll-up').innerText();
    expect(words).toMatch(/^1 needs attention\s*1 Enabled · 2 replicating · 1 failed over$/);
    expect(await cutGroups()).toEqual([]);
  });
});

/** Words of sites and hosts that are cut off, or lie outside of their row. */
function cutGroups(): Promise<string[]> {
  return page.evaluate(`[...document.querySelectorAll('.row-site, .row-host')].flatMap((row) => {
    const outer = row.getBoundingClientRect();
    return [...row.querySelectorAll('.roll-up, .chip-words, .roll-up-counts')].flatMap((one) => {
      const { right, bottom } = one.getBoundingClientRect();
      const isCut = one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0;
      return isCut || right > outer.right || bottom > outer.bottom ? [one.textContent] : [];
    });
  })`);
}

/** Rows whose state is not shown whole, or whose last button lies outside of them. */
function cutRows(): Promise<string[]> {
  return page.evaluate(`[...document.querySelectorAll('.row-machine')].flatMap((row) => {
    const words = row.querySelector('.cell-state .chip-words');
    const isCut = words.scrollWidth > words.clientWidth || words.scrollHeight > words.clientHeight;
    const outer = row.getBoundingClientRect();
    const inner = [...row.querySelectorAll('.cell-state, .row-actions')].map((one) => one.getBoundingClientRect());
    const isOut = inner.some((one) => one.right > outer.right || one.top < outer.top || one.bottom > outer.bottom);
    return isCut || isOut ? [innerWidth + ' ' + words.textContent + (isOut ? ' (out of the row)' : '')] : [];
  })`);
}

describe('an outage', () => {
  test('that was there before the page shows no green for a moment', async () => {
    const { atMs } = canned;
    harness.setStale({ kind: 'stale', sinceMs: atMs, why: 'the engine does not answer' });
    await page.addInitScript(
      `new MutationObserver(() => { window.green ||= document.querySelector('[class*="-good"]') !== null; }).observe(document, { subtree: true, childList: true, attributes: true });`,
    );
    harness.setSite(canned);
    await page.goto(harness.url);
    await page.locator('.row-machine').first().waitFor();
    expect(await page.locator('.strip-stale').count()).toBe(1);
    expect(await page.evaluate('window.green')).toBe(false);
    // The watcher itself: the same page, live.
    harness.setStale(undefined);
    await page.goto(harness.url);
    await eventually(() => page.evaluate('window.green')).toBe(true);
  });
});

describe('who may do what', () => {
  const as = (role: Role, scope: Grant['scope'] = { kind: 'everything' }) => ({
    ...harnessMe,
    roles: [role],
    grants: [{ role, scope }],
  });
  const drilled = { ...cannedMachine(7, 'host-01', nowMs), name: 'vm-7' };
  const disabled = (name: string) => page.getByRole('menuitem', { name }).getAttribute('aria-disabled');

  test('a viewer sees what an operator may do, and who may; nothing opens', async () => {
    harness.setMe(as('viewer'));
    await open([drilled]);
    await row('vm-7').getByRole('button', { name: 'Actions on vm-7' }).click();
    const pauseItem = page.getByRole('menuitem', { name: 'Pause' });
    expect(await pauseItem.getAttribute('aria-disabled')).toBe('true');
    expect(await pauseItem.textContent()).toContain('You are a viewer: an operator may do this.');
    await pauseItem.click({ force: true });
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Clean up vm-7-Test' }).click({ force: true });
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.goto(`${harness.url}/machines/vm-7`);
    const button = page.locator('.machine-actions').getByRole('button', { name: 'Bookmark' });
    expect(await button.getAttribute('aria-disabled')).toBe('true');
    expect(await button.getAttribute('aria-description')).toContain('an operator may do this');
  });

  test('an operator of one machine may act on that one', async () => {
    harness.setMe(as('operator', { kind: 'machine', name: 'vm-7' }));
    await open([drilled, { ...cannedMachine(1, 'host-01', nowMs), name: 'vm-8' }]);
    await row('vm-7').getByRole('button', { name: 'Actions on vm-7' }).click();
    expect(await disabled('Pause')).toBe('false');
    await row('vm-8').getByRole('button', { name: 'Actions on vm-8' }).click();
    await page.getByRole('menu', { name: 'Actions on vm-8' }).waitFor();
    expect(await disabled('Pause')).toBe('true');
    expect(await page.getByRole('menuitem', { name: 'Pause' }).textContent()).toContain(
      'an operator for vm-8 may do this',
    );
  });

  test('the button of a menu closes it, opens it again, and a guest of a common name is enabled with its host', async () => {
    const guest = cannedMachine(41, 'host-01', nowMs);
    await open([guest, { ...guest, hostName: 'host-02' }]);
    const button = row('vm-41').first().getByRole('button', { name: 'Actions on vm-41' });
    const menu = page.getByRole('menu', { name: 'Actions on vm-41' });
    for (const isOpen of [true, false, true]) {
      await button.click();
      await eventually(() => page.locator('.menu:popover-open').count()).toBe(isOpen ? 1 : 0);
      await eventually(() => button.getAttribute('aria-expanded')).toBe(String(isOpen));
    }
    expect(await menu.getByRole('menuitem', { name: 'Enable' }).textContent()).toContain(
      'enable vm-41 --policy default --host host-0',
    );
    expect(await seriousFindings(page, '.menu')).toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'ada' }).click();
    await page.locator('.person-menu:popover-open').waitFor();
    expect(await seriousFindings(page, '.person-menu')).toEqual([]);
    await look(page, 'dark', 1280, 800);
    expect(await seriousFindings(page, '.person-menu', ['color-contrast'])).toEqual([]);
  });
});

describe('what strangers named', () => {
  test('is text in the tree, in what needs me, in the menu and in the palette', async () => {
    const name = `${hostileMarkup}\u202e`;
    const one = { ...cannedMachine(1, name, nowMs), name };
    const site = { ...canned, atMs: Date.now(), machines: [one] };
    const [host] = canned.hosts;
    const [run] = canned.runs;
    const [alert] = canned.alerts;
    if (host === undefined || run === undefined || alert === undefined) throw new Error('the canned site has them all');
    harness.setSite({
      ...site,
      hosts: [{ ...host, name, siteName: name }],
      runs: [{ ...run, machineName: name, requestedBy: name }],
      alerts: [{ ...alert, scope: name, title: name, text: name }],
      approvals: canned.approvals.map((approval) => ({
        ...approval,
        machineNames: [name],
        impact: [name],
        requestedBy: name,
      })),
    });
    await page.goto(harness.url);
    await page.locator('.row-machine').waitFor();
    const shown = hostileMarkup.slice(0, 30);
    for (const place of ['.row-site .name', '.row-host .name', '.row-machine .name']) {
      expect(await page.locator(place).textContent()).toContain(shown);
    }
    expect(await page.locator('.need').allTextContents()).toEqual(Array(3).fill(expect.stringContaining(shown)));
    await page.locator('.row-actions').click();
    await page.locator('.menu:popover-open').waitFor();
    expect(await page.locator('.menu').textContent()).toContain(shown);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Machine, page, or line to run' }).fill('img');
    await page.getByRole('dialog').getByRole('option', { name: shown }).first().waitFor();
    expect(await foreignMarkup(page)).toEqual([]);
    // Turned round, a name could pass for another one.
    expect(await page.locator('.row-machine .name').textContent()).not.toContain('\u202e');
  });
});

describe('the size of things', () => {
  test('nothing moves from the first picture to a thousand machines, and nothing scrolls sideways on the largest screen', async () => {
    await page.addInitScript(
      'window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) window.shift += one.value; }).observe({ type: "layout-shift", buffered: true });',
    );
    harness.setSite(cannedSite(1000, Date.now()));
    await look(page, 'light', 3840, 2160);
    await page.goto(harness.url);
    await row('vm-12').waitFor();
    expect(await sidewaysPixels(page)).toBe(0);
    expect(await page.evaluate('window.shift')).toBeLessThan(0.02);
    await look(page, 'light', 1280, 800);
    harness.signEverybodyOut();
    await page.goto(`${harness.url}/sign-in`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    harness.signIn();
    await page.getByLabel('One-time code').fill('RIGHT-CODE');
    await page.keyboard.press('Enter');
    await row('vm-12').waitFor();
    expect(await page.evaluate('window.shift')).toBeLessThan(0.02);
  });
});

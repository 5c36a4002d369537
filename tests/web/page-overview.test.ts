import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  launchBrowser,
  look,
  openPage,
  seriousFindings,
  sidewaysPixels,
  type WatchedPage,
} from '../fixtures/browser.ts';
import { foreignMarkup, greens } from './page-checks.ts';
import { harnessMe, type PageHarness, rightCode, startPageHarness } from './page-harness.ts';
import { cannedApproval, cannedMachine, cannedSite, hostileText } from './page-site.ts';

/** The console's frame and overview in a real browser, under the console's own security policy, with a canned server behind it. */
const machineCount = 1000;
/** Every state of a machine once or twice. */
const fewMachines = 200;

let browser: Browser;
let harness: PageHarness;
/** For all tests that leave nothing behind in their browser. */
let usual: WatchedPage;
let page: Page;

beforeAll(async () => {
  const site = cannedSite(fewMachines, Date.now());
  [harness, browser] = await Promise.all([startPageHarness({ site }), launchBrowser()]);
  usual = await openPage(browser);
});
afterAll(async () => {
  await browser?.close();
  await harness?.close();
});
beforeEach(async () => {
  harness.heal();
  harness.signIn();
  harness.setSite(cannedSite(fewMachines, Date.now()));
  ({ page } = usual);
});
afterEach(() => expect(usual.faults.splice(0)).toEqual([]));

async function open(path = '/'): Promise<void> {
  await page.goto(`${harness.url}${path}`);
  await page.locator('[role=treegrid]').waitFor();
}

/** The machine that tests run on is busy at times. */
const eventually = <Value>(look: () => Promise<Value> | Value) => expect.poll(look, { timeout: 20_000, interval: 30 });

const row = (name: string) => page.locator(`[role=row][data-key$="/${name}"]:not([data-key^="copy:"])`);
const names = () => page.locator('.row-machine .name').allTextContents();
const count = () => page.locator('.filters-count').textContent();

describe('the tree', () => {
  test('sites hold hosts, hosts hold machines, and only those in view are drawn', async () => {
    harness.setSite(cannedSite(machineCount, Date.now()));
    await open();
    const tree = page.locator('[role=treegrid]');
    expect(Number(await tree.getAttribute('aria-rowcount'))).toBeGreaterThan(machineCount);
    const drawn = await page.locator('#tree-rows > [role=row]').count();
    expect(drawn).toBeGreaterThan(10);
    expect(drawn).toBeLessThan(60);
    const first = page.locator('#tree-rows > [role=row]');
    expect(await first.nth(0).getAttribute('aria-level')).toBe('1');
    expect(await first.nth(1).getAttribute('aria-level')).toBe('2');
    expect(await first.nth(2).getAttribute('aria-level')).toBe('3');
    expect(await first.nth(0).getAttribute('aria-expanded')).toBe('true');
    // The list has its full height from the start: the scroll bar does not jump.
    const height = await page.locator('#tree-rows').evaluate((list) => list.getBoundingClientRect().height);
    expect(height).toBe((Number(await tree.getAttribute('aria-rowcount')) - 1) * 40);
  });

  test('a machine says its protection in the words of the documents, its lag against the limit, its points and drills', async () => {
    await open();
    const find = async (name: string) => {
      await page.locator('#search').fill(name);
      await row(name).waitFor();
      return row(name).textContent();
    };
    const copy = () => page.locator('[data-key^="copy:"]').first();
    expect(await find('vm-103')).toContain('Enabled: Replicating 43 % · 96 MiB/s');
    expect(await find('vm-107')).toMatch(/Enabled.*Healthy.*of 1 min.*ago.*Test failover open, ends/s);
    expect(await copy().textContent()).toMatch(/vm-107-Test.*host: recovery site.*Test failover open/s);
    expect(await copy().getAttribute('aria-level')).toBe('4');
    expect(await find('vm-160')).toContain('Failed over: runs at recovery-1');
    expect(await copy().textContent()).toMatch(/vm-160-Failover.*host: recovery-1.*Runs here since/s);
    expect(await find('vm-142')).toMatch(/Cannot be enabled.*raw device/s);
    expect(await find('vm-150')).toMatch(/verified \d+ d ago/);
    expect(await find('vm-154')).toContain('never drilled');
  });

  test('the keyboard walks, opens, closes and goes in; the row with the focus stays drawn', async () => {
    await open('/?sort=name');
    const at = () => page.evaluate(() => document.activeElement?.getAttribute('data-index'));
    const pressed = async (key: string, index: number) => {
      await page.keyboard.press(key);
      await eventually(at).toBe(String(index));
    };
    await page.locator('[data-index="0"]').focus();
    await pressed('ArrowDown', 1);
    await pressed('ArrowRight', 2);
    await pressed('ArrowLeft', 1);
    const total = Number(await page.locator('[role=treegrid]').getAttribute('aria-rowcount')) - 1;
    await pressed('End', total - 1);
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.locator('[data-index="2"]').waitFor();
    await eventually(at).toBe(String(total - 1));
    await pressed('Home', 0);
    await page.keyboard.press('ArrowLeft');
    await eventually(() => page.locator('[data-index="0"]').getAttribute('aria-expanded')).toBe('false');
    await pressed('ArrowDown', 1);
    expect(await page.locator('[data-index="1"]').getAttribute('aria-level')).toBe('1');
    await pressed('Home', 0);
    await page.keyboard.press('ArrowRight');
    await eventually(() => page.locator('[data-index="0"]').getAttribute('aria-expanded')).toBe('true');
    await pressed('ArrowDown', 1);
    await pressed('ArrowDown', 2);
    const name = await page.locator('[data-index="2"] .name').textContent();
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/machines/${name}`);
  });
});

describe('finding machines', () => {
  test('the slash reaches the search, which looks at names, hosts, tags and sites, and stands in the address', async () => {
    await open();
    await page.keyboard.press('/');
    await page.keyboard.type('payroll berlin');
    await eventually(count).toMatch(/^\d+ of 200 machines$/);
    await page.waitForURL('**/?q=payroll+berlin');
    const shared = page.url();
    const found = await names();
    expect(found.length).toBeGreaterThan(3);
    await page.goto(shared);
    await page.locator('[role=treegrid]').waitFor();
    expect(await names()).toEqual(found);
    await page.getByRole('button', { name: 'Clear' }).click();
    await eventually(count).toBe('200 machines');
  });

  test('state, site, tag and order narrow the tree', async () => {
    await open();
    await page.getByLabel('State', { exact: true }).selectOption('replicating');
    await eventually(count).toBe('4 of 200 machines');
    await page.getByLabel('State', { exact: true }).selectOption('drill-open');
    await eventually(count).toBe('2 of 200 machines');
    await page.getByLabel('Site', { exact: true }).selectOption('cork');
    await page.getByLabel('State', { exact: true }).selectOption('all');
    await eventually(async () => page.locator('.row-site').count()).toBe(1);
    await page.getByLabel('Site', { exact: true }).selectOption('');
    await page.getByLabel('Tag', { exact: true }).selectOption(hostileText);
    await eventually(count).toBe('2 of 200 machines');
    await page.waitForURL(/tag=%3Cimg/);
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByLabel('Order', { exact: true }).selectOption('lag');
    await eventually(async () => (await names())[0] ?? '').toMatch(/12$/);
    await page.locator('#search').fill('there-is-no-such-machine');
    await page.locator('.empty').waitFor();
    expect(await page.locator('.empty').textContent()).toContain('No machine is like this.');
  });
});

describe('what changes', () => {
  test('changes arrive in place: protection, what needs me, the title of the tab', async () => {
    await open('/?q=vm-103');
    expect(await page.title()).toBe('(5) Overview · Lifeboat');
    const before = harness.site().machines.find((machine) => machine.name === 'vm-103');
    const changed = { ...cannedMachine(104, before?.hostName ?? '', Date.now()), name: 'vm-103', tags: [] };
    const approvals = [cannedApproval(1, Date.now()), cannedApproval(3, Date.now())];
    harness.emit({ kind: 'change', atMs: Date.now(), approvals, machines: { changed: [changed], removed: [] } });
    await eventually(() => row('vm-103').locator('.cell-state').textContent()).toMatch(/^\s*Enabled\s*$/);
    await eventually(() => page.title()).toBe('(6) Overview · Lifeboat');
    expect(await page.getByRole('link', { name: '2 approvals wait for me' }).count()).toBe(1);
    expect(await page.getByRole('link', { name: '4 open alerts' }).count()).toBe(1);
    expect(await page.locator('.needs').textContent()).toMatch(
      /grace asks.*shut down in order.*CRITICAL.*3\/4 Start the guest/s,
    );
  });

  test('nothing is green or red when the engine does not answer, and a beat of the server alone does not end that', async () => {
    await open();
    expect(await greens(page)).not.toEqual([]);
    const atMs = Date.now() - 9000;
    harness.emit({ kind: 'stale', sinceMs: atMs, why: 'the engine does not answer' });
    harness.emit({ kind: 'beat', atMs: Date.now() });
    await page.locator('.strip-stale').waitFor();
    expect(await page.locator('.strip-fresh').textContent()).toContain(
      `As of ${new Date(atMs).toISOString().slice(11, 19)}Z · the engine does not answer`,
    );
    expect(await page.locator('.strip-fresh').getAttribute('role')).toBe('status');
    const chips = page.locator('.chip');
    expect(await chips.count()).toBe(await page.locator('.chip-unknown').count());
    expect(await chips.first().textContent()).toContain('unknown now');
    expect(await page.title()).toContain('stale');
    expect(await greens(page)).toEqual([]);
    expect(await page.locator('.lag-warning, .lag-bad').count()).toBe(0);
    harness.emit({ kind: 'change', atMs: Date.now() });
    await eventually(() => page.locator('.chip-good').count()).toBeGreaterThan(0);
    expect(await page.locator('.strip-stale').count()).toBe(0);
  });

  test('a broken line makes it stale; it comes back by itself with what has changed', async () => {
    await open('/?q=vm-103');
    harness.breakStreams();
    await page.locator('.strip-stale').waitFor();
    expect(await page.locator('.strip-fresh').textContent()).toContain('the console cannot be reached');
    const site = harness.site();
    harness.setSite({
      ...site,
      atMs: Date.now(),
      machines: site.machines.filter((machine) => machine.name !== 'vm-103'),
    });
    harness.heal();
    await page.locator('.strip-stale').waitFor({ state: 'detached' });
    await eventually(() => row('vm-103').count()).toBe(0);
  });
});

describe('doing something', () => {
  test('the menu of a row opens the sheet with the line; what is not possible says why', async () => {
    await open('/?q=vm-107');
    const button = row('vm-107').getByRole('button', { name: 'Actions on vm-107' });
    await button.click();
    const menu = page.getByRole('menu', { name: 'Actions on vm-107' });
    const planned = menu.getByRole('menuitem', { name: 'Planned failover' });
    expect(await planned.getAttribute('aria-disabled')).toBe('true');
    expect(await planned.textContent()).toContain('has a test failover open');
    await page.keyboard.press('Escape');
    await eventually(() => button.evaluate((element) => element === document.activeElement)).toBe(true);
    await button.click();
    await menu.getByRole('menuitem', { name: 'Clean up' }).click();
    await page.getByRole('dialog').waitFor();
    expect(await page.getByRole('dialog').textContent()).toContain('cleanup vm-107');
    expect(harness.posted.some(({ path }) => path === '/api/line')).toBe(false);
  });

  test('Ctrl-K opens the palette from anywhere', async () => {
    await open();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Machine, page, or line to run' }).waitFor();
  });
});

describe('signing in', () => {
  test("a link's code is gone from the address and the history, and leads where the person wanted to go", async () => {
    harness.signEverybodyOut();
    await page.goto(`${harness.url}/approvals?x=1`);
    await page.waitForURL('**/sign-in?to=%2Fapprovals%3Fx%3D1');
    await page.goto(`${harness.url}/sign-in?to=${encodeURIComponent('/?q=vm-107')}#${rightCode}`);
    await row('vm-107').waitFor();
    expect(page.url()).toBe(`${harness.url}/?q=vm-107`);
    await page.goBack();
    expect(page.url()).not.toContain(rightCode);
    expect(harness.posted.at(-1)).toEqual({ path: '/api/sign-in', body: { code: rightCode } });
  });

  test('a wrong code is refused in words; a foreign place to go to is not gone to', async () => {
    harness.signEverybodyOut();
    await page.goto(`${harness.url}/sign-in?to=${encodeURIComponent('//evil.example/x')}#WRONG`);
    await page.getByRole('alert').getByText('This code is not known, or was used already.').waitFor();
    expect(page.url()).not.toContain('WRONG');
    await page.getByLabel('One-time code').fill(rightCode);
    await page.keyboard.press('Enter');
    await page.locator('[role=treegrid]').waitFor();
    expect(page.url()).toBe(`${harness.url}/`);
  });

  test('a link that somebody opens who is signed in is used only when they say so', async () => {
    harness.signIn();
    const tries = () => harness.posted.filter(({ path }) => path === '/api/sign-in').length;
    const before = tries();
    await page.goto(`${harness.url}/sign-in#${rightCode}`);
    await page.getByText(`You are signed in as ${harnessMe.name}. Use this link and sign in as its owner?`).waitFor();
    expect([page.url().includes(rightCode), tries()]).toEqual([false, before]);
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByRole('button', { name: `Stay ${harnessMe.name}` }).click();
    await page.locator('[role=treegrid]').waitFor();
    expect(tries()).toBe(before);
    await page.goto(`${harness.url}/sign-in#${rightCode}`);
    await page.getByRole('button', { name: 'Use the link' }).click();
    await page.locator('[role=treegrid]').waitFor();
    expect(tries()).toBe(before + 1);
  });

  test('a session that ends leaves nothing of the site on the screen, and says why', async () => {
    await open();
    harness.emit({ kind: 'signed-out', why: 'signed out elsewhere' });
    await page.waitForURL('**/sign-in');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByRole('alert').getByText('signed out elsewhere').waitFor();
    expect(await page.locator('body').textContent()).not.toContain('vm-');
    expect(await seriousFindings(page)).toEqual([]);
  });
});

describe('for everybody', () => {
  test('axe finds nothing serious, live and stale, in both themes', async () => {
    // Every state once, and not all of them twice: axe looks at each row.
    harness.setSite(cannedSite(100, Date.now()));
    await look(page, 'light', 1280, 560);
    await open('/?site=berlin');
    expect(await seriousFindings(page)).toEqual([]);
    await look(page, 'dark', 1280, 560);
    expect(await seriousFindings(page)).toEqual([]);
    harness.emit({ kind: 'stale', sinceMs: Date.now(), why: 'the engine does not answer' });
    await page.locator('.strip-stale').waitFor();
    for (const theme of ['dark', 'light'] as const) {
      await look(page, theme, 1280, 560);
      expect(await seriousFindings(page, '.strip, .needs, [data-index="2"]', ['color-contrast'])).toEqual([]);
    }
  });

  test('on a phone nothing scrolls sideways, rows are cards, and targets are large enough', async () => {
    const phone = await openPage(browser, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
    ({ page } = phone);
    await open();
    expect(await sidewaysPixels(page)).toBe(0);
    await page.locator('.tree-cards').waitFor();
    const small = await page.evaluate(() => {
      const targets = [...document.querySelectorAll('button, select, input, .navigation a, .badge, .row')];
      const boxes = targets.map((target) => ({ name: target.className, box: target.getBoundingClientRect() }));
      return boxes
        .filter(({ box }) => box.height > 0 && box.height < 43.5)
        .map(({ name, box }) => `${name} ${box.height}`);
    });
    expect(small.filter((name) => !name.startsWith('row row-head'))).toEqual([]);
    expect(await seriousFindings(page, '.header, .strip, .navigation, .filters, [data-index="2"]')).toEqual([]);
    await page.context().close();
    expect(phone.faults).toEqual([]);
  });

  test('script in tags, reasons and messages is text and does nothing', async () => {
    await open(`/?tag=${encodeURIComponent(hostileText)}`);
    expect(await page.locator('.tag').first().textContent()).toBe(hostileText);
    await open('/?state=paused');
    expect(await page.locator('.health-why').first().textContent()).toContain(
      '<script>alert(document.cookie)</script>',
    );
    expect(await foreignMarkup(page)).toEqual([]);
    await page.goto(`${harness.url}/machines/${encodeURIComponent(hostileText)}`);
    await page.goto(`${harness.url}/${encodeURIComponent(hostileText)}`);
    expect(await page.locator('main').textContent()).toContain('There is no page at');
  });

  test('the theme is kept for the next time, and a browser that keeps nothing is no error', async () => {
    const own = await openPage(browser);
    ({ page } = own);
    await open();
    const button = page.getByRole('button', { name: /^Theme: / });
    await button.click();
    await button.click();
    await eventually(() => page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark');
    await open();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark');
    await page.addInitScript(() => {
      Object.defineProperty(window, 'localStorage', {
        get: () => {
          throw new DOMException('no');
        },
      });
    });
    await open();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBeUndefined();
    await page.context().close();
    expect(own.faults).toEqual([]);
  });
});

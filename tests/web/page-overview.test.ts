import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { axeSource, type PageHarness, rightCode, startPageHarness } from './page-harness.ts';
import { cannedApproval, cannedMachine, cannedSite, hostileText } from './page-site.ts';

/** The console's frame and overview in a real browser, under the console's own security policy, with a canned server behind it. */
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const machineCount = 1000;

let browser: Browser;
let harness: PageHarness;
let context: BrowserContext;
let page: Page;
/** Errors of the page, breaches of its policy, and dialogs that only foreign script would open. */
let faults: string[];

beforeAll(async () => {
  [harness, browser] = await Promise.all([
    startPageHarness({ machineCount }),
    chromium.launch({ executablePath: '/usr/bin/chromium', args: flags, timeout: 60_000 }),
  ]);
}, 90_000);
afterAll(async () => {
  await browser?.close();
  await harness?.close();
});

async function newPage(options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', ...options });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('dialog', (dialog) => {
    faults.push(`a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    const isNetwork = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isNetwork) faults.push(message.text());
  });
}
beforeEach(async () => {
  harness.heal();
  harness.signIn();
  harness.setSite(cannedSite(machineCount, Date.now()));
  await newPage();
});
afterEach(async () => {
  await context.close();
  expect(faults).toEqual([]);
});

async function open(path = '/'): Promise<void> {
  await page.goto(`${harness.url}${path}`);
  await page.locator('[role=treegrid]').waitFor();
}

/** The machine that tests run on is busy at times. */
const eventually = <Value>(look: () => Promise<Value> | Value) => expect.poll(look, { timeout: 20_000, interval: 30 });

const row = (name: string) => page.locator(`[role=row][data-key$="/${name}"]:not([data-key^="copy:"])`);
const names = () => page.locator('.row-machine .name').allTextContents();
const count = () => page.locator('.filters-count').textContent();

/** @param about a part of the page; looking at all of it takes seconds on a busy machine */
async function seriousFindings(about = 'body'): Promise<string[]> {
  // `evaluate` is the tester's hand, not the page's: its policy stays on.
  await page.evaluate(await axeSource());
  return page.evaluate(async (part) => {
    type Finding = { id: string; impact: string; nodes: { target: string[] }[] };
    type Axe = { run: (context: string, options: object) => Promise<{ violations: Finding[] }> };
    const { axe } = globalThis as unknown as { axe: Axe };
    const { violations } = await axe.run(part, { resultTypes: ['violations'] });
    const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    return grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
  }, about);
}

describe('the tree', () => {
  test('sites hold hosts, hosts hold machines, and only those in view are drawn', async () => {
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
    await eventually(count).toMatch(/^\d+ of 1000 machines$/);
    await page.waitForURL('**/?q=payroll+berlin');
    const shared = page.url();
    const found = await names();
    expect(found.length).toBeGreaterThan(3);
    await page.goto(shared);
    await page.locator('[role=treegrid]').waitFor();
    expect(await names()).toEqual(found);
    await page.getByRole('button', { name: 'Clear' }).click();
    await eventually(count).toBe('1000 machines');
  });

  test('state, site, tag and order narrow the tree', async () => {
    await open();
    await page.getByLabel('State', { exact: true }).selectOption('replicating');
    await eventually(count).toBe('20 of 1000 machines');
    await page.getByLabel('State', { exact: true }).selectOption('drill-open');
    await eventually(count).toBe('10 of 1000 machines');
    await page.getByLabel('Site', { exact: true }).selectOption('cork');
    await page.getByLabel('State', { exact: true }).selectOption('all');
    await eventually(async () => page.locator('.row-site').count()).toBe(1);
    await page.getByLabel('Site', { exact: true }).selectOption('');
    await page.getByLabel('Tag', { exact: true }).selectOption(hostileText);
    await eventually(count).toBe('10 of 1000 machines');
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
    expect(await page.locator('.chip-good').count()).toBeGreaterThan(0);
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
    expect(await page.locator('.lag-good, .lag-warning, .lag-bad').count()).toBe(0);
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

  test('a session that ends leaves nothing of the site on the screen', async () => {
    await open();
    harness.emit({ kind: 'signed-out', why: 'signed out elsewhere' });
    await page.waitForURL('**/sign-in');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.locator('body').textContent()).not.toContain('vm-');
    expect(await seriousFindings()).toEqual([]);
  });
});

describe('for everybody', () => {
  test.each(['light', 'dark'] as const)('%s: axe finds nothing serious', async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width: 1280, height: 560 });
    // Every state once: on a few machines as on a thousand.
    harness.setSite(cannedSite(100, Date.now()));
    await open('/?site=berlin');
    expect(await seriousFindings()).toEqual([]);
    harness.emit({ kind: 'stale', sinceMs: Date.now(), why: 'the engine does not answer' });
    await page.locator('.strip-stale').waitFor();
    expect(await seriousFindings('.strip, .needs, [data-index="2"]')).toEqual([]);
  });

  test('on a phone nothing scrolls sideways, rows are cards, and targets are large enough', async () => {
    await context.close();
    await newPage({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
    await open();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    await page.locator('.tree-cards').waitFor();
    const small = await page.evaluate(() => {
      const targets = [...document.querySelectorAll('button, select, input, .navigation a, .badge, .row')];
      const boxes = targets.map((target) => ({ name: target.className, box: target.getBoundingClientRect() }));
      return boxes
        .filter(({ box }) => box.height > 0 && box.height < 43.5)
        .map(({ name, box }) => `${name} ${box.height}`);
    });
    expect(small.filter((name) => !name.startsWith('row row-head'))).toEqual([]);
    expect(await seriousFindings('.header, .strip, .navigation, .filters, [data-index="2"]')).toEqual([]);
  });

  test('script in tags, reasons and messages is text and does nothing', async () => {
    await open(`/?tag=${encodeURIComponent(hostileText)}`);
    expect(await page.locator('.tag').first().textContent()).toBe(hostileText);
    await open('/?state=paused');
    expect(await page.locator('.health-why').first().textContent()).toContain(
      '<script>alert(document.cookie)</script>',
    );
    expect(await page.locator('img').count()).toBe(0);
    await page.goto(`${harness.url}/machines/${encodeURIComponent(hostileText)}`);
    await page.goto(`${harness.url}/${encodeURIComponent(hostileText)}`);
    expect(await page.locator('main').textContent()).toContain('There is no page at');
  });

  test('the theme is kept for the next time, and a browser that keeps nothing is no error', async () => {
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
  });
});

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundlePage, type PageBundle } from '../../bot/web/page-bundle.ts';
import type { Alteration } from '../fixtures/altered-modules.ts';
import { launchBrowser, openPage } from '../fixtures/browser.ts';
import { allForms } from '../teams/all-cards.ts';
import { foreignMarkup, greens, hostileMarkup, placesOf, windowIntoState } from './page-checks.ts';
import { alteredPage, type PageHarness, startPageHarness } from './page-harness.ts';
import { cannedApproval, cannedMachine, cannedSite } from './page-site.ts';

/** Each check of the page finds nothing, and finds something as soon as the guard that it looks after is switched off. */

let browser: Browser;
let page: Page;
let bundle: PageBundle;
let guarded: PageBundle;
beforeAll(async () => {
  [browser, bundle] = await Promise.all([launchBrowser(), bundlePage()]);
  [{ page }, guarded] = await Promise.all([openPage(browser), without([])]);
});
afterAll(() => browser?.close());

/** The page without these guards. */
function without(guards: readonly Alteration[]): Promise<PageBundle> {
  return alteredPage(bundle, [windowIntoState, ...guards]);
}

/** Goes to the place in question and says what it finds there. */
type Check = (harness: PageHarness) => Promise<string[]>;

async function found(check: Check, shown: PageBundle, headers?: Record<string, string>): Promise<string[]> {
  const site = { ...cannedSite(30, Date.now()), approvals: [hostileApproval], machines: [strangeMachine] };
  const harness = await startPageHarness({ site, bundle: shown, ...(headers && { headers }) });
  try {
    return await check(harness);
  } finally {
    await page.goto('about:blank');
    await harness.close();
  }
}

const strangeMachine = { ...cannedMachine(1, 'host-01', Date.now()), tags: [hostileMarkup] };
const hostileApproval = { ...cannedApproval(1, Date.now()), reason: hostileMarkup };

const greensWhileStale =
  (address: string): Check =>
  async (harness) => {
    await page.goto(`${harness.url}${address}`);
    await page.getByText('Enabled').first().waitFor();
    harness.emit({ kind: 'stale', sinceMs: Date.now(), why: 'the engine does not answer' });
    await page.locator('.strip-stale').waitFor();
    return greens(page);
  };

/** The old site comes with the word that it is old; whoever takes the site for live draws it green. */
const greensAfterOutage: Check = async (harness) => {
  harness.setStale({ kind: 'stale', sinceMs: harness.site().atMs, why: 'the engine does not answer' });
  await page.goto(harness.url);
  await page.getByText('Enabled').first().waitFor();
  return greens(page);
};

const markupAt =
  (address: string): Check =>
  async (harness) => {
    await page.goto(`${harness.url}${address}`);
    await page.locator('.tag, .approval-part').first().waitFor();
    return foreignMarkup(page);
  };

const code = '654321';
const codeAfterSending: Check = async (harness) => {
  const form = allForms().find(({ kind }) => kind === 'approve');
  if (form === undefined) throw new Error('no form asks for a code');
  const refusal = { title: 'That code is wrong; nothing was done', tone: 'bad', audience: 'asker' } as const;
  harness.answers.line = async () => ({ kind: 'reply', cards: [], files: [], form });
  harness.answers.form = async () => ({ kind: 'reply', cards: [refusal], files: [] });
  await page.goto(`${harness.url}/approvals/${hostileApproval.id}`);
  await page.getByRole('group', { name: 'Decide' }).getByRole('button', { name: 'Approve' }).click();
  await page.getByLabel('Six-digit code').fill(code);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: refusal.title }).first().waitFor();
  return placesOf(page, code);
};

const codeInAddress: Check = async (harness) => {
  harness.signEverybodyOut();
  await page.goto(`${harness.url}/sign-in#WRONG`);
  await page.getByRole('alert').getByText('This code is not known').waitFor();
  return page.url().includes('WRONG') ? [page.url()] : [];
};

const off = (file: string, from: string, to: string): Alteration => ({ file: `bot/web/page/${file}`, from, to });
const reasonAsHtml = off('card-text.ts', `html\`\${unbroken(part)}\``, `html\`<span .innerHTML=\${part}></span>\``);

const plants: readonly (readonly [name: string, check: Check, guards: readonly Alteration[]])[] = [
  [
    'the state of a machine stays green on a page that is stale',
    greensWhileStale('/'),
    [off('state-chip.ts', "const shown = asOf === undefined ? tone : 'unknown';", 'const shown = tone;')],
  ],
  [
    'the bar of the lag stays green on a page that is stale',
    greensWhileStale('/'),
    [
      off(
        'overview-cells.ts',
        "const look = page.state.freshness.kind === 'live' ? level : 'unknown';",
        'const look = level;',
      ),
    ],
  ],
  [
    'the health of a machine stays green on its own page when that is stale',
    greensWhileStale('/machines/vm-1'),
    [off('machine-head.ts', 'const tone = asOf !== undefined || machine', 'const tone = machine')],
  ],
  [
    'a page that is opened while the engine is away takes the old site for live',
    greensAfterOutage,
    [off('model.ts', 'const isOld = freshness.kind', 'const isOld = site === undefined && freshness.kind')],
  ],
  ['a reason that somebody gave is taken for HTML', markupAt(`/approvals/${hostileApproval.id}`), [reasonAsHtml]],
  [
    'a tag of a machine is taken for HTML',
    markupAt('/'),
    [off('overview-tree.ts', `<span class="tag">\${tag}</span>`, `<span class="tag" .innerHTML=\${tag}></span>`)],
  ],
  [
    'the six-digit code stays in its field when it was sent',
    codeAfterSending,
    [off('form-view.ts', "if (input instanceof HTMLInputElement) input.value = '';", '')],
  ],
  [
    'the six-digit code is kept in the state of the page',
    codeAfterSending,
    [
      off(
        'deeds.ts',
        'number, line: form.context, place',
        'number, line: form.context + JSON.stringify(answers), place',
      ),
    ],
  ],
  [
    "a link's code stays in the address",
    codeInAddress,
    [off('sign-in-page.ts', 'window.history.replaceState(', 'void (')],
  ],
];

test.each(plants)('it is noticed when %s', async (_bug, check, guards) => {
  expect(await found(check, guarded)).toEqual([]);
  expect(await found(check, await without(guards))).not.toEqual([]);
});

test('the script of a text that is taken for HTML runs, but not under the security policy', async () => {
  const check = markupAt(`/approvals/${hostileApproval.id}`);
  const unguarded = await without([reasonAsHtml]);
  expect(await found(check, unguarded)).not.toContain('its script ran');
  expect(await found(check, unguarded, {})).toContain('its script ran');
});

test('a guard that is no longer where a test switches it off is missed', async () => {
  await expect(without([off('model.ts', 'no such guard', '')])).rejects.toThrow('no single place');
});

import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drillRun, machine, nowMs, openDrill, point } from '../bot/recorded-answers.ts';
import { look, seriousFindings, sidewaysPixels } from '../fixtures/browser.ts';
import {
  auditOf,
  idBody,
  lagOf,
  machineStates,
  manyPoints,
  manyRuns,
  type Scene,
  sceneOf,
  vm7,
} from './machine-scenes.ts';
import { foreignMarkup, greens, hostileMarkup } from './page-checks.ts';
import type { PageHarness } from './page-harness.ts';
import { enabled, openScenePage, type ScenePage } from './scene-page.ts';

/** The page of a machine in a real browser, before canned answers, at the time when those were given. */
let site: ScenePage;
let page: Page;
let harness: PageHarness;
beforeAll(async () => {
  site = await openScenePage();
  ({ page, harness } = site);
});
afterAll(() => site?.close());

const pointId = (index: number) => `rp_${idBody(index + 1)}`;
const openMachine = (scene: Scene = enabled) => site.openMachine(scene);
/** Enough of everything to be looked at, and no more: axe looks at each mark. */
const small = { points: manyPoints(14), runs: manyRuns(3), audit: auditOf(2) };

function activePoint(): Promise<string | null> {
  return page.locator('.points-line').getAttribute('aria-activedescendant');
}

describe('the head of the page', () => {
  test('says how the machine is in the documents words, its lag against the limit and its last drill', async () => {
    await look(page, 'light', 1280);
    await openMachine();
    const head = await page.locator('.machine').innerText();
    for (const words of [
      'berlin / hv-1',
      'Enabled',
      'tier:1',
      '9 s of 1 min',
      '40 min',
      'guest up after 11 s',
      'No copy runs',
    ]) {
      expect(head).toContain(words);
    }
  });

  test('shows the machine at the recovery site beside its source while a drill is open, and offers to clean up', async () => {
    await openMachine(machineStates.drill);
    expect(await page.locator('.pair').innerText()).toContain('vm-7-test');
    await page.getByRole('button', { name: 'Clean up', exact: true }).click();
    await page.locator('dialog[open]').waitFor();
    expect(await page.locator('dialog[open]').innerText()).toContain('cleanup vm-7');
  });

  test('a button that cannot be pressed says why and opens nothing', async () => {
    await openMachine(machineStates.replicating);
    const drill = page.getByRole('button', { name: 'Test failover' });
    expect(await drill.getAttribute('aria-description')).toContain('its initial replication is at 43 %');
    await drill.dispatchEvent('click');
    expect(await page.locator('dialog[open]').count()).toBe(0);
  });

  test('nothing is green while the page is not live', async () => {
    await openMachine();
    expect(await greens(page)).not.toEqual([]);
    harness.emit({ kind: 'stale', sinceMs: nowMs - 30_000, why: 'the engine does not answer' });
    await page.locator('.machine-head .chip-unknown').waitFor();
    expect(await greens(page)).toEqual([]);
    expect(await page.locator('.machine-health').innerText()).toContain('Not known now; as of 14:01:50Z');
  });
});

describe('a machine with thresholds of its own', () => {
  const thresholds = { warnMs: 300_000, criticalMs: 900_000 };

  test('is judged by them in its head, its meter, its facts and its plot, not by its policy', async () => {
    const lag = { ...lagOf(21_600_000), thresholdMs: thresholds.warnMs, criticalMs: thresholds.criticalMs };
    await openMachine(sceneOf({ ...vm7, thresholds, lagMs: 120_000 }, { lag }));
    const words = await page.locator('.machine').innerText();
    for (const part of ['2 min of 5 min', 'within its limit', 'critical above 15 min, set for this machine']) {
      expect(words).toContain(part);
    }
    expect(words).not.toContain('(over)');
    expect(await page.locator('.lag-meter').getAttribute('class')).toContain('meter-good');
    expect(await page.locator('#lag-summary').innerText()).toContain('It never passed the limit of 5 min');
  });
});

describe('the detail', () => {
  test('is asked for again when a point came, not when only the lag moved, and stays shown meanwhile', async () => {
    await openMachine();
    const asked = () => harness.asked.filter((one) => one.startsWith('/api/machines/')).length;
    expect(asked()).toBe(1);
    harness.emit({
      kind: 'change',
      atMs: nowMs + 1000,
      machines: { changed: [{ ...vm7, lagMs: 47_000 }], removed: [] },
    });
    await page.getByText('47 s of 1 min').waitFor();
    // Later than it asks twice.
    await page.clock.setFixedTime(nowMs + 10_000);
    const newer = { ...vm7, newestPoint: point('0000000ZZZ', 0), availablePointCount: 299 };
    harness.emit({ kind: 'change', atMs: nowMs + 2000, machines: { changed: [newer], removed: [] } });
    await expect.poll(asked, { timeout: 20_000 }).toBe(2);
    expect(await page.locator('.panel-points').innerText()).toContain('300 shown');
    await page.clock.setFixedTime(nowMs);
  });

  test('a machine that is not there is said to be so', async () => {
    const scene: Scene = {
      ...sceneOf(machine('vm-8')),
      detail: () => ({
        kind: 'problem',
        why: 'not-found',
        message: 'There is no machine vm-7.',
        nextStep: '`list vms` shows them.',
      }),
    };
    await site.open(scene, '/machines/vm-7');
    await page.getByText('There is no machine vm-7.').waitFor();
  });
});

describe('the recovery points on their line', () => {
  test('arrows move from point to point, and Enter goes to what can be done with it', async () => {
    await look(page, 'light', 1280);
    await openMachine();
    const line = page.getByRole('listbox', { name: 'Recovery points' });
    await line.focus();
    const walk = [
      ['End', 0],
      ['ArrowLeft', 1],
      ['ArrowLeft', 2],
      ['PageUp', 22],
      ['ArrowRight', 21],
      ['Home', 299],
    ] as const;
    for (const [key, index] of walk) {
      await line.press(key);
      await expect.poll(activePoint).toBe(`point-${pointId(index)}`);
    }
    const words = await page.locator(`#point-${pointId(299)}`).getAttribute('aria-label');
    expect(words).toContain('crash-consistent, 2026-11-20');
    await line.press('Enter');
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('point-panel');
  });

  test('a drill from the picked point is the line with that point, dry run first', async () => {
    await page.locator('.points-line').focus();
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    await page.locator('.point-panel').getByText(pointId(1)).waitFor();
    await page.getByRole('button', { name: 'Drill from here' }).click();
    await expect.poll(() => harness.linesSent).toEqual([`failover vm-7 --test --point ${pointId(1)} --dry-run`]);
    expect(await page.locator('dialog[open]').innerText()).toContain(`failover vm-7 --test --point ${pointId(1)}`);
    await page.keyboard.press('Escape');
  });

  test('a point that is damaged or not available yet cannot be started from, and says why', async () => {
    await openMachine();
    const line = page.locator('.points-line');
    await line.press('End');
    await page.getByText('only an available point can be started').waitFor();
    await line.press('PageUp');
    await line.press('PageUp');
    await page.getByText('It is damaged').waitFor();
    const drill = page.getByRole('button', { name: 'Drill from here' });
    expect(await drill.getAttribute('aria-disabled')).toBe('true');
  });

  test('a click picks the nearest of its lane, and a shorter time shows fewer', async () => {
    await openMachine();
    await page.locator('.points-line').click({ position: { x: 200, y: 34 } });
    await page.locator('.point-panel').getByText('application-consistent').waitFor();
    await page.locator('.panel-points').getByRole('button', { name: '1 h', exact: true }).click();
    await page.getByText(/^1[23] shown/).waitFor();
    // The window went where the picked point is, and the point is still drawn.
    expect(await activePoint()).not.toBeNull();
  });
});

describe('the lag over time', () => {
  test('is drawn in the colours of each theme, and said in words', async () => {
    await look(page, 'light', 1280);
    await openMachine();
    expect(await page.evaluate(inkCount)).toBeGreaterThan(2000);
    const light = await page.evaluate(inkColors);
    await look(page, 'dark', 1280);
    await expect.poll(() => page.evaluate(inkColors)).not.toEqual(light);
    expect(await page.evaluate(inkCount)).toBeGreaterThan(2000);
    expect(await page.locator('#lag-summary').innerText()).toContain('It passed the limit of 1 min once');
  });

  test('is a slider for the keyboard and a table for who wants one', async () => {
    const plot = page.getByRole('slider', { name: 'Lag over time' });
    await plot.focus();
    await plot.press('Home');
    const first = await plot.getAttribute('aria-valuetext');
    await plot.press('PageUp');
    expect(await plot.getAttribute('aria-valuetext')).not.toBe(first);
    expect(first).toMatch(/^08:0\d:\d\dZ: lag \d+ s$/);
    await page.getByText('As a table').click();
    expect(await page.locator('.lag-table tbody tr').count()).toBe(12);
  });

  test('another range is asked for from the server', async () => {
    await page.locator('.panel-lag').getByRole('button', { name: '7 d' }).click();
    await expect.poll(() => harness.asked.at(-1)).toBe('/api/machines/vm-7?sinceMs=604800000');
    await page.getByText('Worst lag in the last 7 d').waitFor();
  });

  test('follows the width of the window', async () => {
    await look(page, 'light', 700);
    const width = () => page.locator('.lag-plot canvas').evaluate((canvas) => canvas.getBoundingClientRect().width);
    const room = await page.locator('.lag-plot').evaluate((plot) => plot.getBoundingClientRect().width);
    await expect.poll(async () => Math.round(await width())).toBe(Math.round(room));
  });
});

describe('runs and the audit trail', () => {
  test('a run opens to its steps, its result and the picture of its console', async () => {
    await look(page, 'light', 1280);
    await openMachine();
    await page.locator('.run-head').first().click();
    const body = page.locator('.run-body:visible');
    await expect.poll(() => body.locator('tbody tr').count()).toBe(6);
    expect(await body.innerText()).toContain('LIFEBOAT vm-7');
    await expect
      .poll(() => body.locator('img').evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth))
      .toBe(720);
    await page.getByRole('button', { name: 'Show 42 older' }).click();
    await expect.poll(() => page.locator('.run').count()).toBe(50);
  });

  test('a failed run says why, where it stopped, what became of the machine and what to do', async () => {
    await page.locator('.run-head', { hasText: 'failed' }).first().click();
    const words = await page.locator('.run-failure').first().innerText();
    for (const part of ['no space left on /srv', 'It stopped at', 'was not touched', 'Drill again'])
      expect(words).toContain(part);
  });

  test('a run that goes on is drawn from what is live', async () => {
    const scene = sceneOf(
      { ...vm7, drill: { ...openDrill, state: 'starting' } },
      { runs: [] },
      { runs: [drillRun(3)] },
    );
    await openMachine(scene);
    expect(await page.locator('.run-outcome').innerText()).toContain('4/6 start machine');
    harness.emit({ kind: 'change', atMs: nowMs, runs: [drillRun(5)] });
    await page.getByText('6/6 record result').waitFor();
  });

  test('a broken chain is said first', async () => {
    await openMachine(machineStates.critical);
    expect(await page.locator('.audit-broken').innerText()).toContain('entry 1180 does not follow from entry 1179');
    expect(await page.locator('.audit tbody tr').count()).toBe(50);
  });
});

describe('for everybody', () => {
  test('axe finds nothing serious on the page of a machine, in both themes', async () => {
    await look(page, 'light', 1280);
    await openMachine(sceneOf({ ...vm7, drill: openDrill }, small));
    for (const head of await page.locator('.run-head').all()) await head.click();
    await page.locator('.points-line').press('End');
    expect(await seriousFindings(page, 'main')).toEqual([]);
    await look(page, 'dark', 1280);
    expect(await seriousFindings(page, 'main', ['color-contrast'])).toEqual([]);
  });

  test('no state needs sideways scrolling on a phone of 360 pixels', async () => {
    await look(page, 'light', 360, 780);
    for (const [state, scene] of Object.entries(machineStates)) {
      await openMachine(scene);
      expect([state, await sidewaysPixels(page)]).toEqual([state, 0]);
    }
  });

  test('nothing needs sideways scrolling on a screen of 3840 pixels, and the plot has its share of them', async () => {
    await look(page, 'light', 3840, 2160);
    await openMachine();
    expect(await sidewaysPixels(page)).toBe(0);
    const [plot, whole] = await page.evaluate<number[]>(
      `['.lag-plot canvas', '.machine'].map((one) => document.querySelector(one).getBoundingClientRect().width)`,
    );
    expect((plot ?? 0) / (whole ?? 1)).toBeGreaterThan(0.3);
  });

  test('nothing moves when the detail comes', async () => {
    await look(page, 'light', 1280);
    await page.addInitScript(
      'window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) window.shift += one.value; }).observe({ type: "layout-shift", buffered: true });',
    );
    await openMachine();
    expect(await page.evaluate('window.shift')).toBeLessThan(0.02);
  });
});

describe('what strangers wrote', () => {
  const hostile = `${hostileMarkup}\u202e"'\`${'x'.repeat(200)}`;
  const one = {
    ...vm7,
    tracking: hostile,
    unsupported: null,
    tags: [hostile],
    health: { kind: 'warning', message: hostile } as const,
  };
  const runs = manyRuns(6).map((run) => ({
    ...run,
    requestedBy: hostile,
    failure: run.failure === null ? null : hostile,
  }));
  const points = manyPoints(20).map((each) => ({ ...each, reason: hostile }));
  const audit = auditOf(5, { isChainWhole: false, problem: hostile });
  const entries = audit.entries.map((entry) => ({ ...entry, who: hostile, what: hostile, detail: hostile }));
  const scene = sceneOf(one, { points, runs, audit: { ...audit, entries }, lag: lagOf(3_600_000, hostile) });

  test('stays text, breaks no layout and runs nothing', async () => {
    await look(page, 'light', 360, 780);
    await openMachine(scene);
    await page.locator('.points-line').focus();
    await page.keyboard.press('End');
    for (const head of await page.locator('.run-head').all()) await head.click();
    expect(await sidewaysPixels(page)).toBe(0);
    expect(await foreignMarkup(page)).toEqual([]);
  });

  test('the address of a machine that is a script is only a name', async () => {
    const nowhere: Scene = {
      ...enabled,
      detail: () => ({ kind: 'problem', why: 'not-found', message: hostile, nextStep: null }),
    };
    await site.open(nowhere, `/machines/${encodeURIComponent('<script>alert(1)</script>')}`);
    await page.getByRole('heading', { name: 'alert(1)' }).waitFor();
    expect(await foreignMarkup(page)).toEqual([]);
  });
});

test('the page broke nothing and breached no policy in all of this', () => {
  expect(site.faults).toEqual([]);
});

// In the browser.
const pixels = `(() => { const canvas = document.querySelector('.lag-plot canvas'); return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; })()`;
const inkCount = `(() => { const data = ${pixels}; let count = 0; for (let at = 3; at < data.length; at += 4) if (data[at] > 40) count += 1; return count; })()`;
const inkColors = `(() => { const data = ${pixels}; const seen = new Map(); for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) { const key = [data[at], data[at + 1], data[at + 2]].join(); seen.set(key, (seen.get(key) ?? 0) + 1); } return [...seen].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([key]) => key); })()`;

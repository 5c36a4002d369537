import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApprovalView } from '../../protocol/chat-api.ts';
import { nowMs } from '../bot/recorded-answers.ts';
import { look, seriousFindings, sidewaysPixels } from '../fixtures/browser.ts';
import { pdfPages } from '../fixtures/pdf-text.ts';
import { approval, rejectedRequest, reportOf } from './machine-scenes.ts';
import { foreignMarkup, hostileMarkup } from './page-checks.ts';
import type { PageHarness } from './page-harness.ts';
import { enabled, openScenePage, type ScenePage } from './scene-page.ts';

/** The report in a real browser, before canned answers, at the time when those were given. */
let site: ScenePage;
let page: Page;
let harness: PageHarness;
beforeAll(async () => {
  site = await openScenePage();
  ({ page, harness } = site);
});
afterAll(() => site?.close());

describe('the report', () => {
  test('names who, when, from what, and what was measured, and how to prove it later', async () => {
    await look(page, 'light', 1280);
    await site.openReport(enabled);
    expect(harness.asked.filter((one) => one.startsWith('/api/report'))).toHaveLength(1);
    const words = await page.locator('.report-sheet').innerText();
    const parts = [
      'Drills',
      'Drills: data loss if real',
      '8.3 s',
      'median; worst 20.8 s',
      'Failovers: data lost, measured',
      '10.0 s: the data loss is within it',
      'median; worst 0 s',
      'median; worst 41.3 s',
      'db-1, mail-2, vm-11',
      'ana asked by slack',
      'ben, by web, with a six-digit code',
      'number 1234',
      'not counted: 1 drill from a chosen point',
      'not measured: the drill was from a chosen point, 1 d 2 h old',
      'QEMU on dr-1',
      '“the login page came up”',
    ];
    for (const part of parts) expect(words).toContain(part);
    // Of both together: no figure at all.
    for (const part of ['7.8 s', '17.8 s']) expect(words).not.toContain(part);
    expect(words).toMatch(/taken \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/);
  });

  test('names what was asked for and not done: who asked, why, who said no, and why', async () => {
    const request = page.locator('.report-request');
    expect(await request.count()).toBe(1);
    const words = await request.innerText();
    for (const part of [
      'Planned failover of vm-7',
      'ben, by teams',
      'ana asked by slack',
      'move to the new hall',
      'not before the backup',
    ]) {
      expect(words).toContain(part);
    }
  });

  test('a break-glass is told with its review, and one without a review is said in red', async () => {
    const review = { dueAtMs: nowMs - 1000, reviewedBy: null, note: null };
    const open = async (more: Partial<NonNullable<ApprovalView['review']>>, unreviewedBreakGlassCount: number) => {
      const { runs, summary } = reportOf(8);
      const glass = { ...approval, votes: [], isBreakGlass: true, review: { ...review, ...more } };
      const answer = reportOf(8, {
        runs: runs.map((entry) => (entry.approval === null ? entry : { ...entry, approval: glass })),
        summary: { ...summary, breakGlassCount: 1, unreviewedBreakGlassCount },
      });
      await site.openReport({ ...enabled, report: () => answer });
      return page.locator('.report-sheet').innerText();
    };
    const without = await open({}, 1);
    for (const part of [
      '1 by break-glass, 1 not reviewed',
      'ana went on without an approver',
      'approval due, 0 given',
      'only with a six-digit code',
      'none when this report was made',
    ]) {
      expect(without).toContain(part);
    }
    expect(await page.locator('.figure-note.tone-bad', { hasText: 'not reviewed' }).count()).toBe(1);
    const reviewed = await open({ reviewedBy: 'ben', note: 'it was right', reviewedAtMs: nowMs - 5000 }, 0);
    expect(reviewed).toContain('1 by break-glass, reviewed');
    expect(reviewed).toContain('“it was right”');
  });

  test('one that the engine could not give comes by itself when the engine is back', async () => {
    let isBack = false;
    const why = { kind: 'problem', why: 'outage', message: 'The engine does not answer.', nextStep: null } as const;
    await site.open({ ...enabled, report: () => (isBack ? reportOf(1) : why) }, '/report?days=30');
    await page.getByText('asked for again by itself').waitFor();
    isBack = true;
    await page.clock.setFixedTime(nowMs + 10_000);
    await page.locator('.report-sheet').waitFor();
    await page.clock.setFixedTime(nowMs);
  });

  test('its period and machine stand in the address', async () => {
    await page.getByRole('link', { name: '90 days' }).click();
    await expect.poll(() => new URL(page.url()).search).toBe('?days=90');
    await page.getByLabel('Machine', { exact: true }).fill('vm-7');
    await page.getByLabel('From', { exact: true }).fill('2026-11-01');
    await page.getByLabel('To', { exact: true }).fill('2026-11-10');
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    const period = `machine=vm-7&fromMs=${Date.UTC(2026, 10, 1)}&toMs=${Date.UTC(2026, 10, 11)}`;
    await expect.poll(() => harness.asked.at(-1)).toBe(`/api/report?${period}`);
    expect(new URL(page.url()).search).toBe('?machine=vm-7&from=2026-11-01&to=2026-11-10');
  });

  test('prints on A4: no buttons, no run torn in two, all pages numbered, in light colours', async () => {
    await look(page, 'dark', 1280);
    await site.openReport({ ...enabled, report: () => reportOf(14) });
    await page.emulateMedia({ media: 'print' });
    await page.setViewportSize({ width: 680, height: 960 });
    expect(await page.getByRole('button').filter({ visible: true }).count()).toBe(0);
    const printed = await page.evaluate<string>('document.body.innerText');
    expect(printed).not.toContain('Approvals');
    expect(printed).toContain('Test failover of vm-7');
    expect(await page.evaluate('getComputedStyle(document.querySelector(".report-sheet")).color')).toBe(
      'rgb(18, 24, 31)',
    );
    expect(await page.evaluate('getComputedStyle(document.querySelector(".report-run")).breakInside')).toBe('avoid');
    const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
    const pages = pdfPages(pdf);
    expect(pages.length).toBeGreaterThan(3);
    expect(pages.length).toBeLessThan(9);
    for (const [index, words] of pages.entries()) expect(words).toContain(`${index + 1} of ${pages.length}`);
    expect(pages.join(' ')).toContain('Asked for and not done: 1 failover');
    expect(pdf.toString('latin1')).toMatch(/\/MediaBox\s*\[0 0 59[45][.\d]* 84[12][.\d]*\]/);
    await page.emulateMedia({ media: null });
  });
});

describe('the report, for everybody', () => {
  test('axe finds nothing serious on the report, in both themes', async () => {
    await look(page, 'light', 1280);
    await site.openReport({ ...enabled, report: () => reportOf(3) });
    expect(await seriousFindings(page, 'main')).toEqual([]);
    await look(page, 'dark', 1280);
    expect(await seriousFindings(page, 'main', ['color-contrast'])).toEqual([]);
  });

  test('needs no sideways scrolling on a phone of 360 pixels and on a screen of 3840', async () => {
    for (const [width, height] of [
      [360, 780],
      [3840, 2160],
    ] as const) {
      await look(page, 'light', width, height);
      await site.openReport(enabled);
      expect([width, await sidewaysPixels(page)]).toEqual([width, 0]);
    }
  });

  test('what strangers wrote stays text, breaks no layout and runs nothing', async () => {
    const hostile = `${hostileMarkup}\u202e"'\`${'x'.repeat(200)}`;
    const report = reportOf(4, { machineName: hostile, madeBy: hostile });
    const words = { reason: hostile, decisionReason: hostile };
    const runs = report.runs.map((entry) => ({
      ...entry,
      target: hostile,
      cleanup: entry.cleanup && { ...entry.cleanup, note: hostile },
      run: { ...entry.run, failure: hostile },
    }));
    await look(page, 'light', 360, 780);
    const answer = { ...report, runs, requests: [{ ...rejectedRequest, ...words }] };
    await site.openReport({ ...enabled, report: () => answer });
    expect(await sidewaysPixels(page)).toBe(0);
    expect(await foreignMarkup(page)).toEqual([]);
  });
});

test('the report broke nothing and breached no policy in all of this', () => {
  expect(site.faults).toEqual([]);
});

import path from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiAnswer } from '../../bot/api-call.ts';
import type { Card } from '../../bot/card.ts';
import { executeChatLine } from '../../bot/chat-line.ts';
import { approvalCard } from '../../bot/conversation/approval-cards.ts';
import { lineOfForm } from '../../bot/conversation/forms.ts';
import { runCard } from '../../bot/conversation/run-cards.ts';
import type { EngineClient } from '../../bot/engine-client.ts';
import type { FormAnswers } from '../../bot/form.ts';
import { renderCard } from '../../bot/terminal/render-card.ts';
import { bundlePage } from '../../bot/web/page-bundle.ts';
import type { LineReply, Me, SiteParts } from '../../bot/web/wire.ts';
import type { MachineId } from '../../domain/ids.ts';
import type { AlertView, ApprovalView } from '../../protocol/chat-api.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import { drillRun, engineOf, machine, newest, nowMs, verifiedRun, worlds } from '../bot/recorded-answers.ts';
import { launchBrowser, look, openPage, seriousFindings } from '../fixtures/browser.ts';
import { allCards, type NamedCard } from '../teams/all-cards.ts';
import { lagAlert, pendingApproval, smallEngine } from '../teams/small-engine.ts';
import { foreignMarkup, hostileMarkup, placesOf, windowIntoState } from './page-checks.ts';
import { alteredPage, type PageHarness, startPageHarness } from './page-harness.ts';

/** The conversation of the page in a real browser, before canned answers, at the time when those were given. */

const me: Me = { name: 'ben', roles: ['approver'], hasAuthenticator: true, isOnCall: false };
const pending: ApprovalView = { ...pendingApproval, requestedAtMs: nowMs - 60_000, expiresAtMs: nowMs + 1_700_000 };
const alert: AlertView = { ...lagAlert, openedAtMs: nowMs - 240_000, changedAtMs: nowMs };

let browser: Browser;
let harness: PageHarness;
let page: Page;
let faults: readonly string[];
let cards: readonly NamedCard[];
let clockMs = nowMs;
beforeAll(async () => {
  const bundle = await alteredPage(await bundlePage(), [windowIntoState]);
  const start = { site: site(), me, bundle, nowMs: () => clockMs };
  [harness, browser, cards] = await Promise.all([startPageHarness(start), launchBrowser(), allCards()]);
  ({ page, faults } = await openPage(browser));
});
afterAll(async () => {
  await browser?.close();
  await harness?.close();
});

function site(more: Partial<OverviewView> = {}): OverviewView {
  return {
    atMs: nowMs,
    hosts: [],
    machines: ['vm-7', 'vm-8', 'db-1'].map((name) => machine(name, { id: 'mch_ABCDEFGHJK' as MachineId })),
    runs: [],
    approvals: [pending],
    alerts: [alert],
    surfaces: [],
    versions: { engine: '0.1.0', node: '24', postgres: '18', vault: 'directory', accelerator: 'tcg' },
    eventNumber: 1,
    ...more,
  };
}

async function open(address: string, more: Partial<OverviewView> = {}, who: Me = me): Promise<void> {
  harness.setSite(site(more));
  harness.setMe(who);
  harness.linesSent.length = 0;
  clockMs = nowMs;
  await page.clock.setFixedTime(clockMs);
  await page.goto(`${harness.url}${address}`);
  await page
    .getByText(/^\s*live/)
    .first()
    .waitFor();
}

async function openChat(): Promise<void> {
  const isShown = (await page.getByRole('log').count()) > 0;
  if (!isShown) await page.getByRole('navigation', { name: 'Main' }).getByRole('button', { name: 'Chat' }).click();
  await page.getByRole('log').waitFor();
}

/** Somebody looks at it later, and the site has moved on. */
async function later(passedMs: number, parts: SiteParts = {}): Promise<void> {
  clockMs += passedMs;
  await page.clock.setFixedTime(clockMs);
  harness.emit({ kind: 'change', atMs: clockMs, ...parts });
  await page.getByText(`live · ${new Date(clockMs).toISOString().slice(11, 19)}Z`).waitFor();
}

/** Where somebody wants to look at them, pictures are kept there. */
const kept = process.env.LIFEBOAT_PAGE_PICTURES;

async function picture(name: string): Promise<void> {
  if (kept !== undefined) await page.screenshot({ path: path.join(kept, `${name}.png`) });
}

/** What is drawn beyond the edge of the window, or cut off, in words. */
const overflowScript = `(() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => element.closest('.card-table') !== null && !element.matches('.card-table');
  const isHidden = (element) => element.closest('.visually-hidden, .skip-link') !== null;
  return [...document.querySelectorAll('#page *')].filter((element) => {
    if (isHidden(element) || scrolls(element)) return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 1 || box.left < -1);
  }).map((element) => element.className + ': ' + element.textContent.trim().slice(0, 60));
})()`;

/** The words of each card, without those of its buttons and pictures. */
const wordsScript = `[...document.querySelectorAll('.talk-log .talk-card')].map((place) => {
  const words = [];
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) words.push(node.data);
    else if (node.nodeType === Node.ELEMENT_NODE && !node.matches('.visually-hidden, .card-tone, button, figure')) node.childNodes.forEach(walk);
    if (node.nodeType === Node.ELEMENT_NODE && !node.matches('code, .word')) words.push(' ');
  };
  walk(place);
  return words.join('').replaceAll(/\\s+/g, ' ').trim();
})`;

/** The same words as the terminal draws them: without its signs, its bar, its picture's path, and its buttons as lines. */
function terminalWords({ picture: _, buttons: __, ...card }: Card): string {
  const lines = renderCard(card, { widthColumns: 20_000, isColored: false, commandPrefix: '/dr ' }).split('\n');
  return lines
    .map((line) => line.replace(/^ {2}→ /, '').replace(/^ {2}[█░]+/, ''))
    .join(' ')
    .slice(1)
    .replaceAll('`', '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

/** One card of each make: looking at every colour of every card would take half a minute. */
function kinds(all: readonly NamedCard[]): Card[] {
  const byMake = new Map(all.map(({ card }) => [`${card.tone} ${makeOf(card)}`, card]));
  const makes = new Set<string>();
  return [...byMake.values()].filter((card) => {
    const parts = makeOf(card).split(' ').concat(card.tone);
    const isNew = parts.some((part) => !makes.has(part));
    for (const part of parts) makes.add(part);
    return isNew;
  });
}

function makeOf(card: Card): string {
  const styles = (card.buttons ?? []).map(({ style }) => style);
  return [...Object.keys(card), ...styles, card.table?.columns[0] === '' ? 'plain' : 'named'].join(' ');
}

/** The cards of one answer in the chat. */
async function showCards(shown: readonly Card[]): Promise<void> {
  harness.answers.line = async () => ({ kind: 'reply', cards: shown, files: [] });
  await open('/alerts');
  await openChat();
  await sendTyped('all');
  await eventually(() => page.locator('.talk-log .talk-card').count()).toBe(shown.length);
}

describe('cards', () => {
  test('every card of the conversation is whole on a phone', async () => {
    await look(page, 'light', 360);
    await showCards(cards.map(({ card }) => card));
    expect(await page.evaluate(overflowScript)).toEqual([]);
  });

  test('a card says in the page what it says in the terminal', async () => {
    const words = (await page.evaluate(wordsScript)) as string[];
    for (const [index, { name, card }] of cards.entries()) {
      expect([name, words[index]]).toEqual([name, terminalWords(card)]);
    }
  });

  test('axe finds nothing serious in any make of card, in both themes', async () => {
    await showCards(kinds(cards));
    expect(await seriousFindings(page, '.talk-log')).toEqual([]);
    await picture('cards-light');
    await look(page, 'dark', 360);
    expect(await seriousFindings(page, '.talk-log', ['color-contrast'])).toEqual([]);
    await picture('cards-dark');
  });
});

/** The real conversation behind the page, over recorded answers of an engine. */
function talksWith(engine: Pick<EngineClient, 'ask'>): void {
  const deps = { engine, speaker: { session: 's' }, newKey: () => 'key', nowMs: () => nowMs };
  const replied = async (line: string): Promise<LineReply> => {
    const { cards: said, form, follow } = await executeChatLine(line, deps);
    return { kind: 'reply', cards: said, files: [], ...(form && { form }), ...(follow && { topic: follow.topic }) };
  };
  harness.answers.line = replied;
  harness.answers.form = ({ kind, context }, answers) => replied(lineOfForm(kind, context, answers));
}

const well = () => engineOf(worlds.well ?? { machines: [] });

/** Waits for what is drawn, not for the clock; the limit is only for a page that hangs. */
const eventually = <Seen>(look: () => Seen | Promise<Seen>) => expect.poll(look, { timeout: 20_000, interval: 25 });

const shows = (field: Locator, text: string) => eventually(() => field.inputValue()).toBe(text);

async function settled(): Promise<void> {
  await eventually(() => page.locator('[aria-busy="true"]:not(.topic), .waiting').count()).toBe(0);
}

describe('the chat', () => {
  test('is driven by the keyboard alone: completion, history, and cards whose buttons send their lines', async () => {
    talksWith(well());
    await look(page, 'light', 1280);
    await open('/');
    await openChat();
    const input = page.getByRole('combobox', { name: 'Command' });
    await input.focus();
    await page.keyboard.type('/dr stat');
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await eventually(() => input.getAttribute('aria-activedescendant')).toBe('talk-choices-1');
    await page.keyboard.press('Enter');
    await shows(input, '/dr status vm-8 ');
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByRole('heading', { name: /vm-8/ }).waitFor();
    await page.keyboard.type('failovr vm-7 --test');
    await page.keyboard.press('Enter');
    await page.getByText('Not understood; nothing was done').waitFor();
    expect(harness.linesSent).toEqual(['status vm-8', 'failovr vm-7 --test']);
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowUp');
    await shows(input, 'status vm-8');
    expect(await seriousFindings(page, '.talk')).toEqual([]);
    await picture('chat-1280');
  });

  test('stays where the reader has scrolled to, and follows the end otherwise', async () => {
    talksWith(well());
    await open('/');
    await look(page, 'light', 360, 640);
    await openChat();
    for (const line of ['status', 'points vm-7', 'help failover']) await sendTyped(line);
    expect(await page.evaluate(distanceToEnd)).toBeLessThan(2);
    const held = Promise.withResolvers<LineReply>();
    harness.answers.line = () => held.promise;
    await page.getByRole('combobox', { name: 'Command' }).fill('alerts');
    await page.keyboard.press('Enter');
    await page.locator('.waiting').waitFor();
    await page.evaluate("document.querySelector('.talk-log').scrollTop = 0");
    held.resolve({ kind: 'reply', cards: [noted], files: [] });
    await page.getByRole('heading', { name: 'a note' }).waitFor();
    expect(await page.evaluate("document.querySelector('.talk-log').scrollTop")).toBe(0);
    expect(await page.evaluate(overflowScript)).toEqual([]);
    await picture('chat-360');
  });

  test('a card that stands for something is replaced as that changes, until it has ended', async () => {
    const asked: string[] = [];
    const run = 'run_4F6H8J0KMN';
    let now = drillRun(3);
    talksWith(well());
    harness.answers.card = async (topic) => {
      asked.push(topic);
      return { kind: 'card', card: runCard(now, nowMs), isFinal: now.state !== 'active' };
    };
    await look(page, 'light', 1280);
    await open('/', { runs: [now] });
    await openChat();
    await sendTyped('failover vm-7 --test');
    await page.getByRole('log').getByRole('progressbar').waitFor();
    now = verifiedRun;
    await later(2000, { runs: [now] });
    await page.getByRole('button', { name: 'Show larger' }).waitFor();
    await later(60_000);
    expect(asked).toEqual([`run:${run}`, `run:${run}`]);
  });

  test('what hosts and people wrote does no harm', async () => {
    const card: Card = {
      title: hostileMarkup,
      tone: 'bad',
      audience: 'asker',
      text: [`\`${hostileMarkup}\``, '\u202eevil\u0000'],
      fields: [{ label: hostileMarkup, value: hostileMarkup }],
      progress: { percent: 5, label: hostileMarkup },
      table: { columns: [hostileMarkup], rows: [[hostileMarkup]] },
      sections: [{ title: hostileMarkup, rows: [[hostileMarkup, hostileMarkup]] }],
      picture: {
        path: hostileMarkup,
        apiPath: '/v1/runs/../../x" onerror="globalThis.harmed=1',
        altText: hostileMarkup,
      },
      link: { label: hostileMarkup, url: 'javascript:globalThis.harmed=1' },
      copyLine: hostileMarkup,
      buttons: [{ label: hostileMarkup, line: hostileMarkup, style: 'default' }],
      footer: hostileMarkup,
    };
    harness.answers.line = async () => ({
      kind: 'reply',
      cards: [card],
      files: [{ name: hostileMarkup, type: 'text/html', base64: 'PGI+' }],
    });
    await open('/approvals', {
      approvals: [{ ...pending, reason: hostileMarkup, impact: [hostileMarkup], requestedBy: hostileMarkup }],
    });
    await openChat();
    await sendTyped(hostileMarkup);
    await page.getByRole('log').getByRole('heading', { name: 'onerror' }).waitFor();
    expect(await foreignMarkup(page)).toEqual([]);
  });
});

const noted: Card = { title: 'a note', tone: 'neutral', audience: 'asker' };
const distanceToEnd = `(() => { const log = document.querySelector('.talk-log'); return log.scrollHeight - log.scrollTop - log.clientHeight; })()`;

async function sendTyped(line: string): Promise<void> {
  const before = harness.linesSent.length;
  await page.getByRole('combobox', { name: 'Command' }).fill(line);
  await page.keyboard.press('Enter');
  await eventually(() => harness.linesSent.length).toBe(before + 1);
  await settled();
}

describe('an approval', () => {
  test('on a phone it is read and decided in one look; the code is nowhere when it is sent', async () => {
    const engine = smallEngine();
    engine.approval = pending;
    engine.people.set('u', 'ben');
    const sent: FormAnswers[] = [];
    talksWith({ ask: (call) => engine.ask(call, { actor: ben }) });
    const reply = harness.answers.form;
    harness.answers.form = (form, answers) => {
      sent.push(answers);
      return reply(form, answers);
    };
    await look(page, 'light', 360, 740);
    await open(`/approvals/${pending.id}`);
    expect(await seriousFindings(page)).toEqual([]);
    expect(await page.evaluate(overflowScript)).toEqual([]);
    await picture('approval-360');
    const approve = page.getByRole('group', { name: 'Decide' }).getByRole('button', { name: 'Approve' });
    expect(await approve.boundingBox()).toMatchObject({ height: 52 });
    await approve.dblclick();
    const code = page.getByLabel('Six-digit code');
    await code.waitFor();
    expect(harness.linesSent).toEqual([`approve ${pending.id} --rev 1 --digest ab12cd34`]);
    await eventually(() => page.evaluate('document.activeElement.name')).toBe('code');
    await page.keyboard.type('654321');
    await picture('approval-form-360');
    // The search finds it while it stands in its field.
    expect(await placesOf(page, '654321')).toEqual(['fields']);
    await page.keyboard.press('Enter');
    await page.getByText('That code is wrong').first().waitFor();
    expect(await placesOf(page, '654321')).toEqual([]);
    await page.keyboard.type('123456');
    await page.keyboard.press('Enter');
    await page
      .getByRole('dialog')
      .getByRole('heading', { name: /approved by ben/ })
      .waitFor();
    expect(await placesOf(page, '123456')).toEqual([]);
    expect(sent.map(({ code: typed }) => typed)).toEqual(['654321', '123456']);
    await later(1000, { approvals: [engine.approval] });
    await page.keyboard.press('Enter');
    await page.getByText('It is approved. There is nothing left to decide.').waitFor();
    expect(await page.getByRole('button', { name: 'Approve' }).count()).toBe(0);
  });

  test.each([
    ['ana', 'You asked for this, so another person decides', ['Withdraw']],
    ['carl', 'You are no approver for vm-7, so you can read this and not decide it', []],
  ])('%s reads it and cannot decide it, and is told why', async (name, words, buttons) => {
    await open(`/approvals/${pending.id}`, {}, { ...me, name });
    await page.getByText(words).waitFor();
    expect(await page.getByRole('group', { name: 'Decide' }).getByRole('button').allInnerTexts()).toEqual(buttons);
  });

  test('those that wait for me stand first', async () => {
    const others = ['succeeded', 'pending'] as const;
    const approvals = others.map((state, index) => ({
      ...pending,
      id: `apr_000000000${index}` as ApprovalView['id'],
      state,
      eligible: ['zoe'],
    }));
    await look(page, 'dark', 1280);
    await open('/approvals', { approvals: [...approvals, pending] });
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual([
      'Waiting for you 1',
      'Open, for others to decide or running 1',
      'Ended in the last hour 1',
    ]);
    expect(await seriousFindings(page, 'main', ['color-contrast'])).toEqual([]);
  });
});

describe('an action', () => {
  test('shows what would be typed and what it would do, asks for what is missing, and runs once', async () => {
    talksWith({
      ask: async (call) => (call.kind === 'plannedFailover' ? planned(call.body.dryRun === true) : well().ask(call)),
    });
    harness.answers.card = async () => ({ kind: 'card', card: approvalCard(pending, nowMs), isFinal: false });
    await look(page, 'light', 360, 740);
    await open('/machines/vm-7');
    await page.getByRole('button', { name: 'Planned failover…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Planned failover of vm-7' });
    await dialog.getByText('dry run: it can be asked for').waitFor();
    await eventually(() => page.evaluate('document.activeElement.id')).toBe('sheet-reason');
    await page.keyboard.type('say "DC --now"');
    await dialog.getByText(`/dr failover vm-7 --planned --reason 'say "DC --now"'`).waitFor();
    expect(await seriousFindings(page, 'dialog[open]')).toEqual([]);
    expect(await page.evaluate(overflowScript)).toEqual([]);
    await picture('action-360');
    await dialog.getByRole('button', { name: 'Ask for approval' }).dblclick();
    await dialog.getByText('waits for approval').first().waitFor();
    expect(harness.linesSent).toEqual([
      'failover vm-7 --planned --dry-run',
      `failover vm-7 --planned --reason 'say "DC --now"'`,
    ]);
    await page.keyboard.press('Escape');
    await eventually(() => page.getByRole('dialog').count()).toBe(0);
  });
});

describe('alerts', () => {
  test('stand by severity with what can be done about them', async () => {
    talksWith({ ask: async (call) => (call.kind === 'alert' ? { kind: 'alert', alert } : well().ask(call)) });
    const warning = {
      ...alert,
      id: 'alr_0000000001' as AlertView['id'],
      severity: 'warning',
      title: 'hv-1 is silent',
    } as const;
    await look(page, 'dark', 360, 900);
    await open('/alerts', { alerts: [warning, alert] });
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(['Critical 1', 'Warning 1']);
    expect(await seriousFindings(page, 'main')).toEqual([]);
    expect(await page.evaluate(overflowScript)).toEqual([]);
    await picture('alerts-360');
    await page.getByRole('button', { name: 'Ack', exact: true }).first().click();
    await page.locator('.alert-answer').getByRole('heading').waitFor();
    await page.getByRole('button', { name: 'Snooze' }).first().click();
    await page.getByRole('dialog', { name: 'Snooze' }).getByLabel('4h').check();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Mute' }).first().click();
    await page.getByRole('dialog', { name: /Mute/ }).getByLabel('Reason').waitFor();
    expect(harness.linesSent).toEqual([`ack ${alert.id}`, `snooze ${alert.id}`]);
  });
});

describe('the palette', () => {
  test('opens with Ctrl-K, finds machines and verbs, runs lines, and remembers', async () => {
    talksWith(well());
    await look(page, 'light', 1280);
    await open('/');
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.type('vm-8');
    await page.getByRole('option', { name: 'Test failover of vm-8' }).waitFor();
    expect(await seriousFindings(page, 'dialog[open]')).toEqual([]);
    await picture('palette-1280');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/machines/vm-8');
    await page.keyboard.press('Control+k');
    await eventually(() => page.getByRole('option').first().innerText()).toContain('vm-8');
    await page.keyboard.type('status vm-7');
    await page.getByRole('option', { name: 'Run: status vm-7' }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('log').getByRole('heading', { name: /vm-7/ }).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await eventually(() => page.getByRole('dialog').count()).toBe(0);
    expect(harness.linesSent).toEqual(['status vm-7']);
  });
});

test('the page broke nothing and breached no policy in all of this', () => {
  expect(faults).toEqual([]);
});

const ben = { surface: 'teams', tenant: 't', user: 'u', displayName: 'ben', kind: 'member', envelope: 'e' } as const;

function planned(isDryRun: boolean): ApiAnswer {
  if (!isDryRun) return { kind: 'order', answer: { kind: 'approval', approval: pending, message: 'ben is asked.' } };
  const { impact, checks, eligible } = pending;
  const target = {
    target: 'qemu at hv-2',
    vmName: 'vm-7',
    network: 'production',
    accelerator: 'tcg',
    shutdownLimitMs: 120_000,
  };
  const plan = {
    digest: 'ab'.repeat(32),
    machineName: 'vm-7',
    newestPoint: newest,
    lagMs: 9000,
    ...target,
    neededCount: 1,
    eligible,
    impact,
    checks,
    steps: ['stop vm-7', 'start vm-7 at the target'],
    measured: null,
    measuredDrills: null,
  };
  return { kind: 'order', answer: { kind: 'failover-plan', plan } };
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Locator } from 'playwright-core';
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
import type { LineReply, Me } from '../../bot/web/wire.ts';
import type { MachineId } from '../../domain/ids.ts';
import type { AlertView, ApprovalView } from '../../protocol/chat-api.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import { drillRun, engineOf, machine, newest, nowMs, verifiedRun, worlds } from '../bot/recorded-answers.ts';
import { allCards, type NamedCard } from '../teams/all-cards.ts';
import { lagAlert, pendingApproval, smallEngine } from '../teams/small-engine.ts';
import { type Harness, openHarness } from './conversation-harness.ts';

/** Where the pictures go; LIFEBOAT_PAGE_PICTURES keeps them, to be looked at. */
const kept = process.env.LIFEBOAT_PAGE_PICTURES;

let harness: Harness;
let cards: readonly NamedCard[];
let folder: string;
beforeAll(async () => {
  folder = kept ?? (await mkdtemp(path.join(tmpdir(), 'lifeboat-page-')));
  [harness, cards] = await Promise.all([openHarness(), allCards()]);
});
afterAll(async () => {
  await harness.close();
  if (kept === undefined) await rm(folder, { recursive: true });
});

const looks = [
  { theme: 'light', widthPixels: 360 },
  { theme: 'dark', widthPixels: 360 },
] as const;

/** What is drawn beyond the edge of the window, or cut off, in words. */
const overflowScript = `(() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => element.closest('.card-table') !== null && !element.matches('.card-table');
  return [...document.querySelectorAll('#page *')].filter((element) => {
    if (element.closest('.visually-hidden') !== null || scrolls(element)) return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 1 || box.left < -1);
  }).map((element) => element.className + ': ' + element.textContent.trim().slice(0, 60));
})()`;

/** The words of each card, without those of its buttons and pictures. */
const wordsScript = `[...document.querySelectorAll('.case')].map((place) => {
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

describe('cards', () => {
  test.each(looks)('every card of the conversation is whole on a phone, $theme', async ({ theme, widthPixels }) => {
    await harness.look(theme, widthPixels);
    await harness.showCards(cards.map(({ card }) => card));
    expect(await harness.page.evaluate(overflowScript)).toEqual([]);
    await harness.showCards(kinds(cards));
    expect(await harness.audit()).toEqual([]);
    await harness.page.screenshot({ path: path.join(folder, `cards-${theme}.png`), fullPage: true });
  });

  test('a card says in the page what it says in the terminal', async () => {
    await harness.showCards(cards.map(({ card }) => card));
    const words = (await harness.page.evaluate(wordsScript)) as string[];
    for (const [index, { name, card }] of cards.entries()) {
      expect([name, words[index]]).toEqual([name, terminalWords(card)]);
    }
  });
});

const me: Me = { name: 'ben', roles: ['approver'], hasAuthenticator: true, isOnCall: false };
const pending: ApprovalView = { ...pendingApproval, requestedAtMs: nowMs - 60_000, expiresAtMs: nowMs + 1_700_000 };
const alert: AlertView = { ...lagAlert, openedAtMs: nowMs - 240_000, changedAtMs: nowMs };
const hostile = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>';

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

const scene = (address: string, more: Partial<OverviewView> = {}) => ({ path: address, me, nowMs, site: site(more) });

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
  await eventually(() => harness.page.locator('[aria-busy="true"]:not(.topic), .waiting').count()).toBe(0);
}

describe('the chat', () => {
  test('is driven by the keyboard alone: completion, history, and cards whose buttons send their lines', async () => {
    talksWith(well());
    await harness.look('light', 1280);
    await harness.open(scene('/'));
    await harness.dispatch({ kind: 'talk-pane', pane: 'open' });
    const input = harness.page.getByRole('combobox', { name: 'Command' });
    await input.focus();
    await harness.page.keyboard.type('/dr stat');
    await harness.page.keyboard.press('Tab');
    await harness.page.keyboard.press('ArrowDown');
    await harness.page.keyboard.press('ArrowDown');
    await eventually(() => input.getAttribute('aria-activedescendant')).toBe('talk-choices-1');
    await harness.page.keyboard.press('Enter');
    await shows(input, '/dr status vm-8 ');
    await harness.page.keyboard.press('Enter');
    await harness.page.getByRole('log').getByRole('heading', { name: /vm-8/ }).waitFor();
    await harness.page.keyboard.type('failovr vm-7 --test');
    await harness.page.keyboard.press('Enter');
    await harness.page.getByText('Not understood; nothing was done').waitFor();
    expect(harness.linesSent).toEqual(['status vm-8', 'failovr vm-7 --test']);
    await harness.page.keyboard.press('ArrowUp');
    await harness.page.keyboard.press('ArrowUp');
    await shows(input, 'status vm-8');
    expect(await harness.audit()).toEqual([]);
    await harness.page.screenshot({ path: path.join(folder, 'chat-1280.png') });
  });

  test('stays where the reader has scrolled to, and follows the end otherwise', async () => {
    talksWith(well());
    await harness.open(scene('/'));
    await harness.look('light', 360, 640);
    await harness.dispatch({ kind: 'talk-pane', pane: 'open' });
    for (const line of ['status', 'points vm-7', 'help failover']) await sendTyped(line);
    expect(await harness.page.evaluate(distanceToEnd)).toBeLessThan(2);
    await harness.page.evaluate("document.querySelector('.talk-log').scrollTop = 0");
    await harness.dispatch({
      kind: 'talk-answered',
      number: 999,
      place: { kind: 'chat' },
      answer: { kind: 'reply', cards: [noted], files: [] },
    });
    expect(await harness.page.evaluate("document.querySelector('.talk-log').scrollTop")).toBe(0);
    expect(await harness.page.evaluate(overflowScript)).toEqual([]);
    await harness.page.screenshot({ path: path.join(folder, 'chat-360.png') });
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
    await harness.look('light', 1280);
    await harness.open(scene('/', { runs: [now] }));
    await harness.dispatch({ kind: 'talk-pane', pane: 'open' });
    await sendTyped('failover vm-7 --test');
    await harness.page.getByRole('progressbar').waitFor();
    now = verifiedRun;
    await harness.dispatch(changed({ runs: [now] }));
    await harness.page.evaluate('harness.later(2000)');
    await harness.page.getByRole('button', { name: 'Show larger' }).waitFor();
    await harness.page.evaluate('harness.later(60000)');
    expect(asked).toEqual([`run:${run}`, `run:${run}`]);
  });

  test('what hosts and people wrote does no harm', async () => {
    const card: Card = {
      title: hostile,
      tone: 'bad',
      audience: 'asker',
      text: [`\`${hostile}\``, '\u202eevil\u0000'],
      fields: [{ label: hostile, value: hostile }],
      progress: { percent: 5, label: hostile },
      table: { columns: [hostile], rows: [[hostile]] },
      sections: [{ title: hostile, rows: [[hostile, hostile]] }],
      picture: { path: hostile, apiPath: '/v1/runs/../../x" onerror="window.harmed=1', altText: hostile },
      link: { label: hostile, url: 'javascript:window.harmed=1' },
      copyLine: hostile,
      buttons: [{ label: hostile, line: hostile, style: 'default' }],
      footer: hostile,
    };
    harness.answers.line = async () => ({
      kind: 'reply',
      cards: [card],
      files: [{ name: hostile, type: 'text/html', base64: 'PGI+' }],
    });
    await harness.open(
      scene('/approvals', { approvals: [{ ...pending, reason: hostile, impact: [hostile], requestedBy: hostile }] }),
    );
    await harness.dispatch({ kind: 'talk-pane', pane: 'open' });
    await sendTyped(hostile);
    await harness.page.getByRole('log').getByRole('heading', { name: 'onerror' }).waitFor();
    expect(
      await harness.page.evaluate(
        '[window.harmed, document.querySelectorAll(\'#page script, #page img, #page a[href^="javascript"]\').length]',
      ),
    ).toEqual([undefined, 0]);
    expect(harness.faults).toEqual([]);
  });
});

const noted: Card = { title: 'a note', tone: 'neutral', audience: 'asker' };
const distanceToEnd = `(() => { const log = document.querySelector('.talk-log'); return log.scrollHeight - log.scrollTop - log.clientHeight; })()`;

async function sendTyped(line: string): Promise<void> {
  const before = harness.linesSent.length;
  await harness.page.getByRole('combobox', { name: 'Command' }).fill(line);
  await harness.page.keyboard.press('Enter');
  await eventually(() => harness.linesSent.length).toBe(before + 1);
  await settled();
}

function changed(parts: Partial<OverviewView>) {
  return { kind: 'live', event: { kind: 'change', atMs: nowMs, ...parts }, browserMs: nowMs };
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
    await harness.look('light', 360, 740);
    await harness.open(scene(`/approvals/${pending.id}`));
    expect(await harness.audit()).toEqual([]);
    expect(await harness.page.evaluate(overflowScript)).toEqual([]);
    await harness.page.screenshot({ path: path.join(folder, 'approval-360.png') });
    const approve = harness.page.getByRole('group', { name: 'Decide' }).getByRole('button', { name: 'Approve' });
    expect(await approve.boundingBox()).toMatchObject({ height: 52 });
    await approve.dblclick();
    const code = harness.page.getByLabel('Six-digit code');
    await code.waitFor();
    expect(harness.linesSent).toEqual([`approve ${pending.id} --rev 1 --digest ab12cd34`]);
    await eventually(() => harness.page.evaluate('document.activeElement.name')).toBe('code');
    await harness.page.keyboard.type('654321');
    await harness.page.screenshot({ path: path.join(folder, 'approval-form-360.png') });
    // The search finds it while it stands in its field.
    expect(await nowhere('654321')).toBe(false);
    await harness.page.keyboard.press('Enter');
    await harness.page.getByText('That code is wrong').first().waitFor();
    expect(await nowhere('654321')).toBe(true);
    await harness.page.keyboard.type('123456');
    await harness.page.keyboard.press('Enter');
    await harness.page
      .getByRole('dialog')
      .getByRole('heading', { name: /approved by ben/ })
      .waitFor();
    expect(await nowhere('123456')).toBe(true);
    expect(sent.map(({ code: typed }) => typed)).toEqual(['654321', '123456']);
    await harness.dispatch(changed({ approvals: [engine.approval] }));
    await harness.page.keyboard.press('Enter');
    await harness.page.getByText('It is approved. There is nothing left to decide.').waitFor();
    expect(await harness.page.getByRole('button', { name: 'Approve' }).count()).toBe(0);
  });

  test.each([
    ['ana', 'You asked for this, so another person decides', ['Withdraw']],
    ['carl', 'You are no approver for vm-7, so you can read this and not decide it', []],
  ])('%s reads it and cannot decide it, and is told why', async (name, words, buttons) => {
    await harness.open({ ...scene(`/approvals/${pending.id}`), me: { ...me, name } });
    await harness.page.getByText(words).waitFor();
    expect(await harness.page.getByRole('group', { name: 'Decide' }).getByRole('button').allInnerTexts()).toEqual(
      buttons,
    );
  });

  test('those that wait for me stand first', async () => {
    const others = ['succeeded', 'pending'] as const;
    const approvals = others.map((state, index) => ({
      ...pending,
      id: `apr_000000000${index}` as ApprovalView['id'],
      state,
      eligible: ['zoe'],
    }));
    await harness.look('dark', 1280);
    await harness.open(scene('/approvals', { approvals: [...approvals, pending] }));
    expect(await harness.page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual([
      'Waiting for you 1',
      'Open, for others to decide or running 1',
      'Ended in the last hour 1',
    ]);
    expect(await harness.audit()).toEqual([]);
  });
});

describe('an action', () => {
  test('shows what would be typed and what it would do, asks for what is missing, and runs once', async () => {
    talksWith({
      ask: async (call) => (call.kind === 'plannedFailover' ? planned(call.body.dryRun === true) : well().ask(call)),
    });
    harness.answers.card = async () => ({ kind: 'card', card: approvalCard(pending, nowMs), isFinal: false });
    await harness.look('light', 360, 740);
    await harness.open(scene('/'));
    await harness.page.evaluate("harness.act('failover vm-7 --planned')");
    const dialog = harness.page.getByRole('dialog', { name: 'Planned failover of vm-7' });
    await dialog.getByText('dry run: it can be asked for').waitFor();
    await eventually(() => harness.page.evaluate('document.activeElement.id')).toBe('sheet-reason');
    await harness.page.keyboard.type('say "DC --now"');
    await dialog.getByText(`/dr failover vm-7 --planned --reason 'say "DC --now"'`).waitFor();
    expect(await harness.audit()).toEqual([]);
    expect(await harness.page.evaluate(overflowScript)).toEqual([]);
    await harness.page.screenshot({ path: path.join(folder, 'action-360.png') });
    await dialog.getByRole('button', { name: 'Run' }).dblclick();
    await dialog.getByText('waits for approval').first().waitFor();
    expect(harness.linesSent).toEqual([
      'failover vm-7 --planned --dry-run',
      `failover vm-7 --planned --reason 'say "DC --now"'`,
    ]);
    await harness.page.keyboard.press('Escape');
    await eventually(() => harness.page.getByRole('dialog').count()).toBe(0);
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
    await harness.look('dark', 360, 900);
    await harness.open(scene('/alerts', { alerts: [warning, alert] }));
    expect(await harness.page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(['Critical 1', 'Warning 1']);
    expect(await harness.audit()).toEqual([]);
    expect(await harness.page.evaluate(overflowScript)).toEqual([]);
    await harness.page.screenshot({ path: path.join(folder, 'alerts-360.png') });
    await harness.page.getByRole('button', { name: 'Ack', exact: true }).first().click();
    await harness.page.locator('.alert-answer').getByRole('heading').waitFor();
    await harness.page.getByRole('button', { name: 'Snooze' }).first().click();
    await harness.page.getByRole('dialog', { name: 'Snooze' }).getByLabel('4h').check();
    await harness.page.keyboard.press('Escape');
    await harness.page.getByRole('button', { name: 'Mute' }).first().click();
    await harness.page.getByRole('dialog', { name: /Mute/ }).getByLabel('Reason').waitFor();
    expect(harness.linesSent).toEqual([`ack ${alert.id}`, `snooze ${alert.id}`]);
  });
});

describe('the palette', () => {
  test('opens with Ctrl-K, finds machines and verbs, runs lines, and remembers', async () => {
    talksWith(well());
    await harness.look('light', 1280);
    await harness.open(scene('/'));
    await harness.page.keyboard.press('Control+k');
    await harness.page.getByRole('dialog').waitFor();
    await harness.page.keyboard.type('vm-8');
    await harness.page.getByRole('option', { name: 'Test failover of vm-8' }).waitFor();
    expect(await harness.audit()).toEqual([]);
    await harness.page.screenshot({ path: path.join(folder, 'palette-1280.png') });
    await harness.page.keyboard.press('Enter');
    await eventually(async () => JSON.parse(await harness.state()).route).toEqual({ kind: 'machine', name: 'vm-8' });
    await harness.page.keyboard.press('Control+k');
    await eventually(() => harness.page.getByRole('option').first().innerText()).toContain('vm-8');
    await harness.page.keyboard.type('status vm-7');
    await harness.page.getByRole('option', { name: 'Run: status vm-7' }).waitFor();
    await harness.page.keyboard.press('Enter');
    await harness.page.getByRole('log').getByRole('heading', { name: /vm-7/ }).waitFor();
    await harness.page.keyboard.press('Control+k');
    await harness.page.getByRole('dialog').waitFor();
    await harness.page.keyboard.press('Escape');
    await eventually(() => harness.page.getByRole('dialog').count()).toBe(0);
    expect(harness.linesSent).toEqual(['status vm-7']);
  });
});

const ben = { surface: 'teams', tenant: 't', user: 'u', displayName: 'ben', kind: 'member', envelope: 'e' } as const;

/** True when neither the state nor any field nor any text of the page holds the secret. */
async function nowhere(secret: string): Promise<boolean> {
  const fields = "[...document.querySelectorAll('input, textarea')].map((field) => field.value).join(' ')";
  const drawn = await harness.page.evaluate(`document.documentElement.outerHTML + ${fields}`);
  return !`${drawn} ${await harness.state()}`.includes(secret);
}

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

import type { Locator } from 'playwright-core';
import { encode } from 'uqr';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Card } from '../../bot/card.ts';
import { authenticatorCard } from '../../bot/conversation/people-cards.ts';
import { runCard } from '../../bot/conversation/run-cards.ts';
import { renderCard } from '../../bot/terminal/render-card.ts';
import type { LineReply } from '../../bot/web/wire.ts';
import { drillRun, nowMs, verifiedRun } from '../bot/recorded-answers.ts';
import { look, seriousFindings } from '../fixtures/browser.ts';
import { allCards, type NamedCard } from '../teams/all-cards.ts';
import { foreignMarkup, hostileMarkup } from './page-checks.ts';
import {
  type ConversationSite,
  eventually,
  overflowScript,
  pending,
  startConversationSite,
  well,
} from './page-conversation-site.ts';

/** Cards, the chat and the palette of the page in a real browser. Decisions and actions: page-decisions.test.ts. */

let site: ConversationSite;
let page: ConversationSite['page'];
let harness: ConversationSite['harness'];
let cards: readonly NamedCard[];
beforeAll(async () => {
  [site, cards] = await Promise.all([startConversationSite(), allCards()]);
  ({ page, harness } = site);
});
afterAll(() => site?.close());

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
  await site.open('/alerts');
  await site.openChat();
  await site.sendTyped('all');
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

  test('a link for an authenticator app is drawn as a code to scan, dark on light in both themes', async () => {
    const uri =
      'otpauth://totp/Lifeboat:ben?issuer=Lifeboat&secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&digits=6&period=30';
    await look(page, 'dark', 360);
    await showCards([authenticatorCard({ kind: 'secret', secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', uri })]);
    const code = page.getByRole('img', { name: /QR code/ });
    const { size, data } = encode(uri, { ecc: 'M', border: 4 });
    expect(await code.getAttribute('viewBox')).toBe(`0 0 ${size} ${size}`);
    const dark = (await code.locator('path').getAttribute('d')) ?? '';
    const drawn = [...dark.matchAll(/h(\d+)v1/g)].reduce((sum, [, length]) => sum + Number(length), 0);
    expect(drawn).toBe(data.flat().filter(Boolean).length);
    expect(await code.locator('rect').evaluate((rect) => getComputedStyle(rect).fill)).toBe('rgb(255, 255, 255)');
    expect(await page.getByRole('link', { name: uri }).getAttribute('href')).toBe(uri);
    expect(await seriousFindings(page, '.talk-card', ['svg-img-alt', 'role-img-alt', 'link-name'])).toEqual([]);
    await site.picture('authenticator-dark');
  });

  test('axe finds nothing serious in any make of card, in both themes', async () => {
    await look(page, 'light', 360);
    await showCards(kinds(cards));
    expect(await seriousFindings(page, '.talk-log')).toEqual([]);
    await site.picture('cards-light');
    await look(page, 'dark', 360);
    expect(await page.evaluate(overflowScript)).toEqual([]);
    expect(await seriousFindings(page, '.talk-log', ['color-contrast'])).toEqual([]);
    await site.picture('cards-dark');
  });
});

const shows = (field: Locator, text: string) => eventually(() => field.inputValue()).toBe(text);

const said = `${new Date(nowMs).toISOString().slice(11, 19)}Z`;

describe('the chat', () => {
  test('is driven by the keyboard alone: completion, history, and cards whose buttons send their lines', async () => {
    site.talksWith(well());
    await look(page, 'light', 1280);
    await site.open('/');
    await site.openChat();
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
    expect(await page.locator('.talk-answer > .talk-time').allInnerTexts()).toEqual([said, said]);
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowUp');
    await shows(input, 'status vm-8');
    expect(await seriousFindings(page, '.talk')).toEqual([]);
    await site.picture('chat-1280');
  });

  test('stays where the reader has scrolled to, and follows the end otherwise', async () => {
    site.talksWith(well());
    await site.open('/');
    await look(page, 'light', 360, 640);
    await site.openChat();
    for (const line of ['status', 'points vm-7', 'help failover']) await site.sendTyped(line);
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
    await site.picture('chat-360');
  });

  test('a card that stands for something is replaced as that changes, until it has ended', async () => {
    const asked: string[] = [];
    const run = 'run_4F6H8J0KMN';
    let now = drillRun(3);
    site.talksWith(well());
    harness.answers.card = async (topic) => {
      asked.push(topic);
      return { kind: 'card', card: runCard(now, nowMs), isFinal: now.state !== 'active' };
    };
    await look(page, 'light', 1280);
    await site.open('/', { runs: [now] });
    await site.openChat();
    await site.sendTyped('failover vm-7 --test');
    await page.getByRole('log').getByRole('progressbar').waitFor();
    now = verifiedRun;
    await site.later(2000, { runs: [now] });
    await page.getByRole('button', { name: 'Show larger' }).waitFor();
    await site.later(60_000);
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
    await site.open('/approvals', {
      approvals: [{ ...pending, reason: hostileMarkup, impact: [hostileMarkup], requestedBy: hostileMarkup }],
    });
    await site.openChat();
    await site.sendTyped(hostileMarkup);
    await page.getByRole('log').getByRole('heading', { name: 'onerror' }).waitFor();
    expect(await foreignMarkup(page)).toEqual([]);
  });
});

const noted: Card = { title: 'a note', tone: 'neutral', audience: 'asker' };
const distanceToEnd = `(() => { const log = document.querySelector('.talk-log'); return log.scrollHeight - log.scrollTop - log.clientHeight; })()`;

describe('the palette', () => {
  test('opens with Ctrl-K, finds machines and verbs, runs lines, and remembers', async () => {
    site.talksWith(well());
    await look(page, 'light', 1280);
    await site.open('/');
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.type('vm-8');
    await page.getByRole('option', { name: 'Test failover of vm-8' }).waitFor();
    expect(await seriousFindings(page, 'dialog[open]')).toEqual([]);
    await site.picture('palette-1280');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/machines/vm-8');
    await page.keyboard.press('Control+k');
    await eventually(() => page.getByRole('option').first().innerText()).toContain('vm-8');
    // What is half typed is completed, and runs nothing.
    await page.keyboard.type('failover vm-7 --te');
    await page.getByRole('option', { name: 'failover vm-7 --test' }).waitFor();
    await page.keyboard.press('Enter');
    await shows(page.getByRole('combobox', { name: /line to run/ }), 'failover vm-7 --test ');
    await page.keyboard.press('Control+a');
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
  expect(site.faults).toEqual([]);
});

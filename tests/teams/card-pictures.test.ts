import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Button, Card } from '../../bot/card.ts';
import { renderCard } from '../../bot/teams/render-card.ts';
import { renderForm } from '../../bot/teams/render-form.ts';
import { hostileTexts } from '../bot/slack/card-arbitrary.ts';
import { allCards, allForms, type NamedCard } from './all-cards.ts';
import { type CardBrowser, openCardBrowser } from './card-browser.ts';

/** Where the pictures go; LIFEBOAT_CARD_PICTURES keeps them, to be looked at. */
const kept = process.env.LIFEBOAT_CARD_PICTURES;
const looks = [
  { theme: 'light', widthPixels: 620 },
  { theme: 'dark', widthPixels: 620 },
  { theme: 'light', widthPixels: 320 },
  { theme: 'dark', widthPixels: 320 },
] as const;
const channel = { commandPrefix: '@DR ', viewers: ['29:1abc'], mentions: [{ id: '29:1abc', name: 'ben' }] };
const own = { commandPrefix: '' };

/** What a click brings back to the bot. */
function sends(button: Button): object {
  const { label, line, opens } = button;
  if (opens === undefined) return { type: 'Action.Execute', title: label, data: { lifeboat: { kind: 'line', line } } };
  const data = { msteams: { type: 'task/fetch' }, lifeboat: { kind: 'form', form: opens, line } };
  return { type: 'Action.Submit', title: label, data };
}

/** The browser opens it; the bot hears nothing. */
function opens(card: Card): object[] {
  return card.link === undefined ? [] : [{ type: 'Action.OpenUrl', title: card.link.label }];
}

let browser: CardBrowser;
let cards: readonly NamedCard[];
let folder: string;
beforeAll(async () => {
  folder = kept ?? (await mkdtemp(join(tmpdir(), 'lifeboat-cards-')));
  [browser, cards] = await Promise.all([openCardBrowser(), allCards()]);
});
afterAll(async () => {
  await browser.close();
  if (kept === undefined) await rm(folder, { recursive: true });
});

describe("in Microsoft's own renderer", () => {
  test.each(looks)('every card is whole, $theme and $widthPixels pixels wide', async (look) => {
    const drawn = await browser.drawAll(
      cards.map(({ card }) => renderCard(card, channel)),
      look,
    );
    for (const [index, { name, card }] of cards.entries()) {
      expect([name, drawn[index]?.faults, drawn[index]?.linkCount]).toEqual([name, [], 0]);
      expect(drawn[index]?.text).toContain(card.title.replaceAll('`', '').split(/\s+/)[0]);
    }
  });

  test('every button sends the line that it stands for', async () => {
    const pressed = await browser.pressAll(
      cards.map(({ card }) => renderCard(card, own)),
      looks[0],
    );
    const meant = cards.map(({ card }) => [...opens(card), ...(card.buttons ?? []).map(sends)]);
    expect(pressed.flat().length).toBeGreaterThan(30);
    expect(pressed).toMatchObject(meant);
  });

  test('names and reasons become no links, no bold type and no mentions', async () => {
    for (const text of [
      ...hostileTexts,
      '[Approve](http://evil.example)',
      '**Approved by ben**',
      '<at>everyone</at>',
      '<img src=x onerror="document.title=1">',
    ]) {
      const card = {
        title: text,
        tone: 'bad',
        audience: 'channel',
        text: [text],
        fields: [{ label: text, value: text }],
        table: { columns: ['A', 'B'], rows: [[text, text]] },
        footer: text,
      } as const;
      const drawn = await browser.draw(renderCard(card, channel), looks[0]);
      expect([text, drawn.linkCount, drawn.faults]).toEqual([text, 0, []]);
      expect(drawn.text).not.toContain('<b>');
    }
  });

  test('a planted TextBlock is seen to become a link: the eager reader of markdown works', async () => {
    const planted = {
      type: 'AdaptiveCard',
      version: '1.5',
      body: [{ type: 'TextBlock', text: '[Approve](http://evil.example)' }],
    };
    expect((await browser.draw(planted, looks[0])).linkCount).toBe(1);
  });

  test('a planted card that is too wide and an empty one are seen', async () => {
    const wide = {
      type: 'AdaptiveCard',
      version: '1.5',
      body: [
        { type: 'ColumnSet', columns: [{ type: 'Column', width: '900px', items: [{ type: 'TextBlock', text: 'x' }] }] },
      ],
    };
    expect((await browser.draw(wide, looks[2])).faults.join()).toContain('beyond the edge');
    const empty = {
      type: 'AdaptiveCard',
      version: '1.5',
      body: [{ type: 'RichTextBlock', inlines: [{ type: 'TextRun', text: ' ' }] }],
    };
    expect((await browser.draw(empty, looks[2])).faults.join()).toContain('empty');
  });
});

describe('forms', () => {
  test.each(looks)('are whole, $theme and $widthPixels pixels wide', async (look) => {
    for (const form of allForms()) {
      const drawn = await browser.draw(renderForm(form), look);
      expect([form.title, drawn.faults]).toEqual([form.title, []]);
    }
  });

  test('send their answers beside what they are about', async () => {
    const [, approve] = allForms();
    if (approve === undefined) throw new Error('no form');
    await browser.draw(renderForm(approve), looks[0]);
    expect(await browser.press('Approve', { 'Six-digit code': '12' })).toBeUndefined();
    const pressed = await browser.press('Approve', { 'Six-digit code': '123 456', Reason: 'seen' });
    expect(pressed?.data).toEqual({
      lifeboat: { kind: 'answers', form: 'approve', context: approve.context },
      'answer.code': '123 456',
      'answer.reason': 'seen',
    });
  });

  test('do not go without what they need', async () => {
    const reject = allForms()[2];
    if (reject === undefined) throw new Error('no form');
    await browser.draw(renderForm(reject), looks[0]);
    expect(await browser.press('Reject')).toBeUndefined();
  });
});

describe('pictures to look at', () => {
  test('are taken of the cards that matter most, light and dark', async () => {
    const wanted = [
      'approval pending',
      'approval executing',
      'alert open',
      'run active',
      'run done',
      'help.txt /dr help 0',
      'look.txt /dr status 0',
      'look.txt /dr points vm-7 0',
    ];
    for (const name of kept === undefined ? wanted.slice(0, 3) : wanted) {
      const found = cards.find((one) => one.name === name);
      if (found === undefined) throw new Error(`no card ${name}`);
      for (const look of kept === undefined ? [looks[0], looks[3]] : looks) {
        await browser.draw(renderCard(found.card, name === 'approval pending' ? own : channel), look);
        await browser.picture(join(folder, `${name.replace(/\W+/g, '-')}-${look.theme}-${look.widthPixels}.png`));
      }
    }
    for (const form of allForms()) {
      await browser.draw(renderForm(form), looks[1]);
      await browser.picture(join(folder, `form-${form.kind}-dark.png`));
    }
  });
});

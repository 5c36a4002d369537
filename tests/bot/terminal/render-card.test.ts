import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Card } from '../../../bot/card.ts';
import { executeLine } from '../../../bot/execute-line.ts';
import { renderCard, renderChange } from '../../../bot/terminal/render-card.ts';
import { displayWidth, safeText, wrapText } from '../../../bot/terminal/safe-text.ts';
import { anyText } from '../any-text.ts';
import { engineOf, nowMs, worlds } from '../recorded-answers.ts';

const plain = { isColored: false, commandPrefix: 'dr ' };

async function cardsOf(line: string, worldName: string): Promise<readonly Card[]> {
  const engine = engineOf(worlds[worldName] ?? { machines: [] });
  const signal = new AbortController().signal;
  const deps = { engine, nowMs: () => nowMs, newKey: () => 'key-12345', signal, isWaiting: true, pauseMs: 0 };
  return (await executeLine(line, deps)).cards;
}

const samples: readonly (readonly [line: string, world: string])[] = [
  ['status', 'trouble'],
  ['failover vm-7 --test', 'drill'],
  ['points vm-7', 'well'],
  ['help', 'well'],
];
const widths = [40, 80, 120];

describe('drawn cards', () => {
  it.each(samples.flatMap(([line, world]) => widths.map((width) => ({ line, world, width }))))(
    '$line at $width columns',
    async ({ line, world, width }) => {
      const cards = await cardsOf(line, world);
      const drawn = cards.map((card) => renderCard(card, { ...plain, widthColumns: width })).join('\n');
      const name = `${line.replaceAll(/[^a-z0-9]+/g, '-')}-${width}.txt`;
      await expect(`${drawn}\n`).toMatchFileSnapshot(`drawn/${name}`);
    },
  );

  it.each(widths)('no line is wider than %i columns, except what is to be copied', async (width) => {
    for (const [line, world] of samples) {
      for (const card of await cardsOf(line, world)) {
        const copied = /^ {2}→ |^ {4}dr |^ {2}\/srv\//;
        const lines = renderCard(card, { ...plain, widthColumns: width }).split('\n');
        const tooWide = lines.filter((one) => displayWidth(one) > width && !copied.test(one));
        expect(tooWide).toEqual([]);
      }
    }
  });

  it('colours change nothing but the colours', async () => {
    for (const [line, world] of samples) {
      for (const card of await cardsOf(line, world)) {
        const colored = renderCard(card, { ...plain, isColored: true, widthColumns: 80 });
        const uncolored = renderCard(card, { ...plain, widthColumns: 80 });
        expect(colored).toContain('\u001b[1m');
        expect(stripVTControlCharacters(colored).replaceAll('`', '')).toBe(uncolored.replaceAll('`', ''));
      }
    }
  });

  it('a change is one line, and the same while only the time passes', async () => {
    const card = (seconds: number): Card => ({
      title: `Test failover of vm-7 · running for ${seconds} s`,
      tone: 'working',
      audience: 'channel',
      progress: { percent: 50, label: '4/6 start machine' },
    });
    expect(renderChange(card(3))).toBe('▸ Test failover of vm-7 · 50 % · 4/6 start machine');
    expect(renderChange(card(4))).toBe(renderChange(card(3)));
  });
});

const attacks = [
  '\u001b[2J\u001b[H',
  '\u001b]0;title\u0007',
  '\u001b]8;;http://evil\u001b\\click',
  '\u009b31m',
  '\u0000\u0007\b\b\b',
  'line\r\n✔ vm-7 Enabled',
  '\u202egnp.exe\u202c',
  '\u2066x\u2069',
  'a\u2028b\u2029c',
  '\ud800',
  '\u001bP$q\u001b\\',
];
/** What a terminal obeys instead of printing, apart from our own line breaks. */
const obeyed = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069\p{Cs}]/u;

describe('texts from outside', () => {
  it.each(attacks)('%j cannot do anything to the terminal, wherever it stands', (attack) => {
    const card: Card = {
      title: `t ${attack}`,
      tone: 'bad',
      audience: 'asker',
      text: [`p ${attack}`, `\`${attack}\``],
      progress: { percent: 10, label: attack },
      fields: [{ label: attack, value: attack }],
      table: { columns: ['a', attack], rows: [[attack, attack]] },
      sections: [{ title: attack, rows: [[attack, attack]] }],
      picture: { path: attack, apiPath: attack, altText: attack },
      copyLine: attack,
      buttons: [{ label: attack, line: attack, style: 'default' }],
      footer: attack,
    };
    for (const widthColumns of [20, 40, 80, 200]) {
      for (const line of renderCard(card, { ...plain, widthColumns }).split('\n')) expect(line).not.toMatch(obeyed);
    }
    expect(renderChange(card)).not.toMatch(obeyed);
  });

  it('the check sees a renderer that forgets to make texts harmless', () => {
    expect('t \u001b[2J').toMatch(obeyed);
  });

  it('stay harmless for every string, and cannot forge a second line', () => {
    fc.assert(
      fc.property(anyText(80), (text) => {
        expect(safeText(text)).not.toMatch(obeyed);
        expect(safeText(text)).not.toContain('\n');
      }),
      { numRuns: 500 },
    );
  });

  it('lose nothing when they are wrapped, and fit', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 120 }).map((raw) => safeText(raw).replaceAll('`', ''));
    fc.assert(
      fc.property(text, fc.integer({ min: 4, max: 60 }), (words, width) => {
        const lines = wrapText(words, width);
        expect(lines.join('').replaceAll(/\s/g, '')).toBe(words.replaceAll(/\s/g, ''));
        for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(width);
      }),
      { numRuns: 500 },
    );
  });

  it('wide characters count twice and accents not at all', () => {
    expect(displayWidth('障害')).toBe(4);
    expect(displayWidth('e\u0301té')).toBe(3);
    expect(displayWidth('🚒')).toBe(2);
  });
});

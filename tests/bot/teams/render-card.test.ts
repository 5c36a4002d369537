import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Card } from '../../../bot/card.ts';
import { renderCard } from '../../../bot/teams/render-card.ts';
import { answersIn, renderForm } from '../../../bot/teams/render-form.ts';
import { renderTeamsText, textOfAdaptiveCard } from '../../../bot/teams/render-text.ts';
import { faultsOfCard } from '../../../demo/teams-connector/card-check.ts';
import { allCards, allForms } from '../../teams/all-cards.ts';
import { anyCard, hostileTexts } from '../slack/card-arbitrary.ts';

const channel = { commandPrefix: '@DR ', viewers: ['29:1abc'], mentions: [{ id: '29:1abc', name: 'ben' }] };
const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
type Node = { readonly [key: string]: unknown };

/** Every element, wherever it stands. */
function nodesIn(value: unknown): Node[] {
  if (Array.isArray(value)) return value.flatMap(nodesIn);
  if (typeof value !== 'object' || value === null) return [];
  return [value as Node, ...Object.values(value).flatMap(nodesIn)];
}

describe('limits', () => {
  test('whatever a card says, Teams takes it', () => {
    fc.assert(
      fc.property(anyCard, fc.boolean(), (card, isShared) => {
        const drawn = renderCard(card, isShared ? channel : { commandPrefix: '' });
        expect(faultsOfCard(drawn)).toEqual([]);
        expect(bytesOf(drawn)).toBeLessThanOrEqual(25_600);
      }),
      { numRuns: 300 },
    );
  });

  test('a card that is too large even for our own limits is cut, and says so', () => {
    const rows = Array.from({ length: 50 }, (_, index) => [`vm-${index}`, '漢'.repeat(300), '字'.repeat(300), 'x']);
    const card: Card = {
      title: 'many',
      tone: 'neutral',
      audience: 'asker',
      text: Array.from({ length: 6 }, () => '漢'.repeat(3000)),
      table: { columns: ['Name', 'One', 'Two', 'Three'], rows },
    };
    const drawn = renderCard(card, { commandPrefix: '' });
    expect(bytesOf(drawn)).toBeLessThanOrEqual(25_600);
    expect(textOfAdaptiveCard(drawn)).toContain('too long for Teams');
  });

  test('no more than 60 people are refreshed for', () => {
    const viewers = Array.from({ length: 100 }, (_, index) => `29:${index}`);
    const card: Card = {
      title: 'x',
      tone: 'warning',
      audience: 'channel',
      buttons: [{ label: 'Approve', line: 'approve apr_7K3M9Q2WXA', style: 'primary', opens: 'approve' }],
    };
    const { refresh } = renderCard(card, { commandPrefix: '', viewers }) as { refresh: { userIds: string[] } };
    expect(refresh.userIds).toHaveLength(60);
  });

  test('every card and form that the bot has is one that Teams takes', async () => {
    const cards = await allCards();
    expect(cards.length).toBeGreaterThan(80);
    for (const { name, card } of cards) {
      for (const view of [channel, { commandPrefix: '' }]) {
        const drawn = renderCard(card, view);
        expect([name, faultsOfCard(drawn)]).toEqual([name, []]);
        expect(bytesOf(drawn)).toBeLessThanOrEqual(25_600);
      }
    }
    for (const form of allForms()) expect([form.title, faultsOfCard(renderForm(form))]).toEqual([form.title, []]);
  });
});

describe('texts from outside', () => {
  const evil = [
    ...hostileTexts,
    '<at>ben</at>',
    '<at>everyone</at>',
    '{{DATE(2026-11-21T00:00:00Z,SHORT)}}',
    '**Approved by ben**',
    '![x](https://evil.example/track.png)',
    '<img src=x onerror=alert(1)>',
  ];

  test('stand only where no client reads markdown, and never become mentions', () => {
    fc.assert(
      fc.property(anyCard, (card) => {
        const nodes = nodesIn(renderCard(card, channel).body);
        expect(nodes.filter(({ type }) => type === 'TextBlock').map(({ text }) => text)).toEqual(['<at>ben</at>']);
        expect(nodes.filter(({ type }) => type === 'FactSet' || type === 'Image')).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test.each(evil)('%s is shown as it was written', (text) => {
    const card: Card = {
      title: text,
      tone: 'bad',
      audience: 'channel',
      text: [text],
      fields: [{ label: 'Reason', value: text }],
    };
    const drawn = renderCard(card, channel);
    expect(faultsOfCard(drawn)).toEqual([]);
    // Back-ticks set words apart and are not shown; what is invisible is shown as a sign that something was there.
    const words = text
      .replaceAll('`', '')
      .split(/\s+/)
      .filter((word) => /^[\x20-\x7e]+$/.test(word));
    const said = textOfAdaptiveCard(drawn);
    for (const word of words) expect(said).toContain(word);
    expect(JSON.stringify(drawn)).not.toContain('{{DATE');
    expect(JSON.stringify(drawn)).not.toMatch(/\u202e/);
  });

  test('a name that would break out of its mention does not', () => {
    const mentions = [{ id: '29:1', name: '</at><at>everyone</at>[x](http://evil)' }];
    const drawn = renderCard({ title: 'x', tone: 'neutral', audience: 'channel' }, { commandPrefix: '', mentions });
    expect(faultsOfCard(drawn)).toEqual([]);
    expect(JSON.stringify(drawn.body).match(/<at>/g)).toHaveLength(1);
  });

  test('what a notification says knows no markdown either', async () => {
    const { cardActivity } = await import('../../../bot/teams/render-card.ts');
    const { summary } = cardActivity({}, '[click](http://evil) <b>now</b> **urgent**', true);
    expect(summary).toBe('[click] (http://evil) ‹b›now‹/b› urgent');
  });
});

describe('what people read', () => {
  test('a card says in Teams what it says in a terminal', async () => {
    const { renderCard: renderTerminal } = await import('../../../bot/terminal/render-card.ts');
    const squeeze = (text: string) => text.replaceAll('`', '').replace(/[\s│·—●▸✔▲✖`█░→]+/g, ' ');
    for (const { name, card } of await allCards()) {
      const teams = squeeze(renderTeamsText(card, { commandPrefix: '/dr ' }));
      const terminal = renderTerminal(card, { widthColumns: 400, isColored: false, commandPrefix: '/dr ' });
      const said = [
        card.title,
        ...(card.text ?? []),
        ...(card.fields ?? []).map(({ value }) => value),
        card.footer ?? '',
      ];
      for (const text of said.filter((one) => one.trim() !== '')) {
        const known = squeeze(text).trim();
        const isInTerminal = squeeze(terminal).includes(known);
        expect([name, known, isInTerminal ? teams.includes(known) : true]).toEqual([name, known, true]);
      }
    }
  });

  test('the text of a drill reads well', () => {
    const card: Card = {
      title: 'Test failover of vm-7 · running for 21 s',
      tone: 'working',
      audience: 'channel',
      progress: { percent: 50, label: '4/6 start machine' },
      table: {
        columns: ['', 'Step', 'Took'],
        rows: [
          ['✓', 'reserve drill', '2.9 s'],
          ['▸', 'start machine', ''],
        ],
      },
      copyLine: 'cleanup vm-7',
      buttons: [{ label: 'Clean up', line: 'cleanup vm-7', style: 'primary' }],
      footer: 'run_4F6H8J0KMN · asked for by ana',
    };
    expect(renderTeamsText(card).split('\n')).toEqual([
      '▸ Test failover of vm-7 · running for 21 s',
      '██████████░░░░░░░░░░',
      '50 % · 4/6 start machine',
      '✓ reserve drill · 2.9 s',
      '▸ start machine',
      '@DR cleanup vm-7',
      'run_4F6H8J0KMN · asked for by ana',
      '[Clean up]',
    ]);
  });
});

describe('answers of a form', () => {
  test('come back by field id, without our own data and without what was left empty', () => {
    const value = {
      lifeboat: { kind: 'answers' },
      'answer.reason': 'power',
      'answer.code': ' ',
      msteams: {},
      other: 'x',
      'answer.n': 3,
    };
    expect(answersIn(value)).toEqual({ reason: 'power' });
  });
});

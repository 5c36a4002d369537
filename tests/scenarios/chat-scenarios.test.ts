import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderSlackText } from '../../bot/slack/render-card.ts';
import { renderTeamsText } from '../../bot/teams/render-text.ts';
import { renderCard } from '../../bot/terminal/render-card.ts';
import { bareWords, type ChatRenderer, playChatScenario, wordsOfCard } from './chat-scenario.ts';

const folder = path.join(import.meta.dirname, 'chat');
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.script'))
  .map((file) => file.slice(0, -'.script'.length));
const script = (name: string) => readFileSync(path.join(folder, `${name}.script`), 'utf8');

/** The same conversation core; three ways to draw its cards. */
const renderers: readonly ChatRenderer[] = [
  { name: 'terminal', draw: (card) => renderCard(card, { widthColumns: 100, isColored: false, commandPrefix: 'dr ' }) },
  { name: 'slack', draw: (card, nowMs) => renderSlackText(card, { nowMs }) },
  { name: 'teams', draw: (card) => renderTeamsText(card) },
];
const pairs = names.flatMap((name) => renderers.map((renderer) => ({ name, renderer, drawnBy: renderer.name })));

describe('conversations', () => {
  it.each(pairs)('$name, as $drawnBy shows it', async ({ name, renderer }) => {
    const { transcript } = await playChatScenario(script(name), renderer);
    await expect(transcript).toMatchFileSnapshot(path.join(folder, `${name}.${renderer.name}.txt`));
  });

  it.each(pairs)('$name: $drawnBy leaves out nothing that the card says', async ({ name, renderer }) => {
    const { shown } = await playChatScenario(script(name), renderer);
    expect(shown.length).toBeGreaterThan(5);
    for (const { card, drawn } of shown) {
      const read = bareWords(drawn);
      const missing = wordsOfCard(card).filter((words) => !read.includes(bareWords(words)));
      expect(missing, drawn).toEqual([]);
    }
  });

  it.each([40, 60, 80])('in a terminal of %i columns no word is cut that fits into a line', async (widthColumns) => {
    const draw: ChatRenderer['draw'] = (card) =>
      renderCard(card, { widthColumns, isColored: false, commandPrefix: '' });
    for (const name of names) {
      const { shown } = await playChatScenario(script(name), { name: 'narrow', draw });
      for (const { card, drawn } of shown) {
        const read = new Set(drawn.split(/\s+/).map(bareWords));
        const words = wordsOfCard(card).flatMap((text) => text.split(/\s+/));
        const cut = words.filter((word) => word.length <= 20 && !read.has(bareWords(word)));
        expect(cut, drawn).toEqual([]);
      }
    }
  });

  it('the check sees a renderer that forgets the fields', async () => {
    const forgetful: ChatRenderer = {
      name: 'forgetful',
      draw: ({ fields: _, ...card }) => renderCard(card, { widthColumns: 100, isColored: false, commandPrefix: 'dr ' }),
    };
    const { shown } = await playChatScenario(script('planned-failover'), forgetful);
    const missing = shown.flatMap(({ card, drawn }) =>
      wordsOfCard(card).filter((words) => !bareWords(drawn).includes(bareWords(words))),
    );
    expect(missing).toContain('Asked by');
  });
});

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { brokenLimits, type Card } from '../../bot/card.ts';
import { executeLine } from '../../bot/execute-line.ts';
import { renderCard } from '../../bot/terminal/render-card.ts';
import { engineOf, nowMs, worlds } from './recorded-answers.ts';

/*
 * A transcript: `world <name>` says what the engine answers, `columns <n>` how wide the terminal is, `ana> …` is what is typed,
 * and what follows is the conversation's answer. Progress cards come as they are redrawn, after `~`. The last line of an answer is
 * the exit code of `dr`. UPDATE_SCENARIOS=1 writes the answers anew: read the difference before you keep it.
 */
const folder = path.join(import.meta.dirname, '../scenarios');
const isUpdating = process.env.UPDATE_SCENARIOS === '1';
const files = readdirSync(folder).filter((file) => file.endsWith('.txt'));

describe('transcripts', () => {
  it('there are some', () => {
    expect(files.length).toBeGreaterThan(5);
  });

  it.each(files)('%s is what is said', async (file) => {
    const recorded = readFileSync(path.join(folder, file), 'utf8');
    const played = await play(recorded);
    if (isUpdating) writeFileSync(path.join(folder, file), played);
    else expect(played).toBe(recorded);
  });
});

async function play(transcript: string): Promise<string> {
  let engine = engineOf(worlds.well ?? { machines: [] });
  let widthColumns = 80;
  const said: string[] = [];
  for (const line of transcript.split('\n')) {
    const [, word, value = ''] = /^(world|columns|ana>)\s?(.*)$/.exec(line) ?? [];
    if (word === undefined && !line.startsWith('#')) continue;
    said.push(...(word === 'ana>' || word === 'world' ? ['', line] : [line]));
    if (word === 'columns') widthColumns = Number(value);
    if (word === 'world') engine = engineOf(known(value));
    if (word === 'ana>') said.push(...(await answerTo(value, { engine, widthColumns })));
  }
  return `${said.join('\n').trim()}\n`;
}

function known(name: string) {
  const world = worlds[name];
  if (world === undefined) throw new Error(`there is no world ${name}`);
  return world;
}

type Place = { engine: ReturnType<typeof engineOf>; widthColumns: number };

async function answerTo(line: string, place: Place): Promise<string[]> {
  const said: string[] = [];
  const draw = (card: Card) => {
    expect(brokenLimits(card)).toEqual([]);
    return renderCard(card, { widthColumns: place.widthColumns, isColored: false, commandPrefix: '' }).split('\n');
  };
  const result = await executeLine(line, {
    engine: place.engine,
    surface: {
      update: (card) => said.push(...draw(card).map((row) => `~ ${row}`.trimEnd())),
      show: (card) => said.push(...draw(card)),
    },
    nowMs: () => nowMs,
    newKey: () => 'key',
    signal: new AbortController().signal,
    isWaiting: true,
    pauseMs: 0,
  });
  return [...said, `= ${result.exitCode}`];
}

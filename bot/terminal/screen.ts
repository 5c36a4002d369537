import type { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import type { Card } from '../card.ts';
import { type RenderOptions, renderCard, renderChange } from './render-card.ts';
import { displayWidth, safeText } from './safe-text.ts';

/** Where a conversation is shown. */
export type Surface = {
  /** Shows a card for good; what was live above it goes. */
  readonly show: (card: Card) => void;
  /** Shows a card that the next one replaces: the progress of something. */
  readonly update: (card: Card) => void;
  /** Shows one line, such as an event, above what is live. */
  readonly line: (text: string) => void;
};

export type ScreenOptions = {
  readonly output: Writable;
  /** True when the cursor can be moved: then progress is redrawn, else each change is one line. */
  readonly isInteractive: boolean;
  readonly render: () => RenderOptions;
};

/** Shows cards on a terminal, in a log, or in a pipe. */
export function createScreen(options: ScreenOptions): Surface {
  let liveRows = 0;
  let live: Card | undefined;
  let lastChange = '';

  const write = (text: string) => {
    options.output.write(text);
  };
  const clearLive = () => {
    if (liveRows > 0) write(`\u001b[${liveRows}A\r\u001b[J`);
    liveRows = 0;
  };
  const drawLive = (card: Card) => {
    const text = renderCard(card, options.render());
    write(`${text}\n`);
    liveRows = rowCount(text, options.render().widthColumns);
  };
  return {
    show: (card) => {
      clearLive();
      live = undefined;
      lastChange = '';
      write(`${renderCard(card, options.render())}\n`);
    },
    update: (card) => {
      if (options.isInteractive) {
        clearLive();
        live = card;
        drawLive(card);
        return;
      }
      const change = renderChange(card);
      if (change !== lastChange) write(`${change}\n`);
      lastChange = change;
    },
    line: (text) => {
      clearLive();
      write(`${safeText(text)}\n`);
      if (live !== undefined) drawLive(live);
    },
  };
}

/** How many rows of the terminal a drawn text fills; a line to copy may be wider than the terminal. */
export function rowCount(text: string, widthColumns: number): number {
  const widths = text.split('\n').map((line) => displayWidth(stripVTControlCharacters(line)));
  return widths.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / Math.max(1, widthColumns))), 0);
}

import type { Word } from './chat-text.ts';
import type { Command } from './command.ts';
import type { RunnableVerb } from './verb-table.ts';

/** Why a line is no command. `corrected`, when there is one, is what was probably meant; it may have a further mistake. */
export type Rejection = {
  readonly kind: 'rejected';
  readonly message: string;
  readonly corrected?: readonly Word[];
  readonly verb?: RunnableVerb;
};
export type Interpreted = { readonly kind: 'command'; readonly command: Command } | Rejection;

/** A word as if typed without quotation marks. */
export function plain(text: string): Word {
  return { text, isLiteral: false };
}

/** A rejection, with the corrected words when the mistake has an obvious cure. */
export function rejected(message: string, corrected?: readonly Word[]): Rejection {
  return { kind: 'rejected', message, ...(corrected && { corrected }) };
}

/** Words of the grammar that mean something which this version does not have. */
export function notAvailable(asked: string, instead: string): Interpreted {
  return { kind: 'command', command: { verb: 'not-available', asked, instead } };
}

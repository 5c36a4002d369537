import type { Deed } from './ledger.ts';
import type { LoadRun } from './load.ts';

/** Milliseconds of the middle one, of the slowest but one in a hundred, and of the slowest. */
export type Spread = { readonly p50: number; readonly p99: number; readonly max: number };

export type LoadFigures = {
  readonly commandCount: number;
  readonly clickCount: number;
  readonly doubledCount: number;
  readonly latestMs: number;
  readonly acknowledgementMs: Spread;
  readonly unacknowledgedCount: number;
  readonly answerMs: Spread;
  /** Nothing was ever answered. */
  readonly lostCount: number;
  /** Answered more than once. */
  readonly doubledAnswerCount: number;
  /** Answers that say that the engine, or the way to it, is down, or that too much is asked at once. */
  readonly outageCount: number;
  /** Answers that speak of a mistake in the bot. */
  readonly mistakeCount: number;
  /** Some of what was wrong, as people would read it. */
  readonly examples: readonly string[];
};

const outageWords = /cannot be reached or does not answer|engine cannot do this now|Too many commands at once/;
const mistakeWords = /went wrong in the bot|mistake of its own|did not respond/;
const exampleCountMax = 8;

export function figuresOf({ deeds, doubledCount, latestMs }: LoadRun): LoadFigures {
  const lost = deeds.filter(({ answers }) => answers.length === 0);
  const doubled = deeds.filter(({ answers }) => answers.length > 1);
  const mistakes = deeds.filter(says(mistakeWords));
  const wrong = [...lost, ...doubled, ...mistakes, ...deeds.filter(says(outageWords))];
  const acknowledged = deeds.flatMap((deed) => deed.acknowledgedAfterMs ?? []);
  return {
    commandCount: deeds.filter(({ kind }) => kind === 'command').length,
    clickCount: deeds.filter(({ kind }) => kind === 'click').length,
    doubledCount,
    latestMs,
    acknowledgementMs: spreadOf(acknowledged),
    unacknowledgedCount: deeds.length - acknowledged.length,
    answerMs: spreadOf(deeds.flatMap(({ answeredAtMs, sentAtMs }) => (answeredAtMs ?? sentAtMs) - sentAtMs)),
    lostCount: lost.length,
    doubledAnswerCount: doubled.length,
    outageCount: deeds.filter(says(outageWords)).length,
    mistakeCount: mistakes.length,
    examples: wrong.slice(0, exampleCountMax).map((deed) => `${deed.text}: ${deed.answers.join(' | ').slice(0, 300)}`),
  };
}

/** Orders whose answer says that nobody carried them out: the trail need not know of them. */
export function unheardOrderCount(deeds: readonly Deed[]): number {
  return deeds.filter((deed) => deed.isOrder && says(outageWords)(deed)).length;
}

function says(words: RegExp) {
  return ({ answers }: Deed) => answers.some((answer) => words.test(answer));
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

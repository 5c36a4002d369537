import { html, nothing, type TemplateResult } from 'lit-html';
import { assertNever } from '../../../domain/invariant.ts';
import type { MachineView } from '../../../protocol/control-api.ts';
import { stateWords, type Urgency, urgencyOf } from '../../conversation/machine-words.ts';
import { absoluteTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { numbersWhole } from './card-text.ts';
import { type IconName, icon } from './icons.ts';
import type { Freshness } from './model.ts';
import type { Page } from './page.ts';

/** How something is drawn. The colour is never all: each tone has its shape and its words. */
export type Tone = 'good' | 'working' | 'warning' | 'bad' | 'unknown' | 'none' | 'paused' | 'moved' | 'drill';

/** One look for every state in the console: shape, colour, words. When the page is not live it is grey, whatever is known. */
export function chip(page: Page, tone: Tone, rawWords: string): TemplateResult {
  const words = safeText(rawWords);
  const asOf = asOfWords(page);
  const shown = asOf === undefined ? tone : 'unknown';
  const title = asOf === undefined ? words : `${words} · ${asOf}`;
  return html`<span class="chip chip-${shown}" title=${title}>${icon(shapeOf(shown))}<span class="chip-words">${numbersWhole(words)}</span>${
    asOf === undefined ? nothing : html`<span class="visually-hidden"> (${asOf}, unknown now)</span>`
  }</span>`;
}

function shapeOf(tone: Tone): IconName {
  return tone;
}

/** The protection of a machine in the documents' words. Source: A6 */
export function stateChip(page: Page, machine: MachineView): TemplateResult {
  return chip(page, protectionTone(machine), stateWords(machine));
}

/** The tone of its protection and health together: green says that somebody has looked and all is well. */
export function protectionTone(machine: MachineView): Tone {
  const { protection } = machine;
  if (protection.kind === 'not-protected') return 'none';
  if (isPaused(machine)) return 'paused';
  const urgency = urgencyOf(machine);
  if (urgency !== 'none') return urgencyTone(urgency);
  switch (protection.kind) {
    case 'initial-replication':
      return 'working';
    case 'protected':
      return 'good';
    case 'failed-over':
      return 'moved';
    default:
      return assertNever(protection);
  }
}

/** A pause that explains all that is to be said of it: of a machine whose agent is silent nothing is known, paused or not. */
export function isPaused(machine: MachineView): boolean {
  const { protection, replication } = machine;
  const urgency = urgencyOf(machine);
  return (
    protection.kind !== 'failed-over' && replication.kind === 'paused' && (urgency === 'warning' || urgency === 'none')
  );
}

export function urgencyTone(urgency: Urgency): Tone {
  return ({ critical: 'bad', warning: 'warning', unknown: 'unknown', none: 'good' } as const)[urgency];
}

/** `as of 14:02:11Z` when what is shown may not be so now; undefined while it is live. */
export function asOfWords(page: Page): string | undefined {
  return freshnessAsOf(page.state.freshness, page.nowMs);
}

function freshnessAsOf(freshness: Freshness, nowMs: number): string | undefined {
  switch (freshness.kind) {
    case 'live':
      return undefined;
    case 'connecting':
      return 'not looked yet';
    case 'stale':
      return freshness.sinceMs === null ? 'as of an unknown time' : `as of ${absoluteTime(freshness.sinceMs, nowMs)}`;
    default:
      return assertNever(freshness);
  }
}

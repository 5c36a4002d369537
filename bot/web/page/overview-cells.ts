import { html, nothing, type TemplateResult } from 'lit-html';

import { assertNever } from '../../../domain/invariant.ts';
import { percentDone } from '../../../domain/protected-machine.ts';
import type { HostView, MachineView } from '../../../protocol/control-api.ts';
import { countWords } from '../../conversation/machine-cards.ts';
import {
  drillWords,
  isReplicated,
  lagWords,
  newestPointWords,
  type Urgency,
  urgencyOf,
} from '../../conversation/machine-words.ts';
import { absoluteTime, relativeTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { isDrillOpen, type RollUp } from './overview-rows.ts';
import type { Page } from './page.ts';
import { chip, stateChip, type Tone, urgencyTone } from './state-chip.ts';
import { styled } from './styled.ts';

/** The protection in the documents' words, with the bar of its initial replication. Source: A5, A6 */
export function protectionCell(page: Page, machine: MachineView): TemplateResult {
  const { protection } = machine;
  const isCopying = protection.kind === 'initial-replication';
  return html`${stateChip(page, machine)}${isCopying ? progressBar(percentDone(protection), `Initial replication of ${machine.name}`) : nothing}`;
}

/** A bar whose number stands in words beside it. */
export function progressBar(percent: number, name: string): TemplateResult {
  return html`<progress max="100" value=${percent} aria-label=${name}></progress>`;
}

/** What is wrong, in the engine's words; or why it cannot be protected. Unknown is never `Healthy`. */
export function healthCell(page: Page, machine: MachineView): TemplateResult {
  const { health, protection, unsupported, replication } = machine;
  if (protection.kind === 'not-protected') return mutedWords(unsupported ?? '–');
  if (health.kind !== 'healthy') {
    const { word, tone } = healthWord(health.kind);
    return html`<span class="health">${chip(page, tone, word)}<span class="health-why" title=${safeText(health.message)}>${safeText(health.message)}</span></span>`;
  }
  if (replication.kind === 'paused') {
    const words = safeText(`until ${absoluteTime(replication.untilMs, page.nowMs)}: ${replication.reason}`);
    return html`<span class="health">${chip(page, 'paused', 'Paused')}<span class="health-why" title=${words}>${words}</span></span>`;
  }
  return mutedWords(page.state.freshness.kind === 'live' ? 'Healthy' : 'not known now');
}

/** `Critical`, for an urgency or a health that is not well. */
export function healthWord(kind: Exclude<MachineView['health']['kind'], 'healthy'>) {
  switch (kind) {
    case 'warning':
      return { word: 'Warning', tone: 'warning' } as const;
    case 'critical':
      return { word: 'Critical', tone: 'bad' } as const;
    case 'unknown':
      return { word: 'Unknown', tone: 'unknown' } as const;
    default:
      return assertNever(kind);
  }
}

const criticalFactor = 3;

/** The lag against what the policy allows: a bar and the words; the bar is full at the threshold. */
export function lagCell(page: Page, machine: MachineView): TemplateResult {
  const { lagMs, policy } = machine;
  const words = lagWords(machine);
  if (lagMs === null || policy === null || !isReplicated(machine)) return mutedWords(words);
  const share = lagMs / policy.rpoThresholdMs;
  const isKnown = page.state.freshness.kind === 'live';
  const look = !isKnown ? 'unknown' : share > criticalFactor ? 'bad' : share > 1 ? 'warning' : 'good';
  return html`<span class="lag"
    ><span class="lag-words">${words}</span
    ><span class="lag-bar lag-${look}" aria-hidden="true"><span ${styled({ 'inline-size': `${Math.round(Math.min(1, share) * 100)}%` })}></span></span
  ></span>`;
}

/** How old the newest recovery point is. */
export function pointCell(page: Page, machine: MachineView): TemplateResult {
  const { newestPoint } = machine;
  if (newestPoint === null) return mutedWords(newestPointWords(machine, page.nowMs));
  const words = relativeTime(newestPoint.takenAtMs, page.nowMs);
  return html`<span class="cell-words" title="${newestPoint.kind}, ${absoluteTime(newestPoint.takenAtMs, page.nowMs)}">${words}</span>`;
}

/** `verified 2 d ago`, `never drilled`; an open test failover comes first, so that none is forgotten. Source: A7, B12 */
export function drillCell(page: Page, machine: MachineView): TemplateResult {
  if (isDrillOpen(machine)) return chip(page, 'drill', `Test failover ${drillWords(machine, page.nowMs)}`);
  const { lastDrill, protection } = machine;
  if (lastDrill === null) return mutedWords(protection.kind === 'not-protected' ? '–' : 'never drilled');
  const when = relativeTime(lastDrill.atMs, page.nowMs);
  if (!lastDrill.isVerified) return chip(page, 'warning', `not verified, ${when}`);
  return html`<span class="cell-words" title=${absoluteTime(lastDrill.atMs, page.nowMs)}>verified ${when}</span>`;
}

/** The state of the machine at the recovery site. Source: A12 */
export function copyStateCell(page: Page, machine: MachineView): TemplateResult {
  const { protection } = machine;
  if (protection.kind !== 'failed-over') return chip(page, 'drill', `Test failover ${drillWords(machine, page.nowMs)}`);
  const data = protection.disks === 'local' ? 'all data local' : 'still reading from the vault';
  return chip(page, 'moved', `Runs here since ${absoluteTime(protection.atMs, page.nowMs)} · ${data}`);
}

/** What a site or a host is like in all: the worst first, then the counts. */
export function rollUpCell(page: Page, rollUp: RollUp): TemplateResult {
  const { count, enabledCount, replicatingCount } = rollUp;
  if (count === 0) return mutedWords('no machine reported');
  const { tone, words } = rollUpWords(rollUp);
  const replicating = replicatingCount === 0 ? '' : ` · ${replicatingCount} replicating`;
  return html`<span class="roll-up"
    >${chip(page, tone, words)}<span class="muted roll-up-counts"
      >${countWords(count, 'machine')} · ${enabledCount} Enabled${replicating}</span
    ></span
  >`;
}

function rollUpWords({ worst, needyCount, enabledCount, replicatingCount }: RollUp): { tone: Tone; words: string } {
  if (worst !== 'none') {
    return { tone: urgencyTone(worst), words: `${needyCount} ${needyCount === 1 ? 'needs' : 'need'} attention` };
  }
  if (enabledCount > 0) return { tone: 'good', words: 'All well' };
  return replicatingCount > 0 ? { tone: 'working', words: 'Replicating' } : { tone: 'none', words: 'Nothing Enabled' };
}

const silentAfterMs = 60_000;

/** The agent of a host: which, and whether it is heard. */
export function agentCell(page: Page, host: HostView | undefined): TemplateResult {
  if (host === undefined) return mutedWords('no agent has reported this host');
  const { lastSeenMs, agentVersion } = host;
  const agent = `agent ${agentVersion}`;
  if (lastSeenMs === null) return chip(page, 'unknown', `${agent} · never heard`);
  const heard = relativeTime(lastSeenMs, page.nowMs);
  if (page.nowMs - lastSeenMs > silentAfterMs) return chip(page, 'warning', `${agent} · silent, heard ${heard}`);
  return mutedWords(`${agent} · heard ${heard}`);
}

/** What a phone's second line says at its end: what is wrong, or how old the newest point is. */
export function shortHealth(machine: MachineView): Exclude<Urgency, 'none'> | undefined {
  const urgency = urgencyOf(machine);
  return urgency === 'none' ? undefined : urgency;
}

function mutedWords(rawWords: string): TemplateResult {
  const words = safeText(rawWords);
  return html`<span class="muted cell-words" title=${words}>${words}</span>`;
}

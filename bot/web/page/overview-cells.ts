import { html, nothing, type TemplateResult } from 'lit-html';

import { assertNever } from '../../../domain/invariant.ts';
import { percentDone } from '../../../domain/protected-machine.ts';
import type { HostView, MachineView } from '../../../protocol/control-api.ts';
import { countWords } from '../../conversation/machine-cards.ts';
import { drillWords, lagShare, lagWords, newestPointWords, urgencyOf } from '../../conversation/machine-words.ts';
import { absoluteTime, relativeTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { isDrillOpen, type RollUp } from './overview-rows.ts';
import type { Page } from './page.ts';
import { chip, isPaused, stateChip, type Tone, urgencyTone } from './state-chip.ts';
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
  const { health, protection, unsupported } = machine;
  if (protection.kind === 'not-protected') return mutedWords(unsupported ?? '–');
  const isLive = page.state.freshness.kind === 'live';
  if (health.kind === 'healthy') return mutedWords(isLive ? 'Healthy' : 'not known now');
  const trouble = troubleOf(machine);
  if (trouble === undefined) return mutedWords(isLive ? expectedWords(machine) : 'not known now', health.message);
  const words = safeText(whyWords(page, machine) ?? health.message);
  return html`<span class="health">${chip(page, trouble.tone, trouble.word)}<span class="health-why" title=${words}>${words}</span></span>`;
}

/** A pause says in the chip what it is, so what stands beside it is until when, and why. */
function whyWords(page: Page, machine: MachineView): string | undefined {
  const { replication } = machine;
  if (!isPaused(machine) || replication.kind !== 'paused') return undefined;
  return `until ${absoluteTime(replication.untilMs, page.nowMs)}: ${replication.reason}`;
}

/** What is as people asked for it: short, because the protection beside it says the rest. */
function expectedWords({ protection }: MachineView): string {
  return protection.kind === 'failed-over' ? 'not replicated yet' : 'no point yet';
}

export type Trouble = { readonly tone: Tone; readonly word: string };

/** What needs somebody, in one word; undefined when nothing does. */
export function troubleOf(machine: MachineView): Trouble | undefined {
  const urgency = urgencyOf(machine);
  if (isPaused(machine)) return { tone: 'paused', word: 'Paused' };
  switch (urgency) {
    case 'none':
      return undefined;
    case 'warning':
      return { tone: 'warning', word: 'Warning' };
    case 'critical':
      return { tone: 'bad', word: 'Critical' };
    case 'unknown':
      return { tone: 'unknown', word: 'Unknown' };
    default:
      return assertNever(urgency);
  }
}

/** The lag against the machine's thresholds: a bar and the words; the bar is full at the warning. */
export function lagCell(page: Page, machine: MachineView): TemplateResult {
  const words = lagWords(machine);
  const judged = lagShare(machine);
  if (judged === undefined) return mutedWords(words);
  const { share, level } = judged;
  const look = page.state.freshness.kind === 'live' ? level : 'unknown';
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
  if (rollUp.count === 0) return mutedWords('no machine reported');
  const { tone, words } = rollUpWords(rollUp);
  const machines = countWords(rollUp.count, 'machine');
  const counts = countsWords(rollUp);
  // Each count is said once. On a phone the counts come before how many there are in all, which has no room beside them.
  const shown = words === counts ? machines : html`<span class="only-wide">${machines} · </span>${counts}`;
  return html`<span class="roll-up">${chip(page, tone, words)}<span class="muted roll-up-counts">${shown}</span></span>`;
}

/** `1 Enabled · 1 failed over`: only what there is. */
function countsWords({ enabledCount, replicatingCount, movedCount }: RollUp): string {
  const counts = [
    ...(enabledCount === 0 ? [] : [`${enabledCount} Enabled`]),
    ...(replicatingCount === 0 ? [] : [`${replicatingCount} replicating`]),
    ...(movedCount === 0 ? [] : [`${movedCount} failed over`]),
  ];
  return counts.length === 0 ? '0 Enabled' : counts.join(' · ');
}

/** Green only when every machine that somebody enabled is protected where it runs. */
function rollUpWords(rollUp: RollUp): { tone: Tone; words: string } {
  const { worst, needyCount, ...counts } = rollUp;
  if (worst !== 'none') {
    return { tone: urgencyTone(worst), words: `${needyCount} ${needyCount === 1 ? 'needs' : 'need'} attention` };
  }
  if (counts.movedCount > 0) {
    // Of one that was failed over, those beside it were not.
    return { tone: 'moved', words: counts.movedCount === counts.count ? 'Failed over' : countsWords(rollUp) };
  }
  if (counts.replicatingCount > 0) return { tone: 'working', words: 'Replicating' };
  return counts.enabledCount > 0 ? { tone: 'good', words: 'All well' } : { tone: 'none', words: 'Nothing Enabled' };
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

function mutedWords(rawWords: string, more = rawWords): TemplateResult {
  return html`<span class="muted cell-words" title=${safeText(more)}>${safeText(rawWords)}</span>`;
}

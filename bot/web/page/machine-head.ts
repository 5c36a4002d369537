import { html, nothing, type TemplateResult } from 'lit-html';
import { formatBytes } from '../../../domain/units.ts';
import type { AlertView } from '../../../protocol/chat-api.ts';
import type { MachineView, RunView } from '../../../protocol/control-api.ts';
import { drillWords, isReplicated, lagShare, lagWords, replicationProgress } from '../../conversation/machine-words.ts';
import { absoluteTime, age, instant, relativeTime } from '../../conversation/time-words.ts';
import { textOf } from './card-text.ts';
import { icon } from './icons.ts';
import { actionBar } from './machine-actions.ts';
import { copyOf } from './overview-rows.ts';
import type { Page } from './page.ts';
import { asOfWords, chip, protectionTone, stateChip } from './state-chip.ts';
import { styled } from './styled.ts';

/** Who it is, how it is, what to do about it. */
export function machineHead(page: Page, machine: MachineView, runs: readonly RunView[]): TemplateResult {
  const siteName = siteOf(page, machine);
  return html`
    <header class="machine-head">
      <p class="machine-path">
        <a href="/">Overview</a><span aria-hidden="true"> / </span>${siteName}<span aria-hidden="true"> / </span>${machine.hostName}
      </p>
      <div class="machine-title">
        <h1>${machine.name}</h1>
        <span class="machine-state">${stateChip(page, machine)}</span>
        ${tagList(machine)}
      </div>
      ${healthSentence(page, machine)} ${progressBar(machine)} ${actionBar(page, machine)}
    </header>
    ${pair(page, machine, siteName)} ${figures(page, machine, runs)}
  `;
}

function siteOf(page: Page, machine: MachineView): string {
  return page.state.site?.hosts.find((host) => host.name === machine.hostName)?.siteName ?? 'main';
}

function tagList({ tags }: MachineView): TemplateResult | typeof nothing {
  if (tags.length === 0) return nothing;
  return html`
    <ul class="machine-tags" aria-label="Tags">
      ${tags.map((tag) => html`<li>${tag}</li>`)}
    </ul>
  `;
}

// ── health ─────────────────────────────────────────────────────────────────────────────────────────────────
function healthSentence(page: Page, machine: MachineView): TemplateResult {
  const asOf = asOfWords(page);
  const next = nextStep(page, machine);
  const tone = asOf !== undefined || machine.protection.kind === 'not-protected' ? 'unknown' : healthTone(machine);
  return html`
    <p class="machine-health tone-${tone}">
      ${asOf === undefined ? nothing : html`<strong>Not known now; ${asOf}:</strong> `}${textOf(healthWords(machine))}
      ${next === undefined ? nothing : html`<span class="machine-next">Next: ${textOf(next)}</span>`}
    </p>
  `;
}

function healthTone({ health }: MachineView): string {
  return { healthy: 'good', warning: 'warning', critical: 'bad', unknown: 'unknown' }[health.kind];
}

function healthWords(machine: MachineView): string {
  const { health, unsupported, protection, replication } = machine;
  if (unsupported !== null) return `It cannot be enabled: ${unsupported}`;
  if (protection.kind === 'not-protected') return 'Not protected: a disaster would lose it.';
  if (health.kind !== 'healthy') return health.message;
  if (replication.kind === 'paused') return `Paused: ${replication.reason}.`;
  return 'Replicating; the lag is within its limit.';
}

/** The alert knows best; else what the state itself asks for. */
function nextStep(page: Page, machine: MachineView): string | undefined {
  const alert = page.state.site?.alerts.find((one) => isAbout(one, machine));
  if (alert !== undefined) return alert.nextStep;
  const { protection, replication, unsupported, name } = machine;
  if (unsupported !== null) return undefined;
  if (protection.kind === 'not-protected') return 'enable it with the button below.';
  if (replication.kind === 'paused') {
    return `it goes on by itself ${instant(replication.untilMs, page.nowMs)}; \`resume ${name}\` ends the pause now.`;
  }
  if (protection.kind === 'initial-replication') return 'wait for the first recovery point; then it says "Enabled".';
  if (protection.kind === 'failed-over')
    return 'work with the machine at the target; the way back comes with a later version.';
  if (machine.health.kind === 'unknown') return `look whether the host ${machine.hostName} and its agent run.`;
  return undefined;
}

function isAbout(alert: AlertView, machine: MachineView): boolean {
  return alert.state !== 'recovered' && (alert.scope === machine.name || alert.machineNames.includes(machine.name));
}

function progressBar({ protection }: MachineView): TemplateResult | typeof nothing {
  if (protection.kind !== 'initial-replication') return nothing;
  const { percent, label } = replicationProgress(protection);
  return html`
    <div class="machine-progress">
      <progress max="100" .value=${percent} aria-label="Initial replication"></progress>
      <span class="small muted">${label}</span>
    </div>
  `;
}

// ── the source and its copy, side by side. Source: A12 ─────────────────────────────────────────────────────
function pair(page: Page, machine: MachineView, siteName: string): TemplateResult {
  const copy = copyOf(machine);
  const isMoved = machine.protection.kind === 'failed-over';
  return html`
    <section class="pair" aria-label="The machine and its copy">
      <div class="pair-side ${isMoved ? 'is-off' : ''}">
        <p class="pair-place">${siteName} · ${machine.hostName}</p>
        <p class="pair-name">${machine.name}</p>
        <p class="pair-state">${chip(page, isMoved ? 'none' : protectionTone(machine), sourceWords(machine))}</p>
      </div>
      <div class="pair-arrow" aria-hidden="true">${icon('moved')}</div>
      <div class="pair-side ${copy === undefined ? 'is-off' : ''}">
        <p class="pair-place">Recovery site${isMoved && copy !== undefined ? ` · ${copy.host}` : ''}</p>
        <p class="pair-name">${copy?.vmName ?? 'No copy runs'}</p>
        <p class="pair-state">${copyState(page, machine)}</p>
      </div>
    </section>
  `;
}

function sourceWords(machine: MachineView): string {
  const { protection, replication, health } = machine;
  if (protection.kind === 'failed-over') return 'Original: stopped and fenced';
  if (protection.kind === 'not-protected') return 'Original: nothing is sent';
  if (replication.kind === 'paused') return 'Original: replication paused';
  if (health.kind === 'unknown' && protection.kind === 'protected') return 'Original: not known';
  const isWell = health.kind === 'healthy' || health.kind === 'unknown';
  return isWell ? 'Original: replicating' : 'Original: replication in trouble';
}

function copyState(page: Page, machine: MachineView): TemplateResult {
  const { protection, drill } = machine;
  if (protection.kind === 'failed-over') {
    const disks = protection.disks === 'local' ? 'all data local' : 'data still comes from the vault';
    return html`${chip(page, 'moved', `Runs since ${absoluteTime(protection.atMs, page.nowMs)}; ${disks}`)}`;
  }
  if (drill !== null && drill.state !== 'closed') {
    return html`${chip(page, 'drill', `Drill ${drillWords(machine, page.nowMs)}`)}`;
  }
  const count = machine.availablePointCount;
  const points =
    count === 0 ? 'no recovery point yet' : `${count} ${count === 1 ? 'point' : 'points'} to start one from`;
  return html`<span class="muted">${points}</span>`;
}

// ── figures ────────────────────────────────────────────────────────────────────────────────────────────────
function figures(page: Page, machine: MachineView, runs: readonly RunView[]): TemplateResult {
  const asOf = asOfWords(page);
  const drill = drillFigure(page, machine, runs);
  const { newestPoint } = machine;
  return html`
    <dl class="figures">
      <div class="figure">
        <dt>Lag${machine.policy === null ? '' : ' and its limit'}</dt>
        <dd>${lagWords(machine)} ${lagMeter(machine, asOf !== undefined)}</dd>
        <dd class="figure-note">${asOf ?? lagNote(machine)}</dd>
      </div>
      <div class="figure">
        <dt>Newest recovery point</dt>
        <dd>${newestPoint === null ? 'none' : relativeTime(newestPoint.takenAtMs, page.nowMs)}</dd>
        <dd class="figure-note">
          ${newestPoint === null ? '' : `${absoluteTime(newestPoint.takenAtMs, page.nowMs)}, ${newestPoint.kind}`}
        </dd>
      </div>
      <div class="figure">
        <dt>Last verified drill</dt>
        <dd class="tone-${asOf === undefined ? drill.tone : 'unknown'}">${drill.value}</dd>
        <dd class="figure-note">${drill.note}</dd>
      </div>
      <div class="figure">
        <dt>Sent to the vault in all</dt>
        <dd>${formatBytes(machine.sentBytesTotal)}</dd>
        <dd class="figure-note">${machine.policy === null ? '' : `points kept ${age(machine.policy.retentionMs)}`}</dd>
      </div>
    </dl>
  `;
}

function lagNote(machine: MachineView): string {
  if (!isReplicated(machine)) return 'nothing is replicated';
  return machine.lagMs === null ? 'no recovery point yet' : 'what a failover now would lose';
}

function lagMeter(machine: MachineView, isStale: boolean): TemplateResult | typeof nothing {
  const judged = lagShare(machine);
  if (judged === undefined) return nothing;
  const tone = isStale ? 'unknown' : judged.level;
  const width = styled({ 'inline-size': `${Math.min(100, Math.max(2, judged.share * 100)).toFixed(1)}%` });
  return html`<span class="lag-meter meter-${tone}" aria-hidden="true"><span ${width}></span></span>`;
}

type Figure = { readonly value: string; readonly note: string; readonly tone: string };

function drillFigure(page: Page, machine: MachineView, runs: readonly RunView[]): Figure {
  const { lastDrill } = machine;
  const isProtected = machine.protection.kind === 'protected';
  if (lastDrill === null) {
    return {
      value: 'never',
      note: isProtected ? 'nobody knows yet whether it boots' : '',
      tone: isProtected ? 'warning' : 'none',
    };
  }
  if (lastDrill.isVerified) {
    const seconds = lastDrill.secondsToGuestUp;
    const up = seconds === null ? '' : `guest up after ${age(seconds * 1000)}`;
    return { value: relativeTime(lastDrill.atMs, page.nowMs), note: up, tone: 'good' };
  }
  const newest = `the newest, ${relativeTime(lastDrill.atMs, page.nowMs)}, was not verified`;
  const verified = lastVerified(runs);
  if (verified === undefined) return { value: 'none known', note: newest, tone: 'warning' };
  return {
    value: relativeTime(verified.finishedAtMs ?? verified.startedAtMs, page.nowMs),
    note: newest,
    tone: 'warning',
  };
}

function lastVerified(runs: readonly RunView[]): RunView | undefined {
  return runs
    .filter((run) => run.kind === 'test-failover' && run.result?.verified === true)
    .reduce<RunView | undefined>(
      (newest, run) => (newest !== undefined && newest.startedAtMs >= run.startedAtMs ? newest : run),
      undefined,
    );
}

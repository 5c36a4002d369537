import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { ReportView } from '../../../protocol/console-api.ts';
import { countWords } from '../../conversation/machine-cards.ts';
import type { Problem } from '../wire.ts';
import { textOf } from './card-text.ts';
import { endsByItself } from './detail-due.ts';
import type { Page } from './page.ts';
import { reportChoice } from './report-choice.ts';
import { reportRequests } from './report-request.ts';
import { reportRun } from './report-run.ts';
import { dateTime, lengthWords } from './report-words.ts';

/** What was drilled and failed over in a period, with what it proved: to read here, and to print for whoever asks for proof. */
export function reportPage(page: Page): TemplateResult {
  const { report } = page.state;
  return html`<div class="report">${reportChoice(page)} ${content(page, report)}</div>`;
}

function content(page: Page, report: Page['state']['report']): TemplateResult {
  switch (report.kind) {
    case 'none':
    case 'loading':
      return html`<p class="report-wait" role="status">Making the report …</p>`;
    case 'failed':
      return failed(report.problem);
    case 'loaded':
      return sheet(page, report.report);
    default:
      return report satisfies never;
  }
}

function failed(problem: Problem): TemplateResult {
  const { message, nextStep } = problem;
  return html`
    <div class="report-failed" role="alert">
      <p>${textOf(message)}</p>
      ${nextStep === null ? nothing : html`<p>${textOf(nextStep)}</p>`}
      ${endsByItself(problem) ? html`<p>The report is asked for again by itself when the engine answers.</p>` : nothing}
    </div>
  `;
}

function sheet(page: Page, report: ReportView): TemplateResult {
  const { machineName, runs, isCut, lagLimits } = report;
  const limits = new Map(lagLimits.map((each) => [each.machineName, each.limitMs]));
  return html`
    <article class="report-sheet" aria-labelledby="report-title">
      <header class="report-head">
        <p class="report-kind">Lifeboat · drill and failover report</p>
        <h1 id="report-title">${machineName ?? 'All machines'}</h1>
        <p>${dateTime(report.fromMs)} to ${dateTime(report.toMs)}. All times are UTC.</p>
        <p class="muted">Made by ${report.madeBy} on ${dateTime(report.madeAtMs)}</p>
      </header>
      ${summary(report)} ${withoutDrill(report)}
      <section aria-labelledby="report-runs">
        <h2 id="report-runs">${runs.length === 0 ? 'Nothing was run' : countWords(runs.length, 'run')}, oldest first</h2>
        ${isCut ? html`<p class="report-cut">There were more: only the first ${runs.length} are listed. Choose a shorter period.</p>` : nothing}
        ${repeat(
          runs,
          ({ run }) => run.id,
          (entry) =>
            reportRun(page, entry, {
              nowMs: report.madeAtMs,
              isManyPictures: runs.length > 100,
              lagLimitMs: limits.get(entry.run.machineName),
            }),
        )}
      </section>
      ${reportRequests(report)} ${auditProof(report)}
    </article>
  `;
}

// ── the figures ────────────────────────────────────────────────────────────────────────────────────────────
function summary({ summary: figures, machineName }: ReportView): TemplateResult {
  const { drillCount, verifiedDrillCount, failedRunCount, machineCount } = figures;
  const isAllVerified = drillCount > 0 && verifiedDrillCount === drillCount;
  return html`
    <dl class="report-figures" aria-label="Summary">
      ${machineName === null ? figure('Machines', String(machineCount), '') : nothing}
      ${figure('Drills', String(drillCount), drillCount === 0 ? 'none in the period' : `${verifiedDrillCount} verified`, isAllVerified ? 'good' : 'warning')}
      ${failoverFigure(figures)}
      ${figure('Failed runs', String(failedRunCount), '', failedRunCount === 0 ? undefined : 'bad')}
    </dl>
    ${times(figures)}
  `;
}

/** What a drill would have lost and what a failover has lost are never one figure. */
function times({ drillTimes, failoverTimes, drillCount, failoverCount, ...figures }: Figures): TemplateResult {
  const [drills, failovers] = [measured(drillCount), measured(failoverCount)];
  return html`
    <dl class="report-figures" aria-label="What was measured">
      ${drills('Drills: data loss if real (RPO)', drillTimes.rpoMs, chosenWords(figures))}
      ${drills('Drills: time to recover (RTO)', drillTimes.rtoMs)}
      ${failovers('Failovers: data lost, measured (RPO)', failoverTimes.rpoMs)}
      ${failovers('Failovers: time to recover, measured (RTO)', failoverTimes.rtoMs)}
    </dl>
  `;
}

type Figures = ReportView['summary'];
type Spread = Figures['rpoMs'];

/** A break-glass that nobody has reviewed is said before all else. */
function failoverFigure({ failoverCount, breakGlassCount, unreviewedBreakGlassCount }: Figures): TemplateResult {
  if (failoverCount === 0) return figure('Failovers', '0', 'none in the period');
  if (breakGlassCount === 0) return figure('Failovers', String(failoverCount), 'planned');
  const review = unreviewedBreakGlassCount === 0 ? 'reviewed' : `${unreviewedBreakGlassCount} not reviewed`;
  const tone = unreviewedBreakGlassCount === 0 ? 'warning' : 'bad';
  return figure('Failovers', String(failoverCount), `${breakGlassCount} by break-glass, ${review}`, tone);
}

function chosenWords({ chosenPointDrillCount: count }: Pick<Figures, 'chosenPointDrillCount'>): string {
  return count === 0 ? '' : `; not counted: ${countWords(count, 'drill')} from a chosen point`;
}

/** A figure of the runs of one kind, of which there were so many. */
function measured(runCount: number): (label: string, spread: Spread, more?: string) => TemplateResult {
  return (label, spread, more = '') => {
    if (runCount === 0) return figure(label, 'none', 'no such run in the period');
    if (spread === null) return figure(label, '–', `nothing measured${more}`);
    return figure(label, lengthWords(spread.medianMs), `median; worst ${lengthWords(spread.worstMs)}${more}`);
  };
}

function figure(label: string, value: string, note: string, tone?: string): TemplateResult {
  return html`
    <div class="figure">
      <dt>${label}</dt>
      <dd>${value}</dd>
      <dd class="figure-note ${tone === undefined ? '' : `tone-${tone}`}">${note}</dd>
    </div>
  `;
}

function withoutDrill({ summary: { machinesWithoutDrill: names } }: ReportView): TemplateResult | typeof nothing {
  if (names.length === 0) return nothing;
  return html`
    <section class="report-undrilled" aria-labelledby="report-undrilled">
      <h2 id="report-undrilled">Protected, and no verified drill in the period: ${names.length}</h2>
      <p>${names.join(', ')}</p>
    </section>
  `;
}

// ── how it can be proved ───────────────────────────────────────────────────────────────────────────────────
function auditProof({ audit }: ReportView): TemplateResult {
  const { headDigest, headNumber, isChainWhole } = audit;
  return html`
    <section class="report-proof" aria-labelledby="report-proof">
      <h2 id="report-proof">Audit trail at the moment of this report</h2>
      <dl class="facts">
        <div><dt>Newest entry</dt><dd>number ${headNumber}</dd></div>
        <div><dt>Its digest</dt><dd class="mono report-digest">${headDigest}</dd></div>
        <div>
          <dt>The chain</dt>
          <dd class="tone-${isChainWhole ? 'good' : 'bad'}">
            ${isChainWhole ? 'is whole' : 'IS BROKEN: entries were changed or removed outside of Lifeboat'}
          </dd>
        </div>
      </dl>
      <p>
        To prove it later: <code>dr audit ${headNumber} --csv</code> reads the whole trail again, checks the chain and shows this entry;
        while the chain is whole and the entry still has this digest, nothing before this report was changed.
      </p>
    </section>
  `;
}

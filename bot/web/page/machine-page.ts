import { html, nothing, type TemplateResult } from 'lit-html';
import type { MachineView, RunView } from '../../../protocol/control-api.ts';
import type { MachineDetail, Problem } from '../wire.ts';
import { auditList } from './audit-list.ts';
import { textOf } from './card-text.ts';
import type { DetailUi } from './detail.ts';
import { lagView } from './lag-view.ts';
import { machineFacts } from './machine-facts.ts';
import { machineHead } from './machine-head.ts';
import type { Page } from './page.ts';
import { pointLine } from './point-line.ts';
import { pointPanel } from './point-panel.ts';
import { runList } from './run-list.ts';
import { machineOfName, twinWords } from './site-words.ts';

/** Everything about one machine, and everything that can be done with it. */
export function machinePage(page: Page, name: string): TemplateResult {
  const { detail, site } = page.state;
  const mine = detail.kind === 'none' || detail.name !== name ? undefined : detail;
  const live = machineOfName(site, name);
  const machine = live ?? (mine?.kind === 'loaded' ? mine.detail.machine : undefined);
  if (mine?.kind === 'failed' && machine === undefined) return missing(name, mine.problem);
  if (machine === undefined) return html`<div class="machine" aria-busy="true">${placeholder(name)}</div>`;
  const loaded = mine?.kind === 'loaded' ? mine : undefined;
  const runs = runsNow(page, name, loaded?.detail.runs ?? []);
  const problem = mine !== undefined && 'problem' in mine ? mine.problem : undefined;
  const twins = twinWords(site, machine);
  return html`
    <div class="machine">
      ${machineHead(page, machine, runs)} ${problem === undefined ? nothing : problemBar(problem)}
      ${twins === undefined ? nothing : html`<p class="machine-problem">${textOf(twins)}</p>`}
      ${
        loaded === undefined
          ? sections(undefined)
          : sections(
              parts(page, {
                machine,
                detail: { ...loaded.detail, runs },
                ui: loaded.ui,
                shownRangeMs: loaded.shownLagRangeMs,
              }),
            )
      }
    </div>
  `;
}

/** Those of the detail, with what the live site knows newer of them. */
function runsNow(page: Page, name: string, known: readonly RunView[]): RunView[] {
  const live = page.state.site?.runs.filter((run) => run.machineName === name) ?? [];
  const byId = new Map([...known, ...live].map((run) => [run.id, run]));
  // One that has ended stays so, also when the live site is a moment behind the detail.
  for (const run of known) if (run.state !== 'active') byId.set(run.id, run);
  return [...byId.values()];
}

type Parts = {
  readonly machine: MachineView;
  readonly detail: MachineDetail;
  readonly ui: DetailUi;
  readonly shownRangeMs: number;
};
type Sections = Readonly<Record<'lag' | 'points' | 'runs' | 'facts' | 'audit', TemplateResult>>;

function parts(page: Page, { machine, detail, ui, shownRangeMs }: Parts): Sections {
  return {
    lag: lagView(page, { lag: detail.lag, ui, shownRangeMs }),
    points: html`${pointLine(page, detail, ui)} ${pointPanel(page, { detail, machine, ui })}`,
    runs: runList(page, detail.runs, ui),
    facts: machineFacts(machine, detail.points),
    audit: auditList(page, detail.audit, machine.name),
  };
}

/** The same places whether the detail is there or on its way: nothing moves when it comes. */
function sections(shown: Sections | undefined): TemplateResult {
  const section = (name: keyof Sections) => html`
    <section class="panel panel-${name}" aria-busy=${shown === undefined ? 'true' : 'false'}>
      ${shown?.[name] ?? html`<p class="muted">Loading …</p>`}
    </section>
  `;
  return html`
    <div class="machine-grid">
      <div class="machine-column">${section('lag')} ${section('points')}</div>
      <div class="machine-column">${section('runs')}</div>
      <div class="machine-column">${section('facts')} ${section('audit')}</div>
    </div>
  `;
}

function placeholder(name: string): TemplateResult {
  return html`<header class="machine-head"><p class="machine-path"><a href="/">Overview</a></p><h1>${textOf(name)}</h1></header>
    ${sections(undefined)}`;
}

function missing(name: string, problem: Problem): TemplateResult {
  return html`
    <div class="machine">
      <header class="machine-head">
        <p class="machine-path"><a href="/">Overview</a></p>
        <h1>${textOf(name)}</h1>
        <p class="machine-health tone-unknown">${problemWords(problem)}</p>
        <p><a class="button" href="/">To the overview</a></p>
      </header>
    </div>
  `;
}

function problemBar(problem: Problem): TemplateResult {
  return html`<p class="machine-problem" role="status">The details below could not be refreshed. ${problemWords(problem)}</p>`;
}

function problemWords({ message, nextStep }: Problem): TemplateResult {
  return html`${textOf(message)}${nextStep === null ? nothing : html` ${textOf(nextStep)}`}`;
}

import { html, nothing, type TemplateResult } from 'lit-html';
import type { RunView } from '../../../protocol/control-api.ts';
import { pointWords } from '../../conversation/machine-words.ts';
import {
  aftermathWords,
  drillLossWords,
  type RunStep,
  runName,
  stepSign,
  stepTook,
} from '../../conversation/run-words.ts';
import { absoluteTime, age } from '../../conversation/time-words.ts';
import { quoteWord } from '../../format-command.ts';
import { openAction } from './action-sheet.ts';
import { textOf } from './card-text.ts';
import { drillLine } from './machine-actions.ts';
import type { Page } from './page.ts';
import { styled } from './styled.ts';

type RunResult = NonNullable<RunView['result']>;

/** Everything that is known of one run. */
export function runBody(page: Page, run: RunView, { isLive }: { readonly isLive: boolean }): TemplateResult {
  return html`
    ${run.state === 'failed' ? failure(page, run) : nothing}
    <div class="run-columns">
      <div class="run-steps">${stepTable(run, { nowMs: page.nowMs, isLive })}</div>
      ${run.result === null ? nothing : html`<div class="run-result">${resultFacts(page, run, run.result)}</div>`}
    </div>
    <p class="small muted run-foot">${footWords(run, page.nowMs)}</p>
  `;
}

function footWords(run: RunView, nowMs: number): string {
  const end = run.finishedAtMs === null ? '' : `, ended ${absoluteTime(run.finishedAtMs, nowMs)}`;
  const approval = run.approvalId === null ? '' : `, approved as ${run.approvalId}`;
  return `${run.id}, asked for by ${run.requestedBy}${approval}. Started ${absoluteTime(run.startedAtMs, nowMs)}${end}.`;
}

// ── what went wrong ────────────────────────────────────────────────────────────────────────────────────────
function failure(page: Page, run: RunView): TemplateResult {
  const step = run.steps.find((one) => one.state === 'failed');
  const name = quoteWord(run.machineName);
  return html`
    <div class="run-failure">
      <p>${textOf(run.failure ?? 'The engine gave no reason.')}</p>
      <p class="small">
        ${step === undefined ? nothing : html`It stopped at “${step.name}”. `}${textOf(aftermathWords(run))}
      </p>
      <p class="run-deeds">
        ${run.kind === 'test-failover' ? deed(page, 'Drill again', drillLine(run.machineName, 'latest')) : nothing}
        ${run.kind === 'cleanup' ? deed(page, 'Clean up again', `cleanup ${name}`) : nothing}
        ${run.kind === 'planned-failover' ? deed(page, 'Check again', `failover ${name} --planned --dry-run`) : nothing}
      </p>
    </div>
  `;
}

function deed(page: Page, label: string, line: string): TemplateResult {
  return html`<button type="button" class="button" title=${line} @click=${() => openAction(page, line)}>${label}</button>`;
}

// ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────
type StepTimes = { readonly nowMs: number; readonly isLive: boolean };

/** The steps with their times, each as a bar where in the run it was. */
export function stepTable(run: RunView, times: StepTimes): TemplateResult {
  if (run.steps.length === 0) return html`<p class="muted">No steps were written down.</p>`;
  return html`
    <table class="steps">
      <caption class="visually-hidden">
        Steps of ${runName(run)}
      </caption>
      <thead>
        <tr>
          <th scope="col"><span class="visually-hidden">State</span></th>
          <th scope="col">Step</th>
          <th scope="col" class="number">Took</th>
          <th scope="col" class="step-when">When</th>
        </tr>
      </thead>
      <tbody>
        ${run.steps.map((step) => stepRow(step, run, times))}
      </tbody>
    </table>
  `;
}

function stepRow(step: RunStep, run: RunView, times: StepTimes): TemplateResult {
  const state = step.state === 'running' && !times.isLive ? 'unknown' : step.state;
  return html`
    <tr class="step step-${state}">
      <td><span aria-hidden="true" class="step-sign">${state === 'unknown' ? '?' : stepSign(step)}</span><span class="visually-hidden">${state}</span></td>
      <td>${step.name}</td>
      <td class="number">${stepTook(step)}</td>
      <td class="step-when">${stepBar(step, run, times.nowMs)}</td>
    </tr>
  `;
}

function stepBar(step: RunStep, run: RunView, nowMs: number): TemplateResult | typeof nothing {
  if (step.startedAtMs === null) return nothing;
  const endMs = run.finishedAtMs ?? nowMs;
  const wholeMs = Math.max(1, endMs - run.startedAtMs);
  const share = (ms: number) => Math.min(100, Math.max(0, (100 * (ms - run.startedAtMs)) / wholeMs));
  const from = share(step.startedAtMs);
  const width = Math.max(1, share(step.finishedAtMs ?? endMs) - from);
  const place = styled({
    'inset-inline-start': `${Math.min(99, from).toFixed(2)}%`,
    'inline-size': `${width.toFixed(2)}%`,
  });
  return html`<span class="step-track" aria-hidden="true"><span class="step-bar" ${place}></span></span>`;
}

// ── what came of it ────────────────────────────────────────────────────────────────────────────────────────
function resultFacts(page: Page, run: RunView, result: RunResult): TemplateResult {
  return html`
    <dl class="facts">
      ${lossFacts(result)}
      <div><dt>Point</dt><dd>${pointWords(result.point)}, taken ${absoluteTime(result.point.takenAtMs, page.nowMs)}</dd></div>
      <div>
        <dt>Boot check</dt>
        <dd><span class="tone-${result.verified ? 'good' : 'warning'}">${result.verified ? 'passed' : 'NOT passed'}</span>: ${textOf(result.verification)}</dd>
      </div>
      ${
        result.marker === null || result.verification.includes(result.marker)
          ? nothing
          : html`<div><dt>Marker</dt><dd class="mono">${textOf(result.marker)}</dd></div>`
      }
      <div><dt>Machine</dt><dd>${result.vmName} (${result.accelerator})</dd></div>
    </dl>
    ${result.consolePicture === null ? nothing : consolePicture(page, run, result)}
  `;
}

function lossFacts(result: RunResult): TemplateResult {
  const { failover } = result;
  const up = age(result.secondsToGuestUp * 1000);
  if (failover === undefined) {
    return html`
      <div><dt>Data loss</dt><dd>${drillLossWords(result, age(result.pointAgeMs))}</dd></div>
      <div><dt>Guest up</dt><dd>after ${up}</dd></div>
    `;
  }
  return html`
    <div><dt>Data loss</dt><dd>${failover.rpoMs === 0 ? 'none' : age(failover.rpoMs)}, measured on ${failover.disksComparedCount} disks</dd></div>
    <div><dt>Standstill</dt><dd>${age(failover.rtoMs)} from the order to stop until the guest was up</dd></div>
    <div><dt>Proof</dt><dd>${textOf(failover.proof)}</dd></div>
  `;
}

/** The console as it was when the guest was up. Its place is kept free, so that nothing moves when it comes. */
export function consolePicture(page: Page, run: RunView, result: RunResult): TemplateResult {
  const words = `Console of ${result.vmName}, ${result.verified ? 'verified' : 'not verified'}`;
  return html`
    <a class="console" href=${page.api.pictureUrl(run.id)} target="_blank" rel="noopener" aria-label="${words}, opens in full size">
      <img src=${page.api.pictureUrl(run.id)} alt=${words} loading="lazy" decoding="async" width="720" height="400">
    </a>
  `;
}

import { html, nothing, type TemplateResult } from 'lit-html';
import type { AlertView, ApprovalView } from '../../../protocol/chat-api.ts';
import type { RunView } from '../../../protocol/control-api.ts';
import { severityWords } from '../../conversation/alert-cards.ts';
import { operationWords } from '../../conversation/approval-cards.ts';
import { runName, runProgress } from '../../conversation/run-words.ts';
import { age, relativeTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { dueWords } from './approval-words.ts';
import type { Page } from './page.ts';
import { type NeedsMe, needsMe } from './site-words.ts';
import { chip } from './state-chip.ts';

/** Of each kind; the rest is a link away. The panels keep their size, so that nothing below them moves. */
const shownCountMax = 3;

/** The three things that a person looks for first. */
export function needsMeView(page: Page): TemplateResult {
  const needs = needsMe(page.state);
  const waiting = [
    ...needs.approvals.map((one) => approvalItem(page, one)),
    ...needs.reviews.map((one) => reviewItem(page, one)),
  ];
  const alerts = needs.alerts.map((one) => alertItem(page, one));
  const panels: readonly Panel[] = [
    { title: 'Waiting for me', href: '/approvals', none: 'Nothing waits for you.', items: waiting },
    { title: 'Open alerts', href: '/alerts', none: 'No open alert.', items: alerts },
    { title: 'Running', href: undefined, none: 'Nothing is running.', items: runItems(page, needs) },
  ];
  return html`<section class="needs" aria-label="What needs me">
    ${panels.map((one) => panel(page, one))} ${quietLine(page, panels)}
  </section>`;
}

type Panel = {
  readonly title: string;
  readonly href: string | undefined;
  readonly none: string;
  readonly items: readonly TemplateResult[];
};

/** In the place of all empty panels where there is little room: three of them would push the machines off a phone. */
function quietLine(page: Page, panels: readonly Panel[]): TemplateResult | typeof nothing {
  const none = panels.filter(({ items }) => items.length === 0).map((one) => one.none);
  if (none.length === 0) return nothing;
  return html`<p class="muted needs-quiet">${page.state.site === undefined ? 'Connecting' : none.join(' ')}</p>`;
}

function panel(page: Page, { title, href, none, items }: Panel): TemplateResult {
  const count = items.length;
  const isKnown = page.state.site !== undefined;
  return html`<div class="card need ${count === 0 ? 'need-empty' : ''}">
    <h2>${title}<span class="need-count">${isKnown ? count : ''}</span>${
      href !== undefined && count > 0 ? html`<a href=${href} aria-label="All: ${title}">All</a>` : nothing
    }</h2>
    ${count === 0 ? html`<p class="muted need-none">${isKnown ? none : 'Connecting'}</p>` : html`<ul>${items.slice(0, shownCountMax)}</ul>`}
  </div>`;
}

function approvalItem(page: Page, approval: ApprovalView): TemplateResult {
  const glass = approval.isBreakGlass ? 'BREAK-GLASS · ' : '';
  const essence = safeText(approval.impact[0] ?? approval.reason);
  return html`<li>
    <a class="need-item" href="/approvals/${encodeURIComponent(approval.id)}">
      ${chip(page, 'warning', `${glass}${operationWords(approval)}`)}
      <span class="need-detail" title=${essence}>
        ${safeText(approval.requestedBy)} asks · expires ${relativeTime(approval.expiresAtMs, page.nowMs)} · ${essence}
      </span>
    </a>
  </li>`;
}

/** Done alone, and to be looked at by another person; a request that still waits comes before it. Source: CHAT 5.2 */
function reviewItem(page: Page, approval: ApprovalView): TemplateResult {
  const { id, requestedBy, reason } = approval;
  const words = safeText(`${requestedBy} did this without an approver · ${dueWords(approval, page.nowMs)} · ${reason}`);
  return html`<li>
    <a class="need-item" href="/approvals/${encodeURIComponent(id)}">
      ${chip(page, 'warning', `Needs a review · ${operationWords(approval)}`)}
      <span class="need-detail" title=${words}>${words}</span>
    </a>
  </li>`;
}

function alertItem(page: Page, alert: AlertView): TemplateResult {
  const tone = alert.severity === 'critical' ? 'bad' : 'warning';
  const words = safeText(`${severityWords(alert)} · ${relativeTime(alert.openedAtMs, page.nowMs)} · ${alert.text}`);
  return html`<li>
    <a class="need-item" href="/alerts#${encodeURIComponent(alert.id)}">
      ${chip(page, tone, alert.title)}
      <span class="need-detail" title=${words}>${words}</span>
    </a>
  </li>`;
}

function runItems(page: Page, { runs }: NeedsMe): TemplateResult[] {
  return runs.map((run) => runItem(page, run));
}

function runItem(page: Page, run: RunView): TemplateResult {
  const { percent, label } = runProgress(run);
  const name = runName(run);
  return html`<li>
    <a class="need-item" href="/machines/${encodeURIComponent(run.machineName)}">
      <span class="need-run">${chip(page, 'working', name)}<span class="muted">${percent} %</span></span>
      <progress max="100" value=${percent} aria-label=${name}></progress>
      <span class="need-detail" title=${safeText(label)}>${safeText(`${label} · for ${age(page.nowMs - run.startedAtMs)} · ${run.requestedBy}`)}</span>
    </a>
  </li>`;
}

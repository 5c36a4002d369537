import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { ApprovalView } from '../../../protocol/chat-api.ts';
import { approvalCard, operationWords } from '../../conversation/approval-cards.ts';
import { relativeTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { answerView, problemView, topicView } from './answer-view.ts';
import { badChecksView, checksView, factsView, impactView, ownFacts, whyView } from './approval-parts.ts';
import { deadlineWords, dueWords, isReviewDue, type MyPart, myPart, sortedApprovals } from './approval-words.ts';
import { textOf } from './card-text.ts';
import { openSheet, press } from './deeds.ts';
import type { Page } from './page.ts';
import { chip, type Tone } from './state-chip.ts';

/** All requests: those that wait for me first. */
export function approvalsPage(page: Page): TemplateResult {
  const { site, me } = page.state;
  if (site === undefined)
    return html`<section class="talk-page"><h1>Approvals</h1><p class="waiting">Looking …</p></section>`;
  const { mine, open, ended } = sortedApprovals(site.approvals, me);
  return html`<section class="talk-page">
    <h1>Approvals</h1>
    ${groupView(page, { title: 'Waiting for you', approvals: mine, empty: 'Nothing waits for your decision.' })}
    ${open.length === 0 ? nothing : groupView(page, { title: 'Open, for others to decide or running', approvals: open, empty: '' })}
    ${ended.length === 0 ? nothing : groupView(page, { title: 'Ended in the last hour', approvals: ended, empty: '' })}
    <p class="page-note">Older ones: <code>/dr list approvals</code> in the chat, or the report.</p>
  </section>`;
}

type Group = { readonly title: string; readonly approvals: readonly ApprovalView[]; readonly empty: string };

function groupView(page: Page, { title, approvals, empty }: Group): TemplateResult {
  return html`<section class="approval-group">
    <h2>${title}${approvals.length === 0 ? nothing : html` <span class="count">${approvals.length}</span>`}</h2>
    ${approvals.length === 0 ? html`<p class="page-note">${empty}</p>` : nothing}
    <ul class="approval-list">
      ${repeat(
        approvals,
        ({ id }) => id,
        (approval) => html`<li>${rowView(page, approval)}</li>`,
      )}
    </ul>
  </section>`;
}

function rowView(page: Page, approval: ApprovalView): TemplateResult {
  const { id, requestedBy, reason, state, expiresAtMs, decidedAtMs } = approval;
  const path = `/approvals/${encodeURIComponent(id)}`;
  const when = isReviewDue(approval)
    ? `review ${dueWords(approval, page.nowMs)}`
    : state === 'pending'
      ? `expires ${relativeTime(expiresAtMs, page.nowMs)}`
      : decidedAtMs === null
        ? ''
        : relativeTime(decidedAtMs, page.nowMs);
  return html`<a class="approval-row" href=${path}>
    <span class="approval-row-title">${textOf(operationWords(approval))}</span>
    ${chip(page, toneOf(approval), stateOf(approval))}
    <span class="approval-row-who">${safeText(requestedBy)}: ${textOf(reason)}</span>
    <span class="approval-row-when">${when}</span>
  </a>`;
}

function toneOf({ state }: ApprovalView): Tone {
  if (state === 'succeeded') return 'good';
  if (state === 'failed') return 'bad';
  if (state === 'pending') return 'warning';
  return state === 'approved' || state === 'executing' ? 'working' : 'none';
}

function stateOf(approval: ApprovalView): string {
  return approvalCard(approval, 0).title.split(' · ').slice(-1).join('');
}

/**
 * One request, for a person with ten seconds on a phone: what it is and until when, which checks are bad, who asks and why, what stops and
 * what is lost, and two big buttons; all of that without scrolling. The rest stands below. Anybody who may look can read it; only who may decide sees buttons.
 */
export function approvalPage(page: Page, id: string): TemplateResult {
  const approval = page.state.site?.approvals.find((candidate) => candidate.id === id);
  if (approval !== undefined) return openApproval(page, approval);
  const topic = page.state.talk.topics[`approval:${id}`];
  if (topic?.card !== undefined) {
    return html`<section class="talk-page approval">${backLink()} ${topicView(page, `approval:${id}`, { headingLevel: 2, hasActions: false })}</section>`;
  }
  return html`<section class="talk-page approval">
    ${backLink()}
    <h1>Request ${safeText(id)}</h1>
    ${topic?.problem === undefined ? html`<p class="waiting" role="status">Looking …</p>` : problemView(topic.problem)}
  </section>`;
}

function openApproval(page: Page, approval: ApprovalView): TemplateResult {
  const { nowMs } = page;
  const { id, state, revision, digest, runId, isBreakGlass } = approval;
  const part = myPart(approval, page.state.me);
  return html`<section class="talk-page approval">
    ${backLink()}
    <header class="approval-head">
      ${isBreakGlass ? html`<p class="break-glass">BREAK-GLASS: it ${state === 'executing' ? 'runs' : 'ran'} without an approver</p>` : nothing}
      <h1>${textOf(operationWords(approval))}</h1>
      <p class="approval-state">${chip(page, toneOf(approval), stateOf(approval))} ${deadlineWords(approval, nowMs)}</p>
      ${state === 'pending' ? badChecksView(approval.checks) : nothing}
    </header>
    ${whyView(approval, nowMs)} ${impactView(approval)} ${checksView(approval.checks)}
    ${factsView([...approval.facts, ...ownFacts(approval, nowMs)])}
    ${runId === null ? nothing : topicView(page, `run:${runId}`)}
    <p class="approval-id">${id} · revision ${revision} · digest ${digest.slice(0, 8)}</p>
    ${partView(page, approval, part)}
  </section>`;
}

function backLink(): TemplateResult {
  return html`<p class="back"><a href="/approvals">‹ All approvals</a></p>`;
}

/** Fixed at the bottom, where a thumb is. */
function partView(page: Page, approval: ApprovalView, part: MyPart): TemplateResult {
  const place = { kind: 'aside', name: `approval:${approval.id}` } as const;
  const answer = answerView(page, page.state.talk.asides[place.name], { place });
  const buttons = approvalCard(approval, page.nowMs).buttons ?? [];
  const shown = `--rev ${approval.revision} --digest ${approval.digest.slice(0, 8)}`;
  const isStale = page.state.freshness.kind !== 'live';
  return html`<div class="decide" role="group" aria-label="Decide">
    ${answer}
    ${isStale && approval.state === 'pending' ? html`<p class="decide-words">The page is out of date. What you see may have changed; the engine looks again before anything runs.</p>` : nothing}
    ${part.kind === 'decide' ? (part.hint === undefined ? nothing : html`<p class="decide-words">${part.hint} Type <code>authenticator</code> in the chat.</p>`) : html`<p class="decide-words">${textOf(part.words)}</p>`}
    ${
      part.kind === 'decide'
        ? html`<div class="decide-buttons">
            ${buttons
              .filter(({ opens }) => opens !== undefined)
              .map(
                (button) =>
                  html`<button type="button" class="button button-big button-${button.style}" @click=${(event: Event) => press(page, button, { event, place })}>${button.label}</button>`,
              )}
          </div>`
        : nothing
    }
    ${
      part.kind === 'review'
        ? html`<div class="decide-buttons"><button type="button" class="button button-big button-primary" @click=${() => openSheet(page, `review ${approval.id}`)}>Review…</button></div>`
        : nothing
    }
    ${
      part.kind === 'withdraw'
        ? html`<div class="decide-buttons"><button type="button" class="button button-big button-default" @click=${() => openSheet(page, `withdraw ${approval.id} ${shown}`)}>Withdraw</button></div>`
        : nothing
    }
  </div>`;
}

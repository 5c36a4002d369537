import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { AlertView } from '../../../protocol/chat-api.ts';
import type { Button, Card } from '../../card.ts';
import { alertCard } from '../../conversation/alert-cards.ts';
import { safeText } from '../../terminal/safe-text.ts';
import { answerView } from './answer-view.ts';
import { cardView } from './card-view.ts';
import type { Page } from './page.ts';
import { asOfWords } from './state-chip.ts';

const machineCountMax = 20;

/** What is wrong now, worst first; those that nobody has to look at last. */
export function alertsPage(page: Page): TemplateResult {
  const { site } = page.state;
  if (site === undefined)
    return html`<section class="talk-page"><h1>Alerts</h1><p class="waiting">Looking …</p></section>`;
  const asOf = asOfWords(page);
  const groups = groupsOf(site.alerts);
  return html`<section class="talk-page">
    <h1>Alerts</h1>
    ${asOf === undefined ? nothing : html`<p class="page-note">What is shown is ${asOf}; how it is now is unknown.</p>`}
    ${site.alerts.length === 0 ? html`<p class="page-note">${asOf === undefined ? 'Nothing is wrong now: no alert is open.' : 'No alert was open then.'}</p>` : nothing}
    ${groups
      .filter(({ alerts }) => alerts.length > 0)
      .map(
        ({ title, alerts }) => html`<section class="alert-group">
          <h2>${title} <span class="count">${alerts.length}</span></h2>
          <div class="alert-list">${repeat(
            alerts,
            ({ id }) => id,
            (alert) => alertView(page, alert),
          )}</div>
        </section>`,
      )}
  </section>`;
}

function groupsOf(alerts: readonly AlertView[]): { title: string; alerts: AlertView[] }[] {
  const isQuiet = ({ state }: AlertView) => state === 'snoozed' || state === 'muted' || state === 'recovered';
  const oldestFirst = [...alerts].sort((a, b) => a.openedAtMs - b.openedAtMs);
  const loud = oldestFirst.filter((alert) => !isQuiet(alert));
  return [
    { title: 'Critical', alerts: loud.filter(({ severity }) => severity === 'critical') },
    { title: 'Warning', alerts: loud.filter(({ severity }) => severity === 'warning') },
    { title: 'Quiet: snoozed, muted or over', alerts: oldestFirst.filter(isQuiet) },
  ];
}

function alertView(page: Page, alert: AlertView): TemplateResult {
  const place = { kind: 'aside', name: `alert:${alert.id}` } as const;
  const answer = page.state.talk.asides[place.name];
  return html`<div class="alert">
    ${cardView(page, withMore(alertCard(alert, page.nowMs), alert), { place, showsLines: true })} ${machineLinks(alert)}
    ${answer === undefined ? nothing : html`<div class="alert-answer" role="status">${answerView(page, answer, { place, headingLevel: 4 })}</div>`}
  </div>`;
}

/** A phone in chat shows three buttons; here is room for the rest of what can be done. */
function withMore(card: Card, { id, state }: AlertView): Card {
  if (state !== 'open' && state !== 'acknowledged') return card;
  const more: Button[] = [
    { label: 'Escalate', line: `escalate ${id}`, style: 'default' },
    { label: 'Mute', line: `mute ${id}`, style: 'default' },
  ];
  const isDetails = ({ label }: Button) => label === 'Details';
  const buttons = card.buttons ?? [];
  return {
    ...card,
    buttons: [...buttons.filter((button) => !isDetails(button)), ...more, ...buttons.filter(isDetails)],
  };
}

function machineLinks({ machineNames }: AlertView): TemplateResult | typeof nothing {
  if (machineNames.length === 0) return nothing;
  const rest = machineNames.length - machineCountMax;
  return html`<p class="alert-machines">
    Machines:
    ${machineNames.slice(0, machineCountMax).map((name) => html`<a href="/machines/${encodeURIComponent(name)}">${safeText(name)}</a>`)} ${rest > 0 ? html`<span>and ${rest} more</span>` : nothing}
  </p>`;
}

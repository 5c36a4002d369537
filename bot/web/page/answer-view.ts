import { html, nothing, type TemplateResult } from 'lit-html';
import type { Card } from '../../card.ts';
import type { Problem } from '../wire.ts';
import { textOf } from './card-text.ts';
import { type CardOptions, cardView } from './card-view.ts';
import type { Page } from './page.ts';
import type { Answer } from './talk.ts';

/** What the server could not do, in its words. */
export function problemView(problem: Problem): TemplateResult {
  return html`<div class="problem" role="alert">
    <p><span aria-hidden="true">✖</span> ${textOf(problem.message)}</p>
    ${problem.nextStep === null ? nothing : html`<p>Next: ${textOf(problem.nextStep)}</p>`}
  </div>`;
}

/** An answer where it was asked for: busy, its cards and the living cards of what it started, or why there is none. */
export function answerView(
  page: Page,
  answer: Answer | undefined,
  options: CardOptions & { readonly busyWords?: string } = {},
): TemplateResult | typeof nothing {
  switch (answer?.kind) {
    case undefined:
    case 'none':
      return nothing;
    case 'asked':
      return html`<p class="waiting" role="status">${options.busyWords ?? 'Asking the engine …'}</p>`;
    case 'failed':
      return problemView(answer.problem);
    case 'cards': {
      // A receipt says that something has begun; the living card says the same and more, once it is there.
      const living = answer.topics.filter((topic) => page.state.talk.topics[topic]?.card !== undefined);
      const cards = living.length > 0 ? [] : answer.cards;
      return html`${cards.map((card) => cardView(page, card, options))} ${answer.topics.map((topic) => topicView(page, topic, options))}`;
    }
    default:
      return answer satisfies never;
  }
}

/** The card of a topic as it is now. */
export function topicView(page: Page, name: string, options: CardOptions = {}): TemplateResult | typeof nothing {
  const topic = page.state.talk.topics[name];
  if (topic === undefined) return nothing;
  const isOld = topic.card !== undefined && topic.problem !== undefined && !topic.isFinal;
  return html`<div class="topic" data-topic=${name} aria-busy=${topic.isFinal ? 'false' : 'true'}>
    ${topic.card === undefined ? nothing : cardView(page, withoutDecisions(page, name, topic.card), options)}
    ${topic.card === undefined && topic.problem !== undefined ? problemView(topic.problem) : nothing}
    ${isOld ? html`<p class="waiting">This card may be out of date: it could not be asked for again.</p>` : nothing}
  </div>`;
}

/** The one card of an approval is drawn for everybody; here it is known who looks, and who cannot decide gets no buttons to decide. */
function withoutDecisions(page: Page, name: string, card: Card): Card {
  const approval = page.state.site?.approvals.find(({ id }) => name === `approval:${id}`);
  if (approval === undefined || approval.eligible.includes(page.state.me?.name ?? '')) return card;
  const isDecision = (line: string) => /^(approve|reject) /.test(line);
  return { ...card, buttons: (card.buttons ?? []).filter(({ line }) => !isDecision(line)) };
}

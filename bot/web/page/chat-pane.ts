import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { absoluteTime } from '../../conversation/time-words.ts';
import { safeText } from '../../terminal/safe-text.ts';
import type { LineReply } from '../wire.ts';
import { problemView, topicView } from './answer-view.ts';
import { cardView } from './card-view.ts';
import { chatInput } from './chat-input.ts';
import { say } from './deeds.ts';
import { icon } from './icons.ts';
import type { Page } from './page.ts';
import { stickToEnd } from './stick-to-end.ts';
import type { TalkEntry } from './talk.ts';

const starters = ['status', 'approvals', 'alerts', 'help'] as const;

/** The conversation beside the page: the same lines and cards as in Slack, Teams and the terminal. */
export function chatPane(page: Page): TemplateResult {
  return html`<aside class="talk" aria-label="Chat">
    <div class="talk-head">
      <h2>Chat</h2>
      <button type="button" class="button button-quiet button-icon" aria-label="Close chat" @click=${() => close(page)}>
        ${icon('close')}
      </button>
    </div>
    ${logView(page)} ${chatInput(page)}
  </aside>`;
}

function close(page: Page): void {
  page.dispatch({ kind: 'talk-pane', pane: 'closed' });
  // The button that had the focus is gone.
  document.getElementById('content')?.focus();
}

function logView(page: Page): TemplateResult {
  const { entries, busy } = page.state.talk;
  const ownNumber = entries.findLast((entry) => entry.kind === 'mine')?.number;
  const isWaiting = busy.some(({ number }) => entries.some((entry) => entry.number === number));
  return html`<div class="talk-log" role="log" aria-label="Conversation" aria-relevant="additions" tabindex="0" ${stickToEnd(ownNumber)}>
    ${entries.length === 0 ? welcome(page) : nothing}
    ${repeat(
      entries,
      (entry) => `${entry.number} ${entry.kind === 'topic' ? entry.topic : entry.kind}`,
      (entry) => entryView(page, entry),
    )}
    ${isWaiting ? html`<p class="waiting" role="status">Asking the engine …</p>` : nothing}
  </div>`;
}

function welcome(page: Page): TemplateResult {
  return html`<div class="talk-welcome">
    <p>Type what you would type in Slack, Teams or a terminal. Tab completes, arrow up brings lines back.</p>
    <div class="card-buttons">
      ${starters.map(
        (line) =>
          html`<button type="button" class="button button-default" @click=${() => void say(page, line)}><code>/dr ${line}</code></button>`,
      )}
    </div>
  </div>`;
}

function entryView(page: Page, entry: TalkEntry): TemplateResult | typeof nothing {
  switch (entry.kind) {
    case 'mine':
      return html`<p class="talk-mine">
        <code>/dr ${safeText(entry.line)}</code> <span class="talk-time">${absoluteTime(entry.atMs, page.nowMs)}</span>
      </p>`;
    case 'cards':
      return html`<div class="talk-answer">${entry.cards.map((card) => cardView(page, card))} ${entry.files.map(fileView)} ${saidView(page, entry.atMs)}</div>`;
    case 'topic': {
      // It is asked for again and again: its words are true at the last time.
      const topic = page.state.talk.topics[entry.topic];
      return html`<div class="talk-answer">${topicView(page, entry.topic)} ${topic?.card === undefined ? nothing : saidView(page, topic.shownAtMs)}</div>`;
    }
    case 'problem':
      return html`<div class="talk-answer">${problemView(entry.problem)} ${saidView(page, entry.atMs)}</div>`;
    default:
      return entry satisfies never;
  }
}

/** When it was said: `3 min ago` and `in 12 min` in it are read against that. */
function saidView(page: Page, atMs: number): TemplateResult {
  return html`<p class="talk-time">${absoluteTime(atMs, page.nowMs)}</p>`;
}

type File = LineReply['files'][number];

const fileUrls = new WeakMap<File, string>();

/** The file's address in this page; made once, and gone with the page. */
function urlOf(file: File): string {
  const known = fileUrls.get(file);
  if (known !== undefined) return known;
  const bytes = Uint8Array.from(atob(file.base64), (letter) => letter.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: isPicture(file) ? 'image/png' : 'text/plain' }));
  fileUrls.set(file, url);
  return url;
}

function isPicture(file: File): boolean {
  return file.type === 'image/png';
}

function fileView(file: File): TemplateResult {
  const name = safeText(file.name);
  const link = html`<a class="talk-file" href=${urlOf(file)} download=${name}>Save ${name}</a>`;
  return isPicture(file)
    ? html`<img class="talk-picture" src=${urlOf(file)} alt=${name} loading="lazy" /> ${link}`
    : link;
}

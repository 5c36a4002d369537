import { html, nothing, type TemplateResult } from 'lit-html';
import type { AuditAnswer, AuditView } from '../../../protocol/people-api.ts';
import { absoluteTime } from '../../conversation/time-words.ts';
import { formatCommand } from '../../format-command.ts';
import { openAction } from './action-sheet.ts';
import { textOf } from './card-text.ts';
import type { Page } from './page.ts';
import { chip } from './state-chip.ts';

const entryCountMax = 50;

/** Who did what with the machine, newest first, and whether anybody changed it afterwards. */
export function auditList(page: Page, audit: AuditAnswer, about: string): TemplateResult {
  const newestFirst = [...audit.entries].sort((a, b) => b.number - a.number);
  const shown = newestFirst.slice(0, entryCountMax);
  const csvLine = formatCommand({ verb: 'audit', about, isCsv: true });
  return html`
    <div class="points-head">
      <h2 id="audit-title">Audit trail</h2>
      <button type="button" class="button button-quiet" title=${csvLine} @click=${() => openAction(page, csvLine)}>
        All as CSV
      </button>
    </div>
    ${chainWords(page, audit)}
    ${shown.length === 0 ? html`<p class="muted">No entries yet.</p>` : auditTable(page, shown)}
    ${newestFirst.length > shown.length ? html`<p class="small muted">The newest ${entryCountMax} of ${newestFirst.length}.</p>` : nothing}
  `;
}

function chainWords(page: Page, { isChainWhole, isUnchecked, headDigest, problem }: AuditAnswer): TemplateResult {
  if (isUnchecked === true) {
    return html`<p class="audit-chain small muted">Head <code>${headDigest.slice(0, 12)}</code>. <code>audit</code> follows the chain and says whether it is whole.</p>`;
  }
  if (isChainWhole) {
    return html`<p class="audit-chain">${chip(page, 'good', 'The chain is whole')}
      <span class="small muted">head <code>${headDigest.slice(0, 12)}</code></span></p>`;
  }
  return html`
    <div class="audit-broken" role="alert">
      <p><strong>The chain is broken: entries were changed or removed outside of Lifeboat.</strong></p>
      ${problem === null ? nothing : html`<p>${textOf(problem)}</p>`}
      <p>Keep the database as it is and look at the anchors in the vault.</p>
    </div>
  `;
}

function auditTable(page: Page, entries: readonly AuditView[]): TemplateResult {
  return html`
    <div class="audit-scroll" tabindex="0" role="group" aria-labelledby="audit-title">
      <table class="audit" role="table">
        <thead role="rowgroup">
          <tr role="row"><th role="columnheader" scope="col">When</th><th role="columnheader" scope="col">Who</th><th role="columnheader" scope="col">What</th></tr>
        </thead>
        <tbody role="rowgroup">
          ${entries.map(
            (entry) => html`
              <tr role="row">
                <td role="cell" class="audit-when">${absoluteTime(entry.atMs, page.nowMs)}</td>
                <td role="cell">${entry.who} <span class="muted">${entry.via}</span></td>
                <td role="cell" class="audit-what">${textOf(entry.what)}${entry.detail === '' ? nothing : html`<span class="audit-detail">${textOf(entry.detail)}</span>`}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;
}

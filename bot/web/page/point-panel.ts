import { html, nothing, type TemplateResult } from 'lit-html';
import type { MachineView, PointView, RunView } from '../../../protocol/control-api.ts';
import { absoluteTime, relativeTime } from '../../conversation/time-words.ts';
import type { MachineDetail } from '../wire.ts';
import { textOf } from './card-text.ts';
import type { DetailUi } from './detail.ts';
import { actionButton, drillLine, whyNoDrill } from './machine-actions.ts';
import type { Page } from './page.ts';
import { stepButtons } from './point-line.ts';
import { runsByPoint } from './point-marks.ts';

type PanelView = { readonly detail: MachineDetail; readonly machine: MachineView; readonly ui: DetailUi };

/** The picked point: what it is, and what can be started from it. Its size stays the same whichever point it is. */
export function pointPanel(page: Page, { detail, machine, ui }: PanelView): TemplateResult {
  const point = detail.points.find((one) => one.id === ui.chosenPointId);
  return html`
    <div class="point-panel" id="point-panel" tabindex="-1" role="region" aria-label="Picked recovery point">
      <div class="point-panel-head">
        ${stepButtons(page, detail.points, ui)}
        ${point === undefined ? html`<p class="muted">${noPoint(ui, detail, machine)}</p>` : pointTitle(page, point)}
      </div>
      ${point === undefined ? nothing : pointBody(page, { point, machine, runs: runsByPoint(detail.runs).get(point.id) ?? [] })}
    </div>
  `;
}

function noPoint(ui: DetailUi, detail: MachineDetail, { protection }: MachineView): string {
  if (ui.chosenPointId !== undefined) return `${ui.chosenPointId} is gone: it was older than the policy keeps.`;
  // No drill starts from the points of a machine that was failed over.
  if (protection.kind === 'failed-over') return '';
  return detail.points.length === 0 ? 'A drill needs a recovery point.' : 'Pick a point on the line to drill from it.';
}

function pointTitle(page: Page, point: PointView): TemplateResult {
  return html`
    <p class="point-panel-title">
      <strong>${absoluteTime(point.takenAtMs, page.nowMs)}</strong>
      <span class="muted">${relativeTime(point.takenAtMs, page.nowMs)}</span>
    </p>
  `;
}

type Picked = { readonly point: PointView; readonly machine: MachineView; readonly runs: readonly RunView[] };

function pointBody(page: Page, { point, machine, runs }: Picked): TemplateResult {
  const whyNot = point.state === 'available' ? whyNoDrill(machine, page.state.me) : whyNotUsable(point);
  const line = drillLine(machine.name, point.id);
  return html`
    <dl class="facts">
      <div><dt>Point</dt><dd class="mono">${point.id}</dd></div>
      <div><dt>Kind</dt><dd>${point.kind}</dd></div>
      <div><dt>State</dt><dd>${point.state}</dd></div>
      <div><dt>Reason</dt><dd>${point.reason === '' ? 'taken by the policy' : textOf(point.reason)}</dd></div>
      <div><dt>Started from it</dt><dd>${startedWords(page, runs)}</dd></div>
    </dl>
    <div class="point-panel-deeds">
      ${actionButton(page, { label: 'Drill from here', line, isPrimary: true, whyNot })}
      <p class="small muted">
        ${whyNot === undefined ? nothing : html`${textOf(whyNot)} `}A planned failover always uses the newest state: the original
        is stopped and its last changes are sent first.
      </p>
    </div>
  `;
}

function whyNotUsable(point: PointView): string {
  switch (point.state) {
    case 'damaged':
      return 'It is damaged: what was read back from the vault is not what was sent. Pick another one.';
    case 'expiring':
      return 'It is being removed from the vault. Pick a newer one.';
    default:
      return `It is ${point.state}: only an available point can be started. It will be available in a moment.`;
  }
}

function startedWords(page: Page, runs: readonly RunView[]): string {
  const newest = runs[0];
  if (newest === undefined) return 'nothing yet';
  const what = newest.kind === 'planned-failover' ? 'planned failover' : 'drill';
  const outcome = newest.result?.verified === true ? 'verified' : 'not verified';
  const more = runs.length > 1 ? `, and ${runs.length - 1} more` : '';
  return `${what}, ${outcome}, ${relativeTime(newest.startedAtMs, page.nowMs)}${more}`;
}

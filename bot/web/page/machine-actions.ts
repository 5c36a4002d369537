import { html, type TemplateResult } from 'lit-html';
import { admit, type MachineAction, type MachineFacts } from '../../../domain/protected-machine.ts';
import type { MachineView } from '../../../protocol/control-api.ts';
import { formatCommand, quoteWord } from '../../format-command.ts';
import { openAction } from './action-sheet.ts';
import { isDrillOpen } from './overview-rows.ts';
import type { Page } from './page.ts';

/** A button of a machine's page: what it would type, and why it cannot be done now. */
export type ActionButton = {
  readonly label: string;
  readonly line: string;
  readonly isPrimary: boolean;
  readonly whyNot: string | undefined;
};

/** What can be asked for, most likely first. The engine alone decides; what it would refuse now is shown with its reason. */
export function machineActions(machine: MachineView): ActionButton[] {
  const { name, protection } = machine;
  switch (protection.kind) {
    case 'not-protected':
      return [button('enable', machine, { label: 'Enable', line: enableLine(name), isPrimary: true })];
    case 'failed-over':
      return [];
    default:
      return protectedActions(machine);
  }
}

function protectedActions(machine: MachineView): ActionButton[] {
  const { name, replication } = machine;
  const word = quoteWord(name);
  const hasDrill = isDrillOpen(machine);
  const drill = hasDrill
    ? button('cleanup', machine, { label: 'Clean up', line: cleanupLine(name), isPrimary: true })
    : button('test-failover', machine, { label: 'Test failover', line: drillLine(name, 'latest'), isPrimary: true });
  const isPaused = replication.kind === 'paused';
  return [
    drill,
    button('planned-failover', machine, { label: 'Planned failover…', line: plannedLine(name) }),
    button('bookmark', machine, { label: 'Bookmark…', line: `bookmark ${word}` }),
    isPaused
      ? button('resume', machine, { label: 'Resume', line: formatCommand({ verb: 'resume', machine: word }) })
      : button('pause', machine, { label: 'Pause…', line: `pause ${word}` }),
    button('resync', machine, { label: 'Resync…', line: formatCommand({ verb: 'resync', machine: word, reason: '' }) }),
  ];
}

type Wanted = { readonly label: string; readonly line: string; readonly isPrimary?: boolean };

function button(action: MachineAction, machine: MachineView, { label, line, isPrimary = false }: Wanted): ActionButton {
  const isUnsupported = action === 'enable' && machine.unsupported !== null;
  const admission = admit(action, factsOf(machine));
  const refusal = admission.kind === 'refused' ? admission.message : undefined;
  return { label, line, isPrimary, whyNot: isUnsupported ? (machine.unsupported ?? undefined) : refusal };
}

function factsOf(machine: MachineView): MachineFacts {
  const { name, protection, replication, drill } = machine;
  const open = isDrillOpen(machine) && drill !== null;
  return {
    name,
    protection,
    replication,
    drill: open ? { kind: 'open', pointTakenAtMs: drill.point.takenAtMs } : { kind: 'none' },
  };
}

/** Why no drill can be started from any point now; undefined when one can. */
export function whyNoDrill(machine: MachineView): string | undefined {
  const admission = admit('test-failover', factsOf(machine));
  return admission.kind === 'refused' ? admission.message : undefined;
}

function enableLine(name: string): string {
  return formatCommand({ verb: 'enable', machine: quoteWord(name), policy: 'default', host: undefined });
}

function cleanupLine(name: string): string {
  return formatCommand({ verb: 'cleanup', machine: quoteWord(name), note: '' });
}

/** @param point `latest`, or a recovery point's id */
export function drillLine(name: string, point: string): string {
  return formatCommand({ verb: 'test-failover', machine: quoteWord(name), point, isDryRun: false });
}

function plannedLine(name: string): string {
  return formatCommand({
    verb: 'planned-failover',
    machine: quoteWord(name),
    // The sheet asks for it: approvers decide by it.
    reason: '',
    at: undefined,
    isDryRun: false,
    typedName: undefined,
    code: undefined,
  });
}

/** The buttons. One that cannot be pressed can still be reached, and says why. */
export function actionBar(page: Page, machine: MachineView): TemplateResult {
  const actions = machineActions(machine);
  return html`
    <div class="machine-actions" role="group" aria-label="Actions for ${machine.name}">
      ${actions.map((action) => actionButton(page, action))}
    </div>
  `;
}

/** One button that opens the sheet with its line. */
export function actionButton(page: Page, { label, line, isPrimary, whyNot }: ActionButton): TemplateResult {
  const isOff = whyNot !== undefined;
  return html`
    <button
      type="button"
      class="button ${isPrimary ? 'button-primary' : ''}"
      title=${whyNot ?? line}
      aria-disabled=${isOff ? 'true' : 'false'}
      aria-description=${whyNot ?? `types: ${line}`}
      @click=${() => !isOff && openAction(page, line)}
    >
      ${label}
    </button>
  `;
}

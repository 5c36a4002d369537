import { html, type TemplateResult } from 'lit-html';
import { admit, type MachineAction, type MachineFacts } from '../../../domain/protected-machine.ts';
import type { MachineView } from '../../../protocol/control-api.ts';
import { formatCommand, quoteWord } from '../../format-command.ts';
import type { Me } from '../wire.ts';
import { openAction } from './action-sheet.ts';
import { whyNotMine } from './my-access.ts';
import { isDrillOpen } from './overview-rows.ts';
import type { Page } from './page.ts';

/** A button of a machine's page: what it would type, and why it cannot be done now. */
export type ActionButton = {
  readonly label: string;
  readonly line: string;
  readonly isPrimary: boolean;
  readonly whyNot: string | undefined;
};

/** What the page knows of the person and of the other machines. */
export type ActionFacts = { readonly me: Me | undefined; readonly machines: readonly MachineView[] };

/** What can be asked for, most likely first. The engine alone decides; what it would refuse now is shown with its reason. */
export function machineActions(machine: MachineView, { me, machines }: ActionFacts): ActionButton[] {
  switch (machine.protection.kind) {
    case 'not-protected': {
      const line = enableLine(machine, machines);
      return [button('enable', { machine, me }, { label: 'Enable', line, isPrimary: true })];
    }
    case 'failed-over':
      return [];
    default:
      return protectedActions({ machine, me });
  }
}

type Doer = { readonly machine: MachineView; readonly me: Me | undefined };

function protectedActions(doer: Doer): ActionButton[] {
  const { name, replication } = doer.machine;
  const word = quoteWord(name);
  const hasDrill = isDrillOpen(doer.machine);
  const drill = hasDrill
    ? button('cleanup', doer, { label: 'Clean up', line: cleanupLine(name), isPrimary: true })
    : button('test-failover', doer, { label: 'Test failover', line: drillLine(name, 'latest'), isPrimary: true });
  const isPaused = replication.kind === 'paused';
  return [
    drill,
    button('planned-failover', doer, { label: 'Planned failover…', line: plannedLine(name) }),
    button('bookmark', doer, { label: 'Bookmark…', line: `bookmark ${word}` }),
    isPaused
      ? button('resume', doer, { label: 'Resume', line: formatCommand({ verb: 'resume', machine: word }) })
      : button('pause', doer, { label: 'Pause…', line: `pause ${word}` }),
    button('resync', doer, { label: 'Resync…', line: formatCommand({ verb: 'resync', machine: word, reason: '' }) }),
  ];
}

type Wanted = { readonly label: string; readonly line: string; readonly isPrimary?: boolean };

function button(
  action: MachineAction,
  { machine, me }: Doer,
  { label, line, isPrimary = false }: Wanted,
): ActionButton {
  return { label, line, isPrimary, whyNot: whyNot(action, machine, me) };
}

/** Why it cannot be asked for now: not possible for anybody, in the words of the table that the engine uses too; or not for this person. */
export function whyNot(action: MachineAction, machine: MachineView, me: Me | undefined): string | undefined {
  if (action === 'enable' && machine.unsupported !== null) return machine.unsupported;
  const admission = admit(action, factsOf(machine));
  return admission.kind === 'refused' ? admission.message : whyNotMine(me, action, machine);
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
export function whyNoDrill(machine: MachineView, me: Me | undefined): string | undefined {
  return whyNot('test-failover', machine, me);
}

/** Guests of one name on several hosts are told apart by the host. */
export function enableLine({ name, hostName }: MachineView, machines: readonly MachineView[]): string {
  const hasTwin = machines.some((other) => other.name === name && other.hostName !== hostName);
  const host = hasTwin ? quoteWord(hostName) : undefined;
  return formatCommand({ verb: 'enable', machine: quoteWord(name), policy: 'default', host });
}

export function cleanupLine(name: string): string {
  return formatCommand({ verb: 'cleanup', machine: quoteWord(name), note: '' });
}

/** @param point `latest`, or a recovery point's id */
export function drillLine(name: string, point: string): string {
  return formatCommand({ verb: 'test-failover', machine: quoteWord(name), point, isDryRun: false });
}

export function plannedLine(name: string): string {
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
  const { me, site } = page.state;
  const actions = machineActions(machine, { me, machines: site?.machines ?? [] });
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

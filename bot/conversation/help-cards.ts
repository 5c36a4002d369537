import { roles } from '../../domain/access.ts';
import type { AlertView, ApprovalView } from '../../protocol/chat-api.ts';
import type { MachineView } from '../../protocol/control-api.ts';
import type { WhoamiView } from '../api-call.ts';
import type { Card, Section } from '../card.ts';
import { type RunnableVerb, runnableVerbs, specOf } from '../verb-table.ts';
import { isUnattended, worstAlertsFirst } from './alert-cards.ts';
import { isMineToDecide } from './approval-cards.ts';
import { helpRows, shortRow } from './help-rows.ts';
import { countWords } from './machine-cards.ts';
import { toneOf, troubleSentences, urgencyOf, worstFirst } from './machine-words.ts';

/** What is known of who asks; what the engine did not say is undefined. */
export type HelpFacts = {
  readonly whoami: WhoamiView | undefined;
  readonly machines: readonly MachineView[] | undefined;
  readonly approvals: readonly ApprovalView[] | undefined;
  readonly alerts: readonly AlertView[] | undefined;
  /** True for somebody in chat who is linked to no person. */
  readonly isStranger: boolean;
};

/** Help: who I am, what needs me, what I may do. It lists only what this person can do in this version. Source: CHAT 5.1 */
export function helpCard(facts: HelpFacts, nowMs: number): Card {
  const verbs = verbsFor(facts);
  return {
    title: identityLine(facts),
    tone: 'neutral',
    audience: 'asker',
    text: [needLine(facts, nowMs)],
    sections: [
      ...helpRows(verbs)
        .filter((group) => group.rows.length > 0)
        .map((group): Section => ({ title: group.title, rows: group.rows })),
      exampleSection(verbs, facts.machines),
    ],
    footer: '`help <verb>` explains one · works without chat: `dr <same words>`',
  };
}

/** The answer to a bare `/dr`: the same first two lines, then the few words that one needs at night. */
export function overviewCard(facts: HelpFacts, nowMs: number): Card {
  const machines = facts.machines ?? [];
  const alerts = worstAlertsFirst((facts.alerts ?? []).filter(isUnattended));
  const requests = mineToDecide(facts);
  const most: readonly RunnableVerb[] = isStranger(facts)
    ? ['link', 'whoami', 'help']
    : ['status', 'failover', 'approvals', 'alerts', 'cleanup', 'help'];
  const verbs = verbsFor(facts);
  return {
    title: identityLine(facts),
    tone: alerts.some((alert) => alert.severity === 'critical')
      ? 'bad'
      : requests.length + alerts.length > 0
        ? 'warning'
        : machines.length === 0
          ? 'neutral'
          : toneOf(machines),
    audience: 'asker',
    text: [
      needLine(facts, nowMs),
      ...worstFirst(machines)
        .slice(0, 3)
        .flatMap((machine) => troubleSentences(machine, nowMs)),
    ],
    buttons: [
      ...requests.slice(0, 2).map(({ id, machineNames }) => button(`Decide on ${machineNames[0] ?? id}`, `show ${id}`)),
      ...alerts.slice(0, 2).map(({ id, scope }) => button(`Ack ${scope.slice(0, 60)}`, `ack ${id}`)),
    ],
    sections: [{ title: 'Most used', rows: most.filter((verb) => verbs.includes(verb)).map(shortRow) }],
  };
}

function button(label: string, line: string) {
  return { label, line, style: 'default' } as const;
}

/** Everything about one verb. */
export function verbHelpCard(verb: RunnableVerb): Card {
  const spec = specOf(verb);
  const flagRows = spec.flags
    .filter((flag) => flag.isHidden !== true)
    .map((flag) => [`--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`, flag.meaning] as const);
  return {
    title: spec.form,
    tone: 'neutral',
    audience: 'asker',
    text: [`${capital(spec.summary)}.`],
    sections: [
      ...(flagRows.length === 0 ? [] : [{ title: 'Flags, in any order', rows: flagRows }]),
      {
        title: 'Rules',
        rows: [
          ['Who may', whoMay(spec.role)],
          ['Who must approve', spec.approval],
          ['What will happen', spec.effect],
        ],
      },
      { title: 'Examples', rows: spec.examples.map((example) => [example, ''] as const) },
    ],
    footer: `Related: ${spec.related.map((related) => `\`${related}\``).join(', ')}`,
  };
}

function whoMay(role: (typeof roles)[number] | 'anybody'): string {
  switch (role) {
    case 'anybody':
      return 'everybody, also before `link`';
    case 'viewer':
      return 'everybody who is known to the engine';
    default:
      return `${role}s, for the machines that they were given`;
  }
}

/** What the person's roles allow; everything while the engine has not said who it is. */
function verbsFor(facts: HelpFacts): RunnableVerb[] {
  const { whoami } = facts;
  const order: readonly string[] = roles;
  const highest =
    whoami === undefined ? roles.length : Math.max(-1, ...whoami.roles.map((role) => order.indexOf(role)));
  return runnableVerbs.filter((verb) => {
    const { role } = specOf(verb);
    if (role === 'anybody') return verb !== 'link' || isStranger(facts) || whoami !== undefined;
    return !isStranger(facts) && highest >= order.indexOf(role);
  });
}

function isStranger(facts: HelpFacts): boolean {
  return facts.isStranger || facts.whoami?.isLinked === false;
}

/** Who am I, with which role, and are my codes and my link in order. */
function identityLine(facts: HelpFacts): string {
  const { whoami } = facts;
  if (isStranger(facts)) return 'You are not linked to a person here yet';
  if (whoami === undefined) return 'The engine did not say who you are';
  const held = whoami.roles.length === 0 ? 'no role' : whoami.roles.join(', ');
  return `You are ${whoami.name} (${held}), known by ${whoami.via}${whoami.isOnCall ? ', on call' : ''}`;
}

function mineToDecide({ approvals, whoami }: HelpFacts): readonly ApprovalView[] {
  return (approvals ?? []).filter((approval) => isMineToDecide(approval, whoami?.name));
}

function needLine(facts: HelpFacts, nowMs: number): string {
  const { machines } = facts;
  if (isStranger(facts)) return 'Write `link`: you get a code, and say in a terminal who you are.';
  if (machines === undefined) return 'The engine cannot be asked what needs you; `status` says why.';
  const needy = machines.filter((machine) => urgencyOf(machine) !== 'none');
  const drills = machines.filter((machine) => machine.drill?.state === 'open');
  const requests = mineToDecide(facts);
  const alerts = (facts.alerts ?? []).filter(isUnattended);
  const parts = [
    ...(requests.length === 0 ? [] : [`${countWords(requests.length, 'approval')} (\`approvals\`)`]),
    ...(alerts.length === 0 ? [] : [`${countWords(alerts.length, 'alert')} (\`alerts\`)`]),
    ...(needy.length === 0 ? [] : [`${countWords(needy.length, 'machine')} (\`status\`)`]),
    ...(drills.length === 0 ? [] : [`${countWords(drills.length, 'open drill')} (${drillNames(drills, nowMs)})`]),
  ];
  if (parts.length > 0) return `Needs you: ${parts.join(', ')}.`;
  if (machines.length === 0) return 'No machine is known yet: a host with an agent reports its machines.';
  const enabled = machines.filter((machine) => machine.protection.kind === 'protected').length;
  return `Nothing needs you. ${enabled} of ${countWords(machines.length, 'machine')} Enabled.`;
}

function drillNames(machines: readonly MachineView[], nowMs: number): string {
  const oldestFirst = [...machines].sort((a, b) => (a.drill?.startedAtMs ?? nowMs) - (b.drill?.startedAtMs ?? nowMs));
  return oldestFirst
    .slice(0, 3)
    .map((machine) => `\`cleanup ${machine.name}\``)
    .join(', ');
}

function exampleSection(verbs: readonly RunnableVerb[], machines: readonly MachineView[] | undefined): Section {
  const name = machines?.find((machine) => machine.protection.kind === 'protected')?.name ?? 'vm-7';
  const examples = verbs.includes('failover')
    ? [`failover ${name} --test`, `failover ${name} --planned --reason "DC power work" --dry-run`, 'alerts']
    : verbs.includes('status')
      ? [`status ${name}`, `points ${name} --app`, 'list runs']
      : ['link', 'whoami', 'help link'];
  return { title: 'Examples', rows: examples.map((example) => [example, ''] as const) };
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

import { roles } from '../../domain/access.ts';
import type { MachineView } from '../../protocol/control-api.ts';
import type { WhoamiView } from '../api-call.ts';
import type { Card, Section } from '../card.ts';
import { type RunnableVerb, runnableVerbs, specOf, type VerbGroup } from '../verb-table.ts';
import { countWords } from './machine-cards.ts';
import { toneOf, troubleSentences, urgencyOf, worstFirst } from './machine-words.ts';

const groups: readonly VerbGroup[] = ['Look', 'Act', 'Decide', 'Set up'];

/** What is known of who asks: undefined while the engine cannot be asked. */
export type HelpFacts = {
  readonly whoami: WhoamiView | undefined;
  readonly machines: readonly MachineView[] | undefined;
};

/** Help: who I am, what needs me, what I may do. It lists only what this person can do in this version. Source: CHAT 5.1 */
export function helpCard(facts: HelpFacts, nowMs: number): Card {
  const verbs = verbsFor(facts.whoami);
  return {
    title: identityLine(facts.whoami),
    tone: 'neutral',
    audience: 'asker',
    text: [needLine(facts.machines, nowMs)],
    sections: [...groups.map((group) => groupSection(group, verbs)), exampleSection(verbs, facts.machines)],
    footer: '`help <verb>` explains one · works without chat: `dr <same words>`',
  };
}

/** The answer to a bare `/dr`: the same first two lines, then the few words that one needs at night. */
export function overviewCard(facts: HelpFacts, nowMs: number): Card {
  const machines = facts.machines ?? [];
  const verbs = verbsFor(facts.whoami).filter((verb) =>
    ['status', 'points', 'failover', 'cleanup', 'help'].includes(verb),
  );
  return {
    title: identityLine(facts.whoami),
    tone: machines.length === 0 ? 'neutral' : toneOf(machines),
    audience: 'asker',
    text: [
      needLine(facts.machines, nowMs),
      ...worstFirst(machines)
        .slice(0, 3)
        .flatMap((machine) => troubleSentences(machine, nowMs)),
    ],
    sections: [{ title: 'Most used', rows: verbs.map(verbRow) }],
  };
}

/** Everything about one verb. */
export function verbHelpCard(verb: RunnableVerb): Card {
  const spec = specOf(verb);
  const flagRows = spec.flags.map(
    (flag) => [`--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`, flag.meaning] as const,
  );
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
          ['Who may', spec.role === 'viewer' ? 'everybody who is known to the engine' : 'operators'],
          ['Who must approve', spec.approval],
          ['What will happen', spec.effect],
        ],
      },
      { title: 'Examples', rows: spec.examples.map((example) => [example, ''] as const) },
    ],
    footer: `Related: ${spec.related.map((related) => `\`${related}\``).join(', ')}`,
  };
}

/** What the person's roles allow; everything while the engine has not said who it is. */
function verbsFor(whoami: WhoamiView | undefined): RunnableVerb[] {
  const order: readonly string[] = roles;
  const highest =
    whoami === undefined ? roles.length : Math.max(-1, ...whoami.roles.map((role) => order.indexOf(role)));
  return runnableVerbs.filter((verb) => verb === 'help' || highest >= order.indexOf(specOf(verb).role));
}

function identityLine(whoami: WhoamiView | undefined): string {
  if (whoami === undefined) return 'The engine did not say who you are';
  const roles = whoami.roles.length === 0 ? 'no role' : whoami.roles.join(', ');
  return `You are ${whoami.name} (${roles}), known by ${whoami.via}`;
}

function needLine(machines: readonly MachineView[] | undefined, nowMs: number): string {
  if (machines === undefined) return 'The engine cannot be asked what needs you; `status` says why.';
  if (machines.length === 0) return 'No machine is known yet: a host with an agent reports its machines.';
  const needy = machines.filter((machine) => urgencyOf(machine) !== 'none');
  const drills = machines.filter((machine) => machine.drill?.state === 'open');
  const parts = [
    ...(needy.length === 0 ? [] : [`${countWords(needy.length, 'machine')} (\`status\`)`]),
    ...(drills.length === 0 ? [] : [`${countWords(drills.length, 'open drill')} (${drillNames(drills, nowMs)})`]),
  ];
  if (parts.length > 0) return `Needs you: ${parts.join(', ')}.`;
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

function groupSection(group: VerbGroup, verbs: readonly RunnableVerb[]): Section {
  const rows = verbs.filter((verb) => specOf(verb).group === group).map(verbRow);
  if (group === 'Decide') return { title: group, rows: [['–', 'nothing in this version needs an approval']] };
  return { title: group, rows: rows.length === 0 ? [['–', 'your role may only look']] : rows };
}

function verbRow(verb: RunnableVerb): readonly [string, string] {
  return [specOf(verb).form, specOf(verb).summary];
}

function exampleSection(verbs: readonly RunnableVerb[], machines: readonly MachineView[] | undefined): Section {
  const name = machines?.find((machine) => machine.protection.kind === 'protected')?.name ?? 'vm-7';
  const examples = verbs.includes('failover')
    ? [`failover ${name} --test`, `points ${name} --app`, `bookmark ${name} --reason "before the upgrade"`]
    : [`status ${name}`, `points ${name} --app`, 'list runs'];
  return { title: 'Examples', rows: examples.map((example) => [example, ''] as const) };
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

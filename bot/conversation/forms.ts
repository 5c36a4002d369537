import { assertNever } from '../../domain/invariant.ts';
import type { AlertView, ApprovalView, CheckView } from '../../protocol/chat-api.ts';
import type { MachineView, PlannedFailoverPlanView } from '../../protocol/control-api.ts';
import { shorten } from '../card.ts';
import { parseLine } from '../chat-command.ts';
import type { Command } from '../command.ts';
import type { Form, FormAnswers, FormField, FormKind } from '../form.ts';
import { formatCommand, quoteWord } from '../format-command.ts';
import { operationWords } from './approval-cards.ts';
import { lagWords } from './machine-words.ts';
import { snoozeTimes } from './question-cards.ts';
import { instant } from './time-words.ts';

/** What a form tells of the thing that it is about; left out what is not known. */
export type FormFacts = {
  readonly approval?: ApprovalView;
  readonly alert?: AlertView;
  readonly machine?: MachineView;
  /** The dry run of what is done without an approval. */
  readonly plan?: PlannedFailoverPlanView;
  readonly nowMs: number;
  /** Said first, when the form is shown again: what was wrong with it. */
  readonly problem?: string;
};

const reasonLengthMax = 500;
type CommandOf<Verb extends Command['verb']> = Extract<Command, { verb: Verb }>;

/** The form that a line needs before it can be carried out. A line that is none of the form's leads to a form that does nothing. */
export function formFor(kind: FormKind, line: string, facts: FormFacts): Form {
  const problem = facts.problem === undefined ? [] : [shorten(facts.problem, 500)];
  const form = draw(kind, commandIn(line), facts);
  const text = [...problem, ...form.text.map((sentence) => shorten(sentence, 600))];
  return { kind, ...form, text, ...(problem[0] !== undefined && { problem: problem[0] }) };
}

function commandIn(line: string): Command | undefined {
  const parsed = parseLine(line);
  return parsed.kind === 'command' ? parsed.command : undefined;
}

function draw(kind: FormKind, command: Command | undefined, facts: FormFacts): Omit<Form, 'kind'> {
  switch (kind) {
    case 'failover':
      return failoverForm(command, facts);
    case 'approve':
      return approveForm(command, facts);
    case 'reject':
      return rejectForm(command, facts);
    case 'snooze':
      return snoozeForm(command, facts);
    default:
      return assertNever(kind);
  }
}

function reasonField(more: {
  readonly isRequired: boolean;
  readonly hint?: string;
  readonly value?: string;
}): FormField {
  return {
    id: 'reason',
    label: 'Reason',
    hint: 'Kept for good and shown to others',
    kind: 'paragraph',
    lengthMax: reasonLengthMax,
    ...more,
  };
}

function failoverForm(command: Command | undefined, { machine }: FormFacts): Omit<Form, 'kind'> {
  const name = command?.verb === 'failover-question' ? command.machine : 'the machine';
  const now = machine === undefined ? [] : [`${machine.name} on ${machine.hostName}, lag ${lagWords(machine)}.`];
  return {
    title: 'Failover',
    context: command?.verb === 'failover-question' ? formatCommand(command) : 'failover',
    text: [`Failover of ${name}: which kind? Nothing has been started.`, ...now],
    fields: [
      {
        id: 'mode',
        label: 'Kind',
        isRequired: true,
        kind: 'choice',
        value: 'test',
        options: [
          { value: 'test', label: 'Test: a copy, apart from the original' },
          { value: 'planned-dry', label: 'Planned, checks only: nothing runs' },
          { value: 'planned', label: 'Planned: for real, after an approval' },
        ],
      },
      reasonField({ isRequired: false, hint: 'Needed for a planned failover; approvers decide by it' }),
      {
        id: 'at',
        label: 'Not before',
        hint: 'Planned only: 22:00Z, or in 30m; at once if left out',
        isRequired: false,
        kind: 'line',
        lengthMax: 30,
      },
    ],
    submitLabel: 'Go on',
    style: 'primary',
  };
}

const codeField: FormField = {
  id: 'code',
  label: 'Six-digit code',
  hint: 'From your authenticator; good once',
  isRequired: true,
  kind: 'code',
};

/** A break-glass has nobody who approves: the code and the typed name stand for it. */
function breakGlassForm(command: CommandOf<'planned-failover'>, { plan }: FormFacts): Omit<Form, 'kind'> {
  const impact =
    plan === undefined
      ? [`What it would do could not be asked for; see \`failover ${command.machine} --planned --dry-run\`.`]
      : impactWords(plan.impact, plan.checks);
  return {
    title: 'Break-glass',
    context: formatCommand({ ...command, code: undefined }),
    text: [
      `${command.machine} is failed over at once, without an approver: "${shorten(command.reason, 300)}"`,
      ...impact,
      'All approvers are told, and another person reviews it within 24 hours.',
    ],
    fields: [codeField],
    submitLabel: 'Run it now',
    style: 'danger',
  };
}

/** What is decided about: what it does, and what speaks against it. */
function impactWords(impact: readonly string[], checks: readonly CheckView[]): string[] {
  const bad = checks.filter((check) => check.state !== 'ok');
  const worstFirst = [...bad].sort((a, b) => Number(b.state === 'failed') - Number(a.state === 'failed'));
  return [
    ...impact.slice(0, 5),
    ...worstFirst.slice(0, 3).map((check) => `Check ${check.state}: ${check.name}: ${check.detail}`),
    ...(worstFirst.length > 3 ? [`${worstFirst.length - 3} more checks are not well.`] : []),
  ];
}

function approveForm(command: Command | undefined, facts: FormFacts): Omit<Form, 'kind'> {
  if (command?.verb === 'planned-failover') return breakGlassForm(command, facts);
  const { approval, nowMs } = facts;
  const target = command?.verb === 'approve' ? command : undefined;
  const about =
    approval === undefined
      ? []
      : [
          `${operationWords(approval)}, asked for by ${approval.requestedBy}: "${shorten(approval.reason, 300)}"`,
          ...impactWords(approval.impact, approval.checks),
          `Expires ${instant(approval.expiresAtMs, nowMs)}.`,
        ];
  return {
    title: 'Approve',
    // Without the code, should somebody have typed one: a form's context is no place for secrets.
    context: target === undefined ? 'approve' : formatCommand({ ...target, code: undefined, reason: '' }),
    text: about,
    fields: [
      codeField,
      reasonField({ isRequired: false, ...(target !== undefined && target.reason !== '' && { value: target.reason }) }),
    ],
    submitLabel: 'Approve',
    style: 'primary',
  };
}

function rejectForm(command: Command | undefined, { approval }: FormFacts): Omit<Form, 'kind'> {
  const about =
    approval === undefined
      ? []
      : [`${operationWords(approval)}, asked for by ${approval.requestedBy}: "${shorten(approval.reason, 300)}"`];
  return {
    title: 'Reject',
    context: command?.verb === 'reject' ? formatCommand({ ...command, reason: undefined }) : 'reject',
    text: [...about, 'One rejection closes the request. Who asked is told why.'],
    fields: [reasonField({ isRequired: true })],
    submitLabel: 'Reject',
    style: 'danger',
  };
}

const customTime = 'custom';

function snoozeForm(command: Command | undefined, { alert }: FormFacts): Omit<Form, 'kind'> {
  return {
    title: 'Snooze',
    context: command?.verb === 'snooze' ? formatCommand({ ...command, time: undefined }) : 'snooze',
    text: [
      ...(alert === undefined ? [] : [alert.title]),
      'It will be yours, stays quiet until then, and wakes up at once when it gets more severe. Times of day are UTC.',
    ],
    fields: [
      {
        id: 'time',
        label: 'For how long',
        isRequired: true,
        kind: 'choice',
        value: '1h',
        options: [
          ...snoozeTimes.map((time) => ({ value: time, label: time })),
          { value: customTime, label: 'another time' },
        ],
      },
      {
        id: 'custom',
        label: 'Another time',
        hint: '90m, 2d, until 09:30; at most 7d',
        isRequired: false,
        kind: 'line',
        lengthMax: 20,
      },
    ],
    submitLabel: 'Snooze',
    style: 'primary',
  };
}

/**
 * The line of the grammar that the answers make; to be carried out as if typed by who sent the form.
 *
 * A context that does not belong to the form (a forged one) leads to the help, whatever it says.
 */
export function lineOfForm(kind: FormKind, context: string, answers: FormAnswers): string {
  const command = commandIn(context);
  switch (kind) {
    case 'failover':
      return command?.verb === 'failover-question' ? failoverLine(command, answers) : 'help failover';
    case 'approve':
      return approvingLine(command, answers);
    case 'reject':
      return command?.verb === 'reject' ? rejectLine(command, answers) : 'help reject';
    case 'snooze':
      return command?.verb === 'snooze' ? snoozeLine(command, answers) : 'help snooze';
    default:
      return assertNever(kind);
  }
}

function failoverLine({ machine, point }: CommandOf<'failover-question'>, answers: FormAnswers): string {
  if (answers.mode === 'test') return formatCommand({ verb: 'test-failover', machine, point, isDryRun: false });
  if (answers.mode !== 'planned' && answers.mode !== 'planned-dry') return `failover ${machine}`;
  const dryRun = answers.mode === 'planned-dry' ? ' --dry-run' : '';
  return `failover ${machine} --planned${dryRun}${flag('at', answers.at)}${flag('reason', answers.reason)}`;
}

function approvingLine(command: Command | undefined, answers: FormAnswers): string {
  if (command?.verb === 'approve') return approveLine(command, answers);
  if (command?.verb !== 'planned-failover' || command.typedName === undefined) return 'help approve';
  return `${formatCommand({ ...command, code: undefined })}${flag('code', answers.code)}`;
}

function approveLine(command: CommandOf<'approve'>, answers: FormAnswers): string {
  const bare = formatCommand({ ...command, code: undefined, reason: '' });
  return `${bare}${flag('code', answers.code)}${flag('reason', answers.reason)}`;
}

function rejectLine(command: CommandOf<'reject'>, answers: FormAnswers): string {
  return `${formatCommand({ ...command, reason: undefined })}${flag('reason', answers.reason)}`;
}

function snoozeLine(command: CommandOf<'snooze'>, answers: FormAnswers): string {
  const typed = answers.time === customTime ? answers.custom : answers.time;
  const words = (typed ?? '').trim().split(/\s+/).filter(Boolean).slice(0, 4);
  return [formatCommand({ ...command, time: undefined }), ...words.map(quoteWord)].join(' ');
}

/** What was typed into a form stands in quotation marks, so that it is a text and never a flag. */
function flag(name: string, answer: string | undefined): string {
  const text = (answer ?? '').replaceAll(/\s+/g, ' ').trim();
  return text === '' ? '' : ` --${name}=${quoteWord(text)}`;
}

import type { Card } from '../../card.ts';
import { quoteWord } from '../../format-command.ts';
import { isRunnableVerb, specOf } from '../../verb-table.ts';
import type { Answer } from './talk.ts';

/** A piece of a line that the action sheet asks for. */
export type MissingPiece = {
  readonly flag: string;
  readonly label: string;
  readonly hint: string;
  readonly isRequired: boolean;
  readonly lengthMax: number;
  readonly kind: 'line' | 'paragraph';
  readonly value: string;
};

/** What the page sees in a line without reading the grammar; the server alone decides what it means. */
export type ActionLine = {
  readonly verb: string;
  readonly machine: string | undefined;
  readonly kind: 'test-failover' | 'planned-failover' | 'other';
  readonly hasDryRun: boolean;
};

/** @param line of the grammar, with or without `/dr` before it */
export function readAction(line: string): ActionLine {
  const [typed = '', machine] = withoutProgram(line).split(/\s+/);
  const verb = typed.toLowerCase();
  const isFailover = verb === 'failover';
  const has = (flag: string) => hasFlag(line, flag);
  const kind =
    isFailover && has('test') ? 'test-failover' : isFailover && has('planned') ? 'planned-failover' : 'other';
  const hasDryRun = isFailover && !has('dry-run') && !has('break-glass');
  return { verb, machine, kind, hasDryRun };
}

/** A line without `/dr` or `dr` before it. */
export function withoutProgram(line: string): string {
  return line.trim().replace(/^\/?dr(\s+|$)/i, '');
}

export function hasFlag(line: string, flag: string): boolean {
  return new RegExp(`(^|\\s)--${flag}(?=[\\s=]|$)`, 'i').test(line);
}

const reason = {
  flag: 'reason',
  label: 'Reason',
  isRequired: true,
  lengthMax: 500,
  kind: 'paragraph',
  value: '',
} as const;
const limit = { isRequired: true, lengthMax: 10, kind: 'line', value: '' } as const;

const pieces: Readonly<Record<string, readonly MissingPiece[]>> = {
  'planned-failover': [
    { ...reason, hint: 'Approvers decide by it. Kept for good and shown to others' },
    {
      flag: 'at',
      label: 'Not before',
      hint: '22:00Z, or in 30m. At once after the approval if left out',
      isRequired: false,
      lengthMax: 30,
      kind: 'line',
      value: '',
    },
  ],
  pause: [
    { ...limit, flag: 'for', label: 'For how long', hint: '90s, 15m, 4h or 2d. At most 7d', value: '2h' },
    { ...reason, hint: 'Kept and shown to others' },
  ],
  bookmark: [{ ...reason, hint: 'Shown beside the recovery point' }],
  mute: [{ ...reason, hint: 'Kept and shown to others' }],
  review: [{ ...reason, flag: 'note', label: 'Note', hint: 'What you found. Kept for good' }],
  cleanup: [
    { ...reason, flag: 'note', label: 'Note', hint: 'What the drill showed. Kept with the run', isRequired: false },
  ],
  resync: [{ ...reason, hint: 'Kept and shown to others', isRequired: false }],
  threshold: [
    { ...limit, flag: 'warn', label: 'Warning from', hint: 'A lag of more than this, e.g. 5m' },
    { ...limit, flag: 'crit', label: 'Critical from', hint: 'Not less than the warning, e.g. 15m' },
    { ...reason, hint: 'Later alerts can cost data' },
  ],
};

/** What the line still lacks or could have; nothing for a verb that has all it needs. */
export function missingPieces(line: string): readonly MissingPiece[] {
  const { rest, open } = withoutOpenFlags(line);
  // Who typed the flag of an optional piece wants it: nothing runs without its value.
  return piecesOf(rest)
    .filter((piece) => !hasFlag(rest, piece.flag))
    .map((piece) => (open.includes(piece.flag) ? { ...piece, isRequired: true } : piece));
}

/** The line without the flags at its end that still need a value and that the sheet has fields for: `--planned --reason`. */
export function withoutOpenFlags(line: string): { readonly rest: string; readonly open: readonly string[] } {
  const last = /\s--([a-z-]+)=?\s*$/i.exec(line);
  const flag = last?.[1]?.toLowerCase() ?? '';
  if (last === null || !piecesOf(line).some((piece) => piece.flag === flag)) return { rest: line, open: [] };
  const before = withoutOpenFlags(line.slice(0, last.index));
  return { rest: before.rest, open: [...before.open, flag] };
}

function piecesOf(line: string): readonly MissingPiece[] {
  const { verb, kind } = readAction(line);
  return hasFlag(line, 'break-glass') ? [] : (pieces[kind === 'other' ? verb : kind] ?? []);
}

/** True when the line cannot be carried out without something that a person has to write. */
export function isIncomplete(line: string): boolean {
  return missingPieces(line).some((piece) => piece.isRequired && piece.value === '');
}

/** The dry run could not read the line, or finds nothing of its name: no field of the sheet mends that, and neither does Run. */
export function isLineRefused(dryRun: Answer): boolean {
  const isRefused = ({ title, tone }: Card) =>
    tone !== 'bad' && /^Not (understood|found); nothing was done$|is not available in this version/.test(title);
  return dryRun.kind === 'cards' && dryRun.cards.some(isRefused);
}

/** The line with what was filled in. What was typed stands in quotation marks where it must, so that it is a text and never a flag. */
export function completedLine(line: string, answers: Readonly<Record<string, string>>): string {
  const added = missingPieces(line).flatMap((piece) => {
    const text = (answers[piece.flag] ?? piece.value).replaceAll(/\s+/g, ' ').trim();
    return text === '' ? [] : [`--${piece.flag} ${asText(text)}`];
  });
  return [withoutProgram(withoutOpenFlags(line).rest), ...added].join(' ');
}

/** In quotation marks unless it is a plain word: a lone `?` would be a call for help. */
function asText(text: string): string {
  const quoted = quoteWord(text);
  return quoted === text && !/^[A-Za-z0-9][\w.:-]*$/.test(text) ? `"${text}"` : quoted;
}

/** What is to be done, for the head of a dialog: `Test failover of vm-7`. */
export function actionTitle(line: string): string {
  const { verb, machine, kind } = readAction(line);
  if (kind === 'test-failover') return `Test failover of ${machine ?? ''}`;
  if (kind === 'planned-failover') return `Planned failover of ${machine ?? ''}`;
  const word = verb.charAt(0).toUpperCase() + verb.slice(1);
  return machine === undefined || machine.startsWith('-') ? word : `${word} ${machine}`;
}

/** What carrying it out means, in the words of the help; undefined for a line without a known verb. */
export function effectOf(line: string): string | undefined {
  const { verb, kind } = readAction(line);
  if (kind === 'planned-failover')
    return 'It asks for the approval first. Nothing is touched before another person has said yes.';
  if (kind === 'test-failover') return 'A copy starts apart from the original, which keeps running and replicating.';
  return isRunnableVerb(verb) ? specOf(verb).effect : undefined;
}

/** What the button says that carries it out. */
export function runLabel(line: string): string {
  return readAction(line).kind === 'planned-failover' ? 'Ask for approval' : 'Run';
}

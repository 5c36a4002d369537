import { isId } from '../domain/ids.ts';
import { dayMs, parseDuration, secondMs } from '../domain/units.ts';
import { command, readCode, tooLong } from './builder-words.ts';
import type { TimeWord } from './command.ts';
import type { SplitWords } from './command-flags.ts';
import { normalizeId } from './command-target.ts';
import { type Interpreted, notAvailable, type Rejection, rejected } from './rejection.ts';
import { unavailableFailovers } from './verb-table.ts';

const aheadMsMax = 7 * dayMs;
/** What each mode has no use for. */
const strayFlags = {
  test: ['shutdown', 'no-shutdown', 'at', 'reason', 'break-glass', 'confirm', 'code'],
  planned: ['shutdown', 'no-shutdown', 'point', 'network'],
  none: ['shutdown', 'no-shutdown', 'at', 'reason', 'break-glass', 'confirm', 'code'],
} as const;

/** `failover <vm>`, whose flags are known: exactly one mode, and nothing that belongs to another. */
export function buildFailover(machine: string, split: SplitWords): Interpreted {
  const modes = ['test', 'planned', 'unplanned'].filter((mode) => split.flags.has(mode));
  if (modes.length > 1) {
    const shown = modes.map((mode) => `--${mode}`).join(' and ');
    return rejected(`A failover has exactly one mode; ${shown} exclude each other. Nothing was started.`);
  }
  const mode = modes[0] ?? 'none';
  const instead = unavailableFailovers[mode];
  if (instead !== undefined) return notAvailable(`failover --${mode}`, instead);
  const stray = strayFlags[mode as keyof typeof strayFlags].find((name) => split.flags.has(name));
  if (stray !== undefined) return strayFlag(split, stray, mode);
  return mode === 'planned' ? buildPlanned(machine, split) : buildTest(machine, split, mode === 'test');
}

function strayFlag(split: SplitWords, name: string, mode: string): Rejection {
  if (mode === 'none') {
    return rejected(`--${name} needs to know which kind of failover: add --planned or --test. Nothing was started.`);
  }
  const owner =
    mode === 'test' ? 'a real failover, and --test is a drill' : 'a drill; a planned failover loses nothing';
  const index = split.words.findIndex(
    (word) => !word.isLiteral && word.text.toLowerCase().split('=')[0] === `--${name}`,
  );
  const isPair = split.flags.get(name) !== '' && !split.words[index]?.text.includes('=');
  const message = `--${name} belongs to ${owner}. Nothing was started.`;
  return rejected(message, split.words.toSpliced(index, isPair ? 2 : 1));
}

function buildTest(machine: string, split: SplitWords, isTest: boolean): Interpreted {
  const network = split.flags.get('network');
  if (network !== undefined && network.toLowerCase() !== 'isolated') {
    return notAvailable(
      'failover --test --network <name>',
      'A drill gets a network of its own, apart from everything; leave --network out.',
    );
  }
  const typed = split.flags.get('point') ?? 'latest';
  const point = typed.toLowerCase() === 'latest' ? 'latest' : normalizeId(typed);
  if (typed === 'app' || typed === 'processed') {
    return notAvailable(
      `failover --point ${typed}`,
      `\`points ${machine}\` lists the ids; name one, or leave --point out.`,
    );
  }
  if (point !== 'latest' && !isId('recoveryPoint', point)) {
    return rejected(
      `\`${typed.slice(0, 60)}\` is not a recovery point; write latest or an id from \`points ${machine}\`.`,
    );
  }
  if (!isTest) return command({ verb: 'failover-question', machine, point });
  return command({ verb: 'test-failover', machine, point, isDryRun: split.flags.has('dry-run') });
}

function buildPlanned(machine: string, split: SplitWords): Interpreted {
  const { flags } = split;
  const isDryRun = flags.has('dry-run');
  const reason = flags.get('reason') ?? '';
  if (reason === '' && !isDryRun) {
    return rejected('The reason is missing; add --reason "<text>". Approvers decide by it. Nothing was started.');
  }
  const long = tooLong('reason', reason);
  if (long !== undefined) return long;
  const glass = readBreakGlass(machine, split);
  if (glass.kind === 'rejected') return glass;
  const at = readTime(flags.get('at'));
  if (at.kind === 'rejected') return at;
  const { typedName, code } = glass;
  return command({ verb: 'planned-failover', machine, reason, at: at.time, isDryRun, typedName, code });
}

type BreakGlass = { readonly typedName: string | undefined; readonly code: string | undefined };
type ReadBreakGlass = (BreakGlass & { readonly kind: 'read' }) | Rejection;

/** The name has to be typed once more by hand, so no corrected line offers it. Source: CHAT 5.2 */
function readBreakGlass(machine: string, split: SplitWords): ReadBreakGlass {
  const typedName = split.flags.get('confirm');
  const isBroken = split.flags.has('break-glass');
  const stray = ['confirm', 'code'].find((name) => split.flags.has(name));
  if (!isBroken && stray !== undefined) {
    return rejected(`--${stray} belongs to --break-glass; without it an approver confirms. Nothing was started.`);
  }
  if (isBroken && typedName !== undefined && typedName !== '' && typedName !== machine) {
    return rejected(
      `You typed ${typedName.slice(0, 60)} after --confirm; the machine is ${machine}. The names differ. Nothing was started.`,
    );
  }
  if (isBroken && typedName !== machine) {
    return rejected(
      `A break-glass runs without an approver. Type the machine's name once more, after --confirm. Nothing was started.`,
    );
  }
  const read = readCode(split.flags.get('code'));
  return read.kind === 'rejected' ? read : { kind: 'read', typedName, code: read.code };
}

type ReadTime = { readonly kind: 'time'; readonly time: TimeWord | undefined } | Rejection;

/** `22:00Z`, a whole date and time as ISO 8601 writes it, `in 30m`. A clock without its Z could be anybody's local time, and is refused. */
function readTime(typed: string | undefined): ReadTime {
  if (typed === undefined) return { kind: 'time', time: undefined };
  const text = typed.trim().replaceAll(/ +/g, ' ').toUpperCase();
  const ms = /^IN \d/.test(text) ? parseDuration(text.slice(3).toLowerCase()) : undefined;
  if (ms !== undefined && ms >= secondMs && ms <= aheadMsMax) return { kind: 'time', time: { kind: 'in', ms } };
  const clock = readClock(text.replace(/Z$/, ''));
  if (clock !== undefined && text.endsWith('Z')) return { kind: 'time', time: { kind: 'clock', ...clock } };
  if (clock !== undefined) return rejected(`In which time zone? Times are UTC here: write \`--at ${text}Z\`.`);
  const atMs = /^\d{4}-\d\d-\d\dT\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(text.slice(0, 16))) {
    return { kind: 'time', time: { kind: 'instant', atMs } };
  }
  return rejected(`\`${typed.slice(0, 40)}\` is not a time I can read; write 22:00Z (UTC) or "in 30m" (at most 7d).`);
}

/** `08:00` as hour and minute. */
export function readClock(text: string): { hour: number; minute: number } | undefined {
  const match = /^(\d{1,2}):(\d\d)$/.exec(text);
  const [hour, minute] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && hour <= 23 && minute <= 59 ? { hour, minute } : undefined;
}

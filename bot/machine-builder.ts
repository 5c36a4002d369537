import { dayMs, parseDuration, secondMs } from '../domain/units.ts';
import { command, readDuration, tooLong, withMachine, withReason } from './builder-words.ts';
import type { SplitWords } from './command-flags.ts';
import { buildFailover } from './failover-builder.ts';
import { type Interpreted, type Rejection, rejected } from './rejection.ts';

const pauseMsMax = 7 * dayMs;
const tagPattern = /^[A-Za-z0-9][A-Za-z0-9:._-]{0,59}$/;

/** The verbs that are about one machine. */
export const machineBuilders = {
  enable: (split: SplitWords) => withMachine(split, 'enable', (machine) => buildEnable(machine, split)),
  pause: (split: SplitWords) => withMachine(split, 'pause', (machine) => buildPause(machine, split)),
  resume: (split: SplitWords) => withMachine(split, 'resume', (machine) => command({ verb: 'resume', machine })),
  resync: (split: SplitWords) => withMachine(split, 'resync', (machine) => buildResync(machine, split)),
  bookmark: (split: SplitWords) => withMachine(split, 'bookmark', (machine) => buildBookmark(machine, split)),
  failover: (split: SplitWords) => withMachine(split, 'failover', (machine) => buildFailover(machine, split)),
  cleanup: (split: SplitWords) => withMachine(split, 'cleanup', (machine) => buildCleanup(machine, split)),
  threshold: (split: SplitWords) => withMachine(split, 'threshold', (machine) => buildThreshold(machine, split)),
  tag: (split: SplitWords) => withMachine(split, 'tag', (machine) => buildTag(machine, split)),
};

function buildEnable(machine: string, split: SplitWords): Interpreted {
  const policy = split.flags.get('policy') ?? 'default';
  return command({ verb: 'enable', machine, policy, host: split.flags.get('host') });
}

function buildPause(machine: string, split: SplitWords): Interpreted {
  const typed = split.flags.get('for');
  if (typed === undefined) return rejected(`For how long? \`pause ${machine} --for 2h --reason "<text>"\``);
  const forMs = parseDuration(typed.toLowerCase());
  if (forMs === undefined)
    return rejected(`\`${typed.slice(0, 40)}\` is not a time I can read; write 90s, 15m, 4h or 2d.`);
  if (forMs < secondMs || forMs > pauseMsMax) return rejected('A pause lasts from 1s to 7d; then replication goes on.');
  return withReason(split, (reason) => ({ verb: 'pause', machine, forMs, reason }));
}

function buildResync(machine: string, split: SplitWords): Interpreted {
  const reason = split.flags.get('reason') ?? '';
  return tooLong('reason', reason) ?? command({ verb: 'resync', machine, reason });
}

function buildBookmark(machine: string, split: SplitWords): Interpreted {
  const isApplicationConsistent = split.flags.has('app');
  return withReason(split, (reason) => ({ verb: 'bookmark', machine, reason, isApplicationConsistent }));
}

function buildCleanup(machine: string, split: SplitWords): Interpreted {
  const note = split.flags.get('note') ?? '';
  return tooLong('note', note) ?? command({ verb: 'cleanup', machine, note });
}

function buildThreshold(machine: string, split: SplitWords): Interpreted {
  const [warn, critical] = [split.flags.get('warn'), split.flags.get('crit')];
  if (warn === undefined || critical === undefined) {
    return rejected(`From which lag on? \`threshold ${machine} --warn 5m --crit 15m --reason "<text>"\``);
  }
  const warning = readDuration(warn, { about: '--warn', minMs: secondMs, maxMs: 7 * dayMs });
  if (warning.kind === 'rejected') return warning;
  const limit = readDuration(critical, { about: '--crit', minMs: secondMs, maxMs: 30 * dayMs });
  if (limit.kind === 'rejected') return limit;
  if (limit.ms < warning.ms) return rejected('--crit is not less than --warn: first the warning, then the alarm.');
  const reason = split.flags.get('reason') ?? '';
  const built = { verb: 'threshold', machine, warnMs: warning.ms, criticalMs: limit.ms, reason } as const;
  return tooLong('reason', reason) ?? command(built);
}

function buildTag(machine: string, split: SplitWords): Interpreted {
  const [add, remove] = [readTags(split.flags.get('add')), readTags(split.flags.get('remove'))];
  if (add.kind === 'rejected') return add;
  if (remove.kind === 'rejected') return remove;
  if (add.tags.length + remove.tags.length === 0) {
    return rejected(`Which tag? \`tag ${machine} --add <tag>\` or \`--remove <tag>\`; \`show ${machine}\` shows them.`);
  }
  const reason = split.flags.get('reason');
  const built = {
    verb: 'tag',
    machine,
    add: add.tags,
    remove: remove.tags,
    ...(reason !== undefined && { reason }),
  } as const;
  return tooLong('reason', reason ?? '') ?? command(built);
}

function readTags(typed: string | undefined): { readonly kind: 'tags'; readonly tags: readonly string[] } | Rejection {
  const tags = (typed ?? '')
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
  const wrong = tags.find((tag) => !tagPattern.test(tag));
  if (wrong === undefined && tags.length <= 20) return { kind: 'tags', tags };
  return rejected(
    `\`${(wrong ?? typed ?? '').slice(0, 60)}\` is not a tag: letters, digits, and : . _ - between them.`,
  );
}

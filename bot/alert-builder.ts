import { dayMs, minuteMs } from '../domain/units.ts';
import { command, idAt, readDuration, withId, withReason } from './builder-words.ts';
import type { SplitWords } from './command-flags.ts';
import { onlyWords } from './command-target.ts';
import { readClock } from './failover-builder.ts';
import { type Interpreted, plain, rejected } from './rejection.ts';

/** The verbs that answer alerts. */
export const alertBuilders = {
  alerts: (split: SplitWords) => onlyWords(split, 0) ?? command({ verb: 'alerts' }),
  ack: (split: SplitWords) => withId(split, 'alert', (alert) => command({ verb: 'ack', alert })),
  unack: (split: SplitWords) => withId(split, 'alert', (alert) => command({ verb: 'unack', alert })),
  unsnooze: (split: SplitWords) => withId(split, 'alert', (alert) => command({ verb: 'unsnooze', alert })),
  escalate: (split: SplitWords) => withId(split, 'alert', (alert) => command({ verb: 'escalate', alert })),
  mute: (split: SplitWords) =>
    withId(split, 'alert', (alert) => withReason(split, (reason) => ({ verb: 'mute', alert, reason }))),
  snooze: buildSnooze,
};

/** `snooze alr_… 1h`, `snooze alr_… until 08:00`; without a time somebody asks for it. There is no "for ever". */
function buildSnooze(split: SplitWords): Interpreted {
  const read = idAt(split, 'alert');
  if (read.kind === 'rejected') return read;
  const alert = read.id;
  const [, second, third] = split.positionals;
  if (second === undefined) return command({ verb: 'snooze', alert, time: undefined });
  if (second.word.text.toLowerCase() !== 'until') {
    if (readClock(second.word.text.replace(/z$/i, '')) !== undefined && third === undefined) {
      return rejected('Say `until` before a time of day.', split.words.toSpliced(second.index, 0, plain('until')));
    }
    const extra = onlyWords(split, 2);
    if (extra !== undefined) return extra;
    const limits = { about: 'A snooze', minMs: minuteMs, maxMs: 7 * dayMs };
    const duration = readDuration(second.word.text, limits);
    if (duration.kind === 'rejected') return duration;
    return command({ verb: 'snooze', alert, time: { kind: 'for', ms: duration.ms } });
  }
  const clock = readClock((third?.word.text ?? '').replace(/z$/i, ''));
  if (clock === undefined) return rejected(`Until when? \`snooze ${alert} until 08:00\`; times are UTC.`);
  return onlyWords(split, 3) ?? command({ verb: 'snooze', alert, time: { kind: 'until', ...clock } });
}

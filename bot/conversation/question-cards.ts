import { assertNever } from '../../domain/invariant.ts';
import type { Card } from '../card.ts';
import type { Command } from '../command.ts';

/** What a line lacks, as a card with lines to copy: for places without forms. Nothing was done. Source: CHAT 5.1 */
export function questionCard(command: Extract<Command, { verb: 'failover-question' | 'reject' | 'snooze' }>): Card {
  switch (command.verb) {
    case 'failover-question':
      return failoverQuestion(command.machine, command.point);
    case 'reject':
      return {
        title: `Why do you reject ${command.approval}? Nothing was done`,
        tone: 'neutral',
        audience: 'asker',
        text: [`A rejection needs its reason; who asked is told it: \`reject ${command.approval} --reason "<text>"\`.`],
      };
    case 'snooze':
      return {
        title: `For how long shall ${command.alert} be quiet? Nothing was done`,
        tone: 'neutral',
        audience: 'asker',
        text: ['At most 7 days; it wakes up at once when it gets more severe. Times of day are UTC.'],
        buttons: snoozeTimes.map((time) => ({
          label: time,
          line: `snooze ${command.alert} ${time}`,
          style: 'default',
        })),
      };
    default:
      return assertNever(command);
  }
}

/** What a snooze offers before one writes a time of one's own. Source: CHAT 5.3 */
export const snoozeTimes = ['15m', '1h', '4h', 'until 08:00'] as const;

function failoverQuestion(machine: string, point: string): Card {
  const chosen = point === 'latest' ? '' : ` --point ${point}`;
  const line = `failover ${machine} --test${chosen}`;
  return {
    title: `Failover of ${machine}: which kind? Nothing has been started`,
    tone: 'neutral',
    audience: 'asker',
    text: [
      `\`--test\` starts a copy of ${machine} in a network of its own; ${machine} keeps running and replicating.`,
      `\`--planned\` moves it for real: an approver decides, ${machine} is shut down, nothing is lost, it starts at the target.`,
      '`--unplanned` is not available in this version.',
    ],
    copyLine: line,
    buttons: [
      { label: 'Start a test failover', line, style: 'primary' },
      { label: 'Only say what a test would do', line: `${line} --dry-run`, style: 'default' },
      {
        label: 'Only check a planned failover',
        line: `failover ${machine} --planned --dry-run`,
        style: 'default',
      },
    ],
  };
}

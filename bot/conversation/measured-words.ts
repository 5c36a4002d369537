import type { MeasuredTimes } from '../../protocol/control-api.ts';
import { age } from './time-words.ts';

/** `usually up in 4 s, slowest 9 s, of 10 drills`; what was never measured is said to be so. */
export function measuredWords(measured: MeasuredTimes | null, what: 'drill' | 'failover'): string {
  if (measured === null) return 'never measured';
  const { medianMs, slowestMs, runCount } = measured;
  if (runCount === 1) return `up in ${seconds(medianMs)}, in 1 ${what}`;
  return `usually up in ${seconds(medianMs)}, slowest ${seconds(slowestMs)}, of ${runCount} ${what}s`;
}

/** Nothing takes no time. */
function seconds(ms: number): string {
  return age(Math.max(1000, ms));
}

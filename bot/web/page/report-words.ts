import { minuteMs } from '../../../domain/units.ts';
import { age } from '../../conversation/time-words.ts';

/** `2026-11-21 14:02:11Z`: whoever reads it on paper does not know what today was, and reckons with the seconds. */
export function dateTime(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** Below a minute also tenths: that is what such figures are compared by. */
export function lengthWords(ms: number): string {
  return ms > 0 && ms < minuteMs ? `${(ms / 1000).toFixed(1)} s` : age(ms);
}

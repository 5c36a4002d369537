import { assertNever } from '../../domain/invariant.ts';
import { dayMs, formatDuration, hourMs, minuteMs } from '../../domain/units.ts';
import type { TimeWord } from '../command.ts';

/** `14:02:11Z`, with the date before it when it is not today's (UTC). */
export function absoluteTime(atMs: number, nowMs: number): string {
  const text = new Date(atMs).toISOString();
  const time = `${text.slice(11, 19)}Z`;
  return text.slice(0, 10) === new Date(nowMs).toISOString().slice(0, 10) ? time : `${text.slice(0, 10)} ${time}`;
}

/** `8 s`, `3 min 5 s`: whole seconds, because an age has no use for less. */
export function age(ms: number): string {
  const wholeMs = Math.max(0, Math.round(ms / 1000) * 1000);
  return wholeMs < minuteMs ? `${wholeMs / 1000} s` : formatDuration(wholeMs);
}

/** `12 s ago`, `in 3 h 58 min`, `now`. */
export function relativeTime(atMs: number, nowMs: number): string {
  const distanceMs = atMs - nowMs;
  if (Math.abs(distanceMs) < 1000) return 'now';
  return distanceMs < 0 ? `${age(-distanceMs)} ago` : `in ${age(distanceMs)}`;
}

/** Both, because one can be compared with a log and the other understood at once: `14:02:11Z (12 s ago)`. */
export function instant(atMs: number, nowMs: number): string {
  return `${absoluteTime(atMs, nowMs)} (${relativeTime(atMs, nowMs)})`;
}

/** The next time that the clock (UTC) shows this, after now. Epoch milliseconds. */
export function clockAfterMs(clock: { readonly hour: number; readonly minute: number }, nowMs: number): number {
  const midnightMs = Math.floor(nowMs / dayMs) * dayMs;
  const todayMs = midnightMs + clock.hour * hourMs + clock.minute * minuteMs;
  return todayMs > nowMs ? todayMs : todayMs + dayMs;
}

/** When a typed time is, read now. Epoch milliseconds. */
export function resolveTime(time: TimeWord, nowMs: number): number {
  switch (time.kind) {
    case 'in':
      return nowMs + time.ms;
    case 'clock':
      return clockAfterMs(time, nowMs);
    case 'instant':
      return time.atMs;
    default:
      return assertNever(time);
  }
}

export const kibibyte = 1024;
export const mebibyte = 1024 * kibibyte;
export const gibibyte = 1024 * mebibyte;

export const secondMs = 1000;
export const minuteMs = 60 * secondMs;
export const hourMs = 60 * minuteMs;
export const dayMs = 24 * hourMs;

/** `1.5 GiB`, `240 KiB`, `12 B`: three significant digits at most, binary units. */
export function formatBytes(bytes: number): string {
  if (bytes < kibibyte) return `${Math.round(bytes)} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 'B';
  for (const next of units) {
    if (value < kibibyte) break;
    value /= kibibyte;
    unit = next;
  }
  return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`;
}

/** `850 ms`, `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`: the two largest units that matter. */
export function formatDuration(ms: number): string {
  if (ms < secondMs) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10 * secondMs) return `${(ms / secondMs).toFixed(1)} s`;
  // Each unit ends where rounding would fill it: `60 s` is `1 min`.
  if (ms < minuteMs - secondMs / 2) return `${Math.round(ms / secondMs)} s`;
  if (ms < hourMs - secondMs / 2) return twoUnits(ms, minuteMs, 'min', secondMs, 's');
  if (ms < dayMs - minuteMs / 2) return twoUnits(ms, hourMs, 'h', minuteMs, 'min');
  return twoUnits(ms, dayMs, 'd', hourMs, 'h');
}

function twoUnits(ms: number, largeMs: number, large: string, smallMs: number, small: string): string {
  const rounded = Math.round(ms / smallMs) * smallMs;
  const smallCount = Math.floor((rounded % largeMs) / smallMs);
  const largeText = `${Math.floor(rounded / largeMs)} ${large}`;
  return smallCount === 0 ? largeText : `${largeText} ${smallCount} ${small}`;
}

const durationUnitsMs: Record<string, number> = { s: secondMs, m: minuteMs, h: hourMs, d: dayMs };

/** Parses the grammar's durations: `90s`, `15m`, `4h`, `2d`. Anything else is `undefined`. Source: CHAT 5.1 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  const unitMs = match?.[2] === undefined ? undefined : durationUnitsMs[match[2]];
  return match?.[1] === undefined || unitMs === undefined ? undefined : Number(match[1]) * unitMs;
}

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { WatchState } from './decide.ts';

/** What the watchdog remembers of one program over a restart. */
export type Remembered = Pick<WatchState, 'status' | 'silentSinceMs'> & {
  /** Wall clock. */
  readonly toldAtMs: number | null;
  /** The last sign of life that was seen. */
  readonly text: string;
};

/** A file that cannot be read is as good as none: then at worst something is told twice. */
export function loadState(file: string): Map<string, Remembered> {
  try {
    const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
    const entries = typeof content === 'object' && content !== null ? Object.entries(content) : [];
    return new Map(entries.flatMap(([name, value]) => (isRemembered(value) ? [[name, value]] : [])));
  } catch {
    // See above.
    return new Map();
  }
}

function isRemembered(value: unknown): value is Remembered {
  if (typeof value !== 'object' || value === null) return false;
  const fields: Partial<Record<keyof Remembered, unknown>> = value;
  const isTime = (time: unknown) => time === null || typeof time === 'number';
  return (
    (fields.status === 'alive' || fields.status === 'silent') &&
    isTime(fields.silentSinceMs) &&
    isTime(fields.toldAtMs) &&
    typeof fields.text === 'string'
  );
}

/** In one step: a watchdog that is killed meanwhile leaves the old file or the new one. */
export function saveState(file: string, state: ReadonlyMap<string, Remembered>): void {
  const unfinished = `${file}.${process.pid}.new`;
  writeFileSync(unfinished, JSON.stringify(Object.fromEntries(state)), { mode: 0o600 });
  renameSync(unfinished, file);
}

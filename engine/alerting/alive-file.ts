import { replaceDurably } from '../../protocol/durable-file.ts';
import { checkAlive } from '../store/alert-watches.ts';
import type { Store } from '../store/open.ts';

export type AliveDeps = {
  readonly store: Store;
  readonly engineName: string;
  /** What the watchdog looks at; see docs/operations. */
  readonly file: string;
  readonly nowMs: () => number;
};

/** A look is due every ten seconds. */
const lookAgoMsMax = 45_000;

/**
 * Says to the watchdog that this engine does its duty, and only when it does: its schedule ticks (this is one of its duties), it can write
 * and read the database, and alerts were evaluated by some engine a short time ago. Source: RELIABILITY 4 (dead-man), I8
 *
 * @returns why it is not alive; undefined when it said that it is
 * @throws OutageError when the database does not answer: that is silence too
 */
export async function sayAlive(deps: AliveDeps): Promise<string | undefined> {
  const { lookAgoMs } = await deps.store.write((db) => checkAlive(db, deps.engineName));
  if (lookAgoMs === undefined || lookAgoMs > lookAgoMsMax) return 'alerts are not evaluated';
  const content = { program: 'engine', pid: process.pid, atMs: deps.nowMs() };
  await replaceDurably(deps.file, `${JSON.stringify(content)}\n`, 0o644);
  return undefined;
}

import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Site } from '../../demo/site.ts';
import { eventually } from './demo-site.ts';

export type Kill = { readonly victim: string; readonly atMs: number };

/** Ends programs of a site at moments that nobody chose: from the seed alone. */
export type Killer = {
  /** Waits a random time, ends one program with SIGKILL, and waits until it is started again. */
  readonly killOne: (pauseMsMax: number) => Promise<void>;
  readonly kills: readonly Kill[];
  readonly countOf: (victim: string) => number;
  /** A number below the limit. The same seed gives the same order. */
  readonly draw: (limit: number) => number;
};

const restartLimitMs = 60_000;

/** @param order victims: as often as they are hit; drawn from a bag that holds all of them, so that no run misses one */
export function createKiller(order: {
  readonly site: Pick<Site, 'pidOf'>;
  readonly victims: readonly string[];
  readonly seed: string;
}): Killer {
  const { site, victims, seed } = order;
  const kills: Kill[] = [];
  let drawCount = 0;
  let bag: string[] = [];
  const draw = (limit: number) => {
    drawCount += 1;
    return createHash('sha256').update(`${seed} ${drawCount}`).digest().readUInt32LE(0) % limit;
  };
  const nextVictim = () => {
    if (bag.length === 0) bag = [...victims];
    const [victim] = bag.splice(draw(bag.length), 1);
    return victim ?? 'agent';
  };
  return {
    kills,
    countOf: (victim) => kills.filter((kill) => kill.victim === victim).length,
    draw,
    killOne: async (pauseMsMax) => {
      const victim = nextVictim();
      await pause(draw(pauseMsMax));
      const pid = await eventually(`${victim} runs again`, restartLimitMs, async () => site.pidOf(victim));
      if (!killNow(pid)) return;
      kills.push({ victim, atMs: Date.now() });
      await eventually(`${victim} is started again`, restartLimitMs, async () => {
        const next = site.pidOf(victim);
        return next !== undefined && next !== pid ? next : undefined;
      });
    },
  };
}

/** False when it had just ended by itself. */
function killNow(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    return false;
  }
}

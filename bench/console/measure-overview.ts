import { loadavg } from 'node:os';
import { lookAtSite, type OverviewDeps, pointCounter } from '../../engine/api/overview-routes.ts';
import type { Store } from '../../engine/store/open.ts';
import { overviewView } from '../../protocol/console-api.ts';

/** Milliseconds of the middle one, of the slowest but one in twenty, and of the slowest. */
export type LookTimes = { readonly p50: number; readonly p95: number; readonly max: number };
export type OverviewResults = {
  readonly lookCount: number;
  /** From the question to the answer as text: statements, views, check of the answer, JSON. */
  readonly wallMs: LookTimes;
  /** What the engine's process computed meanwhile; what PostgreSQL computes is not in it. */
  readonly cpuMs: LookTimes;
  readonly answerBytes: number;
  readonly loadAverage: number;
};

/** The first looks compile what later ones only run. */
const warmUpLooks = 20;

/** Looks again and again at the site, as the console's watcher does. */
export async function measureOverview(store: Store, lookCount: number): Promise<OverviewResults> {
  const deps: OverviewDeps = {
    store,
    heartbeatEveryMs: 5000,
    versions: { engine: 'bench', vault: 'none', accelerator: 'none' },
    countPoints: pointCounter(() => performance.now()),
  };
  const [wallMs, cpuMs]: [number[], number[]] = [[], []];
  let answerBytes = 0;
  for (let look = -warmUpLooks; look < lookCount; look += 1) {
    const cpuBefore = process.cpuUsage();
    const startedAtMs = performance.now();
    const site = await store.read((db) => lookAtSite(db, deps));
    answerBytes = Buffer.byteLength(JSON.stringify(overviewView.parse(site)));
    if (look < 0) continue;
    wallMs.push(performance.now() - startedAtMs);
    const { user, system } = process.cpuUsage(cpuBefore);
    cpuMs.push((user + system) / 1000);
  }
  return { lookCount, wallMs: timesOf(wallMs), cpuMs: timesOf(cpuMs), answerBytes, loadAverage: loadavg()[0] ?? 0 };
}

export function timesOf(valuesMs: readonly number[]): LookTimes {
  const sorted = [...valuesMs].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), max: sorted.at(-1) ?? 0 };
}

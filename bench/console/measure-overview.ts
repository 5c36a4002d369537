import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { lookAtSite, type OverviewDeps, pointCounter } from '../../engine/api/overview-routes.ts';
import { startLocalPostgres } from '../../engine/store/local-postgres.ts';
import { openStore, type Store } from '../../engine/store/open.ts';
import { overviewView } from '../../protocol/console-api.ts';
import { describeMachine } from '../machine-description.ts';
import type { MachineDescription } from '../results.ts';
import { type SiteSize, seedSite } from './seed-site.ts';

/** Milliseconds of the middle one, of the slowest but one in twenty, and of the slowest. */
export type LookTimes = { readonly p50: number; readonly p95: number; readonly max: number };
export type OverviewResults = {
  readonly format: 'lifeboat-console-bench/1';
  readonly startedAt: string;
  readonly machine: MachineDescription;
  readonly size: SiteSize;
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

/** Looks again and again at a site of that size, as the console's watcher does. */
export async function measureOverview(
  options: { readonly size: SiteSize; readonly lookCount: number },
  say: (line: string) => void,
): Promise<OverviewResults> {
  const { size, lookCount } = options;
  const startedAt = new Date().toISOString();
  const machine = describeMachine();
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-console-bench-'));
  await chmod(folder, 0o755);
  const server = await startLocalPostgres({ folder, log: () => undefined });
  try {
    const store = await openStore({ connectionString: server.connectionString });
    try {
      say(`${size.machineCount} machines with ${size.pointsPerMachine} points each`);
      await seedSite(server.connectionString, size);
      say(`${lookCount} looks`);
      const looks = await takeLooks(store, lookCount);
      const loadAverage = loadavg()[0] ?? 0;
      return { format: 'lifeboat-console-bench/1', startedAt, machine, size, lookCount, ...looks, loadAverage };
    } finally {
      await store.close();
    }
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

async function takeLooks(store: Store, lookCount: number) {
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
  return { wallMs: timesOf(wallMs), cpuMs: timesOf(cpuMs), answerBytes };
}

function timesOf(valuesMs: readonly number[]): LookTimes {
  const sorted = [...valuesMs].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), max: sorted.at(-1) ?? 0 };
}

import { loadavg } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { describeMachine } from '../machine-description.ts';
import { peakMemoryBytesOf } from '../measure.ts';
import type { MachineDescription } from '../results.ts';
import { figuresOf, type LoadFigures, unheardOrderCount } from './figures.ts';
import { type Load, type LoadSettings, prepareLoad } from './load.ts';
import { type ChatSite, type LoadSite, openChatSite } from './site.ts';
import { readTrail, type TrailFigures, trailEnd } from './trail.ts';
import { type Usage, usageOf, usageSince } from './usage.ts';

/** What one load showed, and what stands of it in the audit trail. */
export type LoadResults = {
  readonly seconds: number;
  readonly load: LoadFigures;
  readonly orderCount: number;
  /** Orders whose answer says that nobody carried them out. */
  readonly unheardOrderCount: number;
  readonly trail: TrailFigures;
  readonly loadAverage: number;
};
export type ChatResults = {
  readonly format: 'lifeboat-chat-bench/1';
  readonly startedAt: string;
  readonly machine: MachineDescription;
  readonly settings: LoadSettings;
  readonly busy: LoadResults & { readonly cpuSeconds: Usage; readonly botPeakMemoryBytes: number };
  /** While the engine was stopped, and afterwards until everything was answered. */
  readonly stopped: LoadResults;
  readonly troubles: readonly string[];
};

export type ChatBenchOptions = { readonly seconds: number; readonly stoppedSeconds: number };

export const loadSettings: LoadSettings = { commandsPerSecond: 50, clicksPerSecond: 2, doubledEvery: 50 };
const drainMs = 90_000;
const settleMs = 500;

/** Types and clicks on a whole site for a while, then once more while its engine is stopped. */
export async function measureChat(
  options: ChatBenchOptions,
  deps: { readonly say: (line: string) => void; readonly signal: AbortSignal },
): Promise<ChatResults> {
  const startedAt = new Date().toISOString();
  const machine = describeMachine();
  const site = await openChatSite(deps);
  try {
    const load = await prepareLoad(site, loadSettings, deps.signal);
    deps.say(`${loadSettings.commandsPerSecond} commands a second for ${options.seconds} s`);
    const busy = await measureBusy(site, load, options.seconds);
    deps.say(`the same for ${options.stoppedSeconds} s while the engine is stopped`);
    const stopped = await measureStopped(site, load, options.stoppedSeconds);
    const { troubles } = site;
    return { format: 'lifeboat-chat-bench/1', startedAt, machine, settings: loadSettings, busy, stopped, troubles };
  } finally {
    await site.close();
  }
}

async function measureBusy(site: ChatSite, load: Load, seconds: number): Promise<ChatResults['busy']> {
  const before = usageOf(site);
  let cpuSeconds = before;
  const results = await measureLoad(site, load, seconds, () => {
    cpuSeconds = usageSince(before, site);
  });
  return { ...results, cpuSeconds, botPeakMemoryBytes: peakMemoryBytesOf(site.pidOf('bot')) };
}

async function measureStopped(site: ChatSite, load: Load, seconds: number): Promise<LoadResults> {
  const engine = site.pidOf('engine');
  process.kill(engine, 'SIGSTOP');
  const going = wait(seconds * 1000).then(() => process.kill(engine, 'SIGCONT'));
  try {
    return await measureLoad(site, load, seconds);
  } finally {
    await going;
  }
}

/**
 * Runs a load, waits for its answers, and reads the trail.
 *
 * @param onAnswered called when the answers are there: reading the trail is not part of the load
 */
export async function measureLoad(
  site: LoadSite,
  load: Load,
  seconds: number,
  onAnswered: () => void = () => undefined,
): Promise<LoadResults> {
  const end = await trailEnd(site.store);
  const run = await load.run(seconds);
  const loadAverage = loadavg()[0] ?? 0;
  await load.drain(drainMs);
  onAnswered();
  // What comes twice, comes soon.
  await wait(settleMs);
  return {
    seconds,
    load: figuresOf(run),
    orderCount: run.deeds.filter(({ isOrder }) => isOrder).length,
    unheardOrderCount: unheardOrderCount(run.deeds),
    trail: await readTrail(site.store, end),
    loadAverage,
  };
}

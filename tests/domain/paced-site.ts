import type { AlertChange } from '../../domain/alert.ts';
import type { AlertFacts } from '../../domain/alert-facts.ts';
import { alertFacts, hostFacts, machineFacts, minute } from './alert-facts.ts';

const second = 1000;
const hosts = ['hv-1', 'hv-2', 'hv-3', 'hv-4'];
const machines = hosts.flatMap((host) => [1, 2, 3].map((number) => ({ host, name: `vm-${host}-${number}` })));
const processServer = 'https://ps-1:9443';

/** A small generator of numbers that are the same in every run of a seed. */
export function numbersOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export const programs = ['engine', 'bot', 'database'] as const;
export type Program = (typeof programs)[number];

/** Something that goes wrong, or a program that dies, from when it happens until it is repaired. */
export type Mishap = {
  readonly kind: 'lag' | 'silence' | 'process-server' | 'vault' | Program;
  readonly target: string;
  readonly fromMs: number;
  readonly toMs: number;
};

/** Finds those of many mishaps that matter at a time, without looking at all of them. */
export function createCalendar(mishaps: readonly Mishap[]) {
  const pageMs = 10 * minute;
  const pages = new Map<number, Mishap[]>();
  for (const one of mishaps) {
    for (let page = Math.floor(one.fromMs / pageMs); page <= Math.floor((one.toMs + minute) / pageMs); page += 1) {
      pages.set(page, [...(pages.get(page) ?? []), one]);
    }
  }
  /** Those that are going on, or ended less than a minute ago. */
  const near = (atMs: number): readonly Mishap[] => pages.get(Math.floor(atMs / pageMs)) ?? [];
  return {
    near,
    isHit: (kind: Mishap['kind'], target: string, atMs: number) =>
      near(atMs).some((one) => one.kind === kind && one.target === target && one.fromMs <= atMs && atMs < one.toMs),
  };
}

/**
 * A site on a clock of its own: points every 15 s that take a while, heartbeats every 2 s of which some are lost, probes every 15 s; all
 * of them early or late by chance. Agents find an engine that was dead within 30 s.
 */
export function createSite(random: () => number, mishaps: readonly Mishap[]) {
  const newest = new Map(machines.map(({ name }) => [name, 0]));
  /** Taken while the engine could not be told; it hears of it with the first heartbeat. */
  const untold = new Map<string, number>();
  const heard = new Map(hosts.map((host) => [host, 0]));
  const nextPointMs = new Map(machines.map(({ name }) => [name, random() * 15 * second]));
  const nextBeatMs = new Map(hosts.map((host) => [host, random() * 2 * second]));
  const reconnectMs = new Map(hosts.map((host, index) => [host, (5 + 8 * index) * second]));
  let nextProbeMs = 0;
  let probed = alertFacts().probes;
  const { near, isHit: hits } = createCalendar(mishaps);
  const isEngineDeaf = (host: string, atMs: number) => {
    const back = (one: Mishap) => one.toMs + (reconnectMs.get(host) ?? 0);
    return near(atMs).some(
      (one) => (one.kind === 'engine' || one.kind === 'database') && one.fromMs <= atMs && atMs < back(one),
    );
  };
  const hear = (host: string, atMs: number) => {
    heard.set(host, atMs);
    if (untold.size === 0) return;
    for (const { name } of machines.filter((machine) => machine.host === host)) {
      newest.set(name, untold.get(name) ?? newest.get(name) ?? 0);
      untold.delete(name);
    }
  };
  const go = (toMs: number) => {
    for (const { name, host } of machines) {
      while ((nextPointMs.get(name) ?? 0) <= toMs) {
        const atMs = nextPointMs.get(name) ?? 0;
        const isStuck = hits('lag', name, atMs) || hits('silence', host, atMs);
        // It is taken, and some seconds later it is available.
        if (!isStuck) (isEngineDeaf(host, atMs) ? untold : newest).set(name, atMs - random() * 8 * second);
        nextPointMs.set(name, atMs + (0.8 + 0.5 * random()) * 15 * second);
      }
    }
    for (const host of hosts) {
      while ((nextBeatMs.get(host) ?? 0) <= toMs) {
        const atMs = nextBeatMs.get(host) ?? 0;
        const isSilent = hits('silence', host, atMs) || isEngineDeaf(host, atMs);
        if (!isSilent && random() > 0.05) hear(host, atMs);
        nextBeatMs.set(host, atMs + (1 + 0.5 * random()) * 2 * second);
      }
    }
    while (nextProbeMs <= toMs) {
      const failure = (kind: Mishap['kind'], target: string) =>
        // One that fails by chance is no news.
        hits(kind, target, nextProbeMs) || random() < 0.002 ? 'no answer' : undefined;
      probed = {
        ...probed,
        vault: { description: '/vault', failure: failure('vault', '/vault') },
        processServers: [{ url: processServer, failure: failure('process-server', processServer) }],
      };
      nextProbeMs += 15 * second;
    }
  };
  return {
    factsAt(nowMs: number, resumedAtMs = -1e9): AlertFacts {
      go(nowMs);
      return alertFacts({
        nowMs,
        resumedAtMs,
        machines: machines.map(({ name, host }) =>
          machineFacts(name, { host, lagMs: Math.max(0, nowMs - (newest.get(name) ?? 0)), processServer }),
        ),
        hosts: hosts.map((host) =>
          hostFacts(
            host,
            machines.filter((machine) => machine.host === host).map(({ name }) => name),
            nowMs - (heard.get(host) ?? 0),
          ),
        ),
        probes: probed,
      });
    },
  };
}

export const firstAtMs = 2 * minute;
/** Far enough from each other that nothing counts as coming and going. */
export const everyMs = 16 * minute;

export function seededMishaps(random: () => number, kinds: readonly Mishap['kind'][], count: number): Mishap[] {
  return Array.from({ length: count }, (_, index) => mishapAt(random, kinds, firstAtMs + index * everyMs));
}

/** Twice as often; of three in a row no two hit the same, so that still nothing comes and goes. */
export function denseMishaps(random: () => number, kinds: readonly Mishap['kind'][], count: number): Mishap[] {
  const mishaps: Mishap[] = [];
  while (mishaps.length < count) {
    const next = mishapAt(random, kinds, firstAtMs + (mishaps.length * everyMs) / 2);
    if (!mishaps.slice(-2).some((one) => one.target === next.target)) mishaps.push(next);
  }
  return mishaps;
}

function mishapAt(random: () => number, kinds: readonly Mishap['kind'][], earliestMs: number): Mishap {
  const kind = kinds[Math.floor(random() * kinds.length)] ?? 'lag';
  const fromMs = earliestMs + random() * minute;
  const machine = machines[Math.floor(random() * machines.length)] ?? machines[0]!;
  const targets = { lag: machine.name, silence: machine.host, 'process-server': processServer, vault: '/vault' };
  const target = kind in targets ? targets[kind as keyof typeof targets] : kind;
  return { kind, target, fromMs, toMs: fromMs + 5 * minute };
}

/** True when this tells people of that mishap. */
export function isAbout(change: AlertChange, { kind, target }: Mishap): boolean {
  if (change.kind !== 'open') return false;
  const { rule, scope, members } = change.alert;
  const rules: Partial<Record<Mishap['kind'], string>> = {
    lag: 'lag',
    silence: 'agent-silent',
    'process-server': 'process-server-silent',
    vault: 'vault-unreachable',
  };
  return rule === rules[kind] && (scope === target || members.some((one) => one.scope === target));
}

/** When it mattered: lag when it is above its goal, anything else at once. */
export function mattersAtMs(mishap: Mishap): number {
  return mishap.kind === 'lag' ? mishap.fromMs + minute : mishap.fromMs;
}

/** That many of a hundred are not larger. */
export function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? Number.NaN;
}

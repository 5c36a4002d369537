import { describe, expect, test } from 'vitest';
import type { AlertChange } from '../../domain/alert.ts';
import type { AlertFacts } from '../../domain/alert-facts.ts';
import { createDesk, type Told } from './alert-desk.ts';
import { alertFacts, hostFacts, machineFacts, minute } from './alert-facts.ts';

const second = 1000;
const hosts = ['hv-1', 'hv-2', 'hv-3', 'hv-4'];
const machines = hosts.flatMap((host) => [1, 2, 3].map((number) => ({ host, name: `vm-${host}-${number}` })));
const processServer = 'https://ps-1:9443';

/** A small generator of numbers that are the same in every run of a seed. */
function numbersOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Something that goes wrong, from when it matters until it is repaired. */
type Mishap = {
  readonly kind: 'lag' | 'silence' | 'process-server' | 'vault';
  readonly target: string;
  readonly fromMs: number;
  readonly toMs: number;
};

/**
 * A site on a clock of its own: points every 15 s that take a while, heartbeats every 2 s of which some are lost, probes every 15 s; all
 * of them early or late by chance.
 */
function createSite(random: () => number, mishaps: readonly Mishap[]) {
  const newest = new Map(machines.map(({ name }) => [name, 0]));
  const heard = new Map(hosts.map((host) => [host, 0]));
  const nextPointMs = new Map(machines.map(({ name }) => [name, random() * 15 * second]));
  const nextBeatMs = new Map(hosts.map((host) => [host, random() * 2 * second]));
  let nextProbeMs = 0;
  let probed = alertFacts().probes;
  const isHit = (kind: Mishap['kind'], target: string, atMs: number) =>
    mishaps.some((one) => one.kind === kind && one.target === target && one.fromMs <= atMs && atMs < one.toMs);
  const go = (toMs: number) => {
    for (const { name, host } of machines) {
      while ((nextPointMs.get(name) ?? 0) <= toMs) {
        const atMs = nextPointMs.get(name) ?? 0;
        const isStuck = isHit('lag', name, atMs) || isHit('silence', host, atMs);
        // It is taken, and some seconds later it is available.
        if (!isStuck) newest.set(name, atMs - random() * 8 * second);
        nextPointMs.set(name, atMs + (0.8 + 0.5 * random()) * 15 * second);
      }
    }
    for (const host of hosts) {
      while ((nextBeatMs.get(host) ?? 0) <= toMs) {
        const atMs = nextBeatMs.get(host) ?? 0;
        if (!isHit('silence', host, atMs) && random() > 0.05) heard.set(host, atMs);
        nextBeatMs.set(host, atMs + (1 + 0.5 * random()) * 2 * second);
      }
    }
    while (nextProbeMs <= toMs) {
      const failure = (kind: Mishap['kind'], target: string) =>
        // One that fails by chance is no news.
        isHit(kind, target, nextProbeMs) || random() < 0.002 ? 'no answer' : undefined;
      probed = {
        ...probed,
        vault: { description: '/vault', failure: failure('vault', '/vault') },
        processServers: [{ url: processServer, failure: failure('process-server', processServer) }],
      };
      nextProbeMs += 15 * second;
    }
  };
  return {
    factsAt(nowMs: number): AlertFacts {
      go(nowMs);
      return alertFacts({
        nowMs,
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

const firstAtMs = 2 * minute;
/** Far enough from each other that nothing counts as coming and going. */
const everyMs = 16 * minute;

function seededMishaps(random: () => number, count: number): Mishap[] {
  const kinds = ['lag', 'lag', 'silence', 'process-server', 'vault'] as const;
  return Array.from({ length: count }, (_, index) => {
    const kind = kinds[Math.floor(random() * kinds.length)] ?? 'lag';
    const fromMs = firstAtMs + index * everyMs + random() * minute;
    const machine = machines[Math.floor(random() * machines.length)] ?? machines[0]!;
    const targets = { lag: machine.name, silence: machine.host, 'process-server': processServer, vault: '/vault' };
    return { kind, target: targets[kind], fromMs, toMs: fromMs + 5 * minute };
  });
}

function watchSite(seed: number, mishaps: readonly Mishap[], toMs: number, lookEveryMs = 10 * second): readonly Told[] {
  const random = numbersOf(seed);
  const site = createSite(random, mishaps);
  const desk = createDesk();
  for (let nowMs = minute; nowMs < toMs; nowMs += lookEveryMs + random() * second) desk.look(site.factsAt(nowMs));
  return desk.told;
}

function isAbout(change: AlertChange, mishap: Mishap): boolean {
  if (change.kind !== 'open') return false;
  const { rule, scope, members } = change.alert;
  const rules = {
    lag: 'lag',
    silence: 'agent-silent',
    'process-server': 'process-server-silent',
    vault: 'vault-unreachable',
  };
  return rule === rules[mishap.kind] && (scope === mishap.target || members.some((one) => one.scope === mishap.target));
}

/** When it mattered: lag when it is above its goal, anything else at once. */
function mattersAtMs(mishap: Mishap): number {
  return mishap.kind === 'lag' ? mishap.fromMs + minute : mishap.fromMs;
}

/** How long each mishap went untold; Infinity for ever. */
function latencies(told: readonly Told[], mishaps: readonly Mishap[]): number[] {
  return mishaps
    .map((mishap) => {
      const first = told.find(
        ({ atMs, change }) => atMs >= mishap.fromMs && atMs < mishap.toMs + minute && isAbout(change, mishap),
      );
      return first === undefined ? Number.POSITIVE_INFINITY : first.atMs - mattersAtMs(mishap);
    })
    .sort((a, b) => a - b);
}

describe('a site on a clock of its own', () => {
  const mishaps = seededMishaps(numbersOf(7), 100);
  const endMs = firstAtMs + 101 * everyMs;
  const told = watchSite(11, mishaps, endMs);

  test('each of 100 seeded mishaps is told, 99 of 100 within a minute, and nothing else is', () => {
    const waited = latencies(told, mishaps);
    expect(waited.at(-1)).toBeLessThan(90 * second);
    expect(waited[98]).toBeLessThanOrEqual(60 * second);
    const opened = told.filter(({ change }) => change.kind === 'open');
    const unexplained = opened.filter(
      ({ atMs, change }) =>
        !mishaps.some((one) => atMs >= one.fromMs && atMs < one.toMs + minute && isAbout(change, one)),
    );
    // An hour of silence would also be told of its lag; that is a member of the alert that explains it.
    expect(unexplained.map(({ change }) => change)).toEqual([]);
  });

  test('everything that was told is over when it is repaired', () => {
    const count = (kind: AlertChange['kind']) => told.filter(({ change }) => change.kind === kind).length;
    expect(count('recover')).toBe(count('open'));
  });

  test('an hour in which all is well, with all its jitter, tells nothing', () => {
    for (const seed of [1, 2, 3]) expect(watchSite(seed, [], 61 * minute)).toEqual([]);
  });

  test('looks that come too seldom are found by the same measure: it can fail', () => {
    const waited = latencies(watchSite(11, mishaps, endMs, 70 * second), mishaps);
    expect(waited[98]).toBeGreaterThan(60 * second);
  });
});

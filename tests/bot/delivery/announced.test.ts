import { describe, expect, test } from 'vitest';
import { nextDelivery } from '../../../bot/delivery/next-delivery.ts';
import { minute } from '../../domain/alert-facts.ts';
import {
  denseMishaps,
  everyMs,
  firstAtMs,
  isAbout,
  type Mishap,
  mattersAtMs,
  numbersOf,
  percentile,
  programs,
} from '../../domain/paced-site.ts';
import { type Announcement, channels, type InstallationOptions, runInstallation } from './paced-installation.ts';

const second = 1000;
const isDeath = ({ kind }: Mishap) => programs.some((program) => program === kind);
const kinds = ['lag', 'lag', 'silence', 'process-server', 'vault', ...programs] as const;
const mishaps = denseMishaps(numbersOf(7), kinds, 100);

/** A dead database silences the engine: nobody else can tell. */
function tells(announcement: Announcement, mishap: Mishap): boolean {
  if (announcement.by === 'alert') return isAbout(announcement.change, mishap);
  return isDeath(mishap) && announcement.silent === (mishap.kind === 'bot' ? 'bot' : 'engine');
}

/** How long each went unannounced: an alert until every channel has it, a death until anybody was told. Infinity: for ever. */
function latencies(announced: readonly Announcement[], among: readonly Mishap[]): number[] {
  const waited = among.map((mishap) => {
    const heard = announced.filter(
      (one) => one.atMs >= mishap.fromMs && one.atMs < mishap.toMs + minute && tells(one, mishap),
    );
    const firsts = channels.map(({ place }) => heard.find((one) => isDeath(mishap) || one.place === place)?.atMs);
    return Math.max(...firsts.map((atMs) => atMs ?? Number.POSITIVE_INFINITY)) - mattersAtMs(mishap);
  });
  return waited.sort((a, b) => a - b);
}

async function waitedWith(count: number, options: InstallationOptions = {}) {
  const among = mishaps.slice(0, count);
  const { announced, opened } = await runInstallation(11, among, firstAtMs + ((count + 1) * everyMs) / 2, options);
  const of = (isWanted: (mishap: Mishap) => boolean) => latencies(announced, among.filter(isWanted));
  return {
    opened,
    alerts: of((mishap) => !isDeath(mishap)),
    deaths: of(isDeath),
    botDeaths: of(({ kind }) => kind === 'bot'),
    engineDeaths: of(({ kind }) => kind === 'engine' || kind === 'database'),
  };
}

const words = (name: string, waited: readonly number[]) => {
  const [p50, p99] = [50, 99].map((percent) => Math.round(percentile(waited, percent)));
  return `${name}: ${waited.filter(Number.isFinite).length} of ${waited.length} announced, p50 ${p50} ms, p99 ${p99} ms`;
};

describe('from the mishap to the words that people read, on a clock of its own', () => {
  test('each of 100 seeded lags, silences and deaths is announced: 99 of 100 within a minute, a death within two', async () => {
    const { alerts, deaths, engineDeaths, botDeaths, opened } = await waitedWith(100);
    const found = [
      words('alerts', alerts),
      words('deaths of the engine or its database', engineDeaths),
      words('of the bot', botDeaths),
    ].join('; ');
    console.info(found);
    expect(alerts.length + deaths.length).toBe(100);
    expect(Math.min(engineDeaths.length, botDeaths.length), found).toBeGreaterThan(9);
    expect(percentile(alerts, 99), found).toBeLessThanOrEqual(60 * second);
    expect(percentile(alerts, 100), found).toBeLessThanOrEqual(90 * second);
    expect(percentile(deaths, 100), found).toBeLessThanOrEqual(120 * second);
    const unexplained = opened.filter(
      ({ atMs, change }) =>
        !mishaps.some((one) => atMs >= one.fromMs && atMs < one.toMs + minute && isAbout(change, one)),
    );
    expect(unexplained).toEqual([]);
  });

  // The same measure finds each part that is missing.
  const few = 24;
  test('without the watchdog nobody hears that the bot is dead, and the bot still says that of the engine', async () => {
    const { botDeaths, engineDeaths } = await waitedWith(few, { hasWatchdog: false });
    expect(percentile(botDeaths, 1)).toBe(Number.POSITIVE_INFINITY);
    expect(percentile(engineDeaths, 100)).toBeLessThanOrEqual(120 * second);
  });

  test('without the watchdog and the words of the bot nobody hears that the engine is dead', async () => {
    const { engineDeaths } = await waitedWith(few, { hasWatchdog: false, hasSilenceNotice: false });
    expect(percentile(engineDeaths, 1)).toBe(Number.POSITIVE_INFINITY);
  });

  test('looks that come too seldom, and a queue that forgets a channel, are found', async () => {
    const seldom = await waitedWith(few, { lookEveryMs: 70 * second });
    expect(percentile(seldom.alerts, 99)).toBeGreaterThan(60 * second);
    const forgetful = await waitedWith(few, {
      next: (backlog, nowMs) => {
        const waiting = backlog.waiting.filter(({ place }) => place.place !== 'C2');
        return nextDelivery({ ...backlog, waiting }, nowMs);
      },
    });
    expect(percentile(forgetful.alerts, 1)).toBe(Number.POSITIVE_INFINITY);
  });
});

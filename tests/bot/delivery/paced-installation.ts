import type { ChatSurface } from '../../../bot/chat-surface.ts';
import { nextDelivery, placeKey } from '../../../bot/delivery/next-delivery.ts';
import { createSilenceNotice, type SilenceNotice } from '../../../bot/delivery/silence-notice.ts';
import { fullBucket, type TokenBucket, withoutToken } from '../../../bot/delivery/token-bucket.ts';
import type { AlertChange } from '../../../domain/alert.ts';
import type { ChatPlace, DeliveryView } from '../../../protocol/chat-api.ts';
import { afterTelling, decide, type WatchState } from '../../../watchdog/decide.ts';
import { createDesk } from '../../domain/alert-desk.ts';
import { createCalendar, createSite, type Mishap, numbersOf, type Program } from '../../domain/paced-site.ts';
import { delivery } from './deliveries.ts';
import { createPacedClock, type PacedClock } from './paced-clock.ts';

const second = 1000;
export const channels: readonly ChatPlace[] = ['C1', 'C2'].map((place) => ({ surface: 'slack', tenant: 'T1', place }));

/** What people have read, or were rung up for. */
export type Announcement = { readonly atMs: number; readonly place: string } & (
  | { readonly by: 'alert'; readonly change: AlertChange }
  | { readonly by: 'bot' | 'watchdog'; readonly silent: 'engine' | 'bot' }
);

export type InstallationOptions = {
  readonly lookEveryMs?: number;
  readonly hasWatchdog?: boolean;
  readonly hasSilenceNotice?: boolean;
  /** Other rules of what is delivered next than ours. */
  readonly next?: typeof nextDelivery;
};

type Message = { view: DeliveryView; change: AlertChange; leasedUntilMs: number; dueMs: number; isDelivered: boolean };

/**
 * Engine, database, outbox, bot, platform and watchdog on a clock of their own, with the rules of the real ones: what decides is ours,
 * what waits is the clock. Platform and webhooks are slow by chance, and refuse some messages.
 */
export async function runInstallation(
  seed: number,
  mishaps: readonly Mishap[],
  toMs: number,
  options: InstallationOptions = {},
): Promise<{ readonly announced: Announcement[]; readonly opened: { atMs: number; change: AlertChange }[] }> {
  const random = numbersOf(seed);
  const clock = createPacedClock();
  const announced: Announcement[] = [];
  const { isHit } = createCalendar(mishaps);
  const isUp = (program: Program) => !isHit(program, program, clock.nowMs());
  const world: World = {
    clock,
    random,
    options,
    isUp,
    outbox: [],
    announced,
    signs: { engine: 0, bot: 0 },
    wakeBot: () => undefined,
  };
  const opened = runEngine(world, createSite(random, mishaps));
  runBot(world);
  if (options.hasWatchdog !== false) runWatchdog(world);
  await clock.runTo(toMs);
  return { announced, opened };
}

type World = {
  readonly clock: PacedClock;
  readonly random: () => number;
  readonly options: InstallationOptions;
  readonly isUp: (program: Program) => boolean;
  readonly outbox: Message[];
  readonly announced: Announcement[];
  /** When each of them has last said that it lives. */
  readonly signs: { engine: number; bot: number };
  /** There is something to claim. */
  wakeBot: () => void;
};

/** Looks every ten seconds, writes messages with what it decides, and says that it lives when it has looked lately. */
function runEngine(world: World, site: ReturnType<typeof createSite>) {
  const { clock, random, isUp, outbox, signs } = world;
  const desk = createDesk();
  const opened: { atMs: number; change: AlertChange }[] = [];
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let resumedAtMs = 0;
  let wasUp = true;
  const isWorking = () => isUp('engine') && isUp('database');
  clock.every(
    () => (world.options.lookEveryMs ?? 10 * second) + 0.3 * random() * second,
    () => {
      const isFirst = !wasUp;
      wasUp = isUp('engine');
      if (!isWorking()) return;
      const nowMs = clock.nowMs();
      const isAfterGap = nowMs - lookedAtMs > (isFirst ? 15 : 45) * second;
      if (isAfterGap) resumedAtMs = nowMs;
      lookedAtMs = nowMs;
      for (const change of desk.look(site.factsAt(nowMs, resumedAtMs), isAfterGap)) {
        if (change.kind !== 'open' && change.kind !== 'raise') continue;
        if (change.kind === 'open') opened.push({ atMs: nowMs, change });
        for (const place of channels) {
          const view = delivery(outbox.length, { place, severity: change.alert.severity, isNotifying: true });
          outbox.push({ view, change, leasedUntilMs: 0, dueMs: nowMs, isDelivered: false });
        }
        world.wakeBot();
      }
    },
  );
  clock.every(
    () => 10 * second,
    () => {
      if (isWorking() && clock.nowMs() - lookedAtMs <= 45 * second) signs.engine = clock.nowMs();
    },
  );
  return opened;
}

/** Claims as the engine's outbox gives: critical ones first, then by age, leased for half a minute. */
function claim({ clock, outbox }: World, countMax: number): Message[] {
  const nowMs = clock.nowMs();
  // What was long ago is delivered.
  const due = outbox.slice(-100).filter((one) => !one.isDelivered && one.leasedUntilMs <= nowMs && one.dueMs <= nowMs);
  due.sort((a, b) => Number(b.view.severity === 'critical') - Number(a.view.severity === 'critical'));
  const claimed = due.slice(0, countMax);
  for (const message of claimed) message.leasedUntilMs = nowMs + 30 * second;
  return claimed;
}

/** One life of the bot after the other: what it had claimed and not delivered is gone with it. */
function runBot(world: World): void {
  const { clock, isUp, signs } = world;
  let life: ReturnType<typeof liveBot> | undefined = liveBot(world);
  world.wakeBot = () => life?.work();
  clock.every(
    () => 5 * second,
    async () => {
      if (!isUp('bot')) {
        life?.end();
        life = undefined;
        return;
      }
      life ??= liveBot(world);
      life.work();
      await life.look();
      if (life.silentForMs() < 45 * second) signs.bot = clock.nowMs();
    },
  );
}

function liveBot(world: World) {
  const { clock, random, isUp, options, announced } = world;
  const waiting = new Map<string, Message>();
  const busyPlaces = new Set<string>();
  const buckets = new Map<string, TokenBucket>();
  const silence = silenceNotice(world);
  let isAlive = true;
  const isRunning = () => isAlive && isUp('bot');
  const perform = (message: Message) => {
    const key = placeKey(message.view);
    waiting.delete(message.view.id);
    busyPlaces.add(key);
    const nowMs = clock.nowMs();
    buckets.set(key, withoutToken(buckets.get(key) ?? fullBucket(nowMs), nowMs));
    clock.after(answerMs(random), () => {
      busyPlaces.delete(key);
      if (!isRunning()) return;
      if (random() < 0.03) {
        const retryMs = (1 + 4 * random()) * second;
        message.leasedUntilMs = 0;
        message.dueMs = clock.nowMs() + retryMs;
        clock.after(retryMs, work);
      } else {
        message.isDelivered = true;
        announced.push({ atMs: clock.nowMs(), place: message.view.place.place, by: 'alert', change: message.change });
      }
      work();
    });
  };
  const work = () => {
    if (!isRunning()) return;
    if (isUp('engine') && isUp('database')) {
      silence.answered();
      for (const message of claim(world, 10 - waiting.size)) waiting.set(message.view.id, message);
    }
    for (;;) {
      const backlog = { waiting: [...waiting.values()].map(({ view }) => view), busyPlaces, buckets };
      const next = (options.next ?? nextDelivery)(backlog, clock.nowMs());
      if (next.kind === 'wait') clock.after(next.ms, work);
      const message = next.kind === 'deliver' ? waiting.get(next.delivery.id) : undefined;
      if (message === undefined) return;
      perform(message);
    }
  };
  return {
    work,
    silentForMs: silence.silentForMs,
    look: () => (options.hasSilenceNotice === false ? undefined : silence.look()),
    end: () => {
      isAlive = false;
    },
  };
}

/** Mostly fast, seldom two seconds. */
function answerMs(random: () => number): number {
  return (0.1 + 2 * random() ** 4) * second;
}

function silenceNotice({ clock, random, announced }: World): SilenceNotice {
  const post: ChatSurface['post'] = async ({ place }) => {
    announced.push({ atMs: clock.nowMs() + answerMs(random), place: place.place, by: 'bot', silent: 'engine' });
    return { ts: 'x' };
  };
  const surface: ChatSurface = {
    ...{ surface: 'slack', tenant: 'T1', post },
    probe: async () => undefined,
    postPicture: async () => ({ ts: 'x' }),
    update: async ({ ref }) => ref,
  };
  const log = { info: () => undefined, warn: () => undefined };
  return createSilenceNotice({ surface, nowMs: clock.nowMs, log, places: () => channels });
}

/** Looks every five seconds at the signs of life, and tells by a webhook that is slow by chance. */
function runWatchdog({ clock, random, signs, announced }: World): void {
  for (const program of ['engine', 'bot'] as const) {
    let state: WatchState = { status: 'alive', silentSinceMs: null, toldAgoMs: null };
    let toldAtMs = 0;
    let isTelling = false;
    clock.every(
      () => 5 * second,
      () => {
        const nowMs = clock.nowMs();
        const known = { ...state, toldAgoMs: state.toldAgoMs === null ? null : nowMs - toldAtMs };
        const ageMs = nowMs - signs[program];
        const news = decide(known, { ageMs, limitMs: 60 * second, repeatAfterMs: 3600 * second, nowMs });
        if (news === undefined || isTelling) return;
        isTelling = true;
        clock.after((0.2 + 10 * random() ** 4) * second, () => {
          isTelling = false;
          toldAtMs = clock.nowMs();
          state = afterTelling(known, news, toldAtMs);
          if (news.kind !== 'back')
            announced.push({ atMs: toldAtMs, place: 'webhook', by: 'watchdog', silent: program });
        });
      },
    );
  }
}

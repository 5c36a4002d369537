import { setTimeout as wait } from 'node:timers/promises';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { ChatPlace, DeliveryOutcome, DeliveryView } from '../../protocol/chat-api.ts';
import { shorten } from '../card.ts';
import type { ChatSurface } from '../chat-surface.ts';
import type { BotClient } from '../engine-client.ts';
import { isAbort } from '../run-follower.ts';
import { deliverOne } from './deliver-one.ts';
import { createDeliveryQueue, type DeliveryQueue } from './delivery-queue.ts';
import type { ObserveDelivery } from './observed-delivery.ts';
import { createOutcomeMemory, type OutcomeMemory } from './outcome-memory.ts';
import { createSilenceNotice, type SilenceNotice } from './silence-notice.ts';

export type DeliveryLog = {
  readonly info: (message: string) => void;
  readonly warn: (message: string, error?: unknown) => void;
};

export type DeliveryDeps = {
  readonly engine: Pick<BotClient, 'ask' | 'claim' | 'reportOutcome' | 'reportSurface' | 'places' | 'download'>;
  readonly surface: ChatSurface;
  readonly nowMs: () => number;
  readonly log: DeliveryLog;
  readonly signal: AbortSignal;
  /** The subscribed places are remembered here over a restart, so that a silent engine can be said even then. */
  readonly places?: PlaceMemory;
  /** Called while the engine and the platform answer; the watchdog looks at what it writes. */
  readonly alive?: () => Promise<void>;
  readonly pauses?: Partial<typeof defaultPauses>;
  /** For metrics. */
  readonly observe?: ObserveDelivery;
};

export type PlaceMemory = {
  readonly load: () => Promise<readonly ChatPlace[]>;
  readonly save: (places: readonly ChatPlace[]) => Promise<void>;
};

export type Delivery = {
  /** Ends after the signal was raised and what was under way is done. Rejects only for a bug. */
  readonly ended: Promise<void>;
};

const defaultPauses = {
  /** How long the engine may keep a claim open until there is something. */
  claimWaitMs: 15_000,
  /** After the engine did not answer. */
  retryMs: 2000,
  /** Between two looks at the platform. Source: CHAT 5.2 (7) */
  probeMs: 60_000,
  /** Between two looks at the clock. */
  lookMs: 5000,
};

/** Delivers to one platform what the engine wants people to see, until the signal is raised. */
export function startDelivery(deps: DeliveryDeps): Delivery {
  const pauses = { ...defaultPauses, ...deps.pauses };
  let places: readonly ChatPlace[] = [];
  const outcomes = createOutcomeMemory();
  const silence = createSilenceNotice({ ...deps, places: () => places });
  const at: At = { deps, pauses, outcomes, silence };
  const queue = createDeliveryQueue({ ...deps, perform: (delivery) => perform(delivery, at) });
  const health = { isPlatformUp: false };
  const rememberPlaces = async () => {
    const fresh = await subscribedPlaces(at);
    if (fresh === undefined) return;
    const isNew = JSON.stringify(fresh) !== JSON.stringify(places);
    places = fresh;
    if (isNew) await deps.places?.save(fresh);
  };
  const sayAlive = async () => {
    if (health.isPlatformUp && silence.silentForMs() < pauses.claimWaitMs + 30_000) await deps.alive?.();
  };
  const looks = async () => {
    places = (await deps.places?.load()) ?? [];
    await Promise.all([
      repeat(at, pauses.probeMs, async () => {
        health.isPlatformUp = await probe(at);
        await rememberPlaces();
        await sayAlive();
      }),
      repeat(at, pauses.lookMs, async () => {
        await reportAll(at);
        await silence.look();
        await sayAlive();
      }),
    ]);
  };
  const ended = Promise.all([claimAll(queue, at), queue.ended, looks()]).then(() => undefined);
  return { ended };
}

type At = {
  readonly deps: DeliveryDeps;
  readonly pauses: typeof defaultPauses;
  readonly outcomes: OutcomeMemory;
  readonly silence: SilenceNotice;
};

/** Claims only what can be delivered within the engine's lease. */
async function claimAll(queue: DeliveryQueue, at: At): Promise<void> {
  const { deps, pauses } = at;
  const { surface, tenant } = deps.surface;
  while (!deps.signal.aborted) {
    const countMax = await queue.room();
    if (deps.signal.aborted) return;
    const claim = { surface, tenant, countMax, waitMs: pauses.claimWaitMs };
    const claimed = await asked(() => deps.engine.claim(claim, { signal: deps.signal }), 'claim messages', at);
    if (claimed === undefined) await rest(pauses.retryMs, deps.signal);
    for (const delivery of claimed ?? []) queue.add(delivery);
  }
}

async function perform(delivery: DeliveryView, at: At): Promise<void> {
  const { deps, outcomes } = at;
  const considered = outcomes.consider(delivery);
  if (considered.kind === 'known') {
    outcomes.keep(delivery.id, considered.kept);
    return report(delivery.id, at);
  }
  const beganAtMs = performance.now();
  const outcome = await delivered(considered.delivery, at);
  if (outcome === undefined) return;
  deps.observe?.({ kind: 'ended', outcome: outcome.kind, seconds: (performance.now() - beganAtMs) / 1000 });
  if (outcome.kind !== 'delivered')
    deps.log.warn(`message ${delivery.id} in ${delivery.place.place}: ${outcome.error}`);
  outcomes.keep(delivery.id, { revision: delivery.revision, outcome });
  await report(delivery.id, at);
}

async function delivered(delivery: DeliveryView, at: At): Promise<DeliveryOutcome | undefined> {
  try {
    return await deliverOne(delivery, at.deps);
  } catch (error) {
    noAnswer(error, `draw ${delivery.id}`, at);
    // The engine could not be asked for it. It is told so once it answers: sooner than the lease ends.
    const words = shorten(describeCauses(error), 400);
    return isAbort(error) ? undefined : { kind: 'later', retryAfterMs: at.pauses.retryMs, error: words };
  }
}

async function report(id: string, at: At): Promise<void> {
  const { deps, outcomes } = at;
  const kept = outcomes.takeReport(id);
  if (kept === undefined) return;
  const told = await asked(
    async () => {
      await deps.engine.reportOutcome(id, kept, {});
      return true;
    },
    `report ${id}`,
    at,
  );
  if (told === undefined) outcomes.returnReport(id, kept);
}

/** What the engine has not heard yet, because it was away. */
async function reportAll(at: At): Promise<void> {
  if (at.silence.silentForMs() > at.pauses.claimWaitMs) return;
  for (const id of at.outcomes.unreported()) await report(id, at);
}

/** Whether the platform takes messages; the engine is told, and `status` shows it. */
async function probe(at: At): Promise<boolean> {
  const { deps } = at;
  const { surface, tenant } = deps.surface;
  let detail = '';
  try {
    await deps.surface.probe();
  } catch (error) {
    if (isAbort(error)) return false;
    detail = shorten(describeCauses(error), 400);
    deps.log.warn(`${surface} does not answer`, error);
  }
  const isHealthy = detail === '';
  deps.observe?.({ kind: 'probed', isHealthy });
  const body = { surface, tenant, isHealthy, detail };
  await asked(() => deps.engine.reportSurface(body, { signal: deps.signal }), `report on ${surface}`, at);
  return isHealthy;
}

async function subscribedPlaces(at: At): Promise<readonly ChatPlace[] | undefined> {
  const { surface, tenant } = at.deps.surface;
  const query = { surface, tenant };
  const views = await asked(() => at.deps.engine.places(query, { signal: at.deps.signal }), 'ask for places', at);
  return views
    ?.filter((view) => view.isSubscribed)
    .map((view) => ({ surface: view.surface, tenant: view.tenant, place: view.place }));
}

/** An engine that is away comes back; until then what was asked is undefined. */
async function asked<Answer>(ask: () => Promise<Answer>, doing: string, at: At): Promise<Answer | undefined> {
  try {
    const answer = await ask();
    at.deps.observe?.({ kind: 'engine-answered' });
    at.silence.answered();
    return answer;
  } catch (error) {
    return noAnswer(error, doing, at);
  }
}

function noAnswer(error: unknown, doing: string, at: At): undefined {
  if (isAbort(error)) return undefined;
  if (!(error instanceof OutageError)) throw error;
  at.deps.log.warn(`could not ${doing}`, error);
  return undefined;
}

async function repeat(at: At, pauseMs: number, work: () => Promise<void>): Promise<void> {
  while (!at.deps.signal.aborted) {
    await work();
    await rest(pauseMs, at.deps.signal);
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch((error: unknown) => {
    if (!isAbort(error)) throw error;
  });
}

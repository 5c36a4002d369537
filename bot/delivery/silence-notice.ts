import { minuteMs } from '../../domain/units.ts';
import type { ChatPlace, MessageRef } from '../../protocol/chat-api.ts';
import { type ChatSurface, DeliveryError } from '../chat-surface.ts';
import { engineBackCard, engineSilentCard } from '../conversation/note-cards.ts';
import { placeKey } from './next-delivery.ts';
import type { DeliveryLog } from './start-delivery.ts';

/** An engine that is silent for longer is said. Source: issue 3 (7) */
export const silenceMsMax = minuteMs;
const placeCountMax = 50;
/** A place that could not be told is tried again after this long, then after twice as long, up to the longest. */
export const retryMs = { first: 5000, max: minuteMs } as const;
/** Half an hour: what the engine itself sends has come by then, and says the same. */
const backTryCountMax = 30;

export type SilenceDeps = {
  readonly surface: ChatSurface;
  readonly nowMs: () => number;
  readonly log: DeliveryLog;
  /** The subscribed places that are known, newest knowledge. */
  readonly places: () => readonly ChatPlace[];
};

/**
 * Says by itself that the engine is silent, once in each place where it knows that people listen; and there that it is back. A place that
 * does not take it is tried again, because the platform may be away at the same time as the engine.
 */
export type SilenceNotice = {
  readonly answered: () => void;
  /** To be called every few seconds, one call after the other. Nothing is said between two calls. */
  readonly look: () => Promise<void>;
  readonly silentForMs: () => number;
};

type Told = { readonly place: ChatPlace; readonly ref: MessageRef };
type Failure = { readonly count: number; readonly retryAtMs: number };
/** From the first place that was told of the silence until the last of them was told of its end. */
type Episode = {
  readonly told: Map<string, Told>;
  readonly failures: Map<string, Failure>;
  silentMs: number;
};

export function createSilenceNotice(deps: SilenceDeps): SilenceNotice {
  let lastAnswerAtMs = deps.nowMs();
  let episode: Episode | undefined;
  const silentForMs = () => deps.nowMs() - lastAnswerAtMs;
  return {
    silentForMs,
    answered: () => {
      if (episode !== undefined && silentForMs() > silenceMsMax) {
        episode.silentMs = silentForMs();
        episode.failures.clear();
        deps.log.info('the engine answers again');
      }
      lastAnswerAtMs = deps.nowMs();
    },
    look: async () => {
      const isSilent = () => silentForMs() > silenceMsMax;
      if (isSilent()) {
        episode ??= { told: new Map(), failures: new Map(), silentMs: 0 };
        await saySilent(episode, lastAnswerAtMs, { ...deps, isSilent });
      } else if (episode !== undefined) {
        await sayBack(episode, deps);
        if (episode.told.size === 0) episode = undefined;
      }
    },
  };
}

/** Tells the places that do not know it yet, as long as it is so. */
async function saySilent(
  episode: Episode,
  sinceMs: number,
  deps: SilenceDeps & { readonly isSilent: () => boolean },
): Promise<void> {
  const { told } = episode;
  const before = told.size;
  for (const place of deps.places().slice(0, placeCountMax)) {
    const key = placeKey({ place });
    if (told.has(key) || !isDue(episode, key, deps)) continue;
    if (!deps.isSilent()) return;
    const card = engineSilentCard(sinceMs, deps.nowMs());
    const order = { place, card, parentRef: null, isNotifying: true, mentions: [] };
    const ref = await tried(() => deps.surface.post(order), place, { episode, deps });
    if (ref !== undefined) told.set(key, { place, ref });
  }
  if (told.size > before)
    deps.log.warn(`the engine is silent since ${new Date(sinceMs).toISOString()}; said in ${told.size} places`);
}

async function sayBack(episode: Episode, deps: SilenceDeps): Promise<void> {
  const card = engineBackCard(episode.silentMs);
  for (const [key, { place, ref }] of episode.told) {
    if (!isDue(episode, key, deps)) continue;
    const order = { place, card, parentRef: ref, isNotifying: true, mentions: [] };
    const said = await tried(() => deps.surface.post(order), place, { episode, deps });
    const isGivenUp = (episode.failures.get(key)?.count ?? 0) >= backTryCountMax;
    if (said !== undefined || isGivenUp) episode.told.delete(key);
  }
}

function isDue({ failures }: Episode, key: string, { nowMs }: SilenceDeps): boolean {
  return (failures.get(key)?.retryAtMs ?? 0) <= nowMs();
}

/** The platform may be away as well; until it is back the watchdog is the one who says it. */
async function tried(
  post: () => Promise<MessageRef>,
  place: ChatPlace,
  { episode, deps }: { readonly episode: Episode; readonly deps: SilenceDeps },
): Promise<MessageRef | undefined> {
  const key = placeKey({ place });
  try {
    const ref = await post();
    episode.failures.delete(key);
    return ref;
  } catch (error) {
    if (!(error instanceof DeliveryError)) throw error;
    const count = (episode.failures.get(key)?.count ?? 0) + 1;
    const pauseMs = Math.min(retryMs.max, Math.max(retryMs.first * 2 ** (count - 1), error.retryAfterMs ?? 0));
    episode.failures.set(key, { count, retryAtMs: deps.nowMs() + pauseMs });
    deps.log.warn(`${place.place} could not be told of the engine; it is tried again`, error);
    return undefined;
  }
}

import { minuteMs } from '../../domain/units.ts';
import type { ChatPlace, MessageRef } from '../../protocol/chat-api.ts';
import { type ChatSurface, DeliveryError } from '../chat-surface.ts';
import { engineBackCard, engineSilentCard } from '../conversation/note-cards.ts';
import type { DeliveryLog } from './start-delivery.ts';

/** An engine that is silent for longer is said. Source: issue 3 (7) */
export const silenceMsMax = minuteMs;
const placeCountMax = 50;

export type SilenceDeps = {
  readonly surface: ChatSurface;
  readonly nowMs: () => number;
  readonly log: DeliveryLog;
  /** The subscribed places that are known, newest knowledge. */
  readonly places: () => readonly ChatPlace[];
};

/** Says by itself that the engine is silent, once, where it knows that people listen; and there that it is back. */
export type SilenceNotice = {
  readonly answered: () => Promise<void>;
  /** To be called every few seconds. */
  readonly look: () => Promise<void>;
  readonly silentForMs: () => number;
};

type Said = { readonly sinceMs: number; readonly places: readonly { place: ChatPlace; ref: MessageRef }[] };

export function createSilenceNotice(deps: SilenceDeps): SilenceNotice {
  let lastAnswerAtMs = deps.nowMs();
  let said: Said | undefined;
  let isSaying = false;
  return {
    silentForMs: () => deps.nowMs() - lastAnswerAtMs,
    answered: async () => {
      lastAnswerAtMs = deps.nowMs();
      if (said === undefined || isSaying) return;
      const was = said;
      said = undefined;
      await sayBack(was, deps);
    },
    look: async () => {
      if (said !== undefined || isSaying || deps.nowMs() - lastAnswerAtMs <= silenceMsMax) return;
      isSaying = true;
      const sinceMs = lastAnswerAtMs;
      try {
        said = { sinceMs, places: await saySilent(sinceMs, deps) };
      } finally {
        isSaying = false;
      }
    },
  };
}

async function saySilent(sinceMs: number, deps: SilenceDeps): Promise<Said['places']> {
  const card = engineSilentCard(sinceMs, deps.nowMs());
  const told: { place: ChatPlace; ref: MessageRef }[] = [];
  for (const place of deps.places().slice(0, placeCountMax)) {
    const order = { place, card, parentRef: null, isNotifying: true, mentions: [] };
    const ref = await tried(() => deps.surface.post(order), place, deps);
    if (ref !== undefined) told.push({ place, ref });
  }
  deps.log.warn(`the engine is silent since ${new Date(sinceMs).toISOString()}; said in ${told.length} places`);
  return told;
}

async function sayBack(said: Said, deps: SilenceDeps): Promise<void> {
  const card = engineBackCard(deps.nowMs() - said.sinceMs);
  deps.log.info('the engine answers again');
  for (const { place, ref } of said.places) {
    const order = { place, card, parentRef: ref, isNotifying: true, mentions: [] };
    await tried(() => deps.surface.post(order), place, deps);
  }
}

/** The platform may be away as well; then the watchdog is the one who says it. */
async function tried(
  post: () => Promise<MessageRef>,
  place: ChatPlace,
  deps: SilenceDeps,
): Promise<MessageRef | undefined> {
  try {
    return await post();
  } catch (error) {
    if (!(error instanceof DeliveryError)) throw error;
    deps.log.warn(`${place.place} could not be told of the engine`, error);
    return undefined;
  }
}

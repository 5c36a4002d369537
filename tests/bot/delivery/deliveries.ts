import type { ApiAnswer } from '../../../bot/api-call.ts';
import type { Card } from '../../../bot/card.ts';
import type { ChatSurface, PictureOrder, PostOrder } from '../../../bot/chat-surface.ts';
import { type DeliveryDeps, startDelivery } from '../../../bot/delivery/start-delivery.ts';
import type { Downloaded } from '../../../bot/engine-client.ts';
import type { MessageId } from '../../../domain/ids.ts';
import { OutageError } from '../../../domain/outage.ts';
import type { ChatPlace, DeliveryOutcome, DeliveryView, MessageRef } from '../../../protocol/chat-api.ts';

export const place = { surface: 'slack', tenant: 'T1', place: 'C1' } as const;

export function delivery(number: number, more: Partial<DeliveryView> = {}): DeliveryView {
  return {
    id: `msg_${String(number).padStart(10, '0')}` as MessageId,
    place,
    revision: 1,
    subject: { kind: 'note', note: { title: `note ${number}`, tone: 'neutral', text: [], copyLine: null } },
    ref: null,
    parentRef: null,
    isNotifying: false,
    mentions: [],
    severity: 'info',
    ...more,
  };
}

/** Waits until the condition holds; no test waits longer than this for anything. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

type Shown = { readonly order: 'post' | 'update' | 'picture'; readonly place: string; readonly title: string };

/** A platform and an engine on paper, whose behaviour each test decides. */
export function createRig(more: Partial<DeliveryDeps> = {}) {
  const waiting: DeliveryView[] = [];
  const shown: Shown[] = [];
  const posts: PostOrder[] = [];
  const pictures: PictureOrder[] = [];
  const outcomes: { id: string; revision: number; outcome: DeliveryOutcome }[] = [];
  const reports: boolean[] = [];
  const saved: unknown[] = [];
  const stopping = new AbortController();
  const state = {
    nowMs: 1_000_000,
    isEngineUp: true,
    aliveCount: 0,
    probeCount: 0,
    fail: (_: Shown): Error | undefined => undefined,
    isPlatformUp: true,
    isSubscribed: true,
    otherPlaces: [] as readonly ChatPlace[],
    ask: (): ApiAnswer => ({
      kind: 'refusal',
      refusal: { kind: 'unknown-target', message: 'There is no run.', candidates: [], nextStep: null },
    }),
    download: (): Downloaded => ({ kind: 'json', body: {} }),
    reportFails: false,
  };
  const engine = async <Answer>(answer: () => Answer): Promise<Answer> => {
    await new Promise((resolve) => setImmediate(resolve));
    if (state.isEngineUp) return answer();
    throw new OutageError('asking the engine', { retryable: true });
  };
  const take = (order: Shown): MessageRef => {
    const error = state.fail(order);
    if (error !== undefined) throw error;
    shown.push(order);
    return { ts: String(shown.length) };
  };
  const titleOf = (card: Card) => card.title;
  const surface: ChatSurface = {
    surface: 'slack',
    tenant: 'T1',
    post: async (order) => {
      const ref = take({ order: 'post', place: order.place.place, title: titleOf(order.card) });
      posts.push(order);
      return ref;
    },
    update: async ({ place: where, card }) => take({ order: 'update', place: where.place, title: titleOf(card) }),
    postPicture: async (order) => {
      pictures.push(order);
      return take({ order: 'picture', place: order.place.place, title: order.altText });
    },
    probe: async () => {
      state.probeCount += 1;
      if (!state.isPlatformUp) throw new Error('the platform is away');
    },
  };
  const deps: DeliveryDeps = {
    engine: {
      ask: () => engine(() => state.ask()),
      claim: ({ countMax = 20 }) => engine(() => waiting.splice(0, countMax)),
      reportOutcome: (id, body) =>
        engine(() => {
          if (state.reportFails) throw new OutageError('reporting', { retryable: true });
          outcomes.push({ id, ...body });
        }),
      reportSurface: ({ isHealthy }) =>
        engine(() => {
          reports.push(isHealthy);
        }),
      places: () =>
        engine(() =>
          [place, ...state.otherPlaces].map((one) => ({ ...one, reference: {}, isSubscribed: state.isSubscribed })),
        ),
      download: () => engine(() => state.download()),
    },
    surface,
    nowMs: () => state.nowMs,
    log: { info: () => undefined, warn: () => undefined },
    signal: stopping.signal,
    places: {
      load: async () => [],
      save: async (places) => {
        saved.push(places);
      },
    },
    alive: async () => {
      state.aliveCount += 1;
    },
    pauses: { retryMs: 1, probeMs: 5, lookMs: 1, claimWaitMs: 15_000 },
    ...more,
  };
  const start = () => startDelivery(deps);
  /** Lets the delivery look around a few times. */
  const looks = () => {
    const before = state.probeCount;
    return until(() => state.probeCount > before + 3, 'some looks');
  };
  const stop = async (running: ReturnType<typeof startDelivery>) => {
    stopping.abort();
    await running.ended;
  };
  return { deps, start, stop, looks, waiting, shown, posts, pictures, outcomes, reports, saved, state };
}
